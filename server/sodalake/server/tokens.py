"""Bearer tokens: what `sodalake token` makes and the service believes, and the key they are signed with.

A token is a JWT (RFC 7519) signed with HMAC-SHA256: one key, which the command and the service share, both makes
and proves it, and nothing has to be stored for a user to exist. It names its user (`sub`), his groups and his
address for mails; `iss` and `aud` are the service's IVOA authority, so that the token of one service is none of
another's that has the same key. It ends at `exp`. It cannot be called back before: a new key ends all of them.

The key is the setting `identity.key`, or a file (`identity.key_file`) that whoever needs it first makes: complete
from the moment its name exists, and readable by its owner only.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import jwt

from sodalake.lake.errors import ConfigurationError, UsageError
from sodalake.server.errors import AuthenticationError
from sodalake.server.sections import KEY_BYTES, Identity

__all__ = ["Claims", "Tokens", "default_key_file", "is_address", "random_key", "signing_key"]

_ALGORITHM: Final = "HS256"
_LONGEST = 8_192  # characters of a token; ours have about 300
_KEPT = 4_096  # tokens whose proof is remembered: 2 MB
_ADVICE: Final = "Make a new one with `sodalake token NAME`, or send none."

# A name becomes an HTTP header, an owner in XML and a folder, so it is what all three take as it is.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=~,-]{0,63}", re.ASCII)
_RESERVED = frozenset({"anonymous"})
_EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def _name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a {what}.",
            "At most 64 letters, digits and . _ @ + = ~ , - that begin with a letter, a digit or _;"
            " 'anonymous' is nobody's name.",
        )
    return name


def is_address(email: str) -> bool:
    """Say whether `email` is one plain mail address: nothing that a header could take for more."""
    return _EMAIL.fullmatch(email) is not None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says of its user.

    Attributes
    ----------
    name
        Of at most 64 characters, safe in a header and as a folder.
    groups
        The groups the user belongs to, named likewise.
    email
        Where mails go; may be empty.
    expires
        When the token ends, seconds since 1970.

    Raises
    ------
    UsageError
        A name, a group or the address is none.
    """

    name: str
    groups: frozenset[str] = frozenset()
    email: str = ""
    expires: float = 0.0

    def __post_init__(self) -> None:
        _name("user", self.name)
        for group in self.groups:
            _name("group", group)
        if self.email and not is_address(self.email):
            raise UsageError(f"{self.email[:80]!r} is no mail address.", "Such as anna@example.org.")


class Tokens:
    """Makes tokens and proves them.

    Parameters
    ----------
    key
        At least 32 bytes (RFC 7518, 3.2).
    authority
        The service's IVOA authority: who issues, and for whom.
    """

    def __init__(self, key: bytes, authority: str) -> None:
        self._key = key
        self._authority = authority
        # The oldest use first. Only what was proved is kept, so that a flood of wrong tokens evicts none.
        self._proved: OrderedDict[str, Claims] = OrderedDict()

    def make(
        self,
        claims: Claims,
        lifetime: timedelta = timedelta(days=90),
        *,
        now: datetime | None = None,
    ) -> str:
        """Return a new token that says `claims` and ends after `lifetime`."""
        begins = now or datetime.now(UTC)
        return jwt.encode(
            {
                "iss": self._authority,
                "aud": self._authority,
                "sub": claims.name,
                "groups": sorted(claims.groups),
                "email": claims.email,
                "iat": int(begins.timestamp()),
                "exp": int((begins + lifetime).timestamp()),
            },
            self._key,
            algorithm=_ALGORITHM,
        )

    def claims(self, token: str) -> Claims:
        """Return what a token says, if it is ours and has not ended.

        A token that was proved is remembered until it ends: 0.4 µs instead of 80.

        Raises
        ------
        AuthenticationError
            It is not; the message says in which way.
        """
        known = self._proved.get(token)
        if known is None:
            known = self._prove(token)
            self._proved[token] = known
            if len(self._proved) > _KEPT:
                self._proved.popitem(last=False)
        elif known.expires <= time.time():
            del self._proved[token]
            raise _ended(known.expires)
        else:
            self._proved.move_to_end(token)
        return known

    def _prove(self, token: str) -> Claims:
        if len(token) > _LONGEST:
            raise AuthenticationError(f"The token is longer than {_LONGEST} characters.", _ADVICE)
        try:
            said = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=self._authority,
                issuer=self._authority,
                # The clock of the machine that made the token may go a little before ours.
                options={"require": ["sub", "exp", "iss", "aud"], "verify_iat": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise _ended(_expiry(token)) from error
        except jwt.InvalidSignatureError as error:
            raise AuthenticationError("The token was signed with another key.", _ADVICE) from error
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError) as error:
            raise AuthenticationError("The token was made for another service.", _ADVICE) from error
        except jwt.InvalidAlgorithmError as error:
            raise AuthenticationError("The token is not signed the way ours are.", _ADVICE) from error
        except (jwt.InvalidTokenError, ValueError) as error:
            raise AuthenticationError("The token is not one.", _ADVICE) from error
        return _read(said)


def _read(said: dict[str, Any]) -> Claims:
    """Read the claims of a proved token: whoever has the key may have made it, so they are checked as well."""
    groups, email = said.get("groups") or [], said.get("email") or ""
    if not (
        isinstance(email, str) and isinstance(groups, list) and all(isinstance(one, str) for one in groups)
    ):
        raise AuthenticationError("The token's groups or address are not texts.", _ADVICE)
    try:
        return Claims(said["sub"], frozenset(groups), email, float(said["exp"]))
    except UsageError as error:
        raise AuthenticationError(f"The token is not one: {error.message}", _ADVICE) from error


def _expiry(token: str) -> float:
    """Return when a token ended whose signature is right."""
    return float(jwt.decode(token, options={"verify_signature": False})["exp"])


def _ended(when: float) -> AuthenticationError:
    return AuthenticationError(
        f"The token ended on {datetime.fromtimestamp(when, UTC):%Y-%m-%d at %H:%M:%S} UTC.", _ADVICE
    )


# ---------------------------------------------------------------------- the key


def default_key_file() -> Path:
    """Return where the key is kept when no setting says so."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sodalake" / "token.key"


def random_key() -> bytes:
    """Return a new key: 64 characters that a text file holds."""
    return secrets.token_urlsafe(48).encode()


def signing_key(settings: Identity, made: Callable[[Path], object] = lambda file: None) -> bytes:
    """Return the key that tokens are signed with, made now where nobody needed one before.

    Parameters
    ----------
    settings
        Where it is.
    made
        Called with the file's path where it was made now.

    Raises
    ------
    ConfigurationError
        The file cannot be read or made, holds no key, or can be read by everybody.
    """
    if key := settings.key.get_secret_value():
        return key.encode()
    file = Path(settings.key_file).expanduser() if settings.key_file else default_key_file()
    try:
        with contextlib.suppress(FileNotFoundError):
            return _kept(file)
        if _make(file):
            made(file)
        return _kept(file)
    except OSError as error:
        raise ConfigurationError(
            f"The key of the tokens, {file}, cannot be {'read' if file.exists() else 'made'}: {error.strerror}.",
            "Name another file in identity.key_file, or give the key itself in identity.key.",
        ) from error


def _kept(file: Path) -> bytes:
    with file.open("rb") as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise ConfigurationError(
                f"The key of the tokens, {file}, is open to others (mode {mode:04o}): whoever reads it can be"
                " anybody.",
                f"If nobody has: chmod 600 {file}. Else delete it, and a new one is made; all tokens end.",
            )
        key = opened.read(65_536).strip()
    if len(key) < KEY_BYTES:
        raise ConfigurationError(
            f"The key of the tokens, {file}, has {len(key)} bytes; at least {KEY_BYTES} are needed.",
            "Delete it, and a new one is made.",
        )
    return key


def _make(file: Path) -> bool:
    """Make a key file: complete under another name first, then linked. Of two who make it one wins: say whether we."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(random_key() + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        file.hardlink_to(draft)
    except FileExistsError:
        return False
    else:
        return True
    finally:
        Path(draft).unlink()

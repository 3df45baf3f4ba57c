"""Who is asking: every request carries a `User`, and this is the one place that decides which.

A visitor proves who he is by a token (`tokens`), sent as ``Authorization: Bearer TOKEN`` (RFC 6750) or, by clients
that know only passwords, as the password of ``Basic``, whatever the user's name beside it; a token in the place of
the name, with the password empty or ``x-oauth-basic``, is taken as well. A token that proves nothing is refused with
401, never passed over: who believes to be somebody should not be served as nobody. Other schemes say nothing to us
(a proxy's Negotiate, say), and leave the visitor anonymous.

Owners, permissions, quotas and priorities ask the `User` and nothing else, so that LDAP, OIDC and a hub's headers
can become ways to make one. What the groups of a user give him is decided in `Identities.user`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from tornado.httputil import HTTPServerRequest

from sodalake.lake.errors import ConfigurationError
from sodalake.server.config import Settings
from sodalake.server.errors import AuthenticationError
from sodalake.server.tokens import Claims, Tokens, random_key, signing_key

__all__ = ["ANONYMOUS", "SECURITY_METHODS", "Identities", "User", "challenges"]

_log = structlog.get_logger("sodalake.identity")

SECURITY_METHODS = ("", "ivo://ivoa.net/sso#BasicAA", "ivo://ivoa.net/sso#OAuth")
"""What a VOSI interface that asks for the `User` declares (SSO 2.0): nobody, Basic, a bearer token."""

_REALM = "sodalake"
_PLACEHOLDERS = frozenset({"", "x-oauth-basic"})  # passwords beside a token that stands as the user's name


@dataclass(frozen=True, slots=True)
class User:
    """A visitor.

    Attributes
    ----------
    name
        The account's name, safe in a header and as a folder; None for a visitor who is anonymous.
    groups
        The groups the account belongs to.
    email
        Where mails go; may be empty.
    priority
        Of his jobs: those with more go first.
    """

    name: str | None = None
    groups: frozenset[str] = frozenset()
    email: str = ""
    priority: int = 0

    @property
    def is_anonymous(self) -> bool:
        """Whether nothing is known of this visitor."""
        return self.name is None

    def __str__(self) -> str:
        return self.name or "anonymous"


ANONYMOUS = User()


class Identities:
    """Decides who a visitor is, and what his groups give him.

    Parameters
    ----------
    tokens
        What proves a bearer token.
    urgent_groups
        Groups whose members' jobs go first.
    """

    def __init__(self, tokens: Tokens, urgent_groups: Iterable[str] = ()) -> None:
        self.tokens = tokens
        self._urgent = frozenset(urgent_groups)

    @classmethod
    def open(cls, settings: Settings) -> Identities:
        """Return the identities of a service; reads the key of its tokens, or makes it.

        Where no place was named for the key and the usual one cannot be written (a container), the service
        starts all the same, with a key that nobody has: it knows no visitor by name.

        Raises
        ------
        ConfigurationError
            The key that the settings name cannot be used, or the usual one is open to others.
        """
        try:
            key = signing_key(settings.identity, lambda file: _log.info("key_made", file=str(file)))
        except ConfigurationError as error:
            if settings.identity.key_file or not isinstance(error.__cause__, OSError):
                raise
            _log.warning("no_tokens", why=error.message, advice=error.advice)
            key = random_key()
        return cls(Tokens(key, settings.authority), settings.identity.urgent_groups)

    def user(self, claims: Claims) -> User:
        """Return the user that a proof names. Roles and quotas that come from groups belong here."""
        priority = 1 if claims.groups & self._urgent else 0
        return User(claims.name, claims.groups, claims.email, priority)

    def user_of(self, request: HTTPServerRequest) -> User:
        """Return who sent a request.

        Raises
        ------
        AuthenticationError
            It has a token that proves nothing, or a password that is none.
        """
        header = request.headers.get("Authorization")
        if header is None:
            return ANONYMOUS
        scheme, _, credentials = header.strip().partition(" ")
        match scheme.lower():
            case "bearer":
                token = credentials.strip()
            case "basic":
                token = _token_of_basic(credentials.strip())
            case _:
                return ANONYMOUS
        return self.user(self.tokens.claims(token))


def _token_of_basic(credentials: str) -> str:
    try:
        user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise AuthenticationError(
            "The Basic credentials cannot be read.", "Send name:token in Base64."
        ) from error
    if not colon:
        raise AuthenticationError("The Basic credentials have no colon.", "Send name:token in Base64.")
    return user if password in _PLACEHOLDERS else password


def challenges(refused: AuthenticationError | None = None) -> list[str]:
    """Return the values of WWW-Authenticate: the ways to log in (RFC 9110, 11.6.1; RFC 6750, 3).

    Parameters
    ----------
    refused
        Why the token that was sent is refused; None where none was sent.
    """
    bearer = f'Bearer realm="{_REALM}"'
    if refused is not None:
        plain = "".join(
            c if c.isascii() and c.isprintable() and c not in '"\\' else "'" for c in refused.message
        )
        bearer += f', error="invalid_token", error_description="{plain}"'
    return [bearer, f'Basic realm="{_REALM}", charset="UTF-8"']

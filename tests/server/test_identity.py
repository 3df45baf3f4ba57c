"""Who is asking: tokens that prove it, tokens that do not, and what the service answers to each."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from sodalake.lake.errors import ConfigurationError, UsageError
from sodalake.server import tokens as tokens_module
from sodalake.server.config import Settings
from sodalake.server.errors import AuthenticationError
from sodalake.server.identity import ANONYMOUS, Identities, User, challenges
from sodalake.server.sections import Identity
from sodalake.server.tokens import Claims, Tokens, default_key_file, random_key, signing_key

KEY = random_key()
AUTHORITY = "my.archive"
ANNA = Claims("anna", frozenset({"astro", "urgent"}), "anna@example.org")
DAY = timedelta(days=1)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(KEY, AUTHORITY)


def signed(key: bytes = KEY, algorithm: str = "HS256", **changes: object) -> str:
    """A token with some claims changed; None leaves one out."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": AUTHORITY, "aud": AUTHORITY, "sub": "anna", "groups": [], "email": "", "iat": now, "exp": now + 60,
    }  # fmt: skip
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned() -> str:
    """What an attacker writes who has read of alg=none."""
    payload = signed().split(".")[1]
    return f"{segment({'alg': 'none', 'typ': 'JWT'})}.{payload}."


# ---------------------------------------------------------------------- tokens


def test_a_token_says_what_was_put_in(tokens: Tokens) -> None:
    before = int(time.time())
    said = tokens.claims(tokens.make(ANNA, DAY))
    assert (said.name, said.groups, said.email) == (ANNA.name, ANNA.groups, ANNA.email)
    assert before <= said.expires - 86_400 <= time.time()


def test_the_claims_are_those_of_rfc_7519(tokens: Tokens) -> None:
    token = tokens.make(ANNA, DAY, now=datetime(2026, 3, 1, tzinfo=UTC))
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    assert jwt.decode(token, options={"verify_signature": False}) == {
        "iss": AUTHORITY,
        "aud": AUTHORITY,
        "sub": "anna",
        "groups": ["astro", "urgent"],
        "email": "anna@example.org",
        "iat": 1_772_323_200,
        "exp": 1_772_409_600,
    }


WRONG = {
    "ended": (lambda: signed(exp=1_772_323_200), "ended on 2026-03-01 at 00:00:00 UTC"),
    "another key": (lambda: signed(random_key()), "another key"),
    "no signature": (unsigned, "not signed the way"),
    "another algorithm": (lambda: signed(random_key() + random_key(), "HS512"), "not signed the way"),
    "audience": (lambda: signed(aud="other.archive"), "another service"),
    "no audience": (lambda: signed(aud=None), "not one"),
    "issuer": (lambda: signed(iss="other.archive"), "another service"),
    "no end": (lambda: signed(exp=None), "not one"),
    "no name": (lambda: signed(sub=None), "not one"),
    "a name of numbers": (lambda: signed(sub=7), "not one"),
    "a name with a line": (lambda: signed(sub="anna\r\nSet-Cookie: a=b"), "cannot be the name"),
    "a name that climbs": (lambda: signed(sub="../anna"), "cannot be the name"),
    "groups that are none": (lambda: signed(groups="astro"), "not texts"),
    "groups of groups": (lambda: signed(groups=[["astro"]]), "not texts"),
    "an address that is none": (lambda: signed(email="anna@example.org\r\nBcc: all@example.org"), "no mail address"),
    "an end that is none": (lambda: signed(exp="tomorrow"), "not one"),
    "empty": (lambda: "", "not one"),
    "no token": (lambda: "hunter2", "not one"),
    "three parts of nothing": (lambda: "a.b.c", "not one"),
    "a list for claims": (lambda: f"{segment({'alg': 'HS256'})}.{segment([1])}.AAAA", "another key"),
    "long": (lambda: "a" * 9_000, "longer than"),
    "not ASCII": (lambda: "\xe9.\xe9.\xe9", "not one"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_token_that_proves_nothing(tokens: Tokens, case: str) -> None:
    make, says = WRONG[case]
    for _ in range(2):  # the second time as the first: what was refused is not remembered as proved
        with pytest.raises(AuthenticationError, match=says):
            tokens.claims(make())


@given(st.text(max_size=200))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(AuthenticationError):
        Tokens(KEY, AUTHORITY).claims(text)


@given(st.data())
def test_a_token_with_a_changed_letter_is_none(data: st.DataObject) -> None:
    token = signed()
    at = data.draw(st.integers(0, len(token) - 2))  # the last has two bits that mean nothing
    letter = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda one: one != token[at]))
    with pytest.raises(AuthenticationError):
        Tokens(KEY, AUTHORITY).claims(token[:at] + letter + token[at + 1 :])


def test_a_proof_is_remembered_until_the_token_ends(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.make(ANNA, timedelta(seconds=100))
    said = tokens.claims(token)
    assert tokens.claims(token) is said
    monkeypatch.setattr(tokens_module.time, "time", lambda: said.expires)
    with pytest.raises(AuthenticationError, match="ended on"):
        tokens.claims(token)


def test_a_bounded_number_of_proofs_is_remembered(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "_KEPT", 3)
    used = [tokens.make(Claims(f"user{number}"), DAY) for number in range(4)]
    said = [tokens.claims(token) for token in used[:3]]
    assert tokens.claims(used[0]) is said[0]  # used last, so the second goes
    tokens.claims(used[3])
    assert tokens.claims(used[0]) is said[0]
    assert tokens.claims(used[2]) is said[2]
    assert tokens.claims(used[1]) is not said[1]
    assert tokens.claims(used[1]) == said[1]


@pytest.mark.parametrize(
    "name", ["anna", "A.Nna_9", "anna@example.org", "u+v=w~x,y-z", "_a", "7", "a" * 64, "x-oauth-basic"]
)
def test_names(name: str) -> None:
    assert Claims(name, frozenset({name})).name == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "an na", "anna\n", "\tanna", "a" * 65, ".", "..", ".anna", "-anna", "a/b", "a\\b", "a:b", "zoë", "a\x00b",
     "anonymous", "Anonymous", "a\u200bb", "<anna>", "a;b", "ａｎｎａ"],
)  # fmt: skip
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a user"):
        Claims(name)
    with pytest.raises(UsageError, match="cannot be the name of a group"):
        Claims("anna", frozenset({name}))


@given(st.text(max_size=80))
def test_a_name_fits_in_a_header_a_path_and_a_line(name: str) -> None:
    try:
        Claims(name)
    except UsageError:
        return
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set(" /\\:<>&\"'%?#")
    assert Path("/home", name).resolve() == Path("/home") / name


@pytest.mark.parametrize(
    "email", ["anna", "anna@", "@example.org", "a b@example.org", "a@b@c", "a@-x", "a@b\n", "é@b"]
)
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(UsageError, match="no mail address"):
        Claims("anna", email=email)


# ---------------------------------------------------------------------- the key


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "down" / "token.key"
    made: list[Path] = []
    settings = Identity(key_file=str(file))
    key = signing_key(settings, made.append)
    assert len(key) >= 48
    assert signing_key(settings, made.append) == key
    assert made == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_two_who_make_it_have_the_same(tmp_path: Path) -> None:
    settings = Identity(key_file=str(tmp_path / "token.key"))
    keys: list[bytes] = []
    made: list[Path] = []
    together = threading.Barrier(8)

    def work() -> None:
        together.wait()
        keys.append(signing_key(settings, made.append))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == len(made) == 1
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("mode", "passes"), [(0o600, True), (0o400, True), (0o640, True), (0o604, False),
                                               (0o644, False), (0o660, False), (0o602, False)])  # fmt: skip
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int, passes: bool) -> None:
    file = tmp_path / "token.key"
    file.write_bytes(KEY + b"\n")
    file.chmod(mode)
    if passes:
        assert signing_key(Identity(key_file=str(file))) == KEY
    else:
        with pytest.raises(ConfigurationError, match=rf"open to others \(mode {mode:04o}\).*chmod 600"):
            signing_key(Identity(key_file=str(file)))


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token.key"
    file.touch(0o600)
    with pytest.raises(ConfigurationError, match="has 0 bytes"):
        signing_key(Identity(key_file=str(file)))
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Identity(key=SecretStr("short"))


def test_the_key_of_the_settings_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "token.key"
    assert signing_key(Identity(key=SecretStr("k" * 40), key_file=str(file))) == b"k" * 40
    assert not file.exists()


def test_the_usual_place_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_key_file() == tmp_path / "sodalake" / "token.key"
    signing_key(Identity())
    assert default_key_file().exists()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_key_file() == tmp_path / ".config" / "sodalake" / "token.key"


def test_a_place_that_was_named_must_be_usable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings(identity=Identity(key_file=str(tmp_path / "file" / "token.key")))
    with pytest.raises(ConfigurationError, match="cannot be made: Not a directory"):
        Identities.open(settings)


def test_where_the_usual_place_cannot_be_written_no_token_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    identities = Identities.open(Settings())
    assert "no_tokens" in capsys.readouterr().out
    assert identities.user_of(request(None)) == ANONYMOUS
    with pytest.raises(AuthenticationError):
        identities.user_of(request(f"Bearer {Tokens(KEY, 'sodalake').make(ANNA)}"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    key = default_key_file()
    key.parent.mkdir()
    key.write_bytes(KEY)
    key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="open to others"):
        Identities.open(Settings())


# ---------------------------------------------------------------------- users


def request(authorization: str | None) -> HTTPServerRequest:
    headers = HTTPHeaders(
        {"Host": "localhost"} | ({} if authorization is None else {"Authorization": authorization})
    )
    return HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=headers)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def identities(tokens: Tokens) -> Identities:
    return Identities(tokens, ["urgent"])


def test_a_visitor_with_a_token(identities: Identities) -> None:
    token = identities.tokens.make(ANNA)
    anna = User("anna", ANNA.groups, "anna@example.org", 1)
    for way in (
        f"Bearer {token}",
        f"bearer  {token}",
        f" BEARER {token} ",
        basic("anna", token),
        basic("token", token),
        basic("x-oauth-basic", token),
        basic("", token),
        basic(token, "x-oauth-basic"),
        basic(token, ""),
    ):
        assert identities.user_of(request(way)) == anna, way
    bob = identities.user_of(request(f"Bearer {identities.tokens.make(Claims('bob'))}"))
    assert (str(bob), bob.priority, bob.is_anonymous) == ("bob", 0, False)


@pytest.mark.parametrize(
    "header", [None, "", "Negotiate abc", "Digest username=anna", "Token abc", "ApiKey a.b.c"]
)
def test_a_visitor_who_says_nothing_we_know_is_anonymous(identities: Identities, header: str | None) -> None:
    user = identities.user_of(request(header))
    assert user is ANONYMOUS
    assert (str(user), user.is_anonymous, user.priority) == ("anonymous", True, 0)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer a b", "Basic", "Basic !", "Basic YW5uYQ==", "Basic /w==", basic("anna", "hunter2"),
     basic("", ""), basic("anna", "x-oauth-basic"), f"Bearer {signed()},Bearer {signed()}"],
)  # fmt: skip
def test_a_proof_that_proves_nothing_is_refused(identities: Identities, header: str) -> None:
    with pytest.raises(AuthenticationError):
        identities.user_of(request(header))


@given(
    st.text(alphabet=st.characters(max_codepoint=255), max_size=60),
    st.sampled_from(["Bearer ", "Basic ", ""]),
)
def test_any_header_is_nobody_or_refused(text: str, scheme: str) -> None:
    try:
        user = Identities(Tokens(KEY, AUTHORITY)).user_of(request(scheme + text))
    except AuthenticationError:
        return
    assert user is ANONYMOUS


def test_a_challenge_is_one_line_of_quoted_strings() -> None:
    bearer, plain = challenges(AuthenticationError('It is "so"\r\nSet-Cookie: é\\.'))
    assert bearer == (
        """Bearer realm="sodalake", error="invalid_token", error_description="It is 'so'''Set-Cookie: ''.\""""
    )
    assert plain.startswith('Basic realm="sodalake"')
    assert challenges()[0] == 'Bearer realm="sodalake"'


# ---------------------------------------------------------------------- the service


@pytest.fixture
def token(server: Any) -> str:
    """A token by the key of the run's servers."""
    return Tokens(signing_key(Identity()), "sodalake").make(ANNA)


def challenged(answer: Any) -> list[str]:
    return [value.split()[0] for value in answer.headers.get_all("WWW-Authenticate") or []]


def as_bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.embedded
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_capabilities_say_who_is_asking_and_how_to_be_known(server: Any, token: str, method: str) -> None:
    nobody = server.ask("/soda/capabilities", method=method)
    assert nobody.status == 200
    assert "X-VO-Authenticated" not in nobody.headers
    assert challenged(nobody) == ["Bearer", "Basic"]
    anna = server.ask("/soda/capabilities", method=method, headers=as_bearer(token))
    assert anna.status == 200
    assert anna.headers.get_all("X-VO-Authenticated") == ["anna"]
    wrong = server.ask("/soda/capabilities", method=method, headers=as_bearer("hunter2"))
    assert wrong.status == 401
    assert "X-VO-Authenticated" not in wrong.headers
    assert challenged(wrong) == ["Bearer", "Basic"]


@pytest.mark.embedded
def test_every_answer_to_who_is_known_says_so(server: Any, archive: Any, make_did: Any, token: str) -> None:
    did = make_did(archive.one("ztf"), "science")
    for path, status in (
        (f"/soda/sync?ID={did}", 200),
        ("/soda/sync", 400),
        ("/soda/availability", 200),
        ("/api/v1/cutouts?candid=1", 400),
        ("/nowhere", 404),
        ("/healthz", 200),
    ):
        nobody = server.ask(path)
        anna = server.ask(path, headers=as_bearer(token))
        assert (nobody.status, anna.status) == (status, status), path
        assert "X-VO-Authenticated" not in nobody.headers
        assert "WWW-Authenticate" not in nobody.headers
        assert anna.headers.get_all("X-VO-Authenticated") == ["anna"], path
    known = server.ask(f"/soda/sync?ID={did}", headers={"Authorization": basic("token", token)})
    assert known.headers["X-VO-Authenticated"] == "anna"
    again = server.ask(
        f"/soda/sync?ID={did}", headers=as_bearer(token) | {"If-None-Match": known.headers["ETag"]}
    )
    assert (again.status, again.headers["X-VO-Authenticated"]) == (304, "anna")


@pytest.mark.embedded
@pytest.mark.parametrize("path", ["/soda/sync", "/soda/capabilities", "/api/v1/cutouts", "/", "/nowhere"])
@pytest.mark.parametrize(
    "header", ["Bearer hunter2", "Basic YW5uYTpodW50ZXIy", f"Bearer {signed()}", f"Bearer {unsigned()}"]
)
def test_a_wrong_token_is_refused_everywhere(server: Any, path: str, header: str) -> None:
    answer = server.ask(path, headers={"Authorization": header})
    assert answer.status == 401
    assert challenged(answer) == ["Bearer", "Basic"]
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert "X-VO-Authenticated" not in answer.headers
    if path.startswith(("/soda", "/api")):
        assert answer.label == "AuthenticationError"
        assert "sodalake token" in answer.text


@pytest.mark.embedded
def test_a_token_that_has_ended_says_when(server: Any) -> None:
    ended = Tokens(signing_key(Identity()), "sodalake").make(ANNA, -DAY, now=datetime(2026, 3, 2, tzinfo=UTC))
    answer = server.ask("/soda/sync", headers=as_bearer(ended))
    assert answer.status == 401
    assert "2026-03-01 at 00:00:00 UTC" in answer.text


@pytest.mark.embedded
def test_another_scheme_is_passed_over(server: Any) -> None:
    answer = server.ask("/healthz", headers={"Authorization": "Negotiate abc"})
    assert answer.status == 200
    assert "X-VO-Authenticated" not in answer.headers


@pytest.mark.embedded
def test_the_log_names_the_user(server: Any, token: str) -> None:
    answer = server.ask("/healthz", headers=as_bearer(token))
    line = server.wait_for(answer.headers["X-Request-Id"])
    assert "user=anna" in line


@pytest.mark.embedded
def test_a_service_refuses_to_start_with_a_key_that_others_read(
    new_server: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "token.key"
    file.write_bytes(KEY)
    file.chmod(0o644)
    with pytest.raises(pytest.fail.Exception, match="open to others"):
        new_server(SODALAKE_IDENTITY__KEY_FILE=str(file))


@pytest.mark.client
@pytest.mark.embedded
@pytest.mark.filterwarnings("ignore:.*(W17|Unknown element)")
def test_pyvo_is_known_by_a_token(server: Any, token: str) -> None:
    auth = pytest.importorskip("pyvo.auth", reason="PYVO IS NOT INSTALLED: install the extra `client`")
    vosi = pytest.importorskip("pyvo.io.vosi")
    session = auth.AuthSession()
    session.credentials.set_password("token", token)
    with session.get(f"{server.url}/soda/capabilities") as answer:
        assert "X-VO-Authenticated" not in answer.headers  # it has not learned yet what fits
        session.update_from_capabilities(vosi.parse_capabilities(io.BytesIO(answer.content)))
    with session.get(f"{server.url}/soda/sync") as answer:
        assert answer.headers["X-VO-Authenticated"] == "anna"


def test_the_folder_of_the_run_is_not_the_user_s() -> None:
    assert Path(os.environ["XDG_CONFIG_HOME"]) != Path.home() / ".config"

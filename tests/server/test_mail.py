"""Mails to the owners of jobs: what is written, and that each is sent once to a real mail server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from sodalake.lake.errors import ConfigurationError
from sodalake.server.mail import MailedJob, Pauses, Postman, compose, telling
from sodalake.server.sections import Mail
from sodalake.uws.errors import NoSuchJob, StoreUnavailable
from sodalake.uws.jobs import ErrorSummary, Job, NewJob, Progress
from sodalake.uws.phases import Event, Phase
from sodalake.uws.store import JobStore, open_store

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SENDER = "sodalake <noreply@alerts.example.org>"
URL = "https://alerts.example.org/lake/soda/async/4711"
QUICK = Pauses(first=0.02, longest=0.1, rest=0.1)


def job(job_id: str = "4711", **changes: Any) -> Job:
    whole = Job(
        id=job_id, kind="stamps", owner="anna", phase=Phase.COMPLETED, created=NOW - timedelta(hours=2),
        run_id="night 42", started=NOW - timedelta(minutes=65, seconds=5), ended=NOW,
        destruction=NOW + timedelta(days=7), email="anna@example.org",
        progress=Progress(total=10_000, done=10_000, failed=2, bytes=1_234_567_890),
    )  # fmt: skip
    return replace(whole, **changes)


def fresh(job_id: str = "4711", **changes: Any) -> Job:
    return job(job_id, **{"ended": datetime.now(UTC)} | changes)


# ---------------------------------------------------------------------- what is written


def parsed(message: EmailMessage) -> EmailMessage:
    """What a reader sees of the bytes on the wire."""
    read = email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    assert not read.defects
    return read


def test_a_mail_tells_what_was_done() -> None:
    mail = parsed(compose(job(), URL, SENDER))
    assert mail["Subject"] == "Job night 42: COMPLETED"
    assert mail["To"] == "anna@example.org"
    assert mail["From"] == SENDER
    assert mail["Message-ID"] == "<4711.completed@alerts.example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=5)
    assert mail.get_content_type() == "text/plain"
    lines = [" ".join(line.split()) for line in mail.get_content().splitlines()]
    for line in (
        "Your job is done.",
        "Job 4711",
        "Run night 42",
        "Kind stamps",
        "Ended 2026-03-01 12:00:00 UTC",
        "Took 1 h 05 min 05 s",
        "Targets 10000 of 10000, 2 of them failed",
        "Results 1.2 GB",
        "Kept until 2026-03-08 12:00:00 UTC",
        URL,
    ):
        assert line in lines, line


def test_a_mail_of_a_job_that_failed_says_why() -> None:
    failed = job(
        phase=Phase.ERROR, run_id=None, started=None, destruction=None, progress=Progress(),
        error=ErrorSummary("The list has no column with targets.\nIt must have id, or ra and dec. " + "More. " * 60),
    )  # fmt: skip
    mail = parsed(compose(failed, URL, SENDER))
    assert mail["Subject"] == "Job 4711: ERROR"
    text = mail.get_content()
    assert "could not be done" in text
    assert "The list has no column with targets. It must have id, or ra and dec." in " ".join(text.split())
    for absent in ("Run", "Took", "Targets", "Results", "Kept until"):
        assert f"  {absent} " not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "ended before it was done" in parsed(compose(job(phase=Phase.ABORTED), URL, SENDER)).get_content()


@pytest.mark.parametrize(
    ("size", "told"),
    [(1, "1 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (99_940, "99.9 kB"), (999_600, "1000 kB"),
     (2_500_000, "2.5 MB"), (7 * 10**15, "7000 TB")],
)  # fmt: skip
def test_sizes(size: int, told: str) -> None:
    assert f" {told}\r\n" in compose(job(progress=Progress(bytes=size)), URL, SENDER).as_string()


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (3_600, "1 h 00 min 00 s")]
)
def test_durations(seconds: float, told: str) -> None:
    text = compose(job(started=NOW - timedelta(seconds=seconds)), URL, SENDER).as_string()
    assert f" {told}\r\n" in text


@given(st.text(max_size=300), st.text(max_size=300), st.text(min_size=1, max_size=40))
def test_what_a_user_wrote_is_never_a_header_nor_a_control_character(
    run: str, message: str, job_id: str
) -> None:
    mail = compose(job(job_id, run_id=run, error=ErrorSummary(message), phase=Phase.ERROR), URL, SENDER)
    raw = mail.as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert len(names) == len(set(names)) == 9
    assert set(raw) <= {10, 13, *range(32, 127)}
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    text = parsed(mail).get_content()
    assert all(letter.isprintable() or letter in "\r\n" for letter in text)


@pytest.mark.parametrize(
    "run",
    [
        "x\r\nBcc: all@example.org",
        "x\nBcc: all@example.org",
        "x\rBcc: all@example.org",
        "x\x00\x1b[31m",
        "ł" * 500,
    ],
)
def test_a_run_s_name_stays_in_the_subject(run: str) -> None:
    mail = parsed(compose(job(run_id=run), URL, SENDER))
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("Job x") or mail["Subject"].startswith("Job łłł")
    assert len(mail["Subject"]) < 150


@pytest.mark.parametrize(
    "address", ["", "anna", "a@b.c, d@e.f", "a@b.c\r\nBcc: d@e.f", "Anna <a@b.c>", "a b@c.d", "ä@b.c"]
)
def test_what_is_no_address_gets_no_mail(address: str) -> None:
    with pytest.raises(ValueError, match="no mail address"):
        compose(job(email=address), URL, SENDER)


@pytest.mark.parametrize(
    ("notify", "expected"),
    [(None, ("anna@example.org", 300.0)), (True, ("anna@example.org", 0.0)), (False, ("", 0.0))],
)
def test_who_is_told(notify: bool | None, expected: tuple[str, float]) -> None:
    assert telling("anna@example.org", notify, 300.0) == expected


# ---------------------------------------------------------------------- a mail server


@dataclass
class Inbox:
    """What a mail server does with what it gets."""

    mails: list[tuple[Envelope, EmailMessage]] = field(default_factory=list)
    recipients: dict[str, list[str]] = field(default_factory=dict)
    contents: dict[str, list[str]] = field(default_factory=dict)
    senders: list[str] = field(default_factory=list)
    users: list[object] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    connections: int = 0
    asked: int = 0

    async def handle_EHLO(  # noqa: N802 - the server's names
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802 - the server's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.senders:
            return self.senders.pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - the server's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked += 1
        if answers := self.recipients.get(address):
            return answers.pop(0) if len(answers) > 1 else answers[0]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if answers := self.contents.get(envelope.rcpt_tos[0]):
            answer = answers.pop(0)
            if answer == "drop":
                assert server.transport is not None
                server.transport.abort()
            if answer != "take":
                return answer
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope, message))
        self.users.append(session.auth_data)
        self.secure.append(session.ssl is not None)
        return "250 taken"

    @property
    def told(self) -> list[str]:
        return [mail["Message-ID"].partition(".")[0].removeprefix("<") for _, mail in self.mails]


@dataclass
class MailServer:
    """A running mail server, and the settings that reach it."""

    inbox: Inbox
    settings: Mail
    port: int


Serve = Callable[..., MailServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Controller] = []

    def start(
        *, inbox: Inbox | None = None, port: int = 0, mail: dict[str, Any] | None = None, **options: Any
    ) -> MailServer:
        inbox = inbox or Inbox()
        controller = Controller(inbox, hostname="127.0.0.1", port=port or free_port(), **options)
        controller.start()
        running.append(controller)
        given = {"host": "127.0.0.1", "port": controller.port, "sender": SENDER, "tls": "none"}
        return MailServer(inbox, Mail.model_validate(given | (mail or {})), controller.port)

    yield start
    for controller in running:
        controller.stop(no_assert=True)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that signs itself, and its key in the same folder."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-addext", "keyUsage=critical,digitalSignature,keyCertSign", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem"


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


def knows(user: str, password: str) -> Callable[..., AuthResult]:
    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        right = isinstance(data, LoginPassword) and data == LoginPassword(user.encode(), password.encode())
        return AuthResult(success=right, handled=False, auth_data=user)

    return authenticate


# ---------------------------------------------------------------------- the outbox


class Marked:
    """An outbox in memory: jobs that are due, and what became of the others."""

    def __init__(self, *jobs: Job) -> None:
        self.due = list(jobs)
        self.done: dict[str, str | None] = {}
        self.asked = 0
        self.fails = 0
        self._change = asyncio.Condition()

    async def due_mails(self, limit: int = 50) -> Sequence[MailedJob]:
        self.asked += 1
        async with self._change:
            self._change.notify_all()
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("The store is away.")
        return self.due[:limit]

    async def mail_done(self, job_id: str, error: str | None = None) -> None:
        if all(one.id != job_id for one in self.due):
            raise NoSuchJob("There is no such job.")
        assert job_id not in self.done, "told twice"
        self.due = [one for one in self.due if one.id != job_id]
        self.done[job_id] = error
        async with self._change:
            self._change.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self._change:
            await self._change.wait_for(holds)


@asynccontextmanager
async def working(outbox: Marked, settings: Mail, pauses: Pauses = QUICK) -> AsyncIterator[Postman]:
    postman = Postman(outbox, settings, lambda one: f"{URL}?{one.id}", pauses)
    task = asyncio.create_task(postman.run())
    try:
        yield postman
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait((task,))


def runs(scene: Awaitable[None]) -> None:
    async def main() -> None:
        await scene

    asyncio.run(main(), debug=True)


def test_every_owner_is_told_once(serve: Serve) -> None:
    server = serve()

    async def scene() -> None:
        outbox = Marked(*(fresh(f"job{number}", email=f"user{number}@example.org") for number in range(120)))
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)
        assert outbox.done == {f"job{number}": None for number in range(120)}

    runs(scene())
    assert server.inbox.told == [f"job{number}" for number in range(120)]
    assert server.inbox.connections == 3  # fifty at once
    envelope, mail = server.inbox.mails[7]
    assert (envelope.mail_from, envelope.rcpt_tos) == ("noreply@alerts.example.org", ["user7@example.org"])
    assert f"{URL}?job7" in mail.get_content()


def test_a_postman_who_is_called_comes_at_once(serve: Serve) -> None:
    server = serve()

    async def scene() -> None:
        outbox = Marked()
        async with working(outbox, server.settings, Pauses(rest=3600)) as postman:
            await outbox.until(lambda: outbox.asked == 1)
            outbox.due.append(fresh())
            postman.wake()
            await outbox.until(lambda: not outbox.due)

    runs(scene())
    assert server.inbox.told == ["4711"]


def test_a_postman_comes_by_himself(serve: Serve) -> None:
    server = serve()

    async def scene() -> None:
        outbox = Marked()
        async with working(outbox, server.settings):
            await outbox.until(lambda: outbox.asked == 1)
            outbox.due.append(fresh())
            await outbox.until(lambda: not outbox.due)

    runs(scene())
    assert server.inbox.told == ["4711"]


def test_a_mail_server_that_was_down_gets_them_later(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    inbox = Inbox()
    settings = Mail(host="127.0.0.1", port=port, sender=SENDER, tls="none")

    async def scene() -> None:
        outbox = Marked(fresh("one"), fresh("two"))
        async with working(outbox, settings):
            await outbox.until(lambda: outbox.asked >= 5)
            assert not outbox.done
            await asyncio.to_thread(serve, inbox=inbox, port=port)
            await outbox.until(lambda: not outbox.due)
            outbox.due.append(fresh("three"))
            await outbox.until(lambda: not outbox.due)
        assert outbox.done == {"one": None, "two": None, "three": None}

    runs(scene())
    assert inbox.told == ["one", "two", "three"]
    assert "mail_server" in capsys.readouterr().out


def test_pauses_grow_to_the_longest() -> None:
    pauses = Pauses(first=15, longest=900)
    assert [pauses.after(count) for count in (1, 2, 3, 6, 7, 8, 1000)] == [15, 30, 60, 480, 900, 900, 900]


def test_a_refused_address_is_given_up_and_the_others_are_told(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve()
    server.inbox.recipients["gone@example.org"] = ["550 5.1.1 no such user"]
    server.inbox.contents["full@example.org"] = ["552 mailbox full"]

    async def scene() -> None:
        outbox = Marked(
            fresh("gone", email="gone@example.org"),
            fresh("full", email="full@example.org"),
            fresh("none", email="a@b.c, d@e.f"),
            fresh("anna"),
        )
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)
        assert outbox.done.pop("anna") is None
        assert outbox.done == {
            "gone": "550 5.1.1 no such user", "full": "552 mailbox full", "none": "'a@b.c, d@e.f' is no mail address",
        }  # fmt: skip

    runs(scene())
    assert server.inbox.told == ["anna"]
    assert server.inbox.connections == 1
    log = capsys.readouterr().out
    assert log.count("given_up") == 3


def test_a_mail_that_is_put_off_comes_later_and_holds_up_no_other(serve: Serve) -> None:
    server = serve()
    server.inbox.recipients["grey@example.org"] = ["451 4.7.1 come again"]

    async def scene() -> None:
        outbox = Marked(fresh("grey", email="grey@example.org"), fresh("anna"))
        async with working(outbox, server.settings):
            await outbox.until(lambda: server.inbox.asked >= 4)
            assert outbox.done == {"anna": None}
            del server.inbox.recipients["grey@example.org"]
            await outbox.until(lambda: not outbox.due)
        assert outbox.done == {"anna": None, "grey": None}

    runs(scene())
    assert server.inbox.told == ["anna", "grey"]


def test_more_put_off_mails_than_are_asked_for_hold_up_no_other(serve: Serve) -> None:
    server = serve()
    grey = [fresh(f"grey{number}", email=f"grey{number}@example.org") for number in range(60)]
    for one in grey:
        server.inbox.recipients[one.email] = ["450 later"]

    async def scene() -> None:
        outbox = Marked(*grey, fresh("anna"))
        async with working(outbox, server.settings, Pauses(first=600, rest=0.05)):
            await outbox.until(lambda: "anna" in outbox.done)
        assert len(outbox.due) == 60

    runs(scene())
    assert server.inbox.told == ["anna"]


def test_a_mail_that_breaks_the_connection_holds_up_no_other(serve: Serve) -> None:
    server = serve()
    server.inbox.contents["odd@example.org"] = ["drop", "drop", "take"]

    async def scene() -> None:
        outbox = Marked(fresh("odd", email="odd@example.org"), fresh("anna"), fresh("bob"))
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)
        assert outbox.done == {"odd": None, "anna": None, "bob": None}

    runs(scene())
    assert server.inbox.told == ["anna", "bob", "odd"]


@pytest.mark.parametrize("up", [True, False])
def test_after_a_day_a_mail_is_given_up(serve: Serve, up: bool) -> None:
    inbox = Inbox(recipients={"grey@example.org": ["451 come again"]})
    settings = (
        serve(inbox=inbox).settings
        if up
        else Mail(host="127.0.0.1", port=free_port(), sender=SENDER, tls="none")
    )
    old = fresh("old", email="grey@example.org", ended=datetime.now(UTC) - timedelta(hours=24, seconds=1))
    young = fresh("young", email="grey@example.org", ended=datetime.now(UTC) - timedelta(hours=23))

    async def scene() -> None:
        outbox = Marked(old, young)
        async with working(outbox, settings):
            await outbox.until(lambda: "old" in outbox.done)
            await outbox.until(lambda: outbox.asked > 4)
        assert list(outbox.done) == ["old"]
        assert ("451 come again" if up else "connect") in str(outbox.done["old"])

    runs(scene())


def test_a_store_that_is_away_stops_no_postman(serve: Serve) -> None:
    server = serve()

    async def scene() -> None:
        outbox = Marked(fresh())
        outbox.fails = 3
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)

    runs(scene())
    assert server.inbox.told == ["4711"]


def test_a_job_that_is_deleted_meanwhile(serve: Serve) -> None:
    server = serve()

    async def scene() -> None:
        outbox = Marked(fresh())
        ghost = fresh("ghost")

        async def with_ghost(limit: int = 50) -> Sequence[MailedJob]:
            found = await Marked.due_mails(outbox, limit)
            return [ghost, *found] if found else []

        outbox.due_mails = with_ghost  # type: ignore[method-assign]
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)

    runs(scene())
    assert server.inbox.told == ["ghost", "4711"]


# ---------------------------------------------------------------------- with the store of jobs


async def ended(store: JobStore, seconds_told: float = 0.0) -> str:
    """Let a job of the store end, and return its id."""
    new = NewJob(
        "stamps", owner="anna", email="anna@example.org", tell_after=seconds_told, run=True, run_id="night"
    )
    job_id = (await store.create(new)).id
    assert await store.claim(job_id) is not None
    await store.move(job_id, Event.COMPLETE, results=())
    return job_id


def test_what_the_store_says_is_due_is_told_once_though_the_server_ends_before(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve()

    async def scene() -> tuple[str, str]:
        store = await open_store(f"sqlite://{tmp_path}/jobs.db")
        before = await ended(store)
        await ended(store, 3600.0)  # too short to be told
        await store.close()
        for _ in range(2):  # the second server finds nothing to do
            store = await open_store(f"sqlite://{tmp_path}/jobs.db")
            postman = Postman(store, server.settings, lambda one: f"{URL}?{one.id}")
            await postman.round()
            await store.close()
        store = await open_store(f"sqlite://{tmp_path}/jobs.db")
        postman = Postman(store, server.settings, lambda one: f"{URL}?{one.id}")
        after = await ended(store)
        await postman.round()
        assert await store.due_mails() == []
        await store.close()
        return before, after

    before, after = asyncio.run(scene())
    assert [mail["Subject"] for _, mail in server.inbox.mails] == ["Job night: COMPLETED"] * 2
    assert f"{URL}?{before}" in server.inbox.mails[0][1].get_content()
    assert f"{URL}?{after}" in server.inbox.mails[1][1].get_content()


# ---------------------------------------------------------------------- privacy


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # the test server does not count TLS from the first byte
@pytest.mark.parametrize("way", ["starttls", "tls"])
def test_an_encrypted_way_with_a_password(serve: Serve, certificate: Path, way: str) -> None:
    context = tls_of(certificate)
    server = serve(
        mail={"tls": way, "ca_file": str(certificate), "user": "soda", "password": SecretStr("lake")},
        authenticator=knows("soda", "lake"),
        auth_required=True,
        **({"tls_context": context, "require_starttls": True} if way == "starttls"
           else {"ssl_context": context, "auth_require_tls": False}),
    )  # fmt: skip

    async def scene() -> None:
        outbox = Marked(fresh())
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)

    runs(scene())
    assert server.inbox.told == ["4711"]
    assert server.inbox.users == ["soda"]
    assert way == "tls" or server.inbox.secure == [True]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"ca_file": ""}, "certificate verify failed"),
        ({"password": SecretStr("river")}, "535"),
        ({"tls": "tls"}, "connect"),
    ],
)
def test_what_the_operator_can_mend_is_tried_again(
    serve: Serve, certificate: Path, wrong: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    right = {"tls": "starttls", "ca_file": str(certificate), "user": "soda", "password": SecretStr("lake")}
    server = serve(
        mail=right | wrong,
        tls_context=tls_of(certificate),
        require_starttls=True,
        authenticator=knows("soda", "lake"),
        auth_required=True,
    )
    outbox = Marked(fresh())

    async def scene() -> None:
        async with working(outbox, server.settings):
            await outbox.until(lambda: outbox.asked > 5)
        assert not outbox.done

    runs(scene())
    log = capsys.readouterr().out
    assert "mail_server" in log
    assert says in log
    assert "lake" not in log.replace("sodalake", "")
    assert "river" not in log
    assert not server.inbox.mails


def test_a_mail_server_without_starttls_gets_no_mail(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(mail={"tls": "starttls"})

    async def scene() -> None:
        outbox = Marked(fresh())
        async with working(outbox, server.settings):
            await outbox.until(lambda: outbox.asked > 3)
        assert not outbox.done

    runs(scene())
    assert not server.inbox.mails
    assert "STARTTLS" in capsys.readouterr().out


def test_a_refused_sender_is_the_operator_s_to_mend(serve: Serve) -> None:
    server = serve()
    server.inbox.senders += ["550 who are you", "550 who are you"]

    async def scene() -> None:
        outbox = Marked(fresh())
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)
        assert outbox.done == {"4711": None}

    runs(scene())
    assert server.inbox.told == ["4711"]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = Mail(host="mail.example.org", sender=SENDER, ca_file=str(file))
    with pytest.raises(ConfigurationError, match=r"mail\.ca_file"):
        Postman(Marked(), settings, lambda one: URL)


def test_no_thread_is_left_behind(serve: Serve) -> None:
    before = set(threading.enumerate())
    server = serve()
    controller_threads = set(threading.enumerate()) - before

    async def scene() -> None:
        outbox = Marked(fresh())
        async with working(outbox, server.settings):
            await outbox.until(lambda: not outbox.due)

    runs(scene())
    assert set(threading.enumerate()) - before == controller_threads

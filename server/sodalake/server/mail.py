"""Mails to the owners of jobs that have ended.

The store is the outbox: a job whose owner is to be told is marked in the same transaction that ends it, and the mark
goes when the mail server has taken the mail, or never will. So a server that dies in between tells the owner after
its restart. Dying in the instant between the mail server's "250" and the mark's end is the one way to tell him
twice; both mails have the same Message-ID, by which most mail systems show one.

A mail server that is down, or that says "later" (4xx, as greylisting does), is asked again after pauses that grow,
for a day. A mail it refuses for good (5xx) is given up at once, and logged. What it has against *us* (the
connection, the certificate, the password, our sender's address) is not the mail's fault: an operator can mend it, so
that is tried again for a day as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.policy
import email.utils
import re
import ssl
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Protocol

import aiosmtplib
import structlog

from sodalake.lake.errors import ConfigurationError
from sodalake.server.sections import Mail
from sodalake.server.tokens import is_address
from sodalake.uws.errors import NoSuchJob, UwsError

__all__ = ["MailedJob", "MailedProgress", "Outbox", "Pauses", "Postman", "compose", "telling"]

_log = structlog.get_logger("sodalake.mail")

_AT_ONCE = 50  # mails of one connection
_SMTP_SECONDS = 30.0  # that one command may take
_SUBJECT = 120  # characters of a run's name that a subject has
_POLICY = email.policy.SMTP.clone(cte_type="7bit")  # not every mail server takes 8 bits
_WORD = re.compile(r"[^A-Za-z0-9_-]")  # what an id may have that a Message-ID may not
_MESSAGE = 2_000  # characters of an error that a mail has


class MailedProgress(Protocol):
    """What was done: targets, those of them that failed, bytes made."""

    @property
    def total(self) -> int: ...  # noqa: D102
    @property
    def done(self) -> int: ...  # noqa: D102
    @property
    def failed(self) -> int: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102


class _Summary(Protocol):
    @property
    def message(self) -> str: ...


class MailedJob(Protocol):
    """What a mail tells of a job; times are aware."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def email(self) -> str: ...  # noqa: D102
    @property
    def run_id(self) -> str | None: ...  # noqa: D102
    @property
    def phase(self) -> str: ...  # noqa: D102
    @property
    def started(self) -> datetime | None: ...  # noqa: D102
    @property
    def ended(self) -> datetime | None: ...  # noqa: D102
    @property
    def destruction(self) -> datetime | None: ...  # noqa: D102
    @property
    def progress(self) -> MailedProgress: ...  # noqa: D102
    @property
    def error(self) -> _Summary | None: ...  # noqa: D102


class Outbox(Protocol):
    """The jobs whose owners are to be told.

    Several servers on one store: a job that is due is given to one of them at a time.
    """

    async def due_mails(self, limit: int = 50) -> Sequence[MailedJob]:
        """Return some of them, those that ended first before the others."""

    async def mail_done(self, job_id: str, error: str | None = None) -> None:
        """Note that the owner was told, or why he never will be."""


def telling(email: str, notify: bool | None, after: float) -> tuple[str, float]:
    """Return where a new job's end is told, and after how many seconds of work it is.

    Parameters
    ----------
    email
        The owner's address; may be empty.
    notify
        The job's NOTIFY; None where it says nothing.
    after
        The setting `mail.after`, in seconds.
    """
    if notify is False:
        return "", 0.0
    return email, 0.0 if notify else after


# ---------------------------------------------------------------------- what is written


def compose(job: MailedJob, url: str, sender: str) -> EmailMessage:
    """Write the mail that tells a job's owner of its end.

    Plain text. Nothing that came from a user (the run's name, an error's message) makes a line of its own in the
    header, nor a control character anywhere.

    Parameters
    ----------
    job
        Has ended, and an `email`.
    url
        Of the job.
    sender
        Who writes, such as ``sodalake <noreply@example.org>``.

    Raises
    ------
    ValueError
        The job's `email` is no address.
    """
    if not is_address(job.email):
        raise ValueError(f"{job.email[:80]!r} is no mail address")
    message = EmailMessage(policy=_POLICY)
    run = _plain(job.run_id or "", _SUBJECT)
    phase = str(job.phase)
    message["Subject"] = f"Job {run or _plain(job.id, 64)}: {phase}"
    message["From"] = sender
    message["To"] = job.email
    now = datetime.now(UTC)
    message["Date"] = email.utils.format_datetime(now)
    domain = email.utils.parseaddr(sender)[1].rpartition("@")[2]
    message["Message-ID"] = f"<{_WORD.sub('_', job.id)}.{phase.lower()}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: so that no holiday notice answers
    message.set_content("\n".join(_lines(job, run, url, job.ended or now)) + "\n", charset="utf-8")
    return message


def _lines(job: MailedJob, run: str, url: str, ended: datetime) -> list[str]:
    facts = [
        ("Job", _plain(job.id, 64)),
        ("Run", run),
        ("Kind", _plain(job.kind, 64)),
        ("Ended", _when(ended)),
    ]
    if job.started is not None:
        facts.append(("Took", _duration((ended - job.started).total_seconds())))
    if job.progress.total:
        done = f"{job.progress.done} of {job.progress.total}"
        facts.append(
            ("Targets", f"{done}, {job.progress.failed} of them failed" if job.progress.failed else done)
        )
    if job.progress.bytes:
        facts.append(("Results", _size(job.progress.bytes)))
    if job.destruction is not None:
        facts.append(("Kept until", _when(job.destruction)))
    lines = [_OPENINGS.get(str(job.phase), "Your job has ended."), ""]
    lines += [f"  {name:<11} {value}" for name, value in facts if value]
    if job.error is not None:
        told = _plain(job.error.message, _MESSAGE)
        lines += [
            "",
            "What went wrong:",
            *textwrap.wrap(told, 74, initial_indent="  ", subsequent_indent="  "),
        ]
    lines += ["", "The job, its results and what became of each target:", url]
    return [*lines, "", "A job that is sent with NOTIFY=false sends no mail."]


_OPENINGS = {
    "COMPLETED": "Your job is done.",
    "ERROR": "Your job could not be done.",
    "ABORTED": "Your job was ended before it was done; what it had made by then is kept.",
}


def _plain(text: str, longest: int) -> str:
    """Return `text` as one line without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min {rest:02d} s" if hours else f"{minutes} min {rest:02d} s"


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    amount, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{amount:.{0 if amount >= 100 else 1}f} {units[0]}"


# ---------------------------------------------------------------------- how it is sent


@dataclass(frozen=True, slots=True)
class Pauses:
    """How a postman waits.

    Attributes
    ----------
    first, longest
        Seconds before a mail is tried again; each pause is twice the one before.
    rest
        Seconds after which the store is asked though nobody called: another server's job may have ended.
    give_up
        How long after a job's end its mail is tried.
    """

    first: float = 15.0
    longest: float = 900.0
    rest: float = 60.0
    give_up: timedelta = timedelta(days=1)

    def after(self, failures: int) -> float:
        """Return the pause after so many failures, in seconds."""
        return float(min(self.longest, self.first * 2 ** min(failures - 1, 30)))


class Postman:
    """Sends what the store says is due, one mail after the other.

    Parameters
    ----------
    outbox
        The store.
    settings
        The mail server; it must have a host.
    url_of
        Returns the URL of a job, as its owner reaches it.
    pauses
        See `Pauses`.

    Raises
    ------
    ConfigurationError
        The file with the certificates cannot be read.
    """

    def __init__(
        self,
        outbox: Outbox,
        settings: Mail,
        url_of: Callable[[MailedJob], str],
        pauses: Pauses | None = None,
    ) -> None:
        self._outbox = outbox
        self._settings = settings
        self._url_of = url_of
        self._pauses = pauses or Pauses()
        self._tls = _tls(settings)
        self._news = asyncio.Event()
        self._down = 0  # how often in a row the mail server could not be used
        # Mails that are to be sent later: how often each was put off, and when it is tried again.
        self._later: dict[str, tuple[int, float]] = {}

    def wake(self) -> None:
        """Tell that a job has ended: its owner need not wait for the next look."""
        self._news.set()

    async def run(self) -> None:
        """Send mails until cancelled."""
        task = asyncio.current_task()
        while task is not None:
            self._news.clear()
            try:
                pause = await self.round()
            except UwsError as error:
                _log.warning("outbox", why=str(error))
                pause = self._pauses.rest
            # Python 3.11's wait_for, which the mail client uses, loses a cancellation that comes with its result.
            if task.cancelling():
                raise asyncio.CancelledError
            if self._down:
                await asyncio.sleep(pause)  # news would not bring the mail server back
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()

    async def round(self) -> float:
        """Send what is due now; return the seconds after which there may be more to do.

        Raises
        ------
        UwsError
            The store does not answer.
        """
        now = time.monotonic()
        # As many more as are put off, or these would be all there is to see.
        jobs = await self._outbox.due_mails(_AT_ONCE + len(self._later))
        due = {job.id for job in jobs}
        self._later = {job_id: put_off for job_id, put_off in self._later.items() if job_id in due}
        ready = [job for job in jobs if self._later.get(job.id, (0, now))[1] <= now]
        ready.sort(key=lambda job: self._later.get(job.id, (0, now))[0])  # what failed before goes last
        del ready[_AT_ONCE:]
        if ready:
            try:
                async with self._connection() as connection:
                    for job in ready:
                        await self._send(connection, job)
            except (aiosmtplib.SMTPException, OSError) as error:
                await self._unusable(ready, error)
                return self._pauses.after(self._down)
            self._down = 0
            if len(ready) == _AT_ONCE:
                return 0.0
        now = time.monotonic()
        return min([self._pauses.rest, *(max(0.0, when - now) for _, when in self._later.values())])

    def _connection(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port or None,
            username=settings.user or None,
            password=settings.password.get_secret_value() or None,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            tls_context=self._tls,
            timeout=_SMTP_SECONDS,
        )

    async def _send(self, connection: aiosmtplib.SMTP, job: MailedJob) -> None:
        """Send one mail: it is taken, put off or given up. Raises where the mail server cannot be used."""
        try:
            message = compose(job, self._url_of(job), self._settings.sender)
            await connection.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            await self._refused(job, refusal.code, refusal.message)
        except aiosmtplib.SMTPDataError as error:
            await self._refused(job, error.code, error.message)
        except (ValueError, aiosmtplib.SMTPNotSupported) as error:  # no address, or not one for that server
            await self._give_up(job, str(error))
        except (ConnectionError, TimeoutError) as error:
            # It may be this mail that the server chokes on: the others go before it from now on.
            await self._put_off(job, _why(error))
            raise
        else:
            self._down = 0
            await self._done(job)
            _log.info("sent", job=job.id, phase=str(job.phase))

    async def _done(self, job: MailedJob, error: str | None = None) -> None:
        self._later.pop(job.id, None)
        with contextlib.suppress(NoSuchJob):  # deleted meanwhile
            await self._outbox.mail_done(job.id, error)

    async def _refused(self, job: MailedJob, code: int, text: str) -> None:
        why = f"{code} {_plain(text, 300)}"
        if code >= 500:
            await self._give_up(job, why)
        else:
            await self._put_off(job, why)

    async def _put_off(self, job: MailedJob, why: str) -> None:
        if self._too_late(job):
            await self._give_up(job, why)
            return
        failures = self._later.get(job.id, (0, 0.0))[0] + 1
        pause = self._pauses.after(failures)
        self._later[job.id] = (failures, time.monotonic() + pause)
        _log.info("put_off", job=job.id, why=why, seconds=round(pause, 1))

    async def _give_up(self, job: MailedJob, why: str) -> None:
        await self._done(job, why)
        _log.warning("given_up", job=job.id, why=why)

    async def _unusable(self, ready: Sequence[MailedJob], error: Exception) -> None:
        self._down += 1
        why = _why(error)
        _log.warning("mail_server", why=why, host=self._settings.host, failures=self._down)
        still = {job.id for job in await self._outbox.due_mails(_AT_ONCE + len(self._later))}
        for job in ready:
            if job.id in still and self._too_late(job):
                await self._give_up(job, why)

    def _too_late(self, job: MailedJob) -> bool:
        return job.ended is None or datetime.now(UTC) - job.ended > self._pauses.give_up


def _tls(settings: Mail) -> ssl.SSLContext | None:
    if settings.tls == "none":
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"The certificates of mail.ca_file, {settings.ca_file}, cannot be read: {error.strerror or error}.",
            "It must be a file in PEM.",
        ) from error


def _why(error: Exception) -> str:
    return _plain(str(error) or type(error).__name__, 300)

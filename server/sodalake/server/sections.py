"""The sections of the settings: each key with its unit and its reason, as `sodalake config` prints them."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

__all__ = ["KEY_BYTES", "Deadlines", "Identity", "Images", "Jobs", "Limits", "Log", "Mail", "Tap", "words"]

KEY_BYTES: Final = 32
"""The shortest key of HMAC-SHA256 (RFC 7518, 3.2)."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Deadlines(Section):
    """How long things may take; what passes its deadline is answered 503."""

    request: float = Field(
        20.0,
        gt=0,
        description="Seconds for one question to the archive: above it a client has gone away anyway.",
    )
    chunk: float = Field(
        60.0, gt=0, description="Seconds for one chunk of a streamed answer (limits.chunk alerts at a time)."
    )
    health: float = Field(
        3.0,
        gt=0,
        description="Seconds in which the back ends must answer for /soda/availability to say true.",
    )
    write: float = Field(
        60.0,
        gt=0,
        description="Seconds a client may take to read one chunk of a streamed answer before it is cut off.",
    )
    drain: float = Field(
        30.0, ge=0, description="Seconds that requests under way are given to finish after SIGTERM."
    )
    idle: float = Field(
        300.0,
        gt=0,
        description="Seconds a kept-alive connection may stay idle, and a request may take to arrive.",
    )


class Limits(Section):
    """How much one request may ask for or send."""

    epochs: int = Field(
        100_000,
        ge=1,
        description="Alerts in one streamed answer (all=true); a stream that grows beyond it is cut.",
    )
    chunk: int = Field(
        32,
        ge=1,
        le=1000,
        description="Alerts read at a time for a streamed answer: memory is this times 3 stamps.",
    )
    query: int = Field(32_768, ge=1024, description="Bytes of a request's URL; a longer one is answered 414.")
    headers: int = Field(
        65_536, ge=4096, description="Bytes of the request line and headers together; more is answered 431."
    )
    body: int = Field(
        1_048_576,
        ge=1024,
        description="Bytes of a request's body; a longer one is answered 413. Only files need more.",
    )
    upload: int = Field(
        67_108_864,
        ge=1024,
        description="Bytes of a request that brings files for a job; 64 MiB are some two million targets.",
    )
    uploads: int = Field(
        4,
        ge=1,
        description="Requests longer than limits.body that may arrive at a time; more are answered 503. Each takes"
        " three times its size of memory for a moment.",
    )


def words(value: object) -> object:
    """Let a list be written with commas, as the environment has it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Identity(Section):
    """How visitors prove who they are. Tokens are made by `sodalake token`."""

    key: SecretStr = Field(
        SecretStr(""),
        description="Secret that tokens are signed with, at least 32 bytes; never printed. Empty: the one in"
        " key_file. A new one ends all tokens.",
    )
    key_file: str = Field(
        "",
        description="File with that secret, made when first needed; servers of one service share it. Empty:"
        " sodalake/token.key in the user's configuration folder (~/.config).",
    )
    urgent_groups: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Groups whose members' jobs go before everybody else's, such as a follow-up team."
    )

    _split = field_validator("urgent_groups", mode="before")(words)

    @field_validator("key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value().encode()) < KEY_BYTES:
            raise ValueError(f"at least {KEY_BYTES} bytes, such as `openssl rand -base64 48` makes")
        return value


class Mail(Section):
    """Mails to the owners of jobs that end."""

    host: str = Field("", description="Mail server that takes our mails; empty: none are sent.")
    port: int = Field(
        0, ge=0, le=65_535, description="Its TCP port; 0: the usual one, 25, with starttls 587, with tls 465."
    )
    tls: Literal["none", "starttls", "tls"] = Field(
        "starttls",
        description="How the connection is kept private: starttls begins in the clear and insists, tls from the"
        " first byte, none is for a mail server on this machine.",
    )
    ca_file: str = Field(
        "",
        description="File with the certificates that are trusted, in PEM; empty: the system's. For a mail server"
        " with a certificate of its own.",
    )
    user: str = Field("", description="Account at the mail server; empty: none is needed.")
    password: SecretStr = Field(SecretStr(""), description="Its password; never printed.")
    sender: str = Field(
        "", description="Who the mails are from, such as sodalake <noreply@example.org>; needed with host."
    )
    url: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$",
        description="The service's root as the readers of mails reach it, such as"
        " https://example.org/sodalake; empty: the address it listens on.",
    )
    after: float = Field(
        300.0,
        ge=0,
        description="Seconds: the end of a job that took longer is told to its owner, unless the job says"
        " NOTIFY=false. With NOTIFY=true it is told always.",
    )

    @field_validator("sender")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and (not value.isprintable() or "@" not in parseaddr(value)[1]):
            raise ValueError("an address such as sodalake <noreply@example.org>")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Mail:
        if self.host and not self.sender:
            raise ValueError("mail.sender is needed where mail.host is given")
        if self.password.get_secret_value() and not self.user:
            raise ValueError("mail.password is of no use without mail.user")
        if self.user and self.tls == "none":
            raise ValueError("mail.password would be sent in the clear: mail.tls must be starttls or tls")
        return self


class Jobs(Section):
    """Work that takes its time: jobs at /soda/async, done by worker processes of their own."""

    store: str = Field(
        "",
        description="Where jobs are kept: a SQLite file (one server), or postgresql://user:password@host/name"
        " (several). Empty: jobs.sqlite in a local lake, else a file in the user's state folder.",
    )
    results: str = Field(
        "", description="URL or folder of results; empty: `results` in the lake's lake.toml says."
    )
    copies: int = Field(
        3,
        ge=1,
        le=10,
        description="Copies that HDFS keeps of a result. 1 saves disks, and results are gone with theirs: they can be"
        " made again.",
    )
    homes: str = Field(
        "",
        description="Folder of the users' own folders, where FOLDER=name of a job goes, as"
        " hdfs://nn/user/{user}/sodalake with {user} for the name. Empty: no job may write there.",
    )
    workers: int = Field(
        0, ge=0, description="Worker processes of jobs on this machine; 0: one a core, at least 2, at most 8."
    )
    several: int = Field(
        1, ge=1, description="Units at once that hold several images in memory, in the whole service."
    )
    executing: int = Field(16, ge=1, description="Jobs executing at once in one server.")
    per_owner: int = Field(
        4, ge=1, description="Jobs executing at once of one owner; others wait in the queue."
    )
    active: int = Field(
        1000, ge=1, description="Jobs PENDING, QUEUED or EXECUTING of one owner; more are answered 429."
    )
    total: int = Field(
        20_000, ge=1, description="Jobs PENDING, QUEUED or EXECUTING of all owners; more are answered 503."
    )
    targets: int = Field(
        1_000_000,
        ge=1,
        description="Targets of one job: rows of its list, or combinations of its parameters.",
    )
    listed: int = Field(
        10_000, ge=1, description="Combinations of SODA parameters in one job: each is a result of its own."
    )
    bytes: int = Field(
        200_000_000_000, ge=1, description="Bytes one job may make; one that makes more ends with an error."
    )
    unit: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Targets of a unit: what is done, told to stop, or done again as one.",
    )
    attempts: int = Field(3, ge=1, description="Times a unit is tried before its error is recorded.")
    niceness: int = Field(
        10,
        ge=0,
        le=19,
        description="How far jobs stand back behind real-time requests on the same cores (nice).",
    )
    duration: int = Field(
        86_400, ge=1, description="Seconds a job may execute when it does not say (executionDuration)."
    )
    longest_duration: int = Field(
        604_800,
        ge=1,
        description="Seconds a job may execute at most; a longer executionDuration is cut to it.",
    )
    keep: float = Field(7.0, gt=0, description="Days until a job is destroyed when it does not say.")
    longest_keep: float = Field(90.0, gt=0, description="Days a job may be kept at most.")
    archive: float = Field(30.0, ge=0, description="Days a destroyed job is still listed as ARCHIVED.")
    anonymous_list: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Whether visitors without a token see, in the list, the jobs of all visitors without one: who"
        " knows a job's address can end it. auto: when the service listens on loopback only.",
    )
    wait: float = Field(
        50.0,
        gt=0,
        le=3600,
        description="Seconds after which a WAIT is answered, changed or not: proxies cut at 60.",
    )


class Tap(Section):
    """Queries at /tap, and the cone searches and image lists that are made of them."""

    rows: int = Field(
        100_000,
        ge=1,
        description="Rows of an answer when MAXREC does not say (TAPRegExt's default outputLimit).",
    )
    sync_rows: int = Field(
        3_000_000, ge=1, description="Rows of an answer at most, at /tap/sync; a larger MAXREC is cut to it."
    )
    async_rows: int = Field(100_000_000, ge=1, description="Rows of an answer at most, at /tap/async.")
    sync_seconds: float = Field(60.0, gt=0, description="Seconds a query may take at /tap/sync.")
    async_seconds: int = Field(
        14_400,
        ge=1,
        description="Seconds a job of /tap/async may take when it does not say (executionDuration).",
    )
    queries: int = Field(
        500,
        ge=1,
        description="Queries being answered at once, those that wait included; more are answered 503.",
    )
    sync_bytes: int = Field(
        2_000_000_000,
        ge=1,
        description="Bytes of columns that a query may read of the archive at /tap/sync; one that would read more is"
        " told to go to /tap/async.",
    )
    memory: int = Field(
        2_000_000_000,
        ge=64_000_000,
        description="Bytes of memory a query may take on a worker: beyond, DuckDB spills to disk or the query ends.",
    )
    index_rows: int = Field(
        50_000,
        ge=100,
        description="Rows that a query reads from the row store at most, before it reads the archive instead.",
    )
    upload_rows: int = Field(
        1_000_000, ge=1, description="Rows of an uploaded table; limits.upload is for its bytes."
    )
    upload_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("public",),
        description="Hosts that tables may be fetched from (UPLOAD=name,http://…): names, networks such as 10.0.0.0/8,"
        " or `public` for every address that is not private. Empty: none.",
    )
    upload_seconds: float = Field(30.0, gt=0, description="Seconds to fetch an uploaded table by its URL.")
    query: int = Field(
        1_000_000, ge=1000, description="Characters of a query; limits.query and limits.body go first."
    )

    _split = field_validator("upload_hosts", mode="before")(words)


class Images(Section):
    """Cuts of survey images that are answered at once; what would take more is told so before anything is read."""

    sync_seconds: float = Field(
        10.0,
        gt=0,
        description="Seconds a request is expected to take at most; more is for a job, or smaller.",
    )
    sync_pixels: int = Field(
        128_000_000,
        ge=10_000,
        description="Pixels of one request at most, those given and those in memory at once: four bytes each.",
    )
    sync_bytes: int = Field(
        2_000_000_000, ge=1_000_000, description="Bytes that one request may read of the archive."
    )
    largest_side: int = Field(
        20_000, ge=100, description="Pixels of the longer side of a FITS file; of a picture they are 4096."
    )
    quick_seconds: float = Field(
        0.5,
        gt=0,
        description="Seconds up to which a cut of one image is made by the fast lane; what takes longer, and all"
        " mosaics, are made by the workers of jobs, so that they keep nobody waiting.",
    )
    job_pixels: int = Field(
        128_000_000,
        ge=1_048_576,
        description="Pixels of one target of a job at most, those given and those in memory at once: four bytes each,"
        " and three times that while it is written.",
    )
    at_once: int = Field(
        0,
        ge=0,
        description="Mosaics and large pictures made at once; 0: as many as there are workers of jobs. Others wait.",
    )


class Log(Section):
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is written; info has one line a request."
    )
    format: Literal["console", "json"] = Field(
        "console", description="console for people, json (an object a line) for collectors."
    )

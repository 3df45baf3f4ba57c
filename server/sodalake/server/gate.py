"""The gate: what is refused before any handler runs, with an answer the client can read.

Tornado closes the connection without a word when the headers are too long, and answers anything it cannot
parse with a bare status line. A client that is still sending gets a reset connection instead of the answer,
because the kernel drops what was written to a socket that is closed with unread input. So the gate answers
with a sentence, then goes on reading for a while, throws that away, and closes. It never holds more of a
request than its limits.

Bodies are short, but for files that come with a job: multipart bodies to the paths that take them, and PUT. A body
is in memory three times while it is taken apart, so only some of the large ones are let in at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from tornado import httputil
from tornado.concurrent import Future
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, UnsatisfiableReadError

from sodalake.lake.errors import LakeError, Unavailable
from sodalake.server.errors import (
    AddressTooLong,
    BadRequest,
    BodyTooLarge,
    HeadersTooLarge,
    fault_of,
)
from sodalake.server.faultforms import written
from sodalake.server.sections import Limits

__all__ = ["GateServer"]

_log = structlog.get_logger("sodalake.gate")

_READ_ON_SECONDS = 10.0
_READ_ON_BYTES = 256 * 1024 * 1024
_REASONS = {
    400: "Bad Request",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_BUSY = Unavailable("As many files are arriving as the service takes at a time.", "Try again in a moment.")
# What Tornado writes, in one call, before it closes a connection it cannot parse.
_BARE_REFUSAL = b"HTTP/1.1 400 Bad Request\r\n\r\n"
_ASKED = re.compile(rb"\s*[A-Za-z]+ ([^ ?\r\n]+)")
_ASKED_BYTES = 500  # of a request's beginning: its path, where there is one


def _answer(error: LakeError, path: str) -> bytes:
    fault = fault_of(error)
    kind, body = written(fault, path)
    later = "" if fault.retry_after is None else f"Retry-After: {fault.retry_after}\r\n"
    head = (
        f"HTTP/1.1 {fault.status} {_REASONS[fault.status]}\r\nContent-Type: {kind}\r\n{later}"
        f"Content-Length: {len(body)}\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class _Uploads:
    """Which requests may have a large body, and how many of these there are.

    Parameters
    ----------
    roots
        Paths that take files; below them, ``ID/parameters`` and ``ID/parameters/NAME`` do.
    """

    def __init__(self, roots: Sequence[str], limits: Limits) -> None:
        named = "|".join(re.escape(root) for root in roots)
        self._paths = re.compile(f"(?:{named})(?:/?|/[^/]+/parameters(?:/[^/]+)?)") if roots else None
        self.limits = limits
        self.arriving = 0

    def limit(self, start_line: httputil.RequestStartLine, content_type: str) -> int:
        """Return the bytes that the body of a request may have."""
        path = start_line.path.partition("?")[0]
        # A form is taken apart on the loop, for seconds where it is large; files are only cut out.
        is_file = start_line.method == "PUT" or (
            start_line.method == "POST" and content_type.lower().startswith("multipart/")
        )
        if is_file and self._paths is not None and self._paths.fullmatch(path):
            return max(self.limits.upload, self.limits.body)
        return self.limits.body


class _GateStream(IOStream):
    """A connection that can be refused: `refusal` is written when it closes."""

    refusal: bytes | None = None
    limits: Limits
    body_limit: int
    # Keeps the tasks that write refusals: the loop itself holds them weakly.
    closing: set[asyncio.Task[None]]
    _begun = b""

    def read_until_regex(self, regex: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        """Read the headers of the next request."""
        self._begun = b""
        return super().read_until_regex(regex, max_bytes)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read, and keep how the request begins: where it is refused unread, its path says how to tell."""
        size = super().read_from_fd(buf)
        if size and len(self._begun) < _ASKED_BYTES:
            self._begun += bytes(buf[: min(size, _ASKED_BYTES - len(self._begun))])
        return size

    @property
    def path(self) -> str:
        """The path of the request that is being read; empty where it has none."""
        found = _ASKED.match(self._begun)
        return found[1].decode("latin-1") if found else ""

    def write(self, data: bytes | memoryview) -> Future[None]:
        if data == _BARE_REFUSAL:
            if self.refusal is None:
                self.refusal = _answer(
                    BadRequest(
                        "The request is not HTTP/1.1, or its chunked body is longer than "
                        f"{self.body_limit} bytes.",
                        "Check what the client sends.",
                    ),
                    self.path,
                )
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return super().write(data)

    def close_fd(self) -> None:
        if isinstance(self.error, UnsatisfiableReadError) and self.refusal is None:
            self.refusal = _answer(
                HeadersTooLarge(
                    f"The request line and headers are longer than {self.limits.headers} bytes.",
                    "Send the parameters by POST.",
                ),
                self.path,
            )
        if self.refusal is None:
            super().close_fd()
            return
        connection = self.socket
        self.socket = None  # type: ignore[assignment]
        task = asyncio.get_running_loop().create_task(_refuse(connection, self.refusal))
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)


async def _refuse(connection: socket.socket, answer: bytes) -> None:
    loop = asyncio.get_running_loop()
    with connection, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_READ_ON_SECONDS):
            await loop.sock_sendall(connection, answer)
            connection.shutdown(socket.SHUT_WR)
            waste = bytearray(65_536)
            left = _READ_ON_BYTES
            while left > 0 and (size := await loop.sock_recv_into(connection, waste)):
                left -= size


class _Gate(httputil.HTTPMessageDelegate):
    """Looks at a request's first line and headers before the application does."""

    def __init__(
        self, inner: httputil.HTTPMessageDelegate, connection: HTTP1Connection, uploads: _Uploads
    ) -> None:
        self._inner = inner
        self._connection = connection
        self._uploads = uploads
        self._limits = uploads.limits
        self._arrived = 0
        self._is_large = False
        self._may_have_preamble = False

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        assert isinstance(start_line, httputil.RequestStartLine)
        path = start_line.path
        if len(path) > self._limits.query:
            self._refuse(
                AddressTooLong(
                    f"The URL is {len(path)} bytes long; at most {self._limits.query} are read.",
                    "Send the parameters by POST.",
                ),
                path,
            )
            return None
        content_type = headers.get("Content-Type", "")
        self._may_have_preamble = content_type.lower().startswith("multipart/")
        most = self._uploads.limit(start_line, content_type)
        self._connection.set_max_body_size(most)
        assert isinstance(self._connection.stream, _GateStream)
        self._connection.stream.body_limit = most
        length = headers.get("Content-Length", "")
        # Not a number, or several: Tornado says so.
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
            self._refuse(
                BodyTooLarge(
                    f"The body is {length[:24]} bytes long; at most {most} are read.",
                    "Send less in one request."
                    if most > self._limits.body or self._limits.upload <= most
                    else "Send less in one request; a file for a job goes as multipart/form-data.",
                ),
                path,
            )
            return None
        if length.isascii() and length.isdigit() and int(length) > self._limits.body and not self._let_in():
            self._refuse(_BUSY, path)
            return None
        try:
            return self._inner.headers_received(start_line, headers)
        except httputil.HTTPInputError as error:
            self._let_out()
            self._refuse(BadRequest(f"{str(error)[:200]}.", "Check what the client sends."), path)
            return None

    def _refuse(self, error: LakeError, path: str) -> None:
        _log.info("refused", status=fault_of(error).status, path=path[:200], why=error.message)
        stream = self._connection.detach()
        assert isinstance(stream, _GateStream)
        stream.refusal = _answer(error, path)
        stream.close()

    def _let_in(self) -> bool:
        if self._uploads.arriving >= self._limits.uploads:
            return False
        self._uploads.arriving += 1
        self._is_large = True
        return True

    def _let_out(self) -> None:
        if self._is_large:
            self._is_large = False
            self._uploads.arriving -= 1

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._arrived += len(chunk)
        # A chunked body shows its length only as it comes.
        if self._arrived > self._limits.body and not self._is_large and not self._let_in():
            stream = self._connection.stream
            assert isinstance(stream, _GateStream)
            stream.refusal = _answer(_BUSY, stream.path)
            raise httputil.HTTPInputError("too many large bodies")
        if self._may_have_preamble:
            # STILTS begins with an empty line (RFC 2046, 5.1.1: a preamble), which Tornado takes for a part.
            self._may_have_preamble = False
            chunk = chunk.removeprefix(b"\r\n")
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        try:
            self._inner.finish()
        finally:
            self._let_out()

    def on_connection_close(self) -> None:
        self._let_out()
        self._inner.on_connection_close()


class GateServer(HTTPServer):
    """Tornado's HTTP server behind a gate.

    Parameters
    ----------
    application
        What answers.
    limits
        Sizes that are let through.
    idle
        Seconds a connection may be idle, and a body may take to arrive.
    uploads
        Paths that take files; see `limits.upload`.
    """

    def initialize(  # type: ignore[override]
        self,
        application: httputil.HTTPServerConnectionDelegate | Callable[[httputil.HTTPServerRequest], None],
        *,
        limits: Limits,
        idle: float,
        uploads: Sequence[str] = (),
    ) -> None:
        """Configure the server; Tornado's classes are made this way."""
        self._limits = limits
        self._uploads = _Uploads(uploads, limits)
        self._closing: set[asyncio.Task[None]] = set()
        super().initialize(
            application,
            max_header_size=limits.headers,
            max_body_size=limits.body,
            idle_connection_timeout=idle,
            body_timeout=idle,
        )

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve a new connection, by a stream that can be refused."""
        own = _GateStream(
            stream.socket, max_buffer_size=self.max_buffer_size, read_chunk_size=self.read_chunk_size
        )
        own.limits = self._limits
        own.body_limit = self._limits.body
        own.closing = self._closing
        super().handle_stream(own, address)

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Put the gate before the application."""
        assert isinstance(request_conn, HTTP1Connection)
        return _Gate(super().start_request(server_conn, request_conn), request_conn, self._uploads)

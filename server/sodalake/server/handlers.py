"""What every handler has: a service, a user, CORS, one way to fail, one line in the log.

A handler belongs to a protocol, and the protocol's way to write an error is its `write_fault`. Handlers raise
domain errors and leave the rest to `Handler`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, ClassVar

import structlog
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from sodalake.lake.errors import LakeError, Unavailable
from sodalake.server.errors import (
    AuthenticationError,
    Fault,
    MethodNotAllowed,
    NoSuchPage,
    fault_of,
    fault_of_status,
)
from sodalake.server.faultforms import written
from sodalake.server.identity import ANONYMOUS, User, challenges
from sodalake.server.service import Service
from sodalake.server.urls import base_url
from sodalake.uws.errors import UwsError

__all__ = ["SERVER_NAME", "Handler", "NotFound"]

_log = structlog.get_logger("sodalake.access")
_failures = structlog.get_logger("sodalake.failure")

SERVER_NAME = f"sodalake/{version('sodalake')}"
"""The product token of the Server header (IVOA Note SoftID)."""

# A number of the process, so that the ids of two servers behind one proxy differ.
_PROCESS = os.urandom(4).hex()
_NUMBERS = itertools.count(1)
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_EXPOSED = (
    "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, ETag, Location, "
    "Retry-After, WWW-Authenticate, X-Request-Id, X-Sodalake-Bands, X-Sodalake-Covered, X-Sodalake-Images, "
    "X-Sodalake-Inputs, X-Sodalake-Masked, X-VO-Authenticated"
)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST
_CLIENT_GONE = 499  # the log's status of a request whose client went away; nothing is sent


class Handler(RequestHandler):
    """Base of all handlers."""

    SUPPORTED_METHODS = _METHODS

    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD", "OPTIONS")
    """The methods this resource answers, for Allow."""

    works_while_draining: ClassVar[bool] = False
    """Whether the resource answers while the service waits for its last requests."""

    service: Service
    user: User = ANONYMOUS
    request_id: str = ""
    _task: asyncio.Task[Any] | None = None
    _counted = False
    _client_gone = False

    def initialize(self, service: Service) -> None:
        """Take what the routes give, and give the request its id."""
        self.service = service
        self.request_id = f"{_PROCESS}-{next(_NUMBERS):x}"
        self.set_header("X-Request-Id", self.request_id)

    def set_default_headers(self) -> None:
        """Set the headers that every answer has, errors too."""
        self.set_header("Server", SERVER_NAME)
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Expose-Headers", _EXPOSED)
        if self.request_id:
            self.set_header("X-Request-Id", self.request_id)
        if self.user.name is not None:  # SSO 2.0: in every answer to who is known, in no other
            self.set_header("X-VO-Authenticated", self.user.name)

    def prepare(self) -> None:
        """Decide who asks, and let nobody in while the service shuts down."""
        self._task = asyncio.current_task()
        self.service.count_in()
        self._counted = True
        self.user = self.service.identities.user_of(self.request)
        if self.user.name is not None:
            self.set_header("X-VO-Authenticated", self.user.name)
        if self.service.draining:
            self.set_header("Connection", "close")
            if not self.works_while_draining:
                raise Unavailable("The service is shutting down.", "Try again: another takes over.")

    def base_url(self) -> str:
        """Return the service's root as this client sees it, without a slash at its end."""
        return base_url(self.request, self.service.settings.prefix, self.service.proxies)

    def challenge(self, refused: AuthenticationError | None = None) -> None:
        """Tell the ways to log in, which an answer other than 401 may as well (SSO 2.0)."""
        self.clear_header("WWW-Authenticate")
        for value in challenges(refused if "Authorization" in self.request.headers else None):
            self.add_header("WWW-Authenticate", value)

    # -- methods

    def options(self, *args: str, **kwargs: str) -> None:
        """Answer a CORS preflight: every origin may ask, with the headers it names, and without
        credentials."""
        methods = ", ".join(self.methods)
        self.set_status(204)
        self.set_header("Allow", methods)
        self.set_header("Access-Control-Allow-Methods", methods)
        self.set_header(
            "Access-Control-Allow-Headers",
            "Accept, Authorization, Content-Type, If-None-Match, If-Range, Range",
        )
        self.set_header("Access-Control-Max-Age", "86400")
        self.finish()

    def _no_such_method(self, *args: str, **kwargs: str) -> None:
        self.set_header("Allow", ", ".join(self.methods))
        raise MethodNotAllowed(
            f"{self.request.method} is not answered here.", f"This resource takes {', '.join(self.methods)}."
        )

    # Tornado calls the attribute that has the method's name; a handler replaces those it answers.
    head: Callable[..., Any] = _no_such_method
    get: Callable[..., Any] = _no_such_method
    post: Callable[..., Any] = _no_such_method
    delete: Callable[..., Any] = _no_such_method
    patch: Callable[..., Any] = _no_such_method
    put: Callable[..., Any] = _no_such_method

    def compute_etag(self) -> str | None:
        """Return the tag of the bytes that were written; none for what is not to be kept anyway."""
        return None if self._headers.get("Cache-Control") == "no-store" else super().compute_etag()

    # -- errors

    def write_fault(self, fault: Fault) -> tuple[str, bytes]:
        """Return an error's Content-Type and body, the way of this protocol."""
        return written(fault, self.request.path)

    def fault_of(self, error: BaseException | None, status: int) -> Fault:
        """Return how `error`, which a handler raised, is told."""
        if isinstance(error, LakeError | UwsError):
            return fault_of(error)
        if isinstance(error, HTTPError) and error.status_code < 500:
            return fault_of_status(
                error.status_code, error.log_message or error.reason or "The request is wrong."
            )
        return fault_of_status(
            500, "The service failed in a way it should not.", f"Report the request {self.request_id}."
        )

    def log_exception(self, typ: type[BaseException] | None, value: BaseException | None, tb: Any) -> None:
        """Log what is a bug of ours with its traceback; the rest is told by the access log."""
        if not isinstance(value, LakeError | UwsError) and not (
            isinstance(value, HTTPError) and value.status_code < 500
        ):
            _failures.error(
                "unexpected", request=self.request_id, path=self.request.path, exc_info=(typ, value, tb)
            )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write an error the way of the protocol."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        fault = self.fault_of(error, status_code)
        self.set_status(fault.status)
        kind, body = self.write_fault(fault)
        self.set_header("Content-Type", kind)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        if fault.retry_after is not None:
            self.set_header("Retry-After", str(fault.retry_after))
        if fault.status == 401:
            self.challenge(error if isinstance(error, AuthenticationError) else None)
        if fault.status == 405:
            self.set_header("Allow", ", ".join(self.methods))
        if self.service.draining:
            self.set_header("Connection", "close")
        self.finish(body)

    def cut(self) -> None:
        """Cut the connection in the middle of an answer, so that what was sent cannot look whole.

        A reset, not a close: to a client of HTTP/1.0, which reads to the end of the connection, an orderly
        close would be the end of the answer.
        """
        stream = self.request.connection.stream  # type: ignore[union-attr]
        if not stream.closed():
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            stream.close()

    @contextlib.contextmanager
    def whole_or_cut(self, **about: str) -> Iterator[None]:
        """Cut the connection where what is sent inside cannot be sent to its end; `about` goes to the log."""
        try:
            yield
        except StreamClosedError:
            return  # the client has gone; on_connection_close told the log
        except (LakeError, OSError, TimeoutError) as error:
            why = str(error) or "the client does not read"
            _failures.warning(
                "stream cut", id=self.request_id, path=self.request.path[:200], why=why, **about
            )
            self.cut()
        except BaseException:
            self.cut()
            raise

    # -- the end of a request

    def on_connection_close(self) -> None:
        """Stop the work that nobody waits for any more."""
        self._client_gone = True
        if self._task is not None:
            self._task.cancel()
        if not self._finished:
            self._count_out()
            self._line(_CLIENT_GONE)

    def on_finish(self) -> None:
        """Count the request out."""
        self._count_out()

    def _count_out(self) -> None:
        if self._counted:
            self._counted = False
            self.service.count_out()

    def log_finished(self) -> None:
        """Write the line of a request that was answered; Tornado calls it through the application's log
        function."""
        if not self._client_gone:
            self._line(self.get_status())

    def _line(self, status: int, seconds: float | None = None) -> None:
        request = self.request
        _log.info(
            "request",
            status=status,
            method=request.method,
            path=(request.uri or "")[:300],
            ms=round(1000 * (request.request_time() if seconds is None else seconds), 2),
            user=str(self.user),
            id=self.request_id,
            **self.noted(),
        )

    def noted(self) -> dict[str, str]:
        """Return what else the line in the log tells of this request."""
        return {}


class NotFound(Handler):
    """Answers every path that has no resource."""

    def prepare(self) -> None:
        """Refuse, whatever the method."""
        super().prepare()
        raise NoSuchPage(f"There is nothing at {self.request.path[:200]}.", f"Begin at {self.base_url()}/.")

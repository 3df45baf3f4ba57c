"""HBase's Thrift2 gateway: connections that may break, and calls that are tried again.

A connection is used by one thread at a time (a shared one crashes the interpreter), so idle ones wait in a
pool and a call takes one out. A connection that broke stays broken and is thrown away, with all the idle
ones: they led to the same server. The call is then tried again on a new one, at once the first time, later
with growing pauses, until `patience` seconds have passed: a gateway that is restarted (5 to 30 s) is not
noticed by the caller.
"""

from __future__ import annotations

import os
import random
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import thriftpy2
from thriftpy2.protocol import TCyBinaryProtocol
from thriftpy2.protocol.cybin.cybin import ProtocolError
from thriftpy2.thrift import TApplicationException, TClient, TException
from thriftpy2.transport import TCyBufferedTransport

from ..errors import DeadlineExceeded, LakeError, NotInLake, Unavailable, UsageError

__all__ = ["ThriftServer", "check_time", "interface", "within"]

interface: Any = thriftpy2.load(
    str(Path(__file__).with_name("thrift2.thrift")), module_name="sodalake_rows_thrift"
)
"""The structures of the wire, made from ``thrift2.thrift``."""

_Protocol: Any = TCyBinaryProtocol  # untyped

# What a connection that breaks, or a server that is no gateway, looks like: thriftpy2 raises MemoryError for a
# length that it cannot believe.
_BROKEN = (TException, ProtocolError, OSError, MemoryError)

_until: ContextVar[float | None] = ContextVar("until", default=None)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds
_DOUBT = 5.0  # seconds for which an error that HBase calls final is doubted: a gateway going down says so too
_BUFFER = 1 << 16  # bytes; a row of 3 KB is then one system call


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound the calls made inside: none waits longer than `seconds` from now, whatever the store's
    patience.

    Raises
    ------
    DeadlineExceeded
        By the calls inside, when the time has passed.
    """
    outer = _until.get()
    until = time.monotonic() + seconds
    token = _until.set(until if outer is None else min(until, outer))
    try:
        yield
    finally:
        _until.reset(token)


def check_time() -> None:
    """Let work that calls no store end in time as well.

    Raises
    ------
    DeadlineExceeded
        The time that `within` gave has passed.
    """
    until = _until.get()
    if until is not None and time.monotonic() > until:
        raise DeadlineExceeded(
            "The time given for the request has passed.", "Ask for less, or give it more time."
        )


class _Connection:
    """One TCP connection and the client that speaks on it; the transport that thriftpy2 reads and writes.

    Closing gives up this process' end only (thriftpy2's own socket shuts the connection down, and so would
    end the parent's when a forked child drops its copy).
    """

    def __init__(self, open_socket: socket.socket) -> None:
        self._socket = open_socket
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        transport = TCyBufferedTransport(_Wire(self._socket), _BUFFER)
        self.call: Any = TClient(interface.THBaseService, _Protocol(transport))._req

    @classmethod
    def to(cls, host: str, port: int, timeout: float) -> _Connection:
        """Connect within `timeout` seconds; OSError where that fails."""
        return cls(socket.create_connection((host, port), timeout))

    def usable(self) -> bool:
        """Say whether the idle connection still stands: something to read on it is its end."""
        return not self._poll.poll(0)

    def limit(self, timeout: float) -> None:
        """Let no single read or write take longer than `timeout` seconds."""
        self._socket.settimeout(timeout)

    def close(self) -> None:
        self._socket.close()

    def __del__(self) -> None:
        self._socket.close()


class _Wire:
    """A socket as thriftpy2's buffered transport wants it."""

    def __init__(self, open_socket: socket.socket) -> None:
        self._receive = open_socket.recv
        self.write = open_socket.sendall

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        received = self._receive(size)
        if not received:
            raise ConnectionResetError("the connection was closed")
        return received

    def flush(self) -> None:
        """Do nothing: what is written is sent."""


class ThriftServer:
    """A gateway, seen through a pool of connections. Safe to use from any thread, and after a fork.

    Parameters
    ----------
    host, port
        Where it listens.
    patience
        Seconds for which a call is tried again before it fails.
    timeout
        Seconds after which one try is given up as hanging.
    """

    def __init__(self, host: str, port: int, *, patience: float = 60.0, timeout: float = 30.0) -> None:
        self.host, self.port = host, port
        self._patience, self._timeout = patience, timeout
        self._idle: list[_Connection] = []
        self._process = os.getpid()
        self._closed = False
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def call(self, method: str, *arguments: Any) -> Any:
        """Call `method` of the gateway; whatever breaks in between is tried again.

        Raises
        ------
        NotInLake
            The table does not exist.
        UsageError
            The table has no such column group, or the gateway is closed.
        DeadlineExceeded
            The time given by `within` has passed.
        Unavailable
            No answer within the store's patience.
        """
        return self.call_counting(method, *arguments)[0]

    def call_counting(self, method: str, *arguments: Any) -> tuple[Any, int]:
        """Do as `call`, and return the number of tries too: an earlier one may have been carried out."""
        began = time.monotonic()
        outer = _until.get()
        until = began + self._patience if outer is None else min(outer, began + self._patience)
        pause, tries = 0.0, 0
        while True:
            tries += 1
            connection: _Connection | None = None
            try:
                connection = self._borrow()
                connection.limit(min(self._timeout, max(0.01, until - time.monotonic())))
                answer = connection.call(method, *arguments)
            except interface.TIOError as error:  # an answer: the connection is sound
                assert connection is not None
                self._give_back(connection)
                refusal = _refusal(error, arguments[0])
                if refusal is not None:
                    raise refusal from error
                problem: Exception = error
                final = error.canRetry is False and time.monotonic() - began > _DOUBT
            except _BROKEN as error:
                if connection is not None:
                    connection.close()
                self._drop_idle()
                problem = error
                final = isinstance(error, socket.gaierror) or (
                    isinstance(error, TApplicationException)
                    and error.type == TApplicationException.UNKNOWN_METHOD
                )
            except BaseException:
                if connection is not None:  # half a message may be on it
                    connection.close()
                raise
            else:
                self._give_back(connection)
                return answer, tries
            left = until - time.monotonic()
            if final or left <= 0:
                raise self._failure(problem, outer is not None and not final and until == outer) from problem
            # The last pause is cut short: patience is what was promised, not what the pauses happen to add up to.
            time.sleep(min(pause, left))
            pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * pause)) * random.uniform(0.8, 1.2)  # noqa: S311

    def answers(self) -> bool:
        """Say, by one try, whether tables can be listed: gateway, master and catalogue work then."""
        try:
            connection = _Connection.to(self.host, self.port, self._timeout)
        except OSError:
            return False
        try:
            connection.call("getTableNamesByPattern", ".*", False)
        except _BROKEN:
            return False
        finally:
            connection.close()
        return True

    def close(self) -> None:
        """Close the idle connections now, and those in use when their calls end."""
        self._closed = True
        self._drop_idle()

    def _borrow(self) -> _Connection:
        if self._process != os.getpid():
            # The parent goes on using these sockets: this process must neither speak on them nor shut them
            # down.
            with self._lock:
                if self._process != os.getpid():
                    self._idle, self._process = [], os.getpid()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.usable():
                return connection
            connection.close()
        if self._closed:
            raise UsageError(f"The row store at {self} was closed.")
        return _Connection.to(self.host, self.port, self._timeout)

    def _give_back(self, connection: _Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _drop_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _failure(self, problem: Exception, deadline: bool) -> Unavailable:
        told = getattr(problem, "message", None) or str(problem) or type(problem).__name__
        text = f"HBase's Thrift2 server at {self} does not answer: {str(told).splitlines()[0]}."
        if deadline:
            return DeadlineExceeded(text, "The request's deadline passed; ask again.")
        return Unavailable(text, "Check that it and HBase's region servers run, then ask again.")


def _refusal(error: Any, subject: Any) -> LakeError | None:
    """Return the lake's error for an answer that no second try will change, or None.

    The gateway passes on the text of HBase's exceptions, not always with their class: of a table that does not
    exist it may say its name alone.
    """
    told = str(error.message or "")
    first = told.splitlines()[0] if told else ""
    name = getattr(subject, "qualifier", subject)
    table = name.decode() if isinstance(name, bytes) else ""
    absent = told == table or re.match(rf"Failed \d+ actions?: {re.escape(table)}: ", told)
    if "TableNotFoundException" in told or (table and absent):
        return NotInLake(f"HBase has no such table: {first}.")
    if "NoSuchColumnFamilyException" in told:
        return UsageError(f"HBase's table has no such column group: {first}")
    if any(name in told for name in ("TableExistsException", "TableNotEnabledException")):
        return Unavailable(f"HBase refused: {first}.", "Somebody else makes or drops the table; try again.")
    return None

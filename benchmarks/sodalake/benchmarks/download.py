"""One large answer over HTTP, with the moments of its first and last byte; read by a thread that does nothing else."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from .answer import Answer

__all__ = ["Download", "download"]

_PIECE = 1 << 20
_TIMEOUT = 120.0  # seconds without a byte


@dataclass(frozen=True, slots=True)
class Download:
    """An answer, whole.

    Attributes
    ----------
    content
        Its body.
    first, last
        Seconds from the request to the body's first bytes, and to its last.
    """

    content: bytes
    first: float
    last: float


def download(address: tuple[str, int], path: str) -> Download:
    """Ask for `path` on a connection that is open already.

    Raises
    ------
    RuntimeError
        The answer is not a whole 200.
    """
    with socket.create_connection(address, timeout=_TIMEOUT) as connection:
        answer = Answer(keep=True)
        first = 0.0
        began = time.perf_counter()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode("ascii"))
        while not answer.whole:
            piece = connection.recv(_PIECE)
            if not piece:
                answer.end()
                break
            answer.feed(piece)
            if answer.body and not first:
                first = time.perf_counter() - began
        last = time.perf_counter() - began
    if answer.status != 200 or not answer.whole:
        said = bytes(answer.content[:500]).decode(errors="replace")
        raise RuntimeError(
            f"{path} was answered {answer.status}{'' if answer.whole else ', cut off'}: {said}"
        )
    return Download(bytes(answer.content), first, last)

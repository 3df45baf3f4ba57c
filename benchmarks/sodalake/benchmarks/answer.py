"""The parser of the load generator: where one HTTP/1.1 answer ends, and little else."""

from __future__ import annotations

__all__ = ["Answer"]

_HEAD_END = b"\r\n\r\n"
_MOST_HEAD = 1 << 16


class Answer:
    """Finds the end of one HTTP/1.1 answer (RFC 9112, section 6): by length, chunks, or the connection's
    end.

    Parameters
    ----------
    keep
        Whether the body is kept in `content`.

    Attributes
    ----------
    status
        The status code, 0 before the head is there.
    headers
        The head's fields, names in lower case.
    body
        Bytes of the body so far.
    content
        The body so far, where it is kept.
    closes
        Whether the server closes the connection behind it.
    whole
        Whether its end was seen.
    """

    __slots__ = (
        "_chunked", "_keep", "_left", "_pending", "body", "closes", "content", "headers", "status", "whole",
    )  # fmt: skip

    def __init__(self, keep: bool = False) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = 0
        self.content = bytearray()
        self._keep = keep
        self.closes = False
        self.whole = False
        self._pending = b""
        self._chunked = False
        self._left = -1  # of the body, or of the chunk; -1 until known

    def feed(self, data: bytes) -> bool:
        """Take bytes; say whether the answer is whole.

        Raises
        ------
        ValueError
            This is no HTTP.
        """
        if not self.status:
            data = self._pending + data
            end = data.find(_HEAD_END)
            if end < 0:
                if len(data) > _MOST_HEAD or not b"HTTP/1.".startswith(data[:7]):
                    raise ValueError("no HTTP head")
                self._pending = data
                return False
            self._pending = b""
            self._head(data[:end])
            data = data[end + len(_HEAD_END) :]
        if self._chunked:
            return self._chunks(data)
        self.body += len(data)
        if self._keep:
            self.content += data
        if self._left >= 0 and self.body >= self._left:
            if self.body > self._left:
                raise ValueError("more bytes than announced")
            self.whole = True
        return self.whole

    def end(self) -> bool:
        """The connection ended: say whether the answer is whole by that."""
        self.whole = self.whole or (self.status > 0 and not self._chunked and self._left < 0)
        return self.whole

    def _head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/1."):
            raise ValueError("no HTTP head")
        self.status = int(rest[:3])
        fields = self.headers
        for line in lines:
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip()
        self.closes = fields.get(b"connection", b"").lower() == b"close"
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            self._chunked = True
        elif self.status in (204, 304):
            self._left = 0
        elif b"content-length" in fields:
            self._left = int(fields[b"content-length"])

    def _chunks(self, data: bytes) -> bool:
        data = self._pending + data
        self._pending = b""
        at = 0
        while True:
            if self._left > 0:  # of this chunk and the line end behind it
                taken = min(self._left, len(data) - at)
                if self._keep:  # all but the line end
                    self.content += data[at : at + min(taken, max(0, self._left - 2))]
                self._left -= taken
                at += taken
                if self._left:
                    return False
            end = data.find(b"\r\n", at)
            if end < 0:
                self._pending = data[at:]
                return False
            size = int(data[at:end].split(b";")[0], 16)
            line, at = at, end + 2
            if size == 0:
                # Trailers are not used here: the last chunk is followed by an empty line.
                if len(data) < at + 2:
                    self._pending = data[line:]
                    return False
                self.whole = True
                return True
            self.body += size
            self._left = size + 2

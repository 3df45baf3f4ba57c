"""Snappy streams written by hand: what an encoder may do, and none of those installed does."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sodalake.lake.snappy import FRAGMENT, varint


def literal(content: bytes, extra: int | None = None) -> bytes:
    """A literal; `extra` bytes for its length (0: in the tag) instead of as few as possible."""
    rest = len(content) - 1
    if extra is None:
        extra = 0 if rest < 60 else (rest.bit_length() + 7) // 8
    if not extra:
        return bytes([rest << 2]) + content
    return bytes([(59 + extra) << 2]) + rest.to_bytes(extra, "little") + content


def copy(length: int, offset: int, form: int = 2) -> bytes:
    """A copy of `length` bytes from `offset` bytes back, as one of the three forms."""
    if form == 1:
        return bytes([(offset >> 8) << 5 | (length - 4) << 2 | 1, offset & 0xFF])
    return bytes([(length - 1) << 2 | form]) + offset.to_bytes(2 if form == 2 else 4, "little")


def stream(plain: int, tags: Sequence[bytes]) -> bytes:
    """A stream of `tags` that make `plain` bytes."""
    return varint(plain) + b"".join(tags)


def random_fragments(seed: int, fragments: int, last: int, longest: int) -> tuple[bytes, bytes, list[int]]:
    """A stream of independent fragments, what it makes, and where its fragments (and its end) are.

    `last` bytes are in the last one; no literal is longer than `longest`.
    """
    dice = random.Random(seed)
    out = bytearray()
    packed = bytearray(varint(fragments * FRAGMENT + last))
    starts = [len(packed)]
    for size in [FRAGMENT] * fragments + [last] * (last > 0):
        begin = len(out)
        while (left := begin + size - len(out)) > 0:
            made = len(out) - begin
            form = dice.choice((0, 0, 1, 2, 3))
            if form == 0 or not made or left < 4:
                content = dice.randbytes(min(left, dice.choice((1, 2, 60, 61, 256, 257, longest))))
                fewest = len(literal(content)) - len(content) - 1
                # The Rust decoder takes no length of more bytes than needed in the last 4 bytes of a stream.
                wide = left > len(content) + 8
                packed += literal(
                    content, dice.choice((fewest, fewest, max(fewest, 1), 4)) if wide else fewest
                )
                out += content
                continue
            length = min(left, dice.randint(4, 11 if form == 1 else 64))
            offset = dice.randint(1, min(made, 2047 if form == 1 else 65535))
            packed += copy(length, offset, form)
            for _ in range(length):
                out.append(out[-offset])
        starts.append(len(packed))
    return bytes(packed), bytes(out), starts

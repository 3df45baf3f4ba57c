"""Freed memory kept for the next request, where Dask would have it given back to the system.

Dask's nanny starts workers with ``MALLOC_TRIM_THRESHOLD_=65536``, so that freed data frames do not count as used.
In glibc that has two effects on a worker that answers requests: what is freed at the end of the heap is returned at
once, and, since setting one threshold ends the adaptation of the other, every buffer of 128 KiB or more is mapped
anew. Each request then pays for fresh pages: the JSON of an object's 42 stamps (2.9 MB) took 44 ms on a worker
instead of 34, one stamp 7 % more processor time. A reader's buffers are small and the same size again and again, so
keeping them costs a few MB. A server that writes answers of some MB gains likewise: glibc's own limits, which follow
the largest buffer freed, give back the three or four copies on an answer's way each time.
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# Names and numbers of malloc.h; mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_TRIM = 256 << 20
_MMAP = 32 << 20  # the largest that glibc takes on 64-bit machines


def keep_freed_memory() -> bool:
    """Tell this process's allocator to keep what is freed; say whether it is one that listens (glibc)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _TRIM)) and bool(mallopt(_M_MMAP_THRESHOLD, _MMAP))

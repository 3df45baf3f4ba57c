"""What can go wrong between stored bytes and a picture, as a tree that grows on the lake's.

::

    LakeError
    ├── UsageError
    │   ├── BadRegion       a CIRCLE, POLYGON or POS that is none
    │   ├── BadPicture      a stretch, percentile, colour map or zoom that cannot be
    │   ├── NoCoordinates   a region was asked of a stamp that has no sky coordinates
    │   └── BadTargets      a list of targets that cannot be read
    ├── NoOverlap           the region has no pixel of the stamp (SODA 1.0, section 5: an empty answer)
    └── Damaged             the stamp's bytes cannot be read (defined in `sodalake.lake.errors`)

    Cancelled               a unit of work saw that nobody waits for it any more: no error, and no LakeError

All of them travel from a worker to the server, and know no HTTP.
"""

from __future__ import annotations

from sodalake.lake.errors import Damaged, LakeError, NotInLake, UsageError

__all__ = [
    "BadPicture", "BadRegion", "BadTargets", "Cancelled", "Damaged", "NoCoordinates", "NoOverlap", "NotInLake",
]  # fmt: skip


class NoOverlap(LakeError):
    """The region lies beside the stamp: there is not one pixel to give."""


class NoCoordinates(UsageError):
    """A region on the sky was asked of an image that carries no sky coordinates."""


class BadRegion(UsageError):
    """A region parameter that cannot be read, or whose shape encloses nothing."""


class BadPicture(UsageError):
    """A parameter of a picture that has no meaning."""


class BadTargets(UsageError):
    """A list of targets that cannot be read as a whole; a single row that is wrong does not raise it."""


class Cancelled(Exception):
    """The work was called off while it ran."""

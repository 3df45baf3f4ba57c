"""Colour maps by their matplotlib names, as tables of 256 colours.

Of matplotlib only the tables are used, and only when a name other than grayscale is asked for: its import
takes 0.4 s, and no figure is ever made.
"""

from __future__ import annotations

import difflib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.errors import BadPicture

__all__ = ["GRAYSCALE", "colour_table"]

GRAYSCALE = ("grayscale", "greyscale", "gray", "grey")


@lru_cache(maxsize=256)
def colour_table(name: str) -> NDArray[np.uint8]:
    """The colours of a map, dark to bright.

    Parameters
    ----------
    name
        A name in matplotlib's registry, upper and lower case alike, or ``grayscale``.

    Returns
    -------
    array (256, 3) of uint8, not to be written to

    Raises
    ------
    BadPicture
        No such map; the sentence names those that look like it.
    """
    if name in GRAYSCALE:
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    else:
        table = _from_matplotlib(name)
    table.flags.writeable = False
    return table


def _from_matplotlib(name: str) -> NDArray[np.uint8]:
    with IMPORTS:
        from matplotlib import colormaps

    known = {known.casefold(): known for known in reversed(list(colormaps))}
    exact = name if name in colormaps else known.get(name.casefold())
    if exact is None:
        near = difflib.get_close_matches(name.casefold(), known, n=5, cutoff=0.5)
        alike = (
            ", ".join(known[one] for one in near) if near else "grayscale, viridis, inferno, magma, cividis"
        )
        raise BadPicture(
            f"There is no colour map {name[:40]!r}.", f"Names are matplotlib's; perhaps one of: {alike}."
        )
    colours: NDArray[np.uint8] = colormaps[exact](np.linspace(0, 1, 256), bytes=True)
    return np.ascontiguousarray(colours[:, :3])

"""A sheet of colour pictures to be looked at by eye: do stars have their colours, do edges of tiles not show?"""

from __future__ import annotations

import io
import math
from pathlib import Path

from sodalake.lake.cluster.jars import cache_folder

from .imagestage import FORMS, ImageStage
from .report import Figure

__all__ = ["sheet"]

_PANEL = 250  # pixels: four beside one another, and what is between them, are as wide as the large field
_GAP = 8
_WIDE = 1024


def sheet(stage: ImageStage) -> list[Figure]:
    """Fetch colour pictures over HTTP, put them together, and save them; the figure is the share that shows something.

    Panels: where four tiles meet, alternately from plain and from compressed tiles and with different modes, with a
    mark and a bar; below them the large field.
    """
    from PIL import Image, ImageDraw

    recipe = stage.recipe("plain")
    panels = []
    modes = ("lupton", "asinh", "sqrt")
    for number in range(stage.scale.sheet):
        corners = stage.corners()
        place = corners[(7 * number) % len(corners)]
        form, mode = FORMS[number % 2], modes[number // 2 % len(modes)]
        path = stage.colour(
            form, *place, f"{_PANEL}px", colour=mode, scalebar="true", marker=str(number % 4 == 0).lower()
        )
        panel = Image.open(io.BytesIO(stage.fetch(path))).convert("RGBA")
        ImageDraw.Draw(panel).text((8, 6), f"{mode}, {form}", fill=(255, 255, 255, 255))
        panels.append(panel)
    middle = recipe.at((recipe.columns - 1) / 2, (recipe.rows - 1) / 2)
    path = stage.colour("rice", *middle, f"{stage.scale.field}deg", pixels=str(_WIDE))
    wide = Image.open(io.BytesIO(stage.fetch(path))).convert("RGBA")
    across = max(1, (_WIDE + _GAP) // (_PANEL + _GAP))
    down = math.ceil(len(panels) / across)
    size = (_WIDE, down * (_PANEL + _GAP) + _WIDE)
    made = Image.new("RGB", size, (40, 40, 48))
    for number, panel in enumerate(panels):
        at = (number % across * (_PANEL + _GAP), number // across * (_PANEL + _GAP))
        made.paste(panel, at, panel)
    made.paste(wide, (0, down * (_PANEL + _GAP)), wide)
    path_of = (stage.cache or cache_folder() / "bench") / f"images-{stage.site.name}.png"
    path_of.parent.mkdir(parents=True, exist_ok=True)
    made.save(path_of)
    shown = sum(_shows_something(panel) for panel in [*panels, wide])
    if shown <= len(panels):
        raise RuntimeError(
            f"{len(panels) + 1 - shown} of {len(panels) + 1} pictures show nothing: look at {path_of}."
        )
    return [
        Figure(
            "sheet", stage.site.name, "colour pictures on a sheet", shown, "pictures", note=str(Path(path_of))
        )
    ]


def _shows_something(panel: object) -> bool:
    """Say whether a picture has dark sky, bright things, and more than one colour."""
    import numpy as np

    values = np.asarray(panel, np.int16)[..., :3]
    brightness = values.max(axis=2)
    colourful = np.abs(values[..., 0] - values[..., 2]).max()
    return bool(brightness.min() < 100 and brightness.max() > 150 and colourful > 30)

"""Links of survey images: the image and what stands beside it as FITS, a picture of it, and cutouts.

All of it is made by ``/soda/sync`` from the file in the archive: an image of a file that has sixty is given alone, and
the pixels of one that is compressed as they are. So its size in bytes is not known before it is asked for.

Each image has a descriptor of cutouts of its own, which says what there is to choose from: the shapes that cover it,
its wavelengths and its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from sodalake.lake.errors import NotInLake
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.lake import Lake
from sodalake.server.tap.engine import TapEngine
from sodalake.server.urls import Did, publisher_did
from sodalake.server.vo.cutouts import Domain, soda_descriptor, soda_inputs
from sodalake.server.vo.linkrows import FITS, PNG, Row, Target, found
from sodalake.server.vo.links import Links
from sodalake.sodacut.images.requests import FORMS
from sodalake.tap.metadata import Table

__all__ = ["ImageLinks"]

_LONGEST: Final = 500  # characters of an id: keys of the row store hold no more
_PREVIEW: Final = 512  # pixels of the longer side
_COLUMNS: Final = (
    "image_id", "band", "ra", "dec", "fov", "s_region", "t_min", "t_max", "width", "height", "planes",
)  # fmt: skip


class ImageLinks(Links):
    """The images among the IDs of one request, and their links."""

    content = "images"

    def __init__(self, lake: Lake, tap: TapEngine, base: str, authority: str) -> None:
        super().__init__(lake, tap, base, authority)
        self._found: dict[tuple[str, str], Mapping[str, str]] = {}

    def target(self, sent: str, did: Did) -> Target:
        """Return what an identifier of an image means."""
        survey = self._lake.image_survey(did.survey)
        if did.kind is not None:
            raise NotInLake(
                f"{survey.name} has images, and no {did.kind} stamps.",
                "Leave out what is behind the image's id.",
            )
        if len(did.alert_id) > _LONGEST:
            raise NotInLake(
                f"There is no image with an id of {len(did.alert_id)} characters in {survey.name}."
            )
        return Target(sent, survey.name, did.alert_id)

    async def _look_up(self, table: Table, ids: Sequence[str]) -> None:
        """Look up some images."""
        for row in await found(self._tap, table, _COLUMNS, "image_id", ids):
            self._found[table.survey, row["image_id"]] = row

    def rows(self, target: Target, number: int, descriptors: dict[str, str]) -> Sequence[Row]:
        """Return the rows of an image; none where there is no such image."""
        image = self._found.get((target.survey, target.id))
        if image is None:
            return ()
        survey = self._lake.image_survey(target.survey)
        did = publisher_did(self._authority, Did(survey.name, target.id))
        service = f"cutout-{number}"
        inputs = soda_inputs(value=did, domain=_domain(survey, image))
        descriptors[service] = soda_descriptor(self._base, inputs, service)

        def made(**more: str) -> str:
            return f"{self._base}/soda/sync?{urlencode({'ID': did, **more})}"

        pixels = str(min(_PREVIEW, max(int(image["width"]), int(image["height"]))))
        return [
            target.link(made(), "The image, as FITS.", "#this", FITS, "#image", "image"),
            target.link(
                made(RESPONSEFORMAT="png", PIXELS=pixels), "The image, as a picture.", "#preview", PNG, "#image",
                "picture",
            ),
            target.link(
                "", "A part of the image, by place.", "#cutout", FITS, "#image", "cutout", service
            ),
            *(
                target.link(
                    made(PLANES=plane), f"The image with its {plane}, as FITS.", "#auxiliary", FITS, "#image", plane
                )
                for plane in image["planes"].split()
            ),
        ]  # fmt: skip

    def missing(self, target: Target) -> str:
        """Return what is told of an image that is not there."""
        return f"There is no image {target.id} in {target.survey}."


def _domain(survey: ImageSurvey, image: Mapping[str, str]) -> Domain:
    """Return what there is of one image to choose from."""
    outline = image["s_region"].split()[2:]  # behind "Polygon ICRS"
    limits = {
        "CIRCLE": ("", f"{image['ra']} {image['dec']} {float(image['fov']) / 2!r}"),
        "POLYGON": ("", " ".join(outline)),
    }
    wavelengths = survey.bands.get(image["band"])
    if wavelengths is not None:
        limits["BAND"] = (repr(wavelengths[0]), repr(wavelengths[1]))
    if image["t_min"] and image["t_max"]:
        limits["TIME"] = (image["t_min"], image["t_max"])
    planes = tuple(image["planes"].split())
    without = ("KIND", "POL") if planes else ("KIND", "POL", "PLANES")  # an image has no polarization states
    return Domain(limits, {"PLANES": planes, "RESPONSEFORMAT": FORMS}, without)

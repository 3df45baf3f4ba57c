"""What a job asks for: of alerts or of images, in which shape, and what is refused before any work."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from small_tiles import SURVEY

from sodalake.lake.errors import LakeError
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.survey import load_survey
from sodalake.server.sections import Images, Jobs
from sodalake.server.sodaorders import Asked, Holdings, asked, sketch
from sodalake.sodacut.images.jobs.steps import ImageSteps
from sodalake.sodacut.images.jobs.work import ImageWork
from sodalake.sodacut.images.requests import AtPosition, ByImage
from sodalake.sodacut.jobs.steps import StampSteps
from sodalake.sodacut.jobs.work import StampWork
from sodalake.uws.jobs import Job, Parameter
from sodalake.uws.phases import Phase

SMALL = ImageSurvey.model_validate(tomllib.loads(SURVEY))
BOTH = Holdings({"ztf": load_survey("ztf")}, {"small": SMALL}, "here")
IMAGE, STAMP = "ivo://here/small?se_g", "ivo://here/ztf?1/science"


def made(given: Sequence[tuple[str, str]], text: str | None = None, holdings: Holdings = BOTH) -> Asked:
    targets = None if text is None else (text.encode(), "text/csv", "list.csv")
    return asked([Parameter(name, value) for name, value in given], targets, holdings, Jobs(), Images())


def orders(one: Asked) -> Sequence[object]:
    assert isinstance(one.work, ImageWork)
    assert isinstance(one.steps, ImageSteps)
    return one.work.orders


def test_identifiers_say_what_a_job_is_of() -> None:
    images = made([("ID", IMAGE), ("ID", "ivo://here/nothing?1")])
    assert images.container == "each"
    assert images.work.targets["status"].to_pylist() == [None, "NOT_FOUND"]  # type: ignore[attr-defined]
    (order,) = orders(images)
    assert order == ByImage("small", "", output=order.output)  # type: ignore[attr-defined]
    assert isinstance(made([("ID", STAMP)]).steps, StampSteps)
    assert images.shape == "each/image-fits/4096px"
    assert images.steps.name == "cutouts"


@pytest.mark.parametrize(
    ("text", "given", "is_images"),
    [
        (f"did\n{IMAGE}\n", [], True),
        (f"did\n{STAMP}\n", [], False),
        ("ra,dec\n1,2\n", [("SURVEY", "small"), ("SIZE", "9px")], True),
        ("ra,dec\n1,2\n", [("SURVEY", "ztf")], False),
        ("survey,ra,dec,size\nsmall,1,2,9px\n", [], True),
        ("candid,ra,dec\n1,1,2\n", [], False),
    ],
)
def test_lists_say_what_a_job_is_of(text: str, given: list[tuple[str, str]], is_images: bool) -> None:
    assert isinstance(made(given, text).steps, ImageSteps) == is_images


def test_a_lake_of_images_alone_needs_no_survey() -> None:
    alone = Holdings({}, {"small": SMALL}, "here")
    assert isinstance(made([("SIZE", "9px")], "ra,dec\n1,2\n", alone).steps, ImageSteps)


@pytest.mark.parametrize(
    ("text", "given", "says"),
    [
        (f"did\n{IMAGE}\n{STAMP}\n", [], "of alerts (ztf) and of images (small)"),
        (None, [("ID", IMAGE), ("ID", STAMP)], "of alerts (ztf) and of images (small)"),
        ("ra,dec\n1,2\n", [], "of images: small"),
        ("ra,dec\n1,2\n", [("SURVEY", "moon")], "no survey 'moon'"),
        ("ra,dec\n1,2\n", [("SURVEY", "small")], "SIZE"),
        ("ra,dec\n1,2\n", [("SURVEY", "small"), ("SIZE", "11")], "10 at most"),
        ("ra,dec\n1,2\n", [("SURVEY", "small"), ("SIZE", "9px"), ("RESPONSEFORMAT", "arrow")], "files"),
        ("ra,dec\n1,2\n", [("SURVEY", "small"), ("SIZE", "9px"), ("FORMAT", "png"), ("BANDS", "gr")], "two"),
        ("ra,dec\n1,2\n", [("SURVEY", "small"), ("SIZE", "9px"), ("FOLDER", "x")], "FOLDER"),
    ],
)
def test_what_cannot_be_is_said(text: str | None, given: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(LakeError) as refused:
        made(given, text)
    assert says in str(refused.value)


def test_a_rows_own_stands_in_for_the_common() -> None:
    text = f"did,ra,dec,size,format,circle\n,1,2,,,\n,1,2,30arcsec,jpeg,\n{IMAGE},,,,png,1 2 0.1\n{IMAGE},1,2,0.1,,\n"
    given = [("SURVEY", "small"), ("SIZE", "9px"), ("BANDS", "g"), ("RESPONSEFORMAT", "png")]
    one = made(given, text)
    first, second, third, fourth = orders(one)
    assert isinstance(first, AtPosition)
    assert isinstance(second, AtPosition)
    assert isinstance(third, ByImage)
    assert isinstance(fourth, ByImage)
    assert (first.size.width, first.size.unit, first.output.form) == (9, "px", "png")
    assert (second.size.width * 3600, second.output.form) == (pytest.approx(30), "jpeg")
    assert third.region is not None
    assert third.output.form == "png"
    assert fourth.region is not None
    assert fourth.region.cap()[1] == pytest.approx(0.05)
    assert one.shape == "zip/image-png+single-jpeg+single-png/2048px"


def test_filters_of_stamps_are_combinations_and_columns_of_their_names_are_the_users() -> None:
    given = [
        ("ID", STAMP),
        ("BAND", "4e-7 5e-7"),
        ("BAND", "6e-7"),
        ("TIME", "59000"),
        ("POL", "I"),
        ("POL", "Q"),
    ]
    one = made(given)
    assert len(one.work) == 2
    assert isinstance(one.work, StampWork)
    assert [order.filters.band for order in one.work.orders if order.filters] == [(4e-7, 5e-7), (6e-7, 6e-7)]
    assert {order.filters.pol for order in one.work.orders if order.filters} == {("I", "Q")}
    listed = made([("SURVEY", "ztf"), ("TIME", "1 2")], "candid,band,time\n1,g,yesterday\n").work
    assert isinstance(listed, StampWork)
    assert not listed.targets["status"].drop_null()
    (order,) = listed.orders
    assert order.filters is not None
    assert (order.filters.band, order.filters.time) == (None, (1.0, 2.0))
    wrong = made([("ID", STAMP), ("BAND", "green")]).work
    assert isinstance(wrong, StampWork)
    assert "interval" in wrong.targets["message"].to_pylist()[0]


def test_the_band_of_a_place_is_named_by_bands() -> None:
    one = made([("SURVEY", "small"), ("SIZE", "9px")], "ra,dec,band\n1,2,g\n1,2,\n").work
    assert isinstance(one, ImageWork)
    first, second = one.targets["message"].to_pylist()
    assert "BANDS" in first
    assert second is None


def test_what_was_never_done_is_guessed_by_its_pixels() -> None:
    rows = "ra,dec\n" + "1,2\n" * 10
    small = made([("SURVEY", "small"), ("SIZE", "100px"), ("BANDS", "g")], rows).guess()
    assert small[0] == 10 * (100 * 100 * 4 + 8640)
    three = made([("SURVEY", "small"), ("SIZE", "100px"), ("BANDS", "gr")], rows).guess()
    assert three[0] == 2 * (small[0] or 0)
    exact = [
        ("SURVEY", "small"),
        ("SIZE", "100px"),
        ("BANDS", "g"),
        ("ALGORITHM", "coadd"),
        ("METHOD", "exact"),
    ]
    assert (made(exact, rows).guess()[1] or 0) > 5 * (small[1] or 1)
    picture = [("SURVEY", "small"), ("SIZE", "1"), ("BANDS", "g"), ("FORMAT", "png"), ("PIXELS", "512")]
    assert (made(picture, rows).guess()[0] or 0) < 10 * 512 * 512 * 2
    assert (made([("ID", IMAGE)]).guess()[0] or 0) == pytest.approx(4096 * 4096 * 4, rel=0.01)
    assert made([("ID", STAMP)]).guess() == (None, None)


def test_a_sketch_knows_images_by_their_identifiers() -> None:
    def job(*given: tuple[str, str]) -> Job:
        parameters = tuple(Parameter(name.lower(), value) for name, value in given)
        return Job("j", "soda", None, Phase.PENDING, datetime(2026, 1, 1, tzinfo=UTC), parameters)

    told = sketch(
        job(("ID", IMAGE), ("ID", IMAGE), ("CIRCLE", "1 2 3"), ("MOC", "1/1"), ("TIME", "1"), ("TIME", "2")),
        BOTH,
    )
    assert (told.shape, told.targets) == ("each/image", 8)
    assert sketch(job(("ID", STAMP)), BOTH).shape == "each/FitsStamp"

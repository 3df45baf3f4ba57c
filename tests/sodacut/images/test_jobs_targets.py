"""Lists of targets on images: what their columns mean, and the work that they make."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sodalake.lake.errors import NotInLake, UsageError
from sodalake.sodacut.errors import BadTargets, NoOverlap
from sodalake.sodacut.images.jobs.reading import ImageTargets, image_targets
from sodalake.sodacut.images.jobs.work import ImageWork
from sodalake.sodacut.images.requests import AtPosition, ByImage, ImageRequest, Output, Size
from sodalake.sodacut.jobs.lines import ERROR, NOT_FOUND
from sodalake.sodacut.jobs.lists import read_list
from sodalake.sodacut.regions import parse_circle

PARAMETERS = ("CIRCLE", "POS", "SIZE", "BANDS", "ALGORITHM")


@dataclass(frozen=True)
class Did:
    survey: str
    image_id: str


def parse_did(text: str) -> Did:
    rest = text.removeprefix("ivo://here/")
    survey, found, image = rest.partition("?")
    if rest == text or not found:
        raise UsageError(f"{text!r} is not a publisher DID.", "The form is ivo://here/SURVEY?IMAGEID.")
    return Did(survey, image)


def parse_size(text: str) -> float:
    if not text.endswith("deg"):
        raise UsageError(f"SIZE={text!r} is no size.", "Write degrees.")
    return float(text.removesuffix("deg"))


def read(text: str, **more: Any) -> ImageTargets:
    return image_targets(
        read_list(text.encode()),
        ("sky", "deep"),
        parameters=PARAMETERS,
        parse_did=parse_did,
        parse_size=parse_size,
        **more,
    )


def order(survey: str, by_image: bool, own: Mapping[str, str]) -> ImageRequest:
    if own.get("ALGORITHM") == "guess":
        raise UsageError("There is no algorithm 'guess'.", "Take single or coadd.")
    if by_image:
        return ByImage(survey, "", parse_circle(own["CIRCLE"]) if "CIRCLE" in own else None)
    algorithm: Any = own.get("ALGORITHM", "single")
    return AtPosition(survey, 0, 0, Size(64, 64, "px"), algorithm=algorithm)


# ---------------------------------------------------------------------- columns


def test_places_and_images_in_one_list() -> None:
    targets = read(
        "\n".join(
            [
                "id,obs_publisher_did,survey,ra,dec,size,bands,mine",
                "here,,sky,-10,20.5,0.1deg,gr,x",
                "named,ivo://here/deep?tile 3,,,,,,",
                "both,ivo://here/deep?tile4,,1.5,2.5,0.2deg,,",
                ",,deep,360,-90,,,",
            ]
        )
    )
    assert not targets.problems
    assert targets.ids == ["here", "named", "both", "4"]
    assert targets.surveys == ["sky", "deep", "deep", "deep"]
    assert targets.images == [None, "tile 3", "tile4", None]
    assert targets.ra[[0, 3]].tolist() == [350.0, 0.0]
    assert np.isnan(targets.ra[1])
    assert targets.parameters["SIZE"] == ["0.1deg", None, None, None]
    assert targets.parameters["CIRCLE"] == [None, None, "1.5 2.5 0.1", None]
    assert targets.parameters["BANDS"] == ["gr", None, None, None]
    assert "MINE" not in targets.parameters


def test_identifiers_may_stand_in_the_column_of_ids() -> None:
    targets = read("id\nivo://here/sky?a\nivo://here/sky?b\n")
    assert targets.images == ["a", "b"]
    assert targets.ids == ["1", "2"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("x,ivo://here/ztf?1,,,,,", "no survey of images 'ztf'"),
        ("x,nonsense,,,,,", "not a publisher DID"),
        ("x,,lsst,1,2,,", "no survey 'lsst'"),
        ("x,,sky,1,,,", "not both"),
        ("x,,sky,,,,", "no image and no position"),
        ("x,,sky,1,91,,", "dec '91'"),
        ("x,,sky,nan,2,,", "ra 'nan'"),
        ("x,ivo://here/sky?a,,,,0.1deg,", "no ra and dec"),
        ("x,ivo://here/sky?a,,1,2,tiny,", "SIZE='tiny'"),
        ("x,ivo://here/sky?a,,1,2,0.1deg,1 2 3", "a size and a region"),
        ("x,ivo://here/sky?a", "2 cells"),
    ],
)
def test_a_row_that_is_wrong_spoils_no_other(row: str, says: str) -> None:
    targets = read(f"id,did,survey,ra,dec,size,circle\n{row}\ngood,ivo://here/sky?a,,,,,\n")
    assert set(targets.problems) == {0}
    message = str(targets.problems[0])
    assert says in message
    assert "line 2" in message
    assert (targets.surveys, targets.images) == ([None, "sky"], [None, "a"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,size\na,1\n", "name, size"),
        ("ra,size\n1,1\n", "no column dec"),
        ("ra,dec\n1,1\n", "which survey"),
    ],
)
def test_a_list_that_says_nothing(text: str, says: str) -> None:
    with pytest.raises(BadTargets, match=says):
        read(text)


def test_the_survey_of_rows_that_do_not_say() -> None:
    assert read("ra,dec\n1,1\n", survey="deep").surveys == ["deep"]
    with pytest.raises(NotInLake, match="of images 'ztf'"):
        read("ra,dec\n1,1\n", survey="ztf")


# ---------------------------------------------------------------------- work


def test_rows_that_want_the_same_share_an_order() -> None:
    targets = read(
        "did,ra,dec,algorithm,circle\n,1,2,coadd,\n,3,4,coadd,\nivo://here/sky?a,,,coadd,\n,5,6,guess,\n,7,8,,\n",
        survey="sky",
    )
    work = ImageWork.of_list(targets, order)
    assert len(work) == 5
    assert work.targets["order"].to_pylist() == [0, 0, 1, -1, 2]
    assert [type(one) for one in work.orders] == [AtPosition, ByImage, AtPosition]
    assert work.targets["status"].to_pylist() == [None, None, None, ERROR, None]
    assert "guess" in work.targets["message"].to_pylist()[3]


def test_questions_are_of_one_survey_and_one_way_to_ask() -> None:
    rows = [
        f"{'ivo://here/deep?t' + str(n) if n % 3 == 0 else ''},{'sky' if n % 2 else 'deep'},1,{n}"
        for n in range(12)
    ]
    work = ImageWork.of_list(read("did,survey,ra,dec\n" + "\n".join(rows)), order)
    questions = pickle.loads(pickle.dumps(work)).chunks(3)
    asked = [(one.survey, one.near, one.targets["row"].to_pylist()) for one in questions]
    assert sorted(row for _, _, rows in asked for row in rows) == list(range(1, 13))
    assert all(len(rows) <= 3 for _, _, rows in asked)
    for question in questions:
        assert question.targets["image"].null_count in (0, len(question.targets))
        assert question.near == (question.targets["image"].null_count > 0)
        assert max(question.targets["order"].to_pylist()) == len(question.orders) - 1


def test_combinations_keep_their_order_and_their_errors() -> None:
    work = ImageWork.of_combinations(
        [
            ("a", ByImage("sky", "a", parse_circle("1 2 0.1"))),
            ("b", NotInLake("There is no such thing.")),
            ("c", NoOverlap("Beside it.")),
            ("d", ByImage("deep", "d")),
        ]
    )
    assert work.texts
    assert work.targets["id"].to_pylist() == ["a", "b", "c", "d"]
    assert work.targets["image"].to_pylist() == ["a", None, None, "d"]
    assert work.targets["status"].to_pylist() == [None, NOT_FOUND, "NO_OVERLAP", None]
    assert work.targets["order"].to_pylist() == [0, -1, -1, 1]
    assert {one.image_id for one in work.orders if isinstance(one, ByImage)} == {""}


def test_shapes_tell_what_takes_its_time() -> None:
    def shape(request: ImageRequest) -> str:
        return ImageWork.of_list(read("ra,dec\n1,2\n", survey="sky"), lambda *_: request).shape

    small = AtPosition("sky", 0, 0, Size(100, 100, "px"))
    assert shape(small) == "single-fits/128px"
    assert (
        shape(AtPosition("sky", 0, 0, Size(1, 1), algorithm="coadd", output=Output("png")))
        == "coadd-png/16384px"
    )
    assert shape(ByImage("sky", "")) == "image-fits/4096px"
    assert shape(ByImage("sky", "", parse_circle("1 2 0.0035"))) == "image-fits/128px"

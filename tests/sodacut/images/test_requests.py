"""Requests as values, and what their parameters are read as."""

from __future__ import annotations

import contextlib
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.images.imagesurvey import ImageSurvey, load_image_survey
from sodalake.server.dali import Parameters
from sodalake.server.errors import BadParameter
from sodalake.server.imagecutouts import position_request
from sodalake.server.imageparameters import bands, interval, size
from sodalake.server.imagesoda import image_request
from sodalake.sodacut.images.costs import Cost, Rates, TooExpensive, check, degrees_text
from sodalake.sodacut.images.requests import AtPosition, Limits, Size, meets


@pytest.fixture(scope="module")
def decam() -> ImageSurvey:
    return load_image_survey("decam")


@pytest.mark.parametrize(
    ("wanted", "low", "high", "expected"),
    [
        (None, 1.0, 2.0, True),
        ((1.0, 1.0), 1.0, 2.0, True),
        ((2.0, 3.0), 1.0, 2.0, True),
        ((2.1, 3.0), 1.0, 2.0, False),
        ((-math.inf, 0.9), 1.0, 2.0, False),
        ((-math.inf, math.inf), 1.0, 2.0, True),
        ((5.0, 6.0), None, None, True),  # what is not known may be it
    ],
)
def test_intervals_meet(
    wanted: tuple[float, float] | None, low: float | None, high: float | None, expected: bool
) -> None:
    assert meets(wanted, low, high) is expected


def test_sizes_in_pixels_and_degrees() -> None:
    assert Size(0.01, 0.02).pixels(0.4) == (90, 180)
    assert Size(0.0100001, 0.02).pixels(0.4) == (91, 180)
    assert Size(1e-9, 1e-9).pixels(0.4) == (1, 1)
    assert Size(10, 20, "px").degrees(3.6) == (0.01, 0.02)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5arcmin", Size(5 / 60, 5 / 60)),
        ("5 arcmin", Size(5 / 60, 5 / 60)),
        ("30'' 60''", Size(30 / 3600, 60 / 3600)),
        ("0.1", Size(0.1, 0.1)),
        ("1e-2", Size(0.01, 0.01)),
        ("100px,50px", Size(100, 50, "px")),
        ("100px x 50px", Size(100, 50, "px")),
    ],
)
def test_sizes_as_people_write_them(text: str, expected: Size) -> None:
    found = size(Parameters([("size", text)]))
    assert (found.width, found.height) == pytest.approx((expected.width, expected.height))
    assert found.unit == expected.unit


@given(st.text(max_size=20))
def test_no_size_breaks_anything(text: str) -> None:
    found = None
    with contextlib.suppress(BadParameter):  # any other error is one
        found = size(Parameters([("size", text)]))
    assert found is None or 0 < found.width < 1e6 + 1
    assert found is None or math.isfinite(found.height)


@given(st.text(max_size=20))
def test_no_interval_breaks_anything(text: str) -> None:
    found = None
    with contextlib.suppress(BadParameter):
        found = interval(Parameters([("BAND", text)]), "BAND", "metres")
    assert found is None or found[0] <= found[1]


def test_bands_as_people_write_them(decam: ImageSurvey) -> None:
    def read(text: str) -> tuple[str, ...]:
        return bands(Parameters([("bands", text)]), decam)

    assert read("grz") == read("g,r,z") == read("g r z") == read("G, R, Z") == ("g", "r", "z")
    assert read("VR") == read("vr") == ("VR",)  # a band of its own, and not V and R
    assert read("Y") == ("Y",)
    assert read("gg") == ("g",)
    with pytest.raises(BadParameter):
        read("g,q")


def test_a_request_travels(decam: ImageSurvey) -> None:
    request = position_request(
        Parameters([("ra", "-10"), ("dec", "5"), ("size", "1arcmin"), ("bands", "grz"), ("format", "png")]),
        decam,
    )
    assert request.ra == 350
    assert request.bands == ("z", "r", "g")
    assert request.output.colours is not None
    assert pickle.loads(pickle.dumps(request)) == request
    named, content_type = image_request(Parameters([("MOC", "5/1"), ("BAND", "5e-7")]), decam, "x")
    assert pickle.loads(pickle.dumps(named)) == named
    assert content_type == "application/fits"
    assert named.band == (5e-7, 5e-7)
    assert not named.is_several


def test_what_is_too_much_is_told_in_words() -> None:
    cost = Cost(
        "cut", images=1, reads=1, bytes=10_000_000, held=2_000_000, pixels=1_000_000, side=1000, work=2.0
    )
    assert check(cost, Limits(), Rates()) == []
    assert len(check(cost, Limits(1, 1e6, 1e6, 100), Rates())) == 4
    assert check(cost, Limits(seconds=1), Rates({"cut": 0.4})) == []
    error = TooExpensive("Too much.", "Take less.", {"cost": {"pixels": 1}})
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.advice, again.details) == (error.message, error.advice, error.details)


def test_rates_follow_what_requests_take() -> None:
    cost = Cost("mosaic", images=4, reads=4, bytes=1, held=1, pixels=1, side=1, work=0.5)
    rates = Rates()
    for _ in range(100):
        rates = rates.learnt(cost, 1.5)
    assert cost.seconds(rates) == pytest.approx(1.5, rel=0.01)
    assert rates.learnt(cost, 1e6).factors["mosaic"] < 5 * rates.factors["mosaic"], "one slow request is one"
    assert rates.faded(600).factors["mosaic"] == pytest.approx(3**0.5, rel=0.01)
    assert rates.faded(1e6).factors["mosaic"] == pytest.approx(1)
    quick = Cost("cut", images=1, reads=1, bytes=1, held=1, pixels=1, side=1, work=0.001)
    assert Rates().learnt(quick, 0.01) == Rates()


@pytest.mark.parametrize(
    ("degrees", "text"), [(1.239, "1.23deg"), (0.5, "30arcmin"), (0.001, "3.6arcsec"), (12.0, "12deg")]
)
def test_angles_are_written_as_sizes_are_read(degrees: float, text: str) -> None:
    assert degrees_text(degrees) == text
    read = size(Parameters([("size", text)]))
    assert read.width == pytest.approx(degrees, rel=0.01)
    assert read.width <= degrees * (1 + 1e-12)


def test_positions_that_are_several(decam: ImageSurvey) -> None:
    request = position_request(
        Parameters([("ra", "1"), ("dec", "2"), ("width", "2px"), ("algorithm", "COADD"), ("match", "1")]),
        decam,
    )
    assert isinstance(request, AtPosition)
    assert request.is_several
    assert request.match
    assert request.size == Size(2, 2, "px")

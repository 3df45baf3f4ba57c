"""Regions: strict reading, helpful refusals, and shapes that know what they hold."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sodalake.sodacut.errors import BadRegion
from sodalake.sodacut.regions import parse_circle, parse_polygon, parse_pos
from sodalake.sodacut.shapes import Circle, Polygon, Range, Region, directions

LON = st.floats(-720, 720)
LAT = st.floats(-90, 90)


def test_the_three_shapes() -> None:
    assert parse_circle("53.2 -27.8 0.001") == Circle(53.2, -27.8, 0.001)
    assert parse_pos("CIRCLE 53.2 -27.8 0.001") == Circle(53.2, -27.8, 0.001)
    assert parse_pos("RANGE 53.1 53.2 -27.8 -27.7") == Range(53.1, 53.2, -27.8, -27.7)
    assert parse_polygon("1 2 3 4 5 5.5") == Polygon(((1, 2), (3, 4), (5, 5.5)))
    assert parse_pos("POLYGON 1 2 3 4 5 5.5") == parse_polygon("1 2 3 4 5 5.5")


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("  CIRCLE   1  2\t3 ", Circle(1, 2, 3)),
        ("circle 361 2 3", Circle(1, 2, 3)),
        ("CIRCLE -1 -90 180", Circle(359, -90, 180)),
        ("CIRCLE -1e-30 +.5 1.e0", Circle(0, 0.5, 1)),
        ("RANGE 350 10 -1 1", Range(350, 370, -1, 1)),
        ("RANGE 350 370 -1 1", Range(350, 370, -1, 1)),
        ("RANGE -10 10 -1 1", Range(350, 370, -1, 1)),
        ("RANGE 0 360 -1 1", Range(0, 360, -1, 1)),
        ("RANGE -180 180 -1 1", Range(180, 540, -1, 1)),
        ("RANGE -500 500 -1 1", Range(220, 580, -1, 1)),
        ("RANGE -Inf +Inf -Inf +Inf", Range(0, 360, -90, 90)),
        ("RANGE -inf 10 12 Inf", Range(0, 10, 12, 90)),
        ("RANGE 350 +Inf -Inf 0", Range(350, 360, -90, 0)),
        ("RANGE -Inf 360 1 2", Range(0, 360, 1, 2)),
    ],
)
def test_what_is_accepted(text: str, region: Region) -> None:
    assert parse_pos(text) == region


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "POS is empty"),
        ("BOX 1 2 3 4", "POS begins with 'BOX'"),
        ("1 2 3", "POS begins with '1'"),
        ("CIRCLE", "POS=CIRCLE is empty"),
        ("CIRCLE 1 2", "has 2 numbers, it takes 3"),
        ("CIRCLE 1 2 3 4", "has 4 numbers, it takes 3"),
        ("CIRCLE 1 2 x", "has 'x' where a finite number belongs"),
        ("CIRCLE 1 2 NaN", "has 'NaN'"),
        ("CIRCLE 1 2 Inf", "has 'Inf'"),
        ("CIRCLE 1 2 1e999", "has '1e999'"),
        ("CIRCLE 1,2,3", "has '1,2,3'"),
        ("CIRCLE 1_0 2 3", "has '1_0'"),
        ("CIRCLE ١ 2 3", "where a finite number belongs"),
        ("CIRCLE 0x1 2 3", "has '0x1'"),
        ("CIRCLE 1 2 0", r"radius of POS=CIRCLE is 0; it lies in \(0, 180\]"),
        ("CIRCLE 1 2 -1", "radius"),
        ("CIRCLE 1 2 180.1", "radius"),
        ("CIRCLE 1 90.0001 1", "latitude 90.0001, beyond a pole"),
        ("RANGE 1 2 3", "has 3 numbers, it takes 4"),
        ("RANGE 1 1 2 3", "encloses nothing: its longitudes go from 1 to 1"),
        ("RANGE 1 2 3 3", "encloses nothing: its latitudes go from 3 to 3"),
        ("RANGE 1 2 4 3", "encloses nothing: its latitudes go from 4 to 3"),
        ("RANGE 1 2 -91 3", "latitude -91"),
        ("RANGE +Inf 2 1 3", r"begins at \+Inf"),
        ("RANGE 1 2 -3 -Inf", "ends at -Inf"),
        ("RANGE NaN 2 1 3", "has 'NaN'"),
        ("RANGE 1 2 90 Inf", "encloses nothing"),
        ("POLYGON 1 2 3 4", "has 2 vertices, it takes at least 3"),
        ("POLYGON 1 2 3 4 5", "has 5 numbers: one longitude or latitude is missing"),
        ("POLYGON 1 2 3 4 1 2", "fewer than 3 of its vertices differ"),
        ("POLYGON 1 2 3 4 5 6 1 92", "latitude 92"),
        ("POLYGON 1 0 2 0 3 0", "vertices lie on one line"),
        ("POLYGON 1 0 2 0 361 0", "fewer than 3"),
        ("POLYGON 0 0 120 0 240 0", "half of the sky or more"),
        ("POLYGON 0 -10 120 -10 240 -10", "half of the sky or more|one line"),
        ("POLYGON " + "1 2 " * 20000, "more than 10000 vertices"),
    ],
)
def test_what_is_refused_and_why(text: str, sentence: str) -> None:
    if text == "POLYGON 0 -10 120 -10 240 -10":  # around a pole, but less than half of the sky
        assert isinstance(parse_pos(text), Polygon)
        return
    with pytest.raises(BadRegion, match=sentence) as refusal:
        parse_pos(text)
    assert len(str(refusal.value)) < 300
    assert refusal.value.advice


def test_the_parameter_is_named() -> None:
    with pytest.raises(BadRegion, match=r"^CIRCLE has 1 numbers.*Write 'lon lat radius'"):
        parse_circle("5")
    with pytest.raises(BadRegion, match=r"^POLYGON has 3 numbers"):
        parse_polygon("5 6 7")


@given(st.text(max_size=60))
def test_any_text_is_a_region_or_refused(text: str) -> None:
    for parse in (parse_circle, parse_polygon, parse_pos):
        try:
            region = parse(text)
        except BadRegion:
            continue
        assert region.cap()[1] > 0


@given(
    st.lists(st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.integers(-400, 400)), max_size=12)
)
def test_any_numbers_are_a_region_or_refused(numbers: list[float]) -> None:
    words = " ".join(map(str, numbers))
    for shape in ("CIRCLE", "RANGE", "POLYGON"):
        try:
            region = parse_pos(f"{shape} {words}")
        except BadRegion:
            continue
        centre, radius = region.cap()
        assert np.isfinite(centre).all()
        assert 0 < radius <= 180.2


@given(LON, LAT, st.floats(1e-6, 180), st.floats(0, 2 * math.pi), st.floats(0, 1))
def test_a_circle_holds_what_is_nearer_than_its_radius(
    lon: float, lat: float, radius: float, turn: float, share: float
) -> None:
    region = parse_circle(f"{lon!r} {lat!r} {radius!r}")
    inner = Circle(region.lon, region.lat, radius * (0.999 * share + 1e-9))
    points = inner.arcs()[0](np.array([turn / (2 * math.pi)]))
    assert region.holds(points).all()
    if radius < 90:
        outer = Circle(region.lon, region.lat, radius * 1.001 + 1e-9)
        assert not region.holds(outer.arcs()[0](np.array([turn / (2 * math.pi)]))).any()


@given(
    LON,
    st.floats(0.001, 360),
    st.floats(-90, 89.9),
    st.floats(0.001, 180),
    st.floats(0.01, 0.99),
    st.floats(0.01, 0.99),
)
def test_a_range_holds_what_is_between(
    lon: float, width: float, lat: float, height: float, a: float, b: float
) -> None:
    north = min(90.0, lat + height)
    region = parse_pos(f"RANGE {lon!r} {lon + width!r} {lat!r} {north!r}")
    assert isinstance(region, Range)
    assert region.holds(directions(lon + a * width, lat + b * (north - lat))).all()
    if lat > -89:
        assert not region.holds(directions(lon, lat - 0.5)).any()
    if width < 359 and abs(lat) < 89:
        assert not region.holds(directions(lon - 0.4, lat + b * (north - lat))).any()


@given(
    LON,
    st.floats(-89.9, 89.9),
    st.floats(0.001, 20),
    st.integers(3, 9),
    st.booleans(),
    st.floats(0, 2 * math.pi),
)
def test_a_polygon_holds_its_inside_whichever_way_it_turns(
    lon: float, lat: float, radius: float, corners: int, backwards: bool, turn: float
) -> None:
    centre = Circle(lon % 360, lat, radius)
    points = centre.arcs()[0](np.arange(corners) / corners)
    lons = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    lats = np.degrees(np.arcsin(np.clip(points[:, 2], -1, 1)))
    assume(np.abs(lats).max() < 89.99)
    pairs = list(zip(lons.tolist(), lats.tolist(), strict=True))
    if backwards:
        pairs.reverse()
    region = parse_polygon(" ".join(f"{a!r} {b!r}" for a, b in pairs))
    where = np.array([turn / (2 * math.pi)])
    inside = Circle(lon % 360, lat, radius * math.cos(math.pi / corners) * 0.9).arcs()[0](where)
    outside = Circle(lon % 360, lat, radius * 1.01).arcs()[0](where)
    assert region.holds(inside).all()
    assert not region.holds(outside).any()
    assert not region.holds(-inside).any()
    closed = parse_polygon(" ".join(f"{a!r} {b!r}" for a, b in [*pairs, pairs[0]]))
    assert closed == region


def test_a_bent_polygon_does_not_hold_its_notch() -> None:
    region = parse_polygon("0 0 10 0 10 10 5 2 0 10")
    assert region.holds(directions(5.0, 1.0)).all()
    assert not region.holds(directions(5.0, 5.0)).any()


def test_a_bow_tie_holds_both_its_halves() -> None:
    bow = parse_pos("POLYGON 9 19 11 21 11 19 9 21")
    assert bow.holds(directions(np.array([9.2, 10.8, 10.0, 10.0]), np.array([20.0, 20.0, 20.5, 19.5]))).tolist() == [
        True, True, False, False
    ]  # fmt: skip


def test_a_polygon_around_the_pole() -> None:
    region = parse_polygon("0 89 90 89 180 89 270 89")
    assert region.holds(directions(45.0, 89.9)).all()
    assert region.holds(directions(0.0, 90.0)).all()
    assert not region.holds(directions(45.0, 88.9)).any()
    assert not region.holds(directions(45.0, -90.0)).any()


@given(
    LON, st.floats(0.01, 360), st.floats(-90, 89), st.floats(0.01, 180), LON, LAT, st.floats(0.001, 40),
    st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_the_part_of_a_range_near_a_cap_loses_nothing(
    lon: float,
    width: float,
    lat: float,
    height: float,
    there: float,
    then: float,
    radius: float,
    a: float,
    b: float,
) -> None:
    whole = parse_pos(f"RANGE {lon!r} {lon + width!r} {lat!r} {min(90.0, lat + height)!r}")
    assert isinstance(whole, Range)
    point = Circle(there % 360, then, radius * b * 0.999 + 1e-6).arcs()[0](np.array([a]))
    near = whole.near(there % 360, then, radius + 2e-6)
    if near is None:
        assert not whole.holds(point).any()
        return
    assert near.south >= whole.south
    assert near.north <= whole.north
    assert near.east - near.west <= whole.east - whole.west + 1e-9
    if whole.holds(point).all():
        edge = Range(near.west - 1e-9, near.east + 1e-9, near.south - 1e-9, near.north + 1e-9)
        assert edge.holds(point).all()


def test_regions_travel() -> None:
    for text in ("CIRCLE 1 2 3", "RANGE -Inf 2 3 4", "POLYGON 1 2 3 4 5 5.5"):
        region = parse_pos(text)
        assert pickle.loads(pickle.dumps(region)) == region
        assert hash(region) == hash(parse_pos(text))
    error = pickle.loads(pickle.dumps(BadRegion("What.", "Do that.")))
    assert (error.message, error.advice) == ("What.", "Do that.")

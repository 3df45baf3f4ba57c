"""Several bands in colour."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from astropy.visualization import LuptonAsinhStretch, make_lupton_rgb
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sodalake.sodacut.errors import BadPicture
from sodalake.sodacut.images.colour import MODES, Colours, colour, settled
from sodalake.sodacut.stretch import CURVES, brightness


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _bands(count: int = 3, side: int = 50, noise: tuple[float, ...] = (1.0, 1.0, 1.0)) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:side, :side] - side / 2
    source = 200 * np.exp(-(x * x + y * y) / 30)
    return [
        (100 * n + (1 + n) * source + rng.normal(0, noise[n % len(noise)], (side, side))).astype(np.float32)
        for n in range(count)
    ]


def test_lupton_is_astropys() -> None:
    bands = _bands()
    how = Colours(weights=(1.0, 0.5, 2.0), stretch=30.0, q=8.0, minimum=(3.0, 104.0, 205.0))
    found = colour(bands, how)
    scaled = [
        (band - low) * weight for band, low, weight in zip(bands, how.minimum, how.weights, strict=True)
    ]  # type: ignore[arg-type]
    theirs = make_lupton_rgb(*scaled, minimum=0.0, stretch_object=LuptonAsinhStretch(stretch=30, Q=8))
    assert np.abs(found[..., :3].astype(int) - theirs).max() <= 1
    assert (found[..., 3] == 255).all()
    assert (found.dtype, found.shape) == (np.uint8, (50, 50, 4))


@pytest.mark.parametrize("mode", CURVES)
def test_other_modes_are_the_curves_of_each_band(mode: str) -> None:
    bands = _bands()
    found = colour(bands, Colours(mode=mode, pmin=2, pmax=99))
    for channel, band in zip(np.moveaxis(found, 2, 0), bands, strict=False):
        expected = np.rint(brightness(band, mode, 2, 99) * 255)
        assert np.abs(channel.astype(int) - expected).max() <= 1


def test_limits_that_are_said_hold() -> None:
    ramp = np.linspace(0, 10, 11, dtype=np.float32)[None]
    found = colour(
        [ramp] * 3, Colours(mode="linear", minimum=2.0, maximum=(7.0, 12.0, 2.5), weights=(1, 1, 0.5))
    )
    np.testing.assert_array_equal(found[0, :, 0], np.rint(255 * np.clip((ramp[0] - 2) / 5, 0, 1)))
    np.testing.assert_array_equal(found[0, :, 1], np.rint(255 * np.clip((ramp[0] - 2) / 10, 0, 1)))
    assert found[0, -1, 2] == 128


def test_a_star_keeps_its_colour_however_bright() -> None:
    ratios = []
    for peak in (50.0, 1e3, 1e5):
        bands = [np.full((1, 1), peak * share) for share in (1.0, 0.5, 0.25)]
        found = colour(bands, Colours(weights=(1, 1, 1), stretch=5, minimum=0.0))[0, 0].astype(float)
        ratios.append(found[1] / found[0])
    np.testing.assert_allclose(ratios, 0.5, atol=0.02)


@pytest.mark.parametrize("mode", ["lupton", "asinh", "sqrt"])
def test_empty_sky_is_grey_and_dark_and_sources_are_seen(mode: str) -> None:
    bands = _bands(side=100, noise=(3.0, 1.0, 10.0))
    found = colour(bands, Colours(mode=mode))[..., :3].astype(float)
    sky, core = found[:20, :20].reshape(-1, 3), found[48:52, 48:52].reshape(-1, 3)
    assert 3 < sky.mean() < 60
    if mode == "lupton":  # others have a scale for each band
        assert sky.mean(axis=0).max() / sky.mean(axis=0).min() < 3
    assert core.max(axis=1).mean() > 150


@pytest.mark.parametrize("mode", MODES)
def test_large_pictures_are_coloured_in_strips_and_look_the_same(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = _bands(side=60)
    bands[0][3:9, 5] = np.nan
    bands[1][50, 50] = 1e34
    whole = colour(bands, Colours(mode=mode))
    monkeypatch.setattr("sodalake.sodacut.images.colour._STRIP", 7 * 60)
    np.testing.assert_array_equal(colour(bands, Colours(mode=mode)), whole)


def test_more_bands_are_more_between_red_and_blue() -> None:
    dark, lit = np.zeros((1, 1)), np.ones((1, 1))
    how = Colours(mode="linear", minimum=0.0, maximum=1.0)
    five = [
        colour([lit if n == shown else dark for n in range(5)], how)[0, 0, :3].tolist() for shown in range(5)
    ]
    assert five[0][1:] == [0, 0]
    assert five[0][0] > 0
    assert five[1][0] > 0 < five[1][1]
    assert five[1][2] == 0
    assert [value > 0 for value in five[2]] == [False, True, False]
    assert [value > 0 for value in five[4]] == [False, False, True]
    np.testing.assert_array_equal(colour([lit] * 5, how)[0, 0], [255, 255, 255, 255])


@pytest.mark.parametrize("mode", ["lupton", "linear"])
def test_pixels_without_a_band_are_drawn_from_the_others(mode: str) -> None:
    bands = _bands()
    bands[0][:10], bands[1][:5], bands[2][:2] = np.nan, np.inf, -np.inf
    found = colour(bands, Colours(mode=mode))
    assert (found[:2] == 0).all(), "no band: transparent"
    assert (found[2:, :, 3] == 255).all()
    assert (found[2:5, :, :2] == 0).all()
    assert (found[5:10, :, 0] == 0).all()
    assert found[5:10, :, 2].max() > 0
    # What is missing here changes nothing there.
    whole = colour(_bands(), settled(bands, Colours(mode=mode)))
    np.testing.assert_array_equal(found[10:], whole[10:])


def test_a_missing_band_does_not_make_the_others_darker() -> None:
    bands = [np.full((1, 2), 3.0) for _ in range(3)]
    bands[2][0, 1] = np.nan
    found = colour(bands, Colours(weights=(1, 1, 1), stretch=5, minimum=0.0))
    np.testing.assert_array_equal(found[0, 0, :2], found[0, 1, :2])


@pytest.mark.parametrize("mode", MODES)
def test_settled_colours_make_pieces_that_fit(mode: str) -> None:
    bands = _bands()
    how = settled(bands, Colours(mode=mode))
    whole = colour(bands, how)
    for rows in (slice(0, 13), slice(13, 50)):
        np.testing.assert_array_equal(colour([band[rows] for band in bands], how), whole[rows])
    np.testing.assert_array_equal(colour(bands, Colours(mode=mode)), whole)
    assert settled(bands, how) == how
    assert hash(how) == hash(replace(how))


@given(
    st.lists(hnp.arrays(np.float32, (4, 5)), min_size=3, max_size=5),
    st.sampled_from(MODES),
    st.sampled_from([0.0, 1e-9, 8.0, 1e3]),
    st.sampled_from([None, 1e-300, 1.0, 1e300]),
)
def test_any_bands_make_a_picture(
    bands: list[np.ndarray], mode: str, q: float, stretch: float | None
) -> None:
    found = colour(bands, Colours(mode=mode, q=q, stretch=stretch))
    assert found.shape == (4, 5, 4)
    assert set(np.unique(found[..., 3]).tolist()) <= {0, 255}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [0.0, 7.0, -1e30, np.nan, np.inf])
def test_bands_of_one_value(mode: str, value: float) -> None:
    found = colour([np.full((3, 3), value)] * 3, Colours(mode=mode))
    assert (found[..., 3] == (255 if np.isfinite(value) else 0)).all()
    assert len(np.unique(found[..., :3].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mode": "sepia"}, "no colour mode 'sepia'. Take one of lupton, linear"),
        ({"weights": (1.0, -1.0, 1.0)}, "weights of the bands are 1, -1, 1. They are numbers from 0 on"),
        ({"weights": (0.0, 0.0, 0.0)}, "not all 0"),
        ({"weights": (1.0, float("nan"), 1.0)}, "weights"),
        ({"stretch": 0.0}, "Lupton's stretch is 0. It is a positive number"),
        ({"stretch": float("inf")}, "stretch is inf"),
        ({"q": -1.0}, "Q is -1. It lies between 0"),
        ({"q": float("nan")}, "Q is nan"),
        ({"minimum": float("nan")}, "Black is nan"),
        ({"minimum": ()}, "Black is none"),
        ({"maximum": (1.0, float("inf"), 1.0)}, "White is 1, inf, 1"),
        ({"pmin": 99.0, "pmax": 1.0}, "percentiles are 99 and 1"),
    ],
)
def test_what_colours_refuse(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadPicture, match=sentence):
        Colours(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "how", "sentence"),
    [
        (2, Colours(), "made of 3 to 32 bands, not of 2. Name three bands"),
        (33, Colours(), "not of 33"),
        (3, Colours(weights=(1, 1, 1, 1)), "4 weights for 3 bands. Give one for each"),
        (4, Colours(minimum=(1, 1, 1)), "3 blacks for 4 bands"),
        (
            3,
            Colours(mode="linear", minimum=5.0, maximum=5.0),
            "Black is 5, 5, 5, white 5, 5, 5. Black is less",
        ),
    ],
)
def test_what_bands_refuse(count: int, how: Colours, sentence: str) -> None:
    with pytest.raises(BadPicture, match=sentence):
        colour(_bands(count), how)


def test_bands_of_other_pixels_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="the same pixels"):
        colour([np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 3))], Colours())

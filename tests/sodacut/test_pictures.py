"""Brightness, colour, and PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from astropy.convolution import Box2DKernel, Gaussian2DKernel, convolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib import colormaps
from PIL import Image

from sodalake.sodacut.colormaps import colour_table
from sodalake.sodacut.errors import BadPicture
from sodalake.sodacut.picture import LARGEST, Look, montage, render
from sodalake.sodacut.stretch import CURVES, KERNELS, STRETCHES, brightness, convolved

RAMP = np.linspace(-3, 7, 35, dtype=np.float32).reshape(5, 7)


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _open(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return image


def _grey(png: bytes) -> np.ndarray:
    return np.asarray(_open(png).convert("L"))


@pytest.mark.parametrize("stretch", CURVES)
def test_a_curve_rises_from_dark_to_bright(stretch: str) -> None:
    level = brightness(RAMP, stretch, 0, 100)
    assert level.dtype == np.float32
    assert (level.ravel()[0], level.ravel()[-1]) == (0, pytest.approx(1))
    assert (np.diff(level.ravel()) > 0).all()


def test_the_curves_are_what_their_names_say() -> None:
    x = np.linspace(0, 1, 11)
    image = x.reshape(1, -1).astype(np.float64)
    for stretch, expected in {
        "linear": x,
        "sqrt": x**0.5,
        "power": x**2,
        "log": np.log(1000 * x + 1) / np.log(1001),
        "asinh": np.arcsinh(10 * x) / np.arcsinh(10),
    }.items():
        np.testing.assert_allclose(brightness(image, stretch, 0, 100)[0], expected, atol=1e-6)


def test_sigmoid_shows_the_distance_from_the_mean_in_scatters() -> None:
    level = brightness(RAMP, "sigmoid")
    np.testing.assert_allclose(level, 1 / (1 + np.exp(-(RAMP - RAMP.mean()) / RAMP.std())), rtol=1e-5)
    np.testing.assert_array_equal(level, brightness(RAMP, "sigmoid", 10, 20))


def test_percentiles_set_the_limits_and_take_no_notice_of_nan() -> None:
    image = np.arange(101, dtype=np.float64).reshape(1, -1)
    with_nan = np.concatenate([image, np.full((1, 50), np.nan)], axis=1)
    level = brightness(with_nan, "linear", 10, 60)
    assert np.isnan(level[0, 101:]).all()
    np.testing.assert_allclose(level[0, :101], np.clip((image[0] - 10) / 50, 0, 1), atol=1e-6)


def test_outliers_show_where_the_percentiles_agree() -> None:
    image = np.zeros((20, 20), np.float32)
    image[3, 3] = 9
    level = brightness(image, "linear")
    assert level[3, 3] == 1
    assert level[0, 0] == 0


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize(
    "image",
    [
        np.full((3, 3), np.nan),
        np.full((3, 3), 7.0),
        np.zeros((1, 1)),
        np.full((3, 3), np.inf),
        np.array([[np.inf, -np.inf, np.nan], [1, 2, 3]]),
        np.array([[1e308, -1e308], [0, np.nan]]),
        np.array([[5e-324, 0.0], [0, 0]]),
        np.array([[3e38, -3e38]], np.float32),
    ],
)
def test_odd_images_make_sensible_brightness(stretch: str, image: np.ndarray) -> None:
    level = brightness(image, stretch)
    np.testing.assert_array_equal(np.isnan(level), np.isnan(image))
    seen = level[~np.isnan(level)]
    assert ((seen >= 0) & (seen <= 1)).all()
    assert (level[np.isposinf(image)] == 1).all()
    assert (level[np.isneginf(image)] < 1e-20).all()
    if len(set(image.ravel().tolist())) == 1 and np.isfinite(image).all():
        assert (seen == 0.5).all()
    assert _open(render(image, Look(stretch))).size == image.shape[::-1]


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)),
    st.sampled_from(STRETCHES),
    st.sampled_from([None, *KERNELS]),
    st.sampled_from([1.0, 2.0, 0.3, 1.7]),
)
def test_any_image_makes_a_picture(image: np.ndarray, stretch: str, kernel: str | None, scale: float) -> None:
    _open(render(image, Look(stretch, kernel=kernel, scale=scale, colormap="viridis"))).load()


def test_row_0_is_at_the_bottom() -> None:
    image = np.zeros((3, 4), np.float32)
    image[0, 1] = 1
    grey = _grey(render(image, Look("linear", 0, 100)))
    assert grey[2, 1] == 255
    assert grey.sum() == 255


def test_nan_is_transparent_in_grey_and_in_colour() -> None:
    image = RAMP.copy()
    image[0, 0] = np.nan
    for colormap in ("grayscale", "viridis"):
        alpha = np.asarray(_open(render(image, Look("linear", colormap=colormap))).convert("RGBA"))[..., 3]
        assert alpha[4, 0] == 0
        assert (alpha == 255).sum() == 34
    assert _open(render(RAMP, Look("linear"))).mode == "L"


@pytest.mark.parametrize("name", ["viridis", "Blues", "RdBu_r", "tab10", "inferno"])
def test_colours_are_matplotlibs(name: str) -> None:
    level = np.linspace(0, 1, 256)
    expected = colormaps[name](level, bytes=True)[:, :3]
    np.testing.assert_array_equal(colour_table(name), expected)
    shown = np.asarray(_open(render(level.reshape(1, -1), Look("linear", 0, 100, name))).convert("RGB"))[0]
    np.testing.assert_array_equal(shown, expected)


def test_names_are_read_in_either_case_and_grayscale_needs_no_matplotlib() -> None:
    np.testing.assert_array_equal(colour_table("VIRIDIS"), colour_table("viridis"))
    np.testing.assert_array_equal(colour_table("grayscale")[:, 0], np.arange(256))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("virids", "viridis"), ("gry", "gray"), ("plsma", "plasma"), ("zzzz", "grayscale"), ("", "viridis")]
)  # fmt: skip
def test_an_unknown_name_lists_its_likes(name: str, hint: str) -> None:
    with pytest.raises(BadPicture, match=f"no colour map.*{hint}"):
        render(RAMP, Look("linear", colormap=name))


def test_whole_zooms_repeat_pixels() -> None:
    one = _grey(render(RAMP, Look("linear")))
    three = _grey(render(RAMP, Look("linear", scale=3)))
    np.testing.assert_array_equal(three, one.repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(
    ("scale", "size"), [(0.5, (32, 30)), (2.5, (158, 150)), (0.001, (1, 1)), (1.01, (64, 61))]
)
def test_other_zooms_interpolate(scale: float, size: tuple[int, int]) -> None:
    y, x = np.mgrid[:60, :63]
    image = (x + y).astype(np.float32)
    image[:, :10] = np.nan
    picture = np.asarray(_open(render(image, Look("linear", 0, 100, scale=scale))).convert("LA"))
    assert picture.shape[:2] == size[::-1]
    if scale > 0.1:
        assert (picture[:, 0, 1] == 0).all()
        margin = round(10 * scale) + 2
        shown = picture[:, margin:, 0].astype(int)
        assert (picture[:, margin:, 1] == 255).all()
        assert (np.diff(shown, axis=1) >= 0).all()
        assert shown[0, 0] > shown[-1, 0], "rows fall towards the bottom of the picture"


def test_a_picture_is_no_larger_than_the_largest() -> None:
    image = np.zeros((64, 32), np.float32)
    assert _open(render(image, Look(scale=LARGEST / 64))).size == (LARGEST // 2, LARGEST)
    for scale in (LARGEST / 64 + 0.1, 1e9, 1e308):
        with pytest.raises(BadPicture, match="At most 4096"):
            render(image, Look(scale=scale))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stretch": "cubic"}, "no stretch 'cubic'. Take one of sigmoid, linear"),
        ({"pmin": 50.0, "pmax": 50.0}, "percentiles are 50 and 50"),
        ({"pmin": -1.0}, "between 0 and 100"),
        ({"pmax": 100.1}, "between 0 and 100"),
        ({"pmin": float("nan")}, "percentiles"),
        ({"scale": 0.0}, "scale is 0"),
        ({"scale": float("inf")}, "scale is inf"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"kernel": "disk"}, "no convolution kernel 'disk'. Take gauss or box"),
    ],
)
def test_what_a_look_refuses(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadPicture, match=sentence):
        Look(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kernel", "theirs"), [("gauss", Gaussian2DKernel(1, x_size=5, y_size=5)), ("box", Box2DKernel(3))]
)
def test_kernels_are_astropys(kernel: str, theirs: object) -> None:
    image = np.random.default_rng(5).normal(size=(20, 21)).astype(np.float32)
    np.testing.assert_allclose(
        convolved(image, kernel), convolve(image, theirs, boundary="extend"), atol=1e-6
    )
    image[4:7, 3:12] = np.nan
    ours = convolved(image, kernel)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(image))
    expected = convolve(image, theirs, boundary="extend", nan_treatment="interpolate", preserve_nan=True)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_leave_images_of_nothing_alone(kernel: str) -> None:
    image = np.full((4, 4), np.nan)
    np.testing.assert_array_equal(convolved(image, kernel), image)
    image[1, 1], image[2, 2] = 3.0, np.inf
    np.testing.assert_allclose(convolved(image, kernel), image)


def test_a_montage_stands_side_by_side() -> None:
    left, right = np.ones((6, 4), np.float32), np.full((4, 5), np.nan)
    left[0, 0] = 2
    image = _open(montage([left, None, right], Look("linear", 0, 100, scale=2)))
    assert image.size == (2 * (4 + 4 + 5 + 4 + 5), 2 * 6)
    pixels = np.asarray(image.convert("RGBA"))
    assert tuple(pixels[11, 0]) == (255, 255, 255, 255)
    assert pixels[:, 8:16, 3].max() == 0, "the gap is transparent"
    absent = pixels[:, 16:26]
    assert (absent[..., 3] == 255).all()
    assert 0 < absent[..., 0].max() < 80, "a missing stamp is dark, not black"
    assert pixels[:, 26:, 3].max() == 0
    assert _open(montage([None, None, None], Look())).size == (3 * 63 + 8, 63)

"""PNG and JPEG of survey images."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sodalake.sodacut.errors import BadPicture
from sodalake.sodacut.images.colour import Colours, colour
from sodalake.sodacut.images.drawing import Drawing, draw, drawn_shape, round_length
from sodalake.sodacut.images.grids import tangent_grid
from sodalake.sodacut.images.shrinking import shrunk_to
from sodalake.sodacut.picture import LARGEST, Look, render


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _open(data: bytes, form: str = "PNG") -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == form
    image.load()
    return image


def _rgba(data: bytes) -> np.ndarray:
    return np.asarray(_open(data).convert("RGBA"))


def _noise(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(2).normal(10, 3, (height, width)).astype(np.float32)


FLAT = np.full((200, 300), 5.0, np.float32)
WCS = tangent_grid(10, -30, 300, 200, 0.25).wcs()


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("colormap", ["grayscale", "viridis"])
def test_one_band_is_drawn_as_stamps_are(colormap: str, scale: float) -> None:
    pixels = _noise()
    pixels[3:5, 7] = np.nan
    for look in (Look("asinh", 1, 99, colormap), Look(colormap=colormap, kernel="gauss")):
        theirs = np.asarray(Image.open(io.BytesIO(render(pixels, look))).convert("RGBA"))
        ours = _rgba(draw(pixels, look, Drawing(scale=scale)))
        expected = theirs.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
        seen = expected[..., 3] > 0
        np.testing.assert_array_equal(ours[seen], expected[seen])
        np.testing.assert_array_equal(ours[..., 3], expected[..., 3])


def test_several_bands_are_drawn_in_colour() -> None:
    bands = [_noise() * (n + 1) for n in range(3)]
    found = _rgba(draw(bands, Colours()))
    np.testing.assert_array_equal(found, colour(bands, Colours())[::-1])


def test_a_jpeg_is_black_where_nothing_is_and_as_good_as_asked_for() -> None:
    pixels = _noise(200, 200)
    pixels[:100] = np.nan
    good = draw(pixels, Look(), Drawing("jpeg", quality=95))
    image = np.asarray(_open(good, "JPEG"))
    assert image.shape == (200, 200, 3)
    assert image[110:].max() < 8
    assert image[:90].std() > 20
    poor = draw(pixels, Look(), Drawing("jpeg", quality=20))
    assert len(poor) < len(good) / 2


def test_pixels_are_averaged_before_they_are_stretched() -> None:
    pixels = np.zeros((64, 64), np.float32)
    pixels[::2, ::2] = 4  # the mean is 1 everywhere
    pixels[32:] *= 2
    found = _rgba(draw(pixels, Look("linear", 0, 100), Drawing(scale=0.25)))
    assert found.shape == (16, 16, 4)
    assert (found[:8, :, 0] == 255).all()
    assert (found[8:, :, 0] == 0).all()
    noise = _noise(70, 90)
    noise[:20, :20] = np.nan
    small = shrunk_to(noise, drawn_shape(noise.shape, 0.3))
    np.testing.assert_array_equal(_rgba(draw(noise, Look(), Drawing(scale=0.3))), _rgba(draw(small, Look())))


def test_between_pixels_is_interpolated_and_margins_stay_bright() -> None:
    pixels = np.full((20, 20), 5.0, np.float32)
    pixels[0, 0] = 0
    pixels[:, 10:] = np.nan
    found = _rgba(draw(pixels, Look("linear", 0, 100), Drawing(scale=2.5)))
    assert found.shape == (50, 50, 4)
    assert set(np.unique(found[..., 3]).tolist()) == {0, 255}
    assert (found[:40, :24, 0] == 255).all(), "beside the margin as bright as elsewhere"
    assert 0 < found[47, 2, 0] < 255


# ---------------------------------------------------------------------- mark and bar


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
def test_a_mark_points_at_its_pixel_and_leaves_it_alone(scale: float) -> None:
    found = _rgba(draw(FLAT, Look(), Drawing(scale=scale, marker=(100, 150))))
    plain = _rgba(draw(FLAT, Look(), Drawing(scale=scale)))
    changed = (found != plain).any(axis=2)
    rows, columns = np.nonzero(changed)
    x, y = (100 + 0.5) * scale - 0.5, (200 - 1 - 150 + 0.5) * scale - 0.5
    assert (columns.min() + columns.max()) / 2 == pytest.approx(x, abs=1)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(y, abs=1)
    row, column = round(y), round(x)
    assert not changed[row - 2 : row + 3, column - 2 : column + 3].any(), "what is there is seen"
    assert changed.mean() < 0.05


def test_a_mark_outside_or_on_the_edge_does_no_harm() -> None:
    for marker in ((-1000.0, 5.0), (0.0, 0.0), (299.5, 199.5), (1e6, -1e6)):
        assert _open(draw(FLAT, Look(), Drawing(marker=marker))).size == (300, 200)


@pytest.mark.parametrize(
    ("pixel_scale", "width", "label", "length"),
    [
        (0.25, 300, '20"', 20), (0.263, 64, '5"', 5), (0.02, 300, '2"', 2), (1.0, 300, "1'", 60),
        (3.6, 1000, "20'", 1200), (40.0, 300, "1°", 3600),
    ],
)  # fmt: skip
def test_the_bar_is_as_long_as_it_says(pixel_scale: float, width: int, label: str, length: float) -> None:
    assert round_length(0.35 * width * pixel_scale) == (length, label)
    pixels = np.full((width, width), np.nan, np.float32)
    pixels[-1, -1] = 1
    wcs = tangent_grid(10, -30, width, width, pixel_scale).wcs()
    found = _rgba(draw(pixels, Look(), Drawing(scalebar=True), wcs))
    white = (found == 255).all(axis=2)
    longest = max(int(row.sum()) for row in white[width // 2 :])
    assert longest == pytest.approx(length / pixel_scale, abs=1.5)
    # It is at the lower left, and something is written above it.
    rows, columns = np.nonzero(white[5:])
    assert columns.min() < width / 6
    assert rows.max() > 0.8 * width - 5
    bar_top = min(number for number, row in enumerate(white) if row.sum() == longest and number > width // 2)
    assert white[: bar_top - 1][width // 2 :].sum() >= 4


def test_round_lengths() -> None:
    assert round_length(59.999999) == (30, '30"')
    assert round_length(60) == (60, "1'")
    assert round_length(0.0034) is None
    assert round_length(1e9) == (108000, "30°")


def test_a_picture_too_small_for_a_bar_has_none() -> None:
    pixels = np.ones((20, 20), np.float32)
    wcs = tangent_grid(10, -30, 20, 20, 0.25).wcs()
    np.testing.assert_array_equal(
        _rgba(draw(pixels, Look(), Drawing(scalebar=True), wcs)), _rgba(draw(pixels, Look()))
    )


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"form": "gif"}, "no 'gif' pictures. Take png or jpeg"),
        ({"scale": 0.0}, "scale is 0. It is a positive factor"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"scale": float("inf")}, "scale is inf"),
        ({"quality": 0}, "quality of a JPEG is 0. It lies between 1 and 100"),
        ({"quality": 101}, "quality of a JPEG is 101"),
        ({"marker": (float("nan"), 1.0)}, "mark is at nan, 1"),
    ],
)
def test_what_a_drawing_refuses(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadPicture, match=sentence):
        Drawing(**changes)


def test_what_is_too_large_is_told_what_fits() -> None:
    with pytest.raises(BadPicture, match=r"6000 × 4000 pixels is too large.*A scale of 13.6533 fits"):
        draw(FLAT, Look(), Drawing(scale=20))
    assert max(drawn_shape((200, 300), 13.6533)) == LARGEST
    assert drawn_shape((4000, 10000), 0.4) == (1600, 4000)
    assert drawn_shape((1, 4096), 0.25) == (1, 1024)
    with pytest.raises(BadPicture, match="too large"):
        drawn_shape((4097, 10), 1)


def test_a_bar_needs_a_sky() -> None:
    with pytest.raises(BadPicture, match="needs an image with coordinates"):
        draw(FLAT, Look(), Drawing(scalebar=True))
    with pytest.raises(BadPicture, match="no colour map 'rainboww'"):
        draw(FLAT, Look(colormap="rainboww"))
    with pytest.raises(BadPicture, match="not of 2"):
        draw([FLAT, FLAT], Colours())


def test_mistakes_of_the_caller() -> None:
    with pytest.raises(ValueError, match="of one band"):
        draw([FLAT, FLAT], Look())
    with pytest.raises(ValueError, match="of something"):
        draw([], Colours())


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("value", [np.nan, 0.0, np.inf])
@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_odd_images_make_pictures(shape: tuple[int, int], value: float, form: Any) -> None:
    pixels = np.full(shape, value, np.float32)
    wcs = tangent_grid(10, -30, shape[1], shape[0], 0.25).wcs()
    for scale in (0.1, 1.0, 1.5, 7.0):
        drawing = Drawing(form, scale=scale, marker=(0, 0), scalebar=True)
        assert _open(draw(pixels, Look(), drawing, wcs), form.upper()).size == drawn_shape(shape, scale)[::-1]
        assert (
            _open(draw([pixels] * 3, Colours(), drawing, wcs), form.upper()).size
            == drawn_shape(shape, scale)[::-1]
        )

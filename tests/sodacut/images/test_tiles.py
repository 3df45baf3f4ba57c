"""Compressed tiles to pixels, beside astropy's own reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from fits_images import noise, written

from sodalake.lake.errors import Damaged
from sodalake.lake.images.records import Image, Quantized, Tiled
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images import codecs
from sodalake.sodacut.images.pixelfiles import PixelFiles, Wanted

SHAPE = (97, 131)
BOXES = (Box(0, 131, 0, 97), Box(17, 40, 30, 61), Box(130, 131, 96, 97), Box(0, 1, 0, 97), Box(99, 131, 0, 3))
TILES = (None, (40, 50), (97, 131), (1, 60), (7, 131))


def reads_as_astropy(image: Image, path: Path, *, integers: bool = False) -> None:
    with fits.open(path) as file:
        expected = file[1].data
        scale = 1 if integers else None
    files = PixelFiles()
    got = files.read([Wanted(image.pixels, image.shape, box, integers) for box in BOXES])
    for box, pixels in zip(BOXES, got, strict=True):
        there = expected[box.y0 : box.y1, box.x0 : box.x1]
        assert pixels.dtype.isnative
        if scale is not None:
            assert pixels.dtype == there.dtype.newbyteorder("=")
        np.testing.assert_array_equal(pixels, there)
        # And alone: what tiles are shared with is nobody's business.
        np.testing.assert_array_equal(
            files.read([Wanted(image.pixels, image.shape, box, integers)])[0], pixels
        )
    files.close()


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("dither", [-1, 1, 2])
@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_2", "HCOMPRESS_1"])
def test_quantized(tmp_path: Path, codec: str, dither: int, tile: tuple[int, int] | None) -> None:
    if codec == "HCOMPRESS_1" and (tile is None or min(tile) < 4):
        tile = (33, 45)
    pixels = noise(SHAPE).astype(np.float64 if tile == (40, 50) else np.float32)
    pixels[20:50, 25:30] = 0.0
    pixels[60, 3:100] = np.nan
    path = tmp_path / "image.fits"
    image = written(
        path, pixels, compression_type=codec, tile_shape=tile, quantize_method=dither, dither_seed=9999
    )
    assert isinstance(image.pixels.place, Tiled)
    assert image.pixels.place.quantized is not None
    reads_as_astropy(image, path)


def test_every_seed_and_the_end_of_the_random_numbers(tmp_path: Path) -> None:
    """Tiles of more than ten thousand pixels go through the numbers several times."""
    pixels = noise((230, 301))
    for seed in (1, 57, 4242, 10000):
        path = tmp_path / f"{seed}.fits"
        image = written(
            path,
            pixels,
            compression_type="RICE_1",
            tile_shape=(200, 301),
            quantize_method=1,
            dither_seed=seed,
        )
        boxes = [Box(0, 301, 0, 230), Box(290, 301, 150, 229), Box(3, 5, 199, 201)]
        got = PixelFiles().read([Wanted(image.pixels, image.shape, box) for box in boxes])
        expected = fits.getdata(path)
        for box, one in zip(boxes, got, strict=True):
            np.testing.assert_array_equal(one, expected[box.y0 : box.y1, box.x0 : box.x1])


@pytest.mark.parametrize("codec", ["GZIP_1", "GZIP_2", "NOCOMPRESS"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_as_they_are(tmp_path: Path, codec: str, kind: type) -> None:
    pixels = noise(SHAPE).astype(kind)
    pixels[3, 7:100] = np.nan
    path = tmp_path / "image.fits"
    image = written(path, pixels, compression_type=codec, quantize_level=0.0, tile_shape=(10, 131))
    assert isinstance(image.pixels.place, Tiled)
    assert image.pixels.place.quantized is None
    reads_as_astropy(image, path)


def test_rows_that_could_not_be_quantized(tmp_path: Path) -> None:
    """A row without noise is gzip of its values, among rows of RICE_1."""
    pixels = noise(SHAPE)
    pixels[40:45] = 7.25
    pixels[50, :] = np.arange(131) * 1e30
    path = tmp_path / "image.fits"
    image = written(path, pixels, compression_type="RICE_1", quantize_method=2)
    place = image.pixels.place
    assert isinstance(place, Tiled)
    assert place.raw is not None
    assert place.raw.any()
    assert not place.raw.all()
    reads_as_astropy(image, path)


@pytest.mark.parametrize("tile", TILES[:2])
@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        *(
            (codec, kind)
            for codec in ("RICE_1", "GZIP_2", "HCOMPRESS_1")
            for kind in ("u1", "i2", "i4", "u2", "u4")
        ),
        ("GZIP_1", "i8"),
        ("GZIP_2", "i8"),
        ("NOCOMPRESS", "u2"),
        ("PLIO_1", "u1"),
        ("PLIO_1", "i2"),
        ("PLIO_1", "i4"),
    ],
)
def test_integers(tmp_path: Path, codec: str, kind: str, tile: tuple[int, int] | None) -> None:
    if (codec == "PLIO_1" and kind in ("u2", "u4", "i8")) or (
        kind == "i8" and codec in ("RICE_1", "HCOMPRESS_1")
    ):
        pytest.skip("the codec does not hold these")
    if codec == "HCOMPRESS_1" and (tile is None or min(tile) < 4):
        tile = (33, 45)
    pixels = np.abs(noise(SHAPE)).astype(kind)
    if codec == "PLIO_1":
        pixels[pixels < 115] = 0
    path = tmp_path / "image.fits"
    image = written(path, pixels, compression_type=codec, tile_shape=tile)
    reads_as_astropy(image, path)
    reads_as_astropy(image, path, integers=True)


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_2", "PLIO_1"])
def test_integers_without_values_are_nan(tmp_path: Path, codec: str) -> None:
    pixels = np.abs(noise(SHAPE)).astype(np.int16)
    pixels[10:20, 30:50] = 4242
    path = tmp_path / "image.fits"
    image = written(path, pixels, fits.Header({"BLANK": 4242}), compression_type=codec)
    reads_as_astropy(image, path)
    (one,) = PixelFiles().read([Wanted(image.pixels, image.shape, Box(0, 131, 0, 97))])
    assert np.isnan(one[10:20, 30:50]).all()
    assert np.isfinite(one).sum() == one.size - 200


def test_scaled_integers(tmp_path: Path) -> None:
    pixels = np.abs(noise(SHAPE)).astype(np.int16)
    image = written(tmp_path / "image.fits", pixels, compression_type="RICE_1")
    place = replace(image.pixels.place, scale=0.25, zero=-3.0, blank=100)
    (one,) = PixelFiles().read(
        [Wanted(replace(image.pixels, place=place), image.shape, Box(3, 60, 5, 70), True)]
    )
    expected = pixels[5:70, 3:60] * np.float32(0.25) - np.float32(3)
    np.testing.assert_array_equal(one, np.where(pixels[5:70, 3:60] == 100, np.nan, expected))


def test_a_blank_of_each_tile(tmp_path: Path) -> None:
    """ZBLANK may be a column, and ZSCALE and ZZERO keywords: both are numbers of each tile in the record."""
    image = written(tmp_path / "image.fits", noise(SHAPE), compression_type="RICE_1", quantize_method=1)
    place = image.pixels.place
    assert isinstance(place, Tiled)
    assert isinstance(place.quantized, Quantized)
    box = Box(20, 60, 5, 9)
    without = replace(place, quantized=replace(place.quantized, dither="NO_DITHER"))
    (values,) = PixelFiles().read([Wanted(replace(image.pixels, place=without), image.shape, box)])
    blanks = np.full(SHAPE[0], -(1 << 31), np.int64)  # which no pixel of the other tiles is
    integer = round((float(values[2, 10]) - place.quantized.zero[7]) / place.quantized.scale[7])
    blanks[7] = integer
    each = replace(place, quantized=replace(place.quantized, blank=blanks))
    (one,) = PixelFiles().read([Wanted(replace(image.pixels, place=each), image.shape, box)])
    assert np.isnan(one[2, 10])
    assert np.isfinite(one[[0, 1, 3]]).all()


def test_whole_tiles_where_the_c_functions_are_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "_RICE", {})
    for number, tile in enumerate(TILES):
        path = tmp_path / f"{number}.fits"
        image = written(path, noise(SHAPE), compression_type="RICE_1", tile_shape=tile, quantize_method=2)
        reads_as_astropy(image, path)
    path = tmp_path / "short.fits"
    reads_as_astropy(written(path, noise(SHAPE).astype(np.int16), compression_type="RICE_1"), path)


# ---------------------------------------------------------------------- damage

DAMAGED: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "rice rows": (lambda: noise(SHAPE), {"compression_type": "RICE_1"}),
    "rice tiles": (lambda: noise(SHAPE), {"compression_type": "RICE_1", "tile_shape": (40, 50)}),
    "rice shorts": (lambda: noise(SHAPE).astype(np.int16), {"compression_type": "RICE_1"}),
    "rice bytes": (lambda: noise(SHAPE).astype(np.uint8), {"compression_type": "RICE_1"}),
    "hcompress": (lambda: noise(SHAPE).astype(np.int32), {"compression_type": "HCOMPRESS_1", "tile_shape": (33, 45)}),
    "hcompress floats": (lambda: noise(SHAPE), {"compression_type": "HCOMPRESS_1", "tile_shape": (97, 131)}),
    "plio": (lambda: (noise(SHAPE) > 110).astype(np.int32), {"compression_type": "PLIO_1"}),
    "gzip": (lambda: noise(SHAPE), {"compression_type": "GZIP_2"}),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_bytes_are_an_error_or_other_pixels(tmp_path: Path, case: str) -> None:
    """Never the end of the process: zeros, ones and noise in the place of bytes, and tiles cut short."""
    make, compression = DAMAGED[case]
    image = written(tmp_path / "image.fits", make(), **compression)
    place = image.pixels.place
    assert isinstance(place, Tiled)
    whole = (tmp_path / "image.fits").read_bytes()
    first, last = int(place.offsets.min()), int((place.offsets + place.lengths).max())
    random = np.random.default_rng(5)
    told: list[tuple[Path, Damaged]] = []
    for round_ in range(60):
        content, lengths = bytearray(whole), place.lengths
        start = int(random.integers(first, last))
        stop = int(min(last, start + random.integers(1, 2000)))
        match round_ % 4:
            case 0:
                content[start:stop] = bytes(stop - start)
            case 1:
                content[start:stop] = b"\xff" * (stop - start)
            case 2:
                content[start:stop] = random.bytes(stop - start)
            case _:
                lengths = (lengths * random.random(len(lengths))).astype(np.int64)
        path = tmp_path / f"{round_}.fits"
        path.write_bytes(content)
        changed = replace(place, lengths=lengths)
        plane = replace(image.pixels, url=f"file://{path}", place=changed, mtime=path.stat().st_mtime)
        try:
            (pixels,) = PixelFiles().read([Wanted(plane, image.shape, Box(20, 120, 10, 90))])
        except Damaged as error:
            told.append((path, error))
        else:
            assert pixels.shape == (80, 100)
    assert told
    for path, error in told:
        assert "Tile " in error.message
        assert str(path) in error.message
        assert error.advice


@pytest.mark.parametrize("case", ["rice rows", "hcompress", "plio", "gzip"])
def test_a_tile_without_bytes_is_named(tmp_path: Path, case: str) -> None:
    make, compression = DAMAGED[case]
    image = written(tmp_path / "image.fits", make(), **compression)
    lengths = image.pixels.place.lengths.copy()  # type: ignore[union-attr]
    lengths[1] = 0
    plane = replace(image.pixels, place=replace(image.pixels.place, lengths=lengths))
    with pytest.raises(Damaged, match=r"image\.fits.*Tile 2: It has no bytes"):
        PixelFiles().read([Wanted(plane, image.shape, Box(0, 131, 0, 97))])


@pytest.mark.parametrize(
    ("parameters", "says"),
    [({"BLOCKSIZE": 0}, "blocks of 0"), ({"BLOCKSIZE": 1 << 30}, "blocks of"), ({"BYTEPIX": 8}, "8 bytes")],
)
def test_parameters_that_cannot_be(tmp_path: Path, parameters: dict[str, float], says: str) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE), compression_type="RICE_1")
    plane = replace(image.pixels, place=replace(image.pixels.place, parameters=parameters))
    with pytest.raises(Damaged, match=says):
        PixelFiles().read([Wanted(plane, image.shape, Box(0, 131, 0, 97))])


def test_a_tile_larger_than_memory(tmp_path: Path) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE), compression_type="RICE_1", tile_shape=(97, 131))
    plane = replace(image.pixels, place=replace(image.pixels.place, tile=(1 << 20, 1 << 20)))
    with pytest.raises(Damaged, match=r"Tile 1: .* more than can be decoded at once"):
        PixelFiles().read([Wanted(plane, (1 << 20, 1 << 20), Box(0, 5, 0, 5))])


def test_forged_heads(tmp_path: Path) -> None:
    """A size or a count of steps that its tile does not have."""
    for codec, at, value in (
        ("HCOMPRESS_1", 2, b"\x7f\xff\xff\xff"),
        ("HCOMPRESS_1", 22, b"\xff"),
        ("PLIO_1", 6, b"\x7f\xff"),
    ):
        pixels = (noise(SHAPE) > 110).astype(np.int32)
        path = tmp_path / "image.fits"
        image = written(path, pixels, compression_type=codec, tile_shape=(97, 131))
        place = image.pixels.place
        assert isinstance(place, Tiled)
        content = bytearray(path.read_bytes())
        start = int(place.offsets[0]) + at
        content[start : start + len(value)] = value
        path.write_bytes(content)
        with pytest.raises(Damaged, match="Tile 1: "):
            PixelFiles().read(
                [Wanted(replace(image.pixels, mtime=path.stat().st_mtime), image.shape, Box(0, 5, 0, 5))]
            )

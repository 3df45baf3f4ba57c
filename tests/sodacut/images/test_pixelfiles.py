"""What is read for a cut, and how it is told when it cannot be."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fits_images import noise, record, tangent, written

from sodalake.lake.errors import Damaged, FileGone
from sodalake.lake.files import OpenFiles, join, stat
from sodalake.lake.images.records import Plain, Tiled
from sodalake.lake.writing import write_whole
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.pixelfiles import GAP, PIECE, SPAN, PixelFiles, Wanted

SHAPE = (300, 500)
BOXES = (
    Box(0, 500, 0, 300),
    Box(100, 164, 50, 114),
    Box(499, 500, 299, 300),
    Box(0, 1, 0, 300),
    Box(3, 480, 7, 8),
)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_plain(tmp_path: Path, kind: str) -> None:
    pixels = noise(SHAPE).astype(kind)
    path = tmp_path / "image.fits"
    image = written(path, pixels)
    files = PixelFiles()
    for integers in (False, True):
        for box, got in zip(
            BOXES,
            files.read([Wanted(image.pixels, image.shape, box, integers) for box in BOXES]),
            strict=True,
        ):
            np.testing.assert_array_equal(got, pixels[box.y0 : box.y1, box.x0 : box.x1])
            assert got.dtype.isnative
            assert got.dtype.kind == ("f" if not integers or kind[0] == "f" else kind[0])
    files.close()


def test_plain_integers_of_a_scale(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(noise(SHAPE).astype(np.float64), tangent(SHAPE).to_header())
    hdu.data[5:9, 100:110] = -1.0
    hdu.scale("int16", bscale=0.5, bzero=10.0)
    hdu.header["BLANK"] = -22
    path = tmp_path / "image.fits"
    hdu.writeto(path)
    image = record(path)
    (got,) = PixelFiles().read([Wanted(image.pixels, image.shape, Box(90, 200, 0, 20), integers=True)])
    expected = fits.getdata(path)[0:20, 90:200]
    assert np.isnan(expected[5:9, 10:20]).all()
    np.testing.assert_array_equal(got, expected)


def test_few_bytes_of_local_files(tmp_path: Path) -> None:
    """Of wide rows each piece is read for itself, of narrow ones all as one range; tiles as one."""
    wide = written(tmp_path / "wide.fits", noise((200, 3000)))
    narrow = written(tmp_path / "narrow.fits", noise((200, 300)))
    tiled = written(tmp_path / "tiled.fits", noise((200, 3000)), compression_type="RICE_1")
    box = Box(100, 164, 20, 84)
    place = tiled.pixels.place
    assert isinstance(place, Tiled)
    for image, expected in (
        (wide, (64 * 64 * 4, 64)),
        (narrow, ((63 * 300 + 64) * 4, 1)),
        (tiled, (int(place.lengths[20:84].sum()), 1)),
    ):
        files = PixelFiles()
        wanted = [Wanted(image.pixels, image.shape, box)]
        assert files.cost(wanted) == expected
        assert (files.bytes_read, files.reads) == (0, 0)
        files.read(wanted)
        assert (files.bytes_read, files.reads) == expected


def test_few_reads_of_files_far_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 x 64 of an image of 4096 columns, which is 1 MB of rows, in one read; pixel for pixel."""
    image = written(tmp_path / "image.fits", noise((700, 4096)))
    url = image.pixels.url.replace("file://", "memory:/")
    import fsspec

    fsspec.filesystem("memory").pipe(url, (tmp_path / "image.fits").read_bytes())
    far = replace(image.pixels, url=url)  # a file system that does not say when a file was written
    files = PixelFiles()
    box = Box(1000, 1064, 100, 164)
    (got,) = files.read([Wanted(far, image.shape, box)])
    pixels = fits.getdata(tmp_path / "image.fits")
    np.testing.assert_array_equal(got, pixels[100:164, 1000:1064])
    assert files.reads == 1
    assert files.bytes_read == (63 * 4096 + 64) * 4
    # More than a read may have is several, side by side; neighbours share one.
    boxes = [Box(0, 4096, 0, 700), Box(5, 70, 0, 60), Box(500, 600, 61, 90)]
    some = files.cost([Wanted(far, image.shape, box) for box in boxes[1:]])
    assert some == (((89 * 4096 + 600) - 5) * 4, 1)
    for box, one in zip(boxes, files.read([Wanted(far, image.shape, box) for box in boxes]), strict=True):
        np.testing.assert_array_equal(one, pixels[box.y0 : box.y1, box.x0 : box.x1])
    # A large read is several, so that all who read have something to do.
    least = -(-700 * 4096 * 4 // SPAN)
    alone = PixelFiles(parallel=1)
    assert alone.cost([Wanted(far, image.shape, boxes[0])])[1] == least
    assert least < files.cost([Wanted(far, image.shape, boxes[0])])[1] <= 8
    reads = files.reads
    (got,) = files.read([Wanted(far, image.shape, Box(7, 107, 40, 141))])
    np.testing.assert_array_equal(got, pixels[40:141, 7:107])
    assert files.reads - reads == (100 * 4096 + 100) * 4 // PIECE == 3
    assert (
        files.cost(
            [Wanted(far, image.shape, Box(0, 1, 0, 1)), Wanted(far, image.shape, Box(0, 1, 699, 700))]
        )[1]
        == 2
    )
    assert GAP > 4096 * 4
    files.close()


def test_a_tile_of_several_cuts_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.fits"
    image = written(path, noise(SHAPE), compression_type="RICE_1", tile_shape=(64, 64), quantize_method=1)
    random = np.random.default_rng(3)
    corners = random.integers(0, 200, (40, 2)).tolist()
    wanted = [Wanted(image.pixels, image.shape, Box(x, x + 80, y, y + 70)) for x, y in corners]
    wanted += [Wanted(image.pixels, (300, 500), Box(0, 500, 0, 300))]
    files = PixelFiles()
    pixels = fits.getdata(path)
    for one, got in zip(wanted, files.read(wanted), strict=True):
        np.testing.assert_array_equal(got, pixels[one.box.y0 : one.box.y1, one.box.x0 : one.box.x1])
    assert isinstance(image.pixels.place, Tiled)
    assert files.bytes_read == int(image.pixels.place.lengths.sum())


@pytest.mark.parametrize(
    "compression", [{}, {"compression_type": "RICE_1"}, {"compression_type": "HCOMPRESS_1"}]
)
def test_many_images_from_many_threads(tmp_path: Path, compression: dict[str, str]) -> None:
    if compression.get("compression_type") == "HCOMPRESS_1":
        compression = {**compression, "tile_shape": (50, 50)}  # type: ignore[dict-item]
    images = [
        written(tmp_path / f"{number}.fits", noise(SHAPE, number), **compression) for number in range(6)
    ]
    pixels = [np.asarray(fits.getdata(tmp_path / f"{number}.fits")) for number in range(6)]
    files = PixelFiles(open_files=3)
    begin = threading.Barrier(4)

    def read(seed: int) -> bool:
        random = np.random.default_rng(seed)
        begin.wait()
        for _ in range(10):
            chosen = random.integers(0, 6, 5).tolist()
            boxes = [Box(x, x + 50, y, y + 40) for x, y in random.integers(0, 250, (5, 2)).tolist()]
            got = files.read(
                [Wanted(images[n].pixels, SHAPE, box) for n, box in zip(chosen, boxes, strict=True)]
            )
            for number, box, one in zip(chosen, boxes, got, strict=True):
                if not (one == pixels[number][box.y0 : box.y1, box.x0 : box.x1]).all():
                    return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(4)))


def test_nothing_is_nothing() -> None:
    files = PixelFiles()
    assert files.read([]) == []
    assert files.cost([]) == (0, 0)


def test_a_box_beyond_the_image(tmp_path: Path) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE))
    for box in (Box(-1, 5, 0, 5), Box(0, 501, 0, 5), Box(5, 5, 0, 5), Box(0, 5, 299, 301)):
        with pytest.raises(ValueError, match="not inside"):
            PixelFiles().read([Wanted(image.pixels, image.shape, box)])


@pytest.mark.parametrize("compression", [{}, {"compression_type": "RICE_1"}])
def test_files_that_changed(tmp_path: Path, compression: dict[str, str]) -> None:
    path = tmp_path / "image.fits"
    image = written(path, noise(SHAPE), **compression)
    wanted = [Wanted(image.pixels, image.shape, Box(100, 200, 100, 290))]
    with path.open("ab") as file:
        file.write(b"\0" * 2880)
    with pytest.raises(Damaged, match=r"image\.fits changed since its ingest .*Ingest it again"):
        PixelFiles().read(wanted)
    path.unlink()
    with pytest.raises(FileGone, match=r"image\.fits is not there"):
        PixelFiles().read(wanted)


@pytest.mark.parametrize("compression", [{}, {"compression_type": "RICE_1"}])
def test_files_that_changed_and_are_as_long_as_before(tmp_path: Path, compression: dict[str, str]) -> None:
    """Whether they are open or not; one that is opened anew after its ingest is read."""
    path = tmp_path / "image.fits"
    image = written(path, noise(SHAPE), **compression)
    wanted = [Wanted(image.pixels, image.shape, Box(100, 200, 100, 290))]
    files = PixelFiles()
    files.read(wanted)
    path.write_bytes(path.read_bytes()[:5760] + os.urandom(path.stat().st_size - 5760))
    os.utime(path, (1e9, image.pixels.mtime + 1))
    told = r"image\.fits changed since its ingest \(written .*Z then, .*Z now\)\. Ingest it again"
    for held in (files, files, PixelFiles()):
        with pytest.raises(Damaged, match=told):
            held.read(wanted)
    again = written(path, noise(SHAPE, 2), **compression)
    os.utime(path, (1e9, image.pixels.mtime + 2))
    files.read([replace(wanted[0], plane=replace(again.pixels, file=7, mtime=image.pixels.mtime + 2))])
    files.read([replace(wanted[0], plane=replace(again.pixels, mtime=0.0))])  # a record of an older sodalake


def test_a_file_replaced_while_it_is_open_is_the_one_that_was_ingested(tmp_path: Path) -> None:
    path = tmp_path / "image.fits"
    image = written(path, noise(SHAPE, 1))
    wanted = [Wanted(image.pixels, image.shape, Box(0, 20, 0, 20))]
    files = PixelFiles()
    files.read(wanted)
    written(tmp_path / "new.fits", noise(SHAPE, 2))
    os.utime(tmp_path / "new.fits", (1e9, image.pixels.mtime + 1))
    (tmp_path / "new.fits").rename(path)
    np.testing.assert_array_equal(files.read(wanted)[0], noise(SHAPE, 1)[:20, :20])
    with pytest.raises(Damaged, match="changed since its ingest"):
        PixelFiles().read(wanted)


@pytest.mark.parametrize("compression", [{}, {"compression_type": "RICE_1"}])
def test_a_file_cut_short_while_it_is_open(tmp_path: Path, compression: dict[str, str]) -> None:
    path = tmp_path / "image.fits"
    image = written(path, noise((300, 2000)), **compression)
    files = PixelFiles()
    wanted = [Wanted(image.pixels, image.shape, Box(100, 200, 100, 290))]
    files.read(wanted)
    with path.open("r+b") as file:
        file.truncate(200_000)
    os.utime(path, (1e9, image.pixels.mtime))
    with pytest.raises(Damaged, match=r"image\.fits ends too early"):
        files.read(wanted)


def test_versions_of_a_file(tmp_path: Path) -> None:
    """A file written anew has a number of its own in the catalogue, and is opened anew."""
    path = tmp_path / "image.fits"
    one = written(path, noise(SHAPE, 1))
    files = PixelFiles()
    box = Box(0, 20, 0, 20)
    files.read([Wanted(one.pixels, SHAPE, box)])
    new = tmp_path / "new.fits"
    written(new, noise(SHAPE, 2))
    new.rename(path)
    other = replace(record(path).pixels, file=7)
    (got,) = files.read([Wanted(other, SHAPE, box)])
    np.testing.assert_array_equal(got, noise(SHAPE, 2)[:20, :20])


def test_pieces_are_announced(tmp_path: Path) -> None:
    """Where rows are read one by one, the disk is told of all of them first."""
    image = written(tmp_path / "image.fits", noise((100, 3000)))
    files = OpenFiles()
    source = files.get(1, image.pixels.url)
    place = image.pixels.place
    assert isinstance(place, Plain)
    source.expect(place.offset, 3000 * 4 * 100)
    assert len(source.read_at(place.offset, 400)) == 400
    source.expect(place.offset, 1 << 40)  # more than there is does no harm


@pytest.mark.cluster
@pytest.mark.parametrize("compression", [{}, {"compression_type": "RICE_1", "quantize_method": 1}])
def test_one_read_of_hdfs(tmp_path: Path, hdfs_url: str, compression: dict[str, str]) -> None:
    """64 x 64 of rows of 4096: one read, and of compressed rows 0.3 MB at most."""
    path = tmp_path / "image.fits"
    image = written(path, noise((600, 4096)), **compression)
    url = join(hdfs_url, "image.fits")
    write_whole(url, path.read_bytes())
    there = replace(image.pixels, url=url, mtime=stat(url).mtime)
    files = PixelFiles()
    (got,) = files.read([Wanted(there, image.shape, Box(2000, 2064, 300, 364))])
    pixels = np.asarray(fits.getdata(path))
    np.testing.assert_array_equal(got, pixels[300:364, 2000:2064])
    assert files.reads == 1
    assert files.bytes_read <= (300_000 if compression else 64 * 4096 * 4)
    # And many at once, side by side.
    boxes = [
        Box(x, x + 90, y, y + 80) for x, y in np.random.default_rng(1).integers(0, 500, (50, 2)).tolist()
    ]
    for box, one in zip(boxes, files.read([Wanted(there, image.shape, box) for box in boxes]), strict=True):
        np.testing.assert_array_equal(one, pixels[box.y0 : box.y1, box.x0 : box.x1])
    files.close()
    # One that was made anew is as long as before.
    content = path.read_bytes()
    write_whole(url, content[:5760] + bytes(len(content) - 5760))
    with pytest.raises(Damaged, match=r"changed since its ingest \(written"):
        PixelFiles().read([Wanted(there, image.shape, boxes[0])])

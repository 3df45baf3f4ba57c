"""Stored bytes to pixels: equal to astropy's where astropy reads them, and never anything but pixels or Damaged."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged
from sodalake.sodacut.stampfits import image_of, pixels_of, plain_image, read_image, unpacked, walk

Maker = Callable[..., bytes]


def _file(*hdus: Any) -> bytes:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out)
    return out.getvalue()


def _with_card(data: bytes, keyword: str, value: str) -> bytes:
    place = data.index(keyword.ljust(8).encode())
    return data[:place] + f"{keyword:<8}= {value:>20}".ljust(80).encode() + data[place + 80 :]


@pytest.mark.parametrize("which", ["ztf_alerts", "lsst_alerts"])
def test_real_stamps_are_what_astropy_reads(which: str, request: pytest.FixtureRequest) -> None:
    alerts: list[AlertStamps] = request.getfixturevalue(which)
    seen = 0
    for alert in alerts:
        for stored in alert.stamps.values():
            data = gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored
            assert unpacked(stored) == data
            ours = walk(data)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # ZTF's displaced SIMPLE
                theirs = fits.open(io.BytesIO(data), ignore_missing_simple=True, lazy_load_hdus=False)
            assert len(ours) == len(theirs)
            assert ours[-1].stop == len(data)
            for hdu, other in zip(ours, theirs, strict=True):
                pixels = pixels_of(data, hdu)
                assert pixels.dtype.isnative
                assert pixels.shape == other.data.shape
                assert pixels.tobytes() == other.data.astype(other.data.dtype.newbyteorder("=")).tobytes()
                seen += 1
    assert seen >= 300


def test_a_stamp_as_ztf_writes_it(ztf_stamp: Maker) -> None:
    pixels = read_image(ztf_stamp(58, 63))
    assert pixels.shape == (58, 63)
    assert pixels.dtype == np.float32
    assert np.isnan(pixels[:, :3]).all()
    assert np.isfinite(pixels[:, 3:]).all()


def test_a_stamp_as_rubin_writes_it(rubin_stamp: Maker) -> None:
    data = rubin_stamp(30, 33, psf=55)
    hdus = walk(data)
    assert [hdu.name for hdu in hdus] == ["", "UNCERT", "PSFIMAGE"]
    assert [hdu.shape for hdu in hdus] == [(30, 33), (30, 33), (55, 55)]
    assert image_of(hdus).unit == "nJy"
    assert pixels_of(data, hdus[2]).dtype == np.float64


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64]
)
def test_every_data_type_is_scaled_as_astropy_scales_it(dtype: type[np.generic]) -> None:
    values = np.array([[0, 1, 2], [3, 100, 127]], dtype)
    data = _file(fits.PrimaryHDU(values))
    pixels = read_image(data)
    assert pixels.dtype.kind == "f"
    np.testing.assert_array_equal(pixels, values.astype(np.float64))


def test_scale_zero_and_blank() -> None:
    hdu = fits.PrimaryHDU(np.array([[1, 2], [3, -999]], np.int16))
    hdu.header.update(BSCALE=0.5, BZERO=10.0, BLANK=-999)
    out = io.BytesIO()
    hdu.writeto(out, output_verify="ignore")
    raw = walk(out.getvalue())[0]
    assert (raw.scale, raw.zero, raw.blank) == (0.5, 10.0, -999)
    np.testing.assert_array_equal(read_image(out.getvalue()), [[10.5, 11.0], [11.5, np.nan]])


def test_the_image_may_stand_behind_an_empty_primary_and_a_table() -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("a", "PJ()", array=np.array([[1], [2, 3]], object))])
    data = _file(fits.PrimaryHDU(), table, fits.ImageHDU(np.ones((2, 3), np.float32), name="SCI"))
    assert [hdu.extension for hdu in walk(data)] == ["", "BINTABLE", "IMAGE"]
    assert image_of(walk(data)).name == "SCI"
    assert read_image(data).shape == (2, 3)


def test_axes_of_length_one_do_no_harm() -> None:
    assert read_image(_file(fits.PrimaryHDU(np.ones((1, 4, 5), np.float32)))).shape == (4, 5)
    with pytest.raises(Damaged, match="no image"):
        read_image(_file(fits.PrimaryHDU(np.ones((2, 4, 5), np.float32))))


def test_missing_padding_and_bytes_behind_the_end_are_tolerated(rubin_stamp: Maker) -> None:
    data = rubin_stamp()
    last = walk(data)[-1]
    for changed in (data[: last.data_end], data + b"rubbish", data + bytes(1000)):
        hdus = walk(changed)
        assert len(hdus) == 3
        np.testing.assert_array_equal(pixels_of(changed, hdus[2]), pixels_of(data, last))
    with pytest.raises(Damaged, match="HDU 2 says it has"):
        walk(data[: last.data_end - 1])


def test_end_in_a_comment_is_not_the_end() -> None:
    hdu = fits.PrimaryHDU(np.ones((2, 2), np.float32))
    hdu.header["COMMENT"] = "END     of the comment"
    assert read_image(_file(hdu)).shape == (2, 2)


@pytest.mark.parametrize(
    ("keyword", "value", "sentence"),
    [
        ("NAXIS1", "1000000000", "says it has 164000000000 bytes"),
        ("NAXIS1", "999999999999999999", "bytes of data"),
        ("NAXIS1", "-41", "cannot be"),
        ("NAXIS1", "0", "no image"),
        ("NAXIS1", "4.1E1", "no integer"),
        ("NAXIS1", "9" * 40, "no integer"),
        ("NAXIS", "1", "no image"),
        ("NAXIS", "3", "has no NAXIS3"),
        ("NAXIS", "1000", "cannot be"),
        ("BITPIX", "-31", "no FITS data type"),
        ("BITPIX", "", "no integer"),
    ],
)  # fmt: skip
def test_impossible_headers_are_damaged(rubin_stamp: Maker, keyword: str, value: str, sentence: str) -> None:
    broken = _with_card(rubin_stamp(), keyword, value)
    with pytest.raises(Damaged, match=sentence):
        read_image(broken)


def test_many_axes_of_great_length_are_damaged() -> None:
    cards = ["SIMPLE  =  T", "BITPIX  =  -64", "NAXIS   =  999"]
    cards += [f"NAXIS{n + 1:<3}=  {10**18 - 1}" for n in range(999)] + ["END"]
    data = "".join(card.ljust(80) for card in cards).encode()
    with pytest.raises(Damaged, match="999 axes"):
        walk(data.ljust(-(-len(data) // 2880) * 2880))


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        (b"", "no bytes"),
        (b"PAR1 this is something else", "not FITS"),
        (b"SIMPLE  =  T".ljust(2880), "no END"),
        (b"SIMPLE  =  T".ljust(80) + b"END".ljust(80), "no BITPIX"),
        (gzip.compress(b"", mtime=0), "not FITS"),
        (gzip.compress(b"nothing", mtime=0), "not FITS"),
        (b"\x1f\x8b", "ends too soon"),
    ],
)
def test_what_is_no_stamp_is_damaged(stored: bytes, sentence: str) -> None:
    with pytest.raises(Damaged, match=sentence):
        read_image(stored)


@pytest.mark.parametrize("value", ["1E999", "NAN", "'x'"])
def test_a_scale_that_is_no_number_is_damaged(value: str) -> None:
    hdu = fits.PrimaryHDU(np.ones((2, 2), np.float32))
    hdu.header["BSCALE"] = 3.0
    out = io.BytesIO()
    hdu.writeto(out)
    with pytest.raises(Damaged, match="BSCALE"):
        read_image(_with_card(out.getvalue(), "BSCALE", value))


@pytest.mark.parametrize("length", [100, 2880, 2881, 9000, -1])
def test_a_truncated_stamp_is_damaged(ztf_stamp: Maker, length: int) -> None:
    data = gzip.decompress(ztf_stamp())
    whole = 2880 + 63 * 63 * 4
    with pytest.raises(Damaged):
        read_image(data[: whole - 1 if length < 0 else length])
    with pytest.raises(Damaged):
        read_image(ztf_stamp()[: length if length > 0 else -1])


def test_a_plain_image_is_seen_where_it_lies(ztf_stamp: Maker, rubin_stamp: Maker) -> None:
    for data in (gzip.decompress(ztf_stamp()), rubin_stamp()):
        buffer = np.frombuffer(data, np.uint8)
        view = plain_image(buffer, len(data))
        assert view is not None
        assert view.base is not None
        np.testing.assert_array_equal(view, read_image(data))
        assert plain_image(buffer, 2880 + 100) is None
        assert plain_image(buffer, 100) is None
    scaled = _file(fits.PrimaryHDU(np.ones((2, 2), np.int16)))
    assert plain_image(np.frombuffer(scaled, np.uint8), len(scaled)) is None


@st.composite
def _mutation(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    kind = draw(st.sampled_from(["flip", "cut", "insert", "card", "repeat"]))
    place = draw(st.floats(0, 1, exclude_max=True))
    some = draw(st.binary(min_size=1, max_size=12))
    keyword = draw(
        st.sampled_from(
            ["BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "BSCALE", "BLANK", "EXTNAME", "END"]
        )
    )
    value = draw(
        st.one_of(st.integers(-(10**20), 10**20).map(str), st.text(" '/=.-+E0123456789abT", max_size=60))
    )

    def apply(data: bytes) -> bytes:
        at = int(place * len(data))
        if kind == "flip":
            return data[:at] + some + data[at + len(some) :]
        if kind == "cut":
            return data[:at]
        if kind == "insert":
            return data[:at] + some + data[at:]
        if kind == "repeat":
            return data[:at] + data[at // 2 :]
        at = at // 80 % 24 * 80
        return data[:at] + f"{keyword:<8}= {value}".encode().ljust(80)[:80] + data[at + 80 :]

    return apply


def _pixels_or_damaged(stored: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            pixels = read_image(stored)
        except Damaged:
            return
    assert pixels.ndim == 2
    assert pixels.size > 0
    assert pixels.dtype in (np.float32, np.float64)
    assert pixels.nbytes <= 8 * len(unpacked(stored))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_mutation(), min_size=1, max_size=4))
def test_a_changed_rubin_stamp_is_pixels_or_damaged(
    rubin_stamp: Maker, changes: list[Callable[[bytes], bytes]]
) -> None:
    data = rubin_stamp()
    for change in changes:
        data = change(data)
    _pixels_or_damaged(data)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_mutation(), min_size=1, max_size=4), st.booleans())
def test_a_changed_ztf_stamp_is_pixels_or_damaged(
    ztf_stamp: Maker, changes: list[Callable[[bytes], bytes]], inside: bool
) -> None:
    data = gzip.decompress(ztf_stamp()) if inside else ztf_stamp()
    for change in changes:
        data = change(data)
    _pixels_or_damaged(gzip.compress(data, 1) if inside else data)

"""Several bands in one FITS file, as astropy reads it."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from astropy.io import fits

from sodalake.sodacut.images.extensions import of_bands


def written(*hdus: object) -> bytes:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out)
    return out.getvalue()


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.uint16, np.uint8])
def test_headers_and_pixels_are_as_they_were(kind: type) -> None:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 200, (7, 5)).astype(kind) for _ in range(2)]
    header = fits.Header()
    header["CRVAL1"], header["OBSERVER"] = (150.5, "[deg] there"), "O'Neill"
    header["LONGTEXT"] = "x" * 150
    header["COMMENT"] = "as it was"
    files = [
        (
            band,
            written(
                fits.PrimaryHDU(image, header),
                fits.ImageHDU(np.ones((7, 5), np.float32), fits.Header([("CRVAL1", 1.5)]), name="WEIGHT"),
            ),
        )
        for band, image in zip("gr", images, strict=True)
    ]
    whole = of_bands([("CUTRA", 150.123456789012, "[deg]"), ("BANDS", "g,r", "an extension each")], files)
    assert len(whole) % 2880 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(io.BytesIO(whole)) as file:
            file.verify("exception")
            assert [hdu.name for hdu in file] == ["PRIMARY", "G", "G_WEIGHT", "R", "R_WEIGHT"]
            assert file[0].data is None
            assert (file[0].header["CUTRA"], file[0].header["BANDS"]) == (150.123456789012, "g,r")
            for hdu, image in zip((file[1], file[3]), images, strict=True):
                assert hdu.data.dtype.newbyteorder("=") == image.dtype
                assert np.array_equal(hdu.data, image)
                assert hdu.header["OBSERVER"] == "O'Neill"
                assert hdu.header["LONGTEXT"] == "x" * 150
                assert list(hdu.header["COMMENT"]) == ["as it was"]
                assert hdu.header.comments["CRVAL1"] == "[deg] there"
            assert file[2].header["CRVAL1"] == 1.5

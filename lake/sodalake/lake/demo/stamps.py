"""Science, template, difference: the three stamps of an alert, as arrays.

The *science* image is the sky of that moment with its own seeing; the *template* an old, deep, sharper one; the
*difference* is science less the template brought to the science image's seeing. That last step is never
perfect: a few hundredths of a pixel in position and a percent in width, which is why bright stars leave
dipoles and rings. Some stamps lie at the end of a chip (NaN beyond it, or a smaller stamp), some cover a
saturated star (a block of NaN), and some alerts have lost one of the three.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sodalake.lake.demo.photometry import Alert, Instrument
from sodalake.lake.demo.population import Edge, Kind
from sodalake.lake.demo.scenes import Blobs, Image, Pixels, PointSpread, render

__all__ = ["Studio", "Triplet"]


@dataclass(frozen=True)
class Triplet:
    """The pixels of an alert: (rows, columns) float32, the survey's unit.

    Attributes
    ----------
    science, template, difference
        None where the alert has no such stamp.
    science_variance, template_variance
        Variances of science and template, unit².
    spread, template_spread
        Point spread functions.
    centre
        Where the source is: pixel x, y from 0.
    """

    science: Image | None
    template: Image | None
    difference: Image | None
    science_variance: Image
    template_variance: Image
    spread: PointSpread
    template_spread: PointSpread
    centre: tuple[float, float]


class Studio:
    """Takes the pictures. One for a survey; safe to use from several threads.

    Parameters
    ----------
    seed
        Of the whole demo.
    instrument
        The camera.
    """

    def __init__(self, seed: int, instrument: Instrument) -> None:
        self._seed = seed
        self._instrument = instrument
        self._grain: dict[tuple[int, str], Image] = {}
        self._lock = threading.Lock()

    def take(self, alert: Alert, size: int) -> Triplet:
        """Return the triplet of `alert`, `size` pixels wide and high (less at the end of a chip)."""
        instrument, visit, thing = self._instrument, alert.visit, alert.sky_object
        rng = np.random.default_rng([self._seed, 4, instrument.number, thing.number, visit.number])
        pixels = Pixels(instrument.scale, visit.rotation)
        counts = visit.counts_per_njy
        spread = PointSpread.of(visit.seeing / instrument.scale, visit.stretch, visit.angle)
        spread_template = PointSpread.of(instrument.template_fwhm / instrument.scale, 1.04, 0.4)

        phase = np.random.default_rng([self._seed, 5, instrument.number, thing.number]).uniform(-0.5, 0.5, 2)
        wobble = phase + rng.normal(0.0, 0.06, 2)
        middle = (size - 1) / 2.0 if size % 2 else size / 2.0
        centre = (middle + float(wobble[0]), middle + float(wobble[1]))

        scene = Blobs.stars(alert.stars, visit.band, pixels)
        if thing.host is not None:
            scene += Blobs.galaxy(thing.host, visit.band, pixels)
        steady = 0.0 if thing.kind is Kind.ASTEROID else thing.light.reference(visit.band)
        before = scene + Blobs.points(0.0, 0.0, steady)
        shape = (size, size)

        past = render(before, spread, shape, centre) * np.float32(counts)
        change = self._source(alert, pixels) + Blobs.points(0.0, 0.0, -steady)
        science = past + render(change, spread, shape, centre) * np.float32(counts)
        slip = rng.normal(0.0, 0.035 / instrument.scale * visit.seeing / 2.0, 2)
        matched = _mismatched(past, slip, spread, rng.normal(0.0, 0.008))
        template = render(before, spread_template, shape, centre) * np.float32(counts)

        variance = np.float32(visit.noise**2) + science / np.float32(instrument.gain)
        noise = rng.standard_normal(shape, dtype=np.float32) * np.sqrt(variance)
        grain_size = instrument.template_noise * visit.noise
        grain = self._template_grain(alert, size) * np.float32(grain_size)
        mask = _mask(alert, size, science, instrument.saturation)
        if thing.kind is Kind.BOGUS:
            science = science + _artefact(rng, alert, size, counts, spread)
        clean = science + noise
        difference = clean - matched - grain
        sky = np.float32(visit.sky)
        template_variance = np.float32(grain_size**2) + template * np.float32(0.02)
        planes: list[Image | None] = [clean + sky, template + grain + sky * np.float32(0.995), difference]
        cut = _cut(thing.edge, size)
        for at, plane in enumerate(planes):
            assert plane is not None
            plane[mask] = np.nan
            planes[at] = np.ascontiguousarray(plane[cut])
        if rng.random() < 0.006:
            planes[int(rng.integers(3))] = None
        left, low = cut[1].start or 0, cut[0].start or 0
        return Triplet(
            science=planes[0],
            template=planes[1],
            difference=planes[2],
            science_variance=np.ascontiguousarray(variance[cut]),
            template_variance=np.ascontiguousarray(template_variance[cut]),
            spread=spread,
            template_spread=spread_template,
            centre=(centre[0] - left, centre[1] - low),
        )

    def _source(self, alert: Alert, pixels: Pixels) -> Blobs:
        """The object itself: a point, or a short trail for what moves."""
        thing = alert.sky_object
        flux = alert.total if thing.kind is not Kind.BOGUS else thing.light.reference(alert.visit.band)
        if thing.kind is not Kind.ASTEROID:
            return Blobs.points(0.0, 0.0, flux)
        seconds = 30.0
        steps = np.linspace(-0.5, 0.5, 5) * seconds / 86400.0 * 3600.0
        x, y = pixels.place(steps * thing.motion[0], steps * thing.motion[1])
        return Blobs.points(x, y, np.full(5, flux / 5.0))

    def _template_grain(self, alert: Alert, size: int) -> Image:
        """The template's noise (scatter 1): the same in all alerts of an object in a band, as it is one image."""
        thing = alert.sky_object
        key = (thing.number, alert.visit.band)
        if thing.kind is Kind.ASTEROID:
            return self._draw_grain([*map(ord, alert.visit.band), thing.number, alert.visit.number], size)
        with self._lock:
            grain = self._grain.get(key)
        if grain is None:
            grain = self._draw_grain([*map(ord, alert.visit.band), thing.number], 72)
            with self._lock:
                self._grain[key] = grain
        start = (grain.shape[0] - size) // 2
        return grain[start : start + size, start : start + size]

    def _draw_grain(self, entropy: list[int], size: int) -> Image:
        rng = np.random.default_rng([self._seed, 6, self._instrument.number, *entropy])
        white = rng.standard_normal((size + 2, size + 2), dtype=np.float32)
        # co-added images are resampled, so that neighbours share their noise
        side = np.float32(self._instrument.template_blur)
        rows = side * (white[:-2] + white[2:]) + white[1:-1]
        both = side * (rows[:, :-2] + rows[:, 2:]) + rows[:, 1:-1]
        return np.asarray(both / np.float32(1.0 + 2.0 * side**2), dtype=np.float32)


def _mismatched(image: Image, slip: npt.NDArray[np.float64], spread: PointSpread, wider: float) -> Image:
    """Return `image` a little moved (`slip`, pixels) and a little `wider` (a fraction of its seeing).

    To first order: a Gaussian grows as heat spreads, so d(image)/d(ln sigma) is sigma² times its Laplacian.
    """
    down, across = np.gradient(image)
    laplace = -4.0 * image
    laplace[1:] += image[:-1]
    laplace[:-1] += image[1:]
    laplace[:, 1:] += image[:, :-1]
    laplace[:, :-1] += image[:, 1:]
    laplace[[0, -1]] = laplace[:, [0, -1]] = 0.0
    growth = np.float32(wider * (spread.xx + spread.yy) / 2.0)
    return np.asarray(image + np.float32(slip[0]) * across + np.float32(slip[1]) * down + growth * laplace)


def _mask(alert: Alert, size: int, science: Image, saturation: float) -> npt.NDArray[np.bool_]:
    """Pixels without a value: beyond the chip, and around saturated stars."""
    mask = np.zeros((size, size), dtype=bool)
    edge = alert.sky_object.edge
    if edge is not None and not edge.cropped:
        along = np.arange(size)
        ragged = np.random.default_rng([alert.sky_object.number, edge.distance]).integers(0, 2, size)
        border = edge.distance + np.round(edge.slant * (along - size / 2)).astype(int) + ragged
        beyond = np.arange(size)[None, :] > (size // 2 + border)[:, None]  # row: along the edge
        mask |= {0: beyond[:, ::-1], 1: beyond, 2: beyond.T[::-1], 3: beyond.T}[edge.side]
    if float(science.max()) > saturation:
        row, column = np.unravel_index(int(science.argmax()), science.shape)
        if abs(int(row) - size // 2) > 8 or abs(int(column) - size // 2) > 8:
            mask[max(0, row - 5) : row + 6, max(0, column - 5) : column + 6] = True
    return mask


def _cut(edge: Edge | None, size: int) -> tuple[slice, slice]:
    """Rows and columns that are left of a stamp at the end of a chip."""
    if edge is None or not edge.cropped or edge.distance >= size // 2:
        return slice(0, size), slice(0, size)
    keep = size // 2 + 1 + edge.distance
    return {
        0: (slice(0, size), slice(size - keep, size)),
        1: (slice(0, size), slice(0, keep)),
        2: (slice(size - keep, size), slice(0, size)),
        3: (slice(0, keep), slice(0, size)),
    }[edge.side]


def _artefact(rng: np.random.Generator, alert: Alert, size: int, counts: float, spread: PointSpread) -> Image:
    """What is no star: a particle's track, a satellite's trail, a hot column, or a dipole."""
    light = np.float32(alert.flux * counts)
    middle = size // 2
    image = np.zeros((size, size), dtype=np.float32)
    match int(rng.integers(4)):
        case 0:
            length, turn = int(rng.integers(2, 14)), rng.uniform(0.0, np.pi)
            for step in range(length):
                row = middle + round((step - length / 2) * float(np.sin(turn)))
                column = middle + round((step - length / 2) * float(np.cos(turn)))
                image[row, column] += abs(light) / length
        case 1:
            turn = rng.uniform(0.0, np.pi)
            steps = np.linspace(-size, size, 4 * size)
            trail = Blobs.points(
                steps * np.cos(turn), steps * np.sin(turn), np.full(len(steps), abs(alert.flux) / 12.0)
            )
            image += render(trail, spread, (size, size), (middle, middle)) * np.float32(counts)
        case 2:
            image[:, middle] += light / 14
        case _:
            pair = render(
                Blobs.points([-0.7, 0.7], [0.4, -0.4], [4.0 * abs(alert.flux)] * 2),
                spread,
                (size, size),
                (middle, middle),
            )
            sign = np.sign(np.arange(size) - middle).astype(np.float32)
            image += pair * sign * np.float32(counts)
    return image

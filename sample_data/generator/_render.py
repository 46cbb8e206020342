"""From the plan of a scene to reflectance: materials, light, optics and noise.

Images are (band, row, col).
"""

from __future__ import annotations

import numpy as np
import shapely
from _plan import Plan
from _recipes import (
    ASPHALT,
    CROPS,
    DRY_GRASS,
    GRASS,
    GRAVEL,
    QUANTUM,
    RED_SOIL,
    ROOF_SPECTRA,
    SCALE,
    TREE_SPECTRA,
    UNDERSTORY,
    WATER_DEEP,
    WATER_SHALLOW,
    Recipe,
    Spectrum,
    stream,
)
from _relief import FINE, STEP_M, Relief, make_relief, sunlight
from _village import Village
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

# diffuse light relative to sun plus sky: shadows are blue
SKY = np.array([0.30, 0.23, 0.19, 0.14], np.float32)
THROUGH_LEAVES = 0.18  # light scattered within crowns, relative to the sun: their dark side is no shadow


def burn(areas: list[BaseGeometry], size: int) -> np.ndarray:
    """Which area each fine pixel's centre lies in; -1 for none."""
    shapes = [(area, number) for number, area in enumerate(areas) if not area.is_empty]
    if not shapes:
        return np.full((size, size), -1, np.int32)
    return rasterize(shapes, (size, size), fill=-1, transform=Affine.scale(STEP_M), dtype="int32")


def cloud(rng: np.random.Generator, size: int, slope: float, longest_m: float = 200.0) -> np.ndarray:
    """Noise with amplitude ~ 1 / frequency**slope up to waves of `longest_m`; zero mean, unit deviation."""
    rows, cols = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    frequency = np.maximum(np.hypot(rows, cols), STEP_M / longest_m)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) / frequency**slope, (size, size))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def mix(first: Spectrum, second: Spectrum, share: np.ndarray) -> np.ndarray:
    """Linear mixture of two spectra; `share` (row, col) of the second, clipped to 0..1. (band, row, col)."""
    a, b = (np.array(s, np.float32)[:, None, None] for s in (first, second))
    return a + (b - a) * np.clip(share, 0, 1)


class Painter:
    """Paints one scene layer by layer, later layers over earlier ones."""

    def __init__(self, recipe: Recipe, plan: Plan, village: Village, seed: int) -> None:
        self.recipe, self.plan, self.village = recipe, plan, village
        self.rng = stream(seed, recipe, "paint")
        self.size = recipe.size_px * FINE
        self.y, self.x = (np.mgrid[: self.size, : self.size].astype(np.float32) + 0.5) * STEP_M
        self.broad = cloud(self.rng, self.size, 1.7)
        self.patchy = cloud(self.rng, self.size, 1.1, 60)
        self.fine = cloud(self.rng, self.size, 0.4, 8)
        dry = 2.2 * (recipe.dryness - 0.5) + 0.5 + 0.22 * self.broad + 0.16 * self.patchy + 0.08 * self.fine
        self.image = mix(GRASS, DRY_GRASS, dry) * (1 + 0.09 * self.patchy + 0.07 * self.fine)

    def cover(self, where: np.ndarray, spectra: np.ndarray) -> None:
        """Replace the pixels `where` (row, col) by `spectra` (band, row, col)."""
        np.copyto(self.image, spectra, where=where)

    def fields(self, fields: list[BaseGeometry]) -> None:
        """Crops in rows on uneven soil, with tramlines; each field at its own stage."""
        number = burn(fields, self.size)
        names, shares = list(self.recipe.crops), np.array(list(self.recipe.crops.values()))
        crops = self.rng.choice(len(names), len(fields), p=shares / shares.sum())
        angles = self.rng.normal(0.38, 0.12, len(fields)) + np.pi / 2 * (self.rng.random(len(fields)) < 0.25)
        draws = self.rng.uniform(0, 1, (len(fields), 5))
        for field_id, area in enumerate(ndimage.find_objects(number + 1, len(fields))):
            if area is not None:
                crop = CROPS[names[crops[field_id]]]
                inside = number[area] == field_id
                spectra = self.one_field(area, crop, angles[field_id], draws[field_id])
                np.copyto(self.image[:, *area], spectra, where=inside)

    def one_field(
        self, area: tuple[slice, slice], crop: tuple[Spectrum, float], angle: float, draw: np.ndarray
    ) -> np.ndarray:
        """The pixels of one field, (band, row, col); `draw` are five numbers 0..1: stage, brightness, rows,
        phase, soil.
        """
        spectrum, ground_cover = crop
        across = -self.x[area] * np.sin(angle) + self.y[area] * np.cos(angle)
        rows = np.cos(2 * np.pi * across / (2.6 + 1.6 * draw[2]) + 6 * draw[3] + 0.25 * self.patchy[area])
        tram = np.abs((across + 20 * draw[3]) % 20 - 10) < 0.8
        vegetation = (
            ground_cover * (0.75 + 0.4 * draw[0]) + 0.09 * self.broad[area] + 0.07 * self.patchy[area]
        )
        vegetation = (
            vegetation
            + (0.09 if 0.1 < ground_cover < 0.88 else 0.04) * rows
            - 0.3 * tram * (ground_cover > 0.3)
        )
        bright = (0.75 + 0.75 * draw[1]) * (
            1 + 0.12 * self.broad[area] + 0.06 * self.patchy[area] + 0.05 * rows
        )
        soil = mix(self.recipe.soil, RED_SOIL, draw[4] + 0.1 * self.patchy[area]) * bright
        plants = mix(spectrum, spectrum, 0 * vegetation) * (0.9 + 0.25 * draw[1])
        share = np.clip(vegetation, 0, 1)
        return (soil + (plants - soil) * share) * (1 + 0.05 * self.fine[area])

    def water(self) -> None:
        """Turbid at the banks, dark in the middle, with glint and streaks."""
        inside = burn([self.plan.water], self.size) == 0
        depth = ndimage.distance_transform_edt(inside) * STEP_M
        shallow = np.exp(-depth / 4.0) * 1.1 + 0.2 * self.broad + 0.1 * self.patchy
        ripple = np.clip(cloud(self.rng, self.size, 0.25, 5) - 1.3, 0, 2) * np.clip(self.broad + 0.6, 0, 2)
        self.cover(inside, mix(WATER_DEEP, WATER_SHALLOW, shallow) * (1 + 0.06 * self.fine) + 0.03 * ripple)

    def roads(self) -> None:
        """Tracks first, then asphalt of different age over them, with edges, wheel ruts and centre lines."""
        for road, line in sorted(self.plan.roads, key=lambda pair: pair[0].paved):
            inside = burn([line.buffer(road.width / 2, cap_style="flat")], self.size) == 0
            middle = ndimage.distance_transform_edt(burn([line.buffer(0.3)], self.size) < 0) * STEP_M
            tint = self.rng.uniform(0.72, 1.45)
            texture = 1 + 0.07 * self.patchy + 0.06 * self.fine
            if road.paved:
                spectra = mix(ASPHALT, GRAVEL, 0.12 + 0.12 * self.broad) * tint * texture
                spectra = spectra + 0.14 * (
                    (middle < 0.1) & (road.width > 6) & (np.sin(self.x + self.y) > -0.2)
                )
            else:
                green = np.clip(0.75 - middle / 0.6, 0, 0.6) + 0.1 * self.patchy
                spectra = mix(GRAVEL, GRASS, green) * (0.85 + 0.3 * tint) * texture
            self.cover(inside, spectra)
        for drive in self.village.drives:
            kind, tint = self.rng.uniform(0, 1), self.rng.uniform(0.75, 1.3)
            spectra = mix(ASPHALT, GRAVEL, kind + 0.1 * self.patchy) * tint * (1 + 0.06 * self.fine)
            self.cover(burn([drive], self.size) == 0, spectra)

    def roofs(self, relief: Relief) -> None:
        """Tiles with courses, metal with seams, flat roofs with gravel patches; moss and ageing on all; cars
        too.
        """
        for number, building in enumerate(self.village.buildings):
            wing = building.wings[0]
            area = window_of(building.outline, self.size)
            along = (self.x[area] - wing.x) * np.cos(wing.angle) + (self.y[area] - wing.y) * np.sin(
                wing.angle
            )
            seams = 1 + {"tile": 0.03, "metal": 0.07, "flat": 0.0}[building.roof] * np.sign(
                np.sin(2 * np.pi * along / 2.2)
            )
            wear = seams * (1 + 0.08 * self.patchy[area] + 0.07 * self.fine[area])
            spectrum = ROOF_SPECTRA[building.roof][building.variant]
            spectra = mix(spectrum, spectrum, 0 * wear) * wear * building.tint
            lights = (
                (np.abs(along % 6 - 3) < 0.7)
                & (np.abs(self.y[area] - wing.y) < 0.8)
                & (building.roof == "flat")
            )
            np.copyto(self.image[:, *area], spectra + 0.12 * lights, where=relief.roof[area] == number)
        for number in range(
            len(self.village.buildings), len(self.village.buildings) + len(self.village.cars)
        ):
            paint = self.rng.choice([0.03, 0.06, 0.18, 0.4]) * self.rng.uniform(0.8, 1.2, 4).astype(
                np.float32
            )
            self.cover(relief.roof == number, np.broadcast_to(paint[:, None, None], self.image.shape))

    def crowns(self, relief: Relief, crowns: list) -> None:
        """Leaves: one colour a tree, clumps within it; dark ground between the trees of the woods."""
        floor = burn([self.plan.woods], self.size) == 0
        self.cover(floor, mix(UNDERSTORY, GRASS, 0.15 * self.patchy) * (1 + 0.1 * self.fine))
        table = np.array(
            [np.array(TREE_SPECTRA[c.species]) * np.clip(c.tint, 0.7, 1.35) for c in crowns], np.float32
        )
        clumps = 1 + 0.16 * self.fine + 0.05 * self.patchy
        self.cover(relief.crown >= 0, np.moveaxis(table[relief.crown], -1, 0) * clumps)

    def lit(self, relief: Relief) -> np.ndarray:
        """Reflectance as seen under this sun: direct light, shadows, blue sky, leaf clumps turned to and from
        the sun.
        """
        leaves = relief.crown >= 0
        for slope, axis in ((relief.slope_x, 1), (relief.slope_y, 0)):
            slope += np.where(
                leaves, 0.35 * np.gradient(ndimage.gaussian_filter(self.fine, 1.2), axis=axis) * 3, 0
            )
        direct = sunlight(relief, self.recipe.sun_azimuth_deg, self.recipe.sun_elevation_deg)
        direct = direct + THROUGH_LEAVES * leaves
        sky = SKY[:, None, None]
        return self.image * (direct * (1 - sky) + sky) * (1 + 0.03 * self.broad)


def window_of(outline: BaseGeometry, size: int) -> tuple[slice, slice]:
    """The fine rows and columns that an outline spans."""
    x0, y0, x1, y1 = (int(v / STEP_M) for v in outline.bounds)
    return slice(max(y0 - 1, 0), min(y1 + 2, size)), slice(max(x0 - 1, 0), min(x1 + 2, size))


def render(
    recipe: Recipe, plan: Plan, village: Village, fields: list[BaseGeometry], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The scene as digital numbers, (4, size_px, size_px) uint16, 0 only outside the footprint; and the
    height of what stands on the ground, (size_px, size_px) float32 in metres, NaN there.
    """
    painter = Painter(recipe, plan, village, seed)
    crowns = [*plan.forest, *village.trees]
    relief = make_relief(recipe.size_px, crowns, village.buildings, village.cars)
    painter.fields(fields)
    painter.water()
    painter.roads()
    painter.roofs(relief)
    painter.crowns(relief, crowns)
    return sense(painter.lit(relief), plan, painter.rng), heights(relief, plan)


def heights(relief: Relief, plan: Plan) -> np.ndarray:
    """The mean height of each pixel, as a laser scanner's grid has it, in decimetres."""
    fine = relief.height.shape[0]
    metres = relief.height.reshape(fine // FINE, FINE, fine // FINE, FINE).mean((1, 3))
    cols, rows = np.meshgrid(np.arange(fine // FINE) + 0.5, np.arange(fine // FINE) + 0.5)
    return np.where(shapely.contains_xy(plan.footprint, cols, rows), metres.round(1), np.nan).astype(
        np.float32
    )


def sense(reflectance: np.ndarray, plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Blur by the optics (MTF), average to pixels, add noise that grows with the signal, quantise."""
    blurred = ndimage.gaussian_filter(reflectance, (0, 0.8, 0.8))
    bands, fine, _ = blurred.shape
    pixels = blurred.reshape(bands, fine // FINE, FINE, fine // FINE, FINE).mean((2, 4))
    noisy = pixels + rng.standard_normal(pixels.shape) * np.sqrt(0.0022**2 + 5e-5 * np.clip(pixels, 0, None))
    numbers = np.clip(np.round(noisy / SCALE / QUANTUM), 1, 65535 // QUANTUM) * QUANTUM
    cols, rows = np.meshgrid(np.arange(fine // FINE) + 0.5, np.arange(fine // FINE) + 0.5)
    return (numbers * shapely.contains_xy(plan.footprint, cols, rows)).astype(np.uint16)

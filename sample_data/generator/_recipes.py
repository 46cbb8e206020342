"""What each sample scene is made of: where things lie, under which sun, in which season.

Positions are fractions of the scene (x to the right, y down), lengths metres, reflectances 0..1 in the order
of `BANDS`. What is listed here is fixed; everything else (outlines, houses, trees, noise) is drawn from the
seed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

BANDS = ("blue", "green", "red", "nir")
CRS = "EPSG:32633"
GSD_M = 1.0
SCALE = 0.0001  # reflectance = digital number * SCALE
QUANTUM = 25  # digital numbers are multiples of this: the step is below the noise, and the files stay small

# in the order of the alphabet; 0 is "no label"
CLASS_IDS = {"building": 1, "field": 2, "grass": 3, "road": 4, "water": 5, "woods": 6}
ROOFS = ("flat", "metal", "tile")

Spectrum = tuple[float, float, float, float]

GRASS: Spectrum = (0.038, 0.080, 0.051, 0.38)
DRY_GRASS: Spectrum = (0.075, 0.118, 0.130, 0.29)
UNDERSTORY: Spectrum = (0.025, 0.042, 0.035, 0.20)
WATER_DEEP: Spectrum = (0.038, 0.044, 0.031, 0.022)
WATER_SHALLOW: Spectrum = (0.068, 0.096, 0.090, 0.105)
ASPHALT: Spectrum = (0.088, 0.098, 0.106, 0.128)
RED_SOIL: Spectrum = (0.062, 0.090, 0.162, 0.225)
GRAVEL: Spectrum = (0.135, 0.165, 0.190, 0.235)

ROOF_SPECTRA: dict[str, tuple[Spectrum, ...]] = {
    "tile": ((0.062, 0.088, 0.165, 0.225), (0.075, 0.090, 0.130, 0.180), (0.090, 0.125, 0.205, 0.265)),
    "metal": ((0.270, 0.285, 0.290, 0.300), (0.165, 0.175, 0.180, 0.190), (0.340, 0.350, 0.350, 0.340)),
    "flat": ((0.060, 0.064, 0.068, 0.078), (0.100, 0.106, 0.110, 0.125), (0.150, 0.158, 0.165, 0.175)),
}

TREE_SPECTRA: dict[str, Spectrum] = {
    "broadleaf": (0.026, 0.056, 0.033, 0.42),
    "pale": (0.034, 0.074, 0.046, 0.45),
    "conifer": (0.020, 0.036, 0.024, 0.26),
    "copper": (0.030, 0.040, 0.050, 0.34),
}

CROPS: dict[str, tuple[Spectrum, float]] = {  # what grows, and the share of ground it covers
    "cereal": ((0.035, 0.075, 0.046, 0.42), 0.93),
    "maize": ((0.034, 0.070, 0.044, 0.40), 0.66),
    "ripe": ((0.085, 0.140, 0.175, 0.31), 0.85),
    "stubble": ((0.105, 0.150, 0.190, 0.28), 0.55),
    "rape": ((0.055, 0.165, 0.135, 0.44), 0.90),
    "bare": ((0.040, 0.075, 0.050, 0.38), 0.05),
}


@dataclass(frozen=True)
class Road:
    """A way through control points (fractions of the scene); `width` in metres."""

    points: tuple[tuple[float, float], ...]
    width: float
    paved: bool = True


@dataclass(frozen=True)
class Recipe:
    """One scene. `spots` are (x, y, radius): x and y fractions of the scene, radius metres."""

    name: str
    index: int
    size_px: int
    origin: tuple[float, float]  # map x, y of the upper left corner
    sun_azimuth_deg: float  # clockwise from north
    sun_elevation_deg: float
    soil: Spectrum
    crops: dict[str, float]  # shares
    dryness: float  # share of dry grass, 0..1
    conifers: float  # share of conifers in the woods, 0..1
    footprint: tuple[tuple[float, float], ...]  # corners of what the sensor saw; may reach out of the scene
    roads: tuple[Road, ...]
    river: tuple[tuple[float, float], ...]
    river_width: float
    ponds: tuple[tuple[float, float, float], ...]
    hamlets: tuple[tuple[float, float, float], ...]
    woods: tuple[tuple[float, float, float], ...]
    orchard: tuple[float, float, float]
    parcels: int
    lone_trees: int


def stream(seed: int, recipe: Recipe, part: str) -> np.random.Generator:
    """A random generator of its own for each part of a scene, so a change to one part leaves the others
    alone.
    """
    return np.random.default_rng([seed, recipe.index, zlib.crc32(part.encode())])


TRAIN = Recipe(
    name="train",
    index=0,
    size_px=640,
    origin=(421300.0, 5391900.0),
    sun_azimuth_deg=148.0,
    sun_elevation_deg=50.0,
    soil=(0.080, 0.115, 0.150, 0.205),
    crops={"cereal": 0.26, "maize": 0.2, "ripe": 0.14, "stubble": 0.1, "rape": 0.08, "bare": 0.22},
    dryness=0.35,
    conifers=0.3,
    footprint=((-0.01, -0.01), (0.80, -0.01), (1.015, 0.42), (1.015, 1.01), (0.06, 1.01), (-0.01, 0.87)),
    roads=(
        Road(((-0.05, 0.30), (0.25, 0.36), (0.50, 0.31), (0.75, 0.42), (1.05, 0.40)), 8.0),
        Road(((0.50, 0.31), (0.47, 0.55), (0.55, 0.80), (0.52, 1.05)), 6.5),
        Road(((0.25, 0.36), (0.20, 0.15), (0.27, -0.05)), 5.5),
        Road(((0.75, 0.42), (0.80, 0.60), (0.92, 0.72), (1.05, 0.75)), 5.5),
        Road(((0.468, 0.53), (0.30, 0.58), (0.12, 0.55), (-0.05, 0.60)), 3.5, paved=False),
        Road(((0.632, 0.353), (0.66, 0.20), (0.72, -0.05)), 3.2, paved=False),
        Road(((0.55, 0.80), (0.72, 0.86), (0.86, 0.83), (1.05, 0.90)), 3.2, paved=False),
    ),
    river=((-0.06, 0.78), (0.18, 0.72), (0.38, 0.71), (0.58, 0.65), (0.70, 0.76), (0.66, 0.92), (0.72, 1.06)),
    river_width=17.0,
    ponds=((0.845, 0.28, 21.0), (0.10, 0.44, 14.0)),
    hamlets=((0.25, 0.35, 88.0), (0.52, 0.33, 100.0), (0.80, 0.56, 88.0), (0.53, 0.90, 60.0)),
    woods=(
        (0.08, 0.10, 72.0),
        (0.50, 0.08, 60.0),
        (0.20, 0.90, 62.0),
        (0.90, 0.95, 50.0),
        (0.64, 0.54, 36.0),
    ),
    orchard=(0.36, 0.49, 30.0),
    parcels=46,
    lone_trees=62,
)

TEST = Recipe(
    name="test",
    index=1,
    size_px=448,
    origin=(438750.0, 5377450.0),
    sun_azimuth_deg=214.0,
    sun_elevation_deg=39.0,
    soil=(0.068, 0.100, 0.156, 0.218),
    crops={"cereal": 0.34, "rape": 0.16, "stubble": 0.12, "maize": 0.14, "bare": 0.24},
    dryness=0.2,
    conifers=0.5,
    footprint=((-0.01, -0.01), (1.01, -0.01), (1.01, 1.01), (0.10, 1.01), (-0.01, 0.93)),
    roads=(
        Road(((0.34, -0.05), (0.40, 0.25), (0.36, 0.55), (0.45, 0.80), (0.42, 1.05)), 7.5),
        Road(((0.38, 0.42), (0.62, 0.40), (0.80, 0.28), (1.05, 0.30)), 6.0),
        Road(((0.43, 0.74), (0.22, 0.70), (-0.05, 0.74)), 5.5),
        Road(((0.62, 0.40), (0.66, 0.60), (0.60, 0.80), (0.66, 1.05)), 3.2, paved=False),
        Road(((0.407, 0.15), (0.18, 0.20), (-0.05, 0.14)), 3.2, paved=False),
    ),
    river=((0.90, -0.06), (0.92, 0.18), (0.80, 0.48), (0.88, 0.72), (0.80, 0.88), (0.86, 1.06)),
    river_width=14.0,
    ponds=((0.14, 0.42, 18.0),),
    hamlets=((0.40, 0.42, 84.0), (0.42, 0.78, 66.0)),
    woods=((0.66, 0.10, 50.0), (0.12, 0.93, 44.0), (0.74, 0.76, 32.0)),
    orchard=(0.25, 0.53, 24.0),
    parcels=24,
    lone_trees=34,
)

SCENES = (TRAIN, TEST)

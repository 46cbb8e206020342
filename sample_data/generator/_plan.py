"""The ground plan of a scene: water, roads, woods, parcels. Metres from the upper left corner, x right, y
down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from _recipes import Recipe, Road, stream
from scipy.interpolate import CubicSpline
from shapely.geometry import LineString, MultiPoint, Point, Polygon, box
from shapely.geometry.base import BaseGeometry

WOODS_CROWN_M = 3.9  # mean crown radius of a forest tree
WOODS_SPACING_M = 5.2


@dataclass(frozen=True)
class Crown:
    """A tree crown: centre, outline (lobed disc), height of its top, species."""

    x: float
    y: float
    radius: float
    lobes: tuple[float, float, float, float]  # amplitude and phase of the second and third harmonic
    top: float
    species: str
    tint: float

    def outline(self, vertices: int = 32) -> Polygon:
        """The crown as a polygon, metres."""
        angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
        reach = self.radius * self.shape(angle)
        return Polygon(np.column_stack([self.x + reach * np.cos(angle), self.y + reach * np.sin(angle)]))

    def shape(self, angle: np.ndarray) -> np.ndarray:
        """Reach in direction `angle` as a multiple of the radius."""
        a2, p2, a3, p3 = self.lobes
        return 1 + a2 * np.cos(2 * angle + p2) + a3 * np.cos(3 * angle + p3)


@dataclass(frozen=True)
class Plan:
    """Everything on the ground but houses and single trees."""

    frame: Polygon
    footprint: Polygon
    water: BaseGeometry
    roads: list[tuple[Road, LineString]]
    forest: list[Crown]
    woods: BaseGeometry
    parcels: list[Polygon]

    @property
    def paved(self) -> BaseGeometry:
        """All roads and tracks as one area."""
        return shapely.union_all([line.buffer(road.width / 2, cap_style="flat") for road, line in self.roads])


def make_plan(recipe: Recipe, seed: int) -> Plan:
    """Draw the ground plan."""
    size = float(recipe.size_px)
    frame = box(0, 0, size, size)
    footprint = Polygon(np.array(recipe.footprint) * size).intersection(frame)
    roads = [(road, curve(road.points, size)) for road in recipe.roads]
    water = make_water(recipe, seed)
    clear = shapely.union_all([line.buffer(road.width / 2 + 4) for road, line in roads] + [water.buffer(2)])
    forest = plant_forest(recipe, seed, clear)
    woods = shapely.union_all([crown.outline(16) for crown in forest]).buffer(2.2).buffer(-2.2).simplify(0.25)
    return Plan(frame, footprint, water, roads, forest, woods, make_parcels(recipe, seed, frame))


def curve(points: tuple[tuple[float, float], ...], size: float) -> LineString:
    """A smooth line through control points given as fractions of the scene, a vertex about every 4 m."""
    xy = np.array(points) * size
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    return LineString(CubicSpline(along, xy)(np.linspace(0, along[-1], max(int(along[-1] / 4), 2))))


def make_water(recipe: Recipe, seed: int) -> BaseGeometry:
    """The river, wider and narrower along its way, and the ponds."""
    rng = stream(seed, recipe, "water")
    course = np.array(curve(recipe.river, recipe.size_px).coords)
    wave = np.cumsum(rng.normal(0, 0.05, len(course)))
    half = recipe.river_width / 2 * np.clip(1 + wave - wave.mean(), 0.7, 1.5)
    parts = [Point(xy).buffer(width, 12) for xy, width in zip(course, half, strict=True)]
    parts += [
        blob(rng, x * recipe.size_px, y * recipe.size_px, radius, 0.22) for x, y, radius in recipe.ponds
    ]
    return shapely.union_all(parts).buffer(3).buffer(-3).simplify(0.15)


def blob(rng: np.random.Generator, x: float, y: float, radius: float, wobble: float) -> Polygon:
    """A smooth irregular patch about `radius` metres in reach; the outline departs from round by about
    `wobble`.
    """
    angle = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    reach = np.ones_like(angle)
    for order in range(1, 7):
        reach += rng.normal(0, wobble / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    reach = radius * np.clip(reach, 0.45, 1.6)
    return Polygon(
        np.column_stack([x + 1.15 * reach * np.cos(angle), y + 0.9 * reach * np.sin(angle)])
    ).buffer(0)


def plant_forest(recipe: Recipe, seed: int, clear: BaseGeometry) -> list[Crown]:
    """Crowns of the closed woods; none over roads or water. Conifers stand in groups."""
    rng = stream(seed, recipe, "woods")
    size = recipe.size_px
    shapes = [blob(rng, x * size, y * size, radius, 0.45) for x, y, radius in recipe.woods]
    area = shapely.union_all(shapes).difference(clear).buffer(-WOODS_CROWN_M)
    grid = np.stack(np.meshgrid(*[np.arange(0, size, WOODS_SPACING_M)] * 2), -1).reshape(-1, 2)
    grid = grid + rng.uniform(-2.1, 2.1, grid.shape)
    stand = np.sin(grid[:, 0] / 37 + rng.uniform(0, 6)) + np.sin(grid[:, 1] / 29 + rng.uniform(0, 6))
    dark = stand + rng.normal(0, 0.45, len(grid)) > np.quantile(stand, 1 - recipe.conifers)
    inside = shapely.contains_xy(area, grid[:, 0], grid[:, 1])
    return [
        forest_crown(rng, x, y, conifer) for (x, y), conifer in zip(grid[inside], dark[inside], strict=True)
    ]


def forest_crown(rng: np.random.Generator, x: float, y: float, conifer: bool) -> Crown:
    """One tree of the closed woods."""
    species = "conifer" if conifer else ("broadleaf", "pale")[int(rng.random() < 0.3)]
    radius = WOODS_CROWN_M * rng.uniform(0.75, 1.3) * (0.8 if conifer else 1.0)
    return Crown(x, y, radius, lobes(rng), rng.uniform(11, 17), species, rng.normal(1, 0.12))


def lobes(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """How far a crown is from round."""
    return (rng.uniform(0, 0.09), rng.uniform(0, 6.28), rng.uniform(0, 0.07), rng.uniform(0, 6.28))


def make_parcels(recipe: Recipe, seed: int, frame: Polygon) -> list[Polygon]:
    """Long parcels: the Voronoi cells of a squeezed and turned grid of points."""
    rng = stream(seed, recipe, "parcels")
    size = recipe.size_px
    points = rng.uniform(-0.3 * size, 1.3 * size, (int(recipe.parcels * 2.56), 2))
    for _ in range(2):  # Lloyd steps even out the sizes
        cells = shapely.voronoi_polygons(MultiPoint(points), extend_to=frame.buffer(size)).geoms
        points = np.array([cell.intersection(frame.buffer(0.35 * size)).centroid.coords[0] for cell in cells])
    cells = shapely.voronoi_polygons(MultiPoint(points), extend_to=frame.buffer(size)).geoms
    turned = [
        shapely.affinity.rotate(
            shapely.affinity.scale(c, 1.35, 0.75, origin=(size / 2, size / 2)),
            22,
            origin=(size / 2, size / 2),
        )
        for c in cells
    ]
    clipped = [cell.intersection(frame) for cell in turned]
    return sorted(
        (c for c in clipped if c.area > 60), key=lambda c: (round(c.centroid.y, 3), round(c.centroid.x, 3))
    )

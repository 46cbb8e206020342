"""Houses, drives, cars and single trees. Metres from the upper left corner, x right, y down."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from _plan import Crown, Plan, lobes
from _recipes import ROOF_SPECTRA, Recipe, stream
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry


@dataclass(frozen=True)
class Wing:
    """One roof: a rectangle with its ridge along `length`, turned by `angle` (radians); `rise` 0 is a flat
    roof.
    """

    x: float
    y: float
    angle: float
    length: float
    width: float
    eave: float
    rise: float

    def outline(self) -> Polygon:
        """The rectangle on the ground."""
        rect = box(-self.length / 2, -self.width / 2, self.length / 2, self.width / 2)
        turned = shapely.affinity.rotate(rect, self.angle, origin=(0, 0), use_radians=True)
        return shapely.affinity.translate(turned, self.x, self.y)


@dataclass(frozen=True)
class Building:
    """A house: its outline, roof material (which of its variants, how bright) and wings."""

    outline: Polygon
    roof: str
    variant: int
    tint: float
    wings: list[Wing]


@dataclass
class Village:
    """What people put on the ground plan."""

    buildings: list[Building] = field(default_factory=list)
    drives: list[Polygon] = field(default_factory=list)
    gardens: list[BaseGeometry] = field(default_factory=list)
    cars: list[Wing] = field(default_factory=list)
    trees: list[Crown] = field(default_factory=list)


@dataclass(frozen=True)
class Lot:
    """A place beside a road: the point on the kerb, the road's direction and the side (+1 or -1) away from
    it.
    """

    x: float
    y: float
    angle: float
    side: float

    def wing(
        self, u: float, v: float, along: float, deep: float, eave: float, rise: float, ridge_along: bool
    ) -> Wing:
        """A roof whose centre is `u` along the road and `v` away from the kerb, `along` by `deep` metres."""
        ux, uy = np.cos(self.angle), np.sin(self.angle)
        x = self.x + u * ux - self.side * v * uy
        y = self.y + u * uy + self.side * v * ux
        if ridge_along:
            return Wing(x, y, self.angle, along, deep, eave, rise)
        return Wing(x, y, self.angle + np.pi / 2, deep, along, eave, rise)


def make_village(recipe: Recipe, plan: Plan, seed: int) -> Village:
    """Build the hamlets, then plant gardens, roadsides, the orchard and lone trees."""
    village = Village()
    rng = stream(seed, recipe, "village")
    for x, y, radius in recipe.hamlets:
        circle = Point(x * recipe.size_px, y * recipe.size_px).buffer(radius)
        for lot in lots(plan, circle):
            build(village, plan, rng, lot)
    park_cars(village, plan, stream(seed, recipe, "cars"))
    plant_trees(village, plan, recipe, stream(seed, recipe, "trees"))
    return village


def lots(plan: Plan, circle: Polygon) -> list[Lot]:
    """Places along both sides of the paved roads within a hamlet."""
    found = []
    for road, line in plan.roads:
        if road.paved:
            for at in np.arange(6, line.length - 6, 15.5):
                here, ahead = line.interpolate(at), line.interpolate(at + 1)
                angle = np.arctan2(ahead.y - here.y, ahead.x - here.x)
                for side in (-1.0, 1.0):
                    kerb = road.width / 2 * side
                    lot = Lot(here.x - kerb * np.sin(angle), here.y + kerb * np.cos(angle), angle, side)
                    found += [lot] if circle.contains(here) else []
    return found


def build(village: Village, plan: Plan, rng: np.random.Generator, lot: Lot) -> None:
    """Put a house of a random kind on a lot, if nothing is in its way; sometimes a shed behind it."""
    kind = rng.choice(["house", "ell", "row", "barn", "flat", "farm"], p=[0.44, 0.18, 0.11, 0.11, 0.1, 0.06])
    lot = Lot(lot.x, lot.y, lot.angle + rng.normal(0, 0.05), lot.side)
    front = rng.uniform(4, 8)
    houses = KINDS[str(kind)](rng, lot, front)
    if not add_houses(village, plan, houses):
        houses = small_house(rng, lot, front)
        if not add_houses(village, plan, houses):
            return
    ground = shapely.union_all([house.outline for house in houses])
    village.gardens.append(ground.buffer(9, join_style="mitre"))
    if rng.random() < 0.65:
        drive = lot.wing(rng.uniform(-3, 3), front / 2, 3.2, front + 1, 0, 0, True).outline()
        village.drives.append(drive.difference(ground))
    if kind == "farm":
        village.drives += [Polygon(ring) for house in houses for ring in house.outline.interiors]
    if rng.random() < 0.35:
        shed = lot.wing(
            rng.uniform(-4, 4),
            front + rng.uniform(18, 24),
            rng.uniform(4, 7),
            rng.uniform(3.5, 5),
            2.4,
            0.9,
            True,
        )
        add_houses(village, plan, [house(rng, [shed], str(rng.choice(["metal", "flat", "tile"])))])


def add_houses(village: Village, plan: Plan, houses: list[Building]) -> bool:
    """Add houses that stand free of each other, of roads, water and woods, and inside the footprint."""
    ground = shapely.union_all([h.outline for h in houses])
    taken = [b.outline for b in village.buildings] + [
        plan.water.buffer(4),
        plan.paved.buffer(1.5),
        plan.woods,
    ]
    if not plan.footprint.buffer(-3).contains(ground) or any(ground.distance(t) < 3 for t in taken):
        return False
    village.buildings += houses
    return True


def house(rng: np.random.Generator, wings: list[Wing], roof: str, shape: Polygon | None = None) -> Building:
    """A building over its wings, with a variant and brightness of the roof material."""
    outline = shape if shape is not None else shapely.union_all([w.outline() for w in wings])
    variant = int(rng.integers(len(ROOF_SPECTRA[roof])))
    return Building(outline, roof, variant, float(np.clip(rng.normal(1, 0.14), 0.7, 1.35)), wings)


def roof_of(rng: np.random.Generator, tile: float = 0.68) -> str:
    """Mostly tiles; slate-dark and metal roofs too."""
    return "tile" if rng.random() < tile else str(rng.choice(["metal", "flat"]))


def small_house(rng: np.random.Generator, lot: Lot, front: float) -> list[Building]:
    """A gabled house."""
    along, deep = rng.uniform(8, 11), rng.uniform(8, 10.5)
    wing = lot.wing(0, front + deep / 2, along, deep, 4.5, 3.2, rng.random() < 0.6)
    return [house(rng, [wing], roof_of(rng))]


def ell_house(rng: np.random.Generator, lot: Lot, front: float) -> list[Building]:
    """A house with a wing across its end."""
    along, deep, tail = rng.uniform(12, 14), rng.uniform(7.5, 9), rng.uniform(6, 8)
    side = rng.choice([-1.0, 1.0])
    wings = [
        lot.wing(0, front + deep / 2, along, deep, 4.5, 3.0, True),
        lot.wing(side * (along - 6.5) / 2, front + deep + tail / 2 - 1.5, 6.5, tail + 3, 4.0, 2.4, False),
    ]
    return [house(rng, wings, roof_of(rng))]


def row_houses(rng: np.random.Generator, lot: Lot, front: float) -> list[Building]:
    """Three to five houses that share walls."""
    count, along, deep = int(rng.integers(3, 6)), rng.uniform(6, 7.5), rng.uniform(9, 10.5)
    starts = (np.arange(count) - (count - 1) / 2) * along
    return [
        house(
            rng,
            [lot.wing(u, front + deep / 2, along, deep, 5 + rng.uniform(0, 1.2), 3, True)],
            roof_of(rng, 0.8),
        )
        for u in starts
    ]


def barn(rng: np.random.Generator, lot: Lot, front: float) -> list[Building]:
    """A long shed under metal."""
    along, deep = rng.uniform(12, 15), rng.uniform(20, 30)
    wing = lot.wing(0, front + 3 + deep / 2, along, deep, 5, 2.4, False)
    return [house(rng, [wing], "metal" if rng.random() < 0.8 else "tile")]


def flat_house(rng: np.random.Generator, lot: Lot, front: float) -> list[Building]:
    """A workshop or block under a flat roof."""
    along, deep = rng.uniform(11, 18), rng.uniform(9, 15)
    return [house(rng, [lot.wing(0, front + deep / 2, along, deep, rng.uniform(4, 8), 0, True)], "flat")]


def farm(rng: np.random.Generator, lot: Lot, front: float) -> list[Building]:
    """Four wings around a yard: one building with a hole."""
    along, deep, thick = rng.uniform(26, 31), rng.uniform(25, 30), rng.uniform(7, 8)
    middle = front + deep / 2
    wings = [
        lot.wing(0, front + thick / 2, along, thick, 4.5, 2.8, True),
        lot.wing(0, front + deep - thick / 2, along, thick, 4.5, 2.8, True),
        lot.wing(-(along - thick) / 2, middle, thick, deep, 4.5, 2.8, False),
        lot.wing((along - thick) / 2, middle, thick, deep, 4.5, 2.8, False),
    ]
    return [house(rng, wings, "tile")]


KINDS = {
    "house": small_house,
    "ell": ell_house,
    "row": row_houses,
    "barn": barn,
    "flat": flat_house,
    "farm": farm,
}


def park_cars(village: Village, plan: Plan, rng: np.random.Generator) -> None:
    """Cars on paved roads and drives: bright or dark spots that belong to neither class by colour."""
    for road, line in plan.roads:
        for _ in range(int(line.length / 70) if road.paved else 0):
            at = rng.uniform(4, line.length - 5)
            here, ahead = line.interpolate(at), line.interpolate(at + 1)
            angle = float(np.arctan2(ahead.y - here.y, ahead.x - here.x))
            off = rng.choice([-1, 1]) * road.width / 4
            village.cars.append(
                Wing(here.x - off * np.sin(angle), here.y + off * np.cos(angle), angle, 4.4, 1.9, 1.4, 0)
            )


def plant_trees(village: Village, plan: Plan, recipe: Recipe, rng: np.random.Generator) -> None:
    """Trees in gardens, along roads, in the orchard and in the open; their crowns hardly touch."""
    gardens = shapely.union_all(village.gardens) if village.gardens else Polygon()
    rows = orchard(recipe)
    wanted = [(xy, (2.5, 3.1)) for xy in rows + rng.normal(0, 0.5, rows.shape)]
    wanted += [(xy, (2.6, 4.6)) for xy in scatter(rng, gardens, int(gardens.area / 130))]
    wanted += [(xy, (3.0, 5.0)) for xy in roadside(rng, plan)]
    wanted += [(xy, (3.0, 5.4)) for xy in scatter(rng, plan.frame, recipe.lone_trees)]
    hard = shapely.union_all(
        [plan.paved, *village.drives, *[b.outline for b in village.buildings], plan.water]
    )
    open_ground = plan.footprint.buffer(-1).difference(plan.woods.buffer(4)).difference(hard.buffer(0.4))
    shapely.prepare(open_ground)
    for (x, y), span in wanted:
        crown = garden_crown(rng, x, y, rng.uniform(*span))
        near = any(np.hypot(t.x - x, t.y - y) < 0.9 * (t.radius + crown.radius) for t in village.trees)
        if not near and open_ground.contains(crown.outline(16)):
            village.trees.append(crown)


def orchard(recipe: Recipe) -> np.ndarray:
    """Where the orchard's trees should stand: a turned square of rows, (n, 2)."""
    x, y, half = recipe.orchard
    rows = np.stack(np.meshgrid(*[np.arange(-half, half, 8.0)] * 2), -1).reshape(-1, 2)
    return rows @ np.array([[0.92, 0.38], [-0.38, 0.92]]) + np.array([x, y]) * recipe.size_px


def garden_crown(rng: np.random.Generator, x: float, y: float, radius: float) -> Crown:
    """One tree that stands alone."""
    species = str(rng.choice(["broadleaf", "pale", "conifer", "copper"], p=[0.55, 0.25, 0.14, 0.06]))
    return Crown(x, y, radius, lobes(rng), 3.0 + radius * rng.uniform(1.0, 1.5), species, rng.normal(1, 0.12))


def scatter(rng: np.random.Generator, area: BaseGeometry, count: int) -> np.ndarray:
    """Random points in an area, (n, 2)."""
    if area.is_empty:
        return np.empty((0, 2))
    x0, y0, x1, y1 = area.bounds
    xy = rng.uniform((x0, y0), (x1, y1), (count * 6, 2))
    return xy[shapely.contains_xy(area, xy[:, 0], xy[:, 1])][:count]


def roadside(rng: np.random.Generator, plan: Plan) -> list[tuple[float, float]]:
    """Points in a row along one side of stretches of road."""
    found = []
    for road, line in plan.roads:
        start = rng.uniform(0, 0.5) * line.length
        off = rng.choice([-1, 1]) * (road.width / 2 + 5.5)
        side: LineString = line.offset_curve(off)
        stretch = np.arange(start, min(start + 0.42 * line.length, side.length), 12.5)
        found += [(p.x, p.y) for p in (side.interpolate(at + rng.normal(0, 1.2)) for at in stretch)]
    return found

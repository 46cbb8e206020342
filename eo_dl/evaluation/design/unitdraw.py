"""Drawing units from a population in two passes: count the strata, then find the units of the drawn ranks.

A rank is the place of a unit among those of its stratum, row by row. So the memory holds one strip of the map
and the drawn units, whatever the size of the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...core.arraytypes import Float64Array, Int64Array
from ...core.classes import IGNORE_ID
from ...core.progress import OnProgress
from ...core.seeds import generator
from .population import Population, UnitRows


@dataclass(frozen=True)
class PopulationCounts:
    """How large a population is."""

    units: Int64Array
    """(256,) number of units of each stratum id."""
    areas: Float64Array
    """(256,) their ground area."""
    class_units: Int64Array
    """(256,) number of units that the map shows as each class id."""
    class_areas: Float64Array
    """(256,) their ground area."""
    left_out: int
    """Units with a class on the map that belong to no stratum, or lie outside the AOI."""

    @property
    def ids(self) -> list[int]:
        """Ids of the strata that have units."""
        return [int(stratum) for stratum in np.flatnonzero(self.units)]


@dataclass(frozen=True)
class DrawnUnits:
    """Units of a sample, in random order."""

    stratum: Int64Array
    """(N,) id of the stratum."""
    col: Int64Array
    """(N,) column on the grid of the units."""
    row: Int64Array
    """(N,) row."""
    area: Float64Array
    """(N,) ground area."""

    def __len__(self) -> int:
        return len(self.stratum)


def count_population(population: Population, on_progress: OnProgress) -> PopulationCounts:
    """The first pass. Raises `SceneError` for a map that cannot be read."""
    units, class_units = np.zeros(256, np.int64), np.zeros(256, np.int64)
    areas, class_areas = np.zeros(256), np.zeros(256)
    height = population.grid.height
    for strip in population.rows():
        strata, mapped, ground = strip.strata.ravel(), strip.mapped.ravel(), strip.areas.ravel()
        units += np.bincount(strata, minlength=256)
        areas += np.bincount(strata, ground, minlength=256)
        class_units += np.bincount(mapped, minlength=256)
        class_areas += np.bincount(mapped, ground, minlength=256)
        on_progress(strip.row0 + strip.strata.shape[0], height, "rows counted")
    left_out = int(units[IGNORE_ID])
    for counts in (units, areas, class_units, class_areas):
        counts[IGNORE_ID] = 0
    return PopulationCounts(units, areas, class_units, class_areas, left_out)


def draw_random(
    population: Population,
    counts: PopulationCounts,
    wanted: dict[int, int],
    *,
    seed: int,
    on_progress: OnProgress,
) -> DrawnUnits:
    """A simple random sample of each stratum, without replacement: the second pass.

    Args:
        population: What is drawn from.
        counts: Its first pass.
        wanted: Number of units of each stratum, by id; at most as many as it has.
        seed: The same seed draws the same units.
        on_progress: Called with (done, total, what).
    """
    ranks = {}
    for stratum, number in wanted.items():
        rng = generator(seed, "sample", stratum)
        drawn = rng.choice(int(counts.units[stratum]), number, replace=False, shuffle=False)
        ranks[stratum] = np.sort(drawn.astype(np.int64))
    found: list[DrawnUnits] = []
    seen = dict.fromkeys(ranks, 0)
    for strip in population.rows():
        sizes = np.bincount(strip.strata.ravel(), minlength=256)
        for stratum, drawn in ranks.items():
            first, behind = seen[stratum], seen[stratum] + int(sizes[stratum])
            seen[stratum] = behind
            here = drawn[np.searchsorted(drawn, first) : np.searchsorted(drawn, behind)] - first
            if len(here):
                places = np.flatnonzero(strip.strata.ravel() == stratum)[here]
                found.append(_units_at(strip, places))
        on_progress(strip.row0 + strip.strata.shape[0], population.grid.height, "rows drawn from")
    return _shuffled(found, seed)


def draw_systematic(
    population: Population, counts: PopulationCounts, count: int, *, seed: int, on_progress: OnProgress
) -> DrawnUnits:
    """A square lattice of units with a random start, over all strata.

    The spacing is that at which `count` units are expected; how many are found depends on the start.

    Args:
        population: What is drawn from.
        counts: Its first pass.
        count: Expected number of units.
        seed: The same seed draws the same units.
        on_progress: Called with (done, total, what).
    """
    spacing = lattice_spacing(counts, count)
    start_col, start_row = generator(seed, "sample", "systematic").random(2) * spacing
    cols = _lattice_places(start_col, spacing, population.grid.width)
    rows = _lattice_places(start_row, spacing, population.grid.height)
    found: list[DrawnUnits] = []
    for strip in population.rows():
        height, width = strip.strata.shape
        here = rows[(rows >= strip.row0) & (rows < strip.row0 + height)] - strip.row0
        places = (here[:, None] * width + cols[None, :]).ravel()
        found.append(_units_at(strip, places[strip.strata.ravel()[places] != IGNORE_ID]))
        on_progress(strip.row0 + height, population.grid.height, "rows drawn from")
    return _shuffled(found, seed)


def lattice_spacing(counts: PopulationCounts, count: int) -> float:
    """Distance between the units of a systematic sample, in units; at least 1."""
    return max(1.0, math.sqrt(int(counts.units.sum()) / count))


def _lattice_places(start: float, spacing: float, size: int) -> Int64Array:
    steps = math.ceil((size - start) / spacing)
    places = np.floor(start + spacing * np.arange(max(steps, 0))).astype(np.int64)
    return np.asarray(places[places < size], np.int64)


def _units_at(strip: UnitRows, places: Int64Array) -> DrawnUnits:
    """The units at flat places of a strip."""
    row, col = np.divmod(places, strip.strata.shape[1])
    return DrawnUnits(
        stratum=strip.strata.ravel()[places].astype(np.int64),
        col=col.astype(np.int64),
        row=(row + strip.row0).astype(np.int64),
        area=strip.areas.ravel()[places],
    )


def _shuffled(parts: list[DrawnUnits], seed: int) -> DrawnUnits:
    """All units in random order: so the first ones that are answered are a random sample, too, and the order
    does not tell the stratum."""
    stratum = np.concatenate([part.stratum for part in parts])
    col, row = np.concatenate([part.col for part in parts]), np.concatenate([part.row for part in parts])
    area = np.concatenate([part.area for part in parts])
    order = generator(seed, "sample", "order").permutation(len(stratum))
    return DrawnUnits(stratum[order], col[order], row[order], area[order])

"""Class maps of two dates: which ground went from which class to which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..errors import SceneError
from ..io.classmap import ClassMap
from ..io.scene import SceneReader
from .mapcleaning import row_areas_m2
from .nearestids import NearestIds

UNCHANGED = "unchanged"
OTHER = "other changes"
_STRIP_PIXELS = 2**20
_MOST_CHANGES = IGNORE_ID - 1  # ids 1 to 254
_PAIRS = 256 * 256


@dataclass(frozen=True)
class Transition:
    """Ground that was of one class and is of another, or of the same."""

    old: str
    """The earlier class."""
    new: str
    """The later class."""
    area_m2: float
    """Its area on the ground, square metres; pixels without a CRS."""

    @property
    def name(self) -> str:
        """E.g. "forest > water"."""
        return f"{self.old} > {self.new}"


@dataclass(frozen=True)
class MapPair:
    """Class maps of two dates, compared on the grid of the later one.

    A pixel of the later map is compared with the pixel of the earlier one in which its centre lies. Pixels
    that are nodata in one of them, or outside of the earlier map, are compared with nothing.
    """

    old: ClassMap
    """The earlier map."""
    new: ClassMap
    """The later map."""

    @property
    def grid(self) -> PixelGrid:
        """The grid of the comparison."""
        return self.new.grid

    def check(self) -> None:
        """Raises `SceneError` if one of the maps has no CRS and the other has one."""
        if (self.old.grid.crs is None) != (self.new.grid.crs is None):
            without = self.old if self.old.grid.crs is None else self.new
            raise SceneError(
                f"{without.scene.path}: has no CRS, and the other map has one; georeference it, e.g. with "
                "gdal_translate -a_srs"
            )

    def strips(self) -> Iterator[tuple[int, Int64Array]]:
        """(row0, pairs (rows, W)) from top to bottom: 256 * old id + new id; -1 where nothing is compared."""
        nearest = NearestIds(self.old, self.grid)
        with SceneReader(self.old.scene) as reader:
            for first_row, all_ids in self.new.row_strips():
                step = max(1, _STRIP_PIXELS // all_ids.shape[1])
                for start in range(0, len(all_ids), step):
                    new_ids = all_ids[start : start + step].astype(np.int64)
                    row0 = first_row + start
                    old_ids = nearest.read(reader, row0, len(new_ids))
                    known = (new_ids != IGNORE_ID) & (old_ids != IGNORE_ID)
                    yield row0, np.where(known, old_ids * 256 + new_ids, -1)


@dataclass(frozen=True)
class Transitions:
    """All transitions between two maps."""

    areas_m2: Float64Array
    """(65536,) area on the ground by pair: 256 * old id + new id."""
    old_names: dict[int, str]
    """Class names of the earlier map by id."""
    new_names: dict[int, str]
    """Class names of the later map by id."""

    def listed(self) -> tuple[Transition, ...]:
        """The transitions that occur, the unchanged ones included, by falling area."""
        return tuple(self._transition(pair) for pair in self._by_area(np.flatnonzero(self.areas_m2 > 0)))

    def _transition(self, pair: int) -> Transition:
        old, new = divmod(pair, 256)
        return Transition(self.old_names[old], self.new_names[new], float(self.areas_m2[pair]))

    def _by_area(self, pairs: Int64Array) -> list[int]:
        return [int(pair) for pair in pairs[np.lexsort((pairs, -self.areas_m2[pairs]))]]

    @property
    def _is_changed(self) -> BoolArray:
        """(65536,) True for pairs of two classes."""
        changed = self.areas_m2 > 0
        for pair in np.flatnonzero(changed).tolist():
            old, new = divmod(pair, 256)
            changed[pair] = self.old_names[old] != self.new_names[new]
        return changed

    def change_ids(self) -> tuple[UInt8Array, ClassSet, dict[int, int]]:
        """Numbers for changes, so that they make a class map.

        Returns:
            (65536,) number of each pair: 0 where nothing changed, then from 1 by falling area; the changes as
            classes; and the pair of each number. If there are more than 254, the smallest share the last.
        """
        ids = np.zeros(_PAIRS, np.uint8)
        names, pair_of_id = {0: UNCHANGED}, dict[int, int]()
        pairs = self._by_area(np.flatnonzero(self._is_changed))
        for number, pair in enumerate(pairs, start=1):
            ids[pair] = min(number, _MOST_CHANGES)
            if number <= _MOST_CHANGES:
                names[number] = self._transition(pair).name
                pair_of_id[number] = pair
        if len(pairs) > _MOST_CHANGES:
            names[_MOST_CHANGES] = OTHER
            del pair_of_id[_MOST_CHANGES]
        return ids, ClassSet.of_ids(names), pair_of_id


def find_transitions(pair: MapPair) -> Transitions:
    """Areas of all transitions between two maps, in one pass."""
    row_areas = row_areas_m2(pair.grid)
    areas = np.zeros(_PAIRS + 1)
    for row0, pairs in pair.strips():
        weights = np.repeat(row_areas[row0 : row0 + len(pairs)], pairs.shape[1])
        areas += np.bincount(pairs.reshape(-1) + 1, weights, minlength=_PAIRS + 1)
    found = areas[1:]
    old_ids, new_ids = np.divmod(np.flatnonzero(found > 0), 256)
    return Transitions(found, _names(pair.old, old_ids), _names(pair.new, new_ids))


def _names(class_map: ClassMap, ids: Int64Array) -> dict[int, str]:
    names = {class_id: str(class_id) for class_id in np.unique(ids).tolist()}
    if class_map.classes is not None:
        names |= {info.id: info.name for info in class_map.classes}
    return names


def change_rows(pair: MapPair, ids: UInt8Array) -> Iterator[tuple[int, UInt8Array]]:
    """(row0, number of the change (rows, W)) from top to bottom; 255 where nothing is compared.

    Args:
        pair: The maps.
        ids: (65536,) number of each pair, from `Transitions.change_ids`.
    """
    with_unknown = np.append(ids, np.uint8(IGNORE_ID))  # a pair of -1 is the last one
    for row0, pairs in pair.strips():
        yield row0, with_unknown[pairs]

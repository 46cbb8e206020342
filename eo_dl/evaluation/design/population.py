"""What a sample is drawn from: the pixels of a class map, or chips of it, row by row in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from affine import Affine

from ...chips.truth import SceneTruth
from ...core.arraytypes import Float64Array, Int64Array, UInt8Array
from ...core.classes import BACKGROUND, IGNORE_ID, ClassSet
from ...core.labelset import LabelSet
from ...core.pixelareas import PixelAreas
from ...core.pixelgrid import PixelGrid
from ...core.window import Window
from ...io.aoi import Aoi
from ...io.classmap import ClassMap
from ...labels.classcover import class_mask

WHOLE_MAP = 1
"""Id of the only stratum of a sample without strata."""

_WHOLE_NAME, _ELSEWHERE = "the whole map", "elsewhere"
_WINDOW_COLS = 4096  # bounds the memory for strata that are rasterized, and changes no result


@dataclass(frozen=True)
class UnitRows:
    """Some rows of units."""

    row0: int
    """First row, counted in units."""
    strata: UInt8Array
    """(H, W) stratum of each unit; 255: not part of the population."""
    mapped: UInt8Array
    """(H, W) class that the map shows; 255: none."""
    areas: Float64Array
    """(H, W) ground area of each unit, square metres (or pixels without a CRS)."""


class Population(Protocol):
    """All units of a map, in rows from top to bottom."""

    @property
    def grid(self) -> PixelGrid:
        """The grid of the units: its pixels are the units."""

    def rows(self) -> Iterator[UnitRows]:
        """The units; always the same ones."""

    def stratum_name(self, stratum: int) -> str:
        """The name of a stratum."""


@dataclass(frozen=True)
class MapPopulation:
    """The pixels of a class map, or squares of them."""

    class_map: ClassMap
    """The map."""
    by: LabelSet | None = None
    """Where the strata are; None: they are the classes of the map."""
    whole: bool = False
    """True: there is one stratum, the map."""
    chip_px: int = 1
    """Side of a unit, pixels of the map."""
    aoi: Aoi | None = None
    """The area that is sampled; None: all of the map."""

    @property
    def grid(self) -> PixelGrid:
        """The grid of the units. Its last row and column may be cut off by the edge of the map."""
        return coarser(self.class_map.grid, self.chip_px)

    def stratum_name(self, stratum: int) -> str:
        """The name of a stratum: of its class, or of the feature or value that made it."""
        if self.whole:
            return _WHOLE_NAME
        if self.by is None:
            return class_name(self.class_map.classes, stratum)
        return _ELSEWHERE if stratum == 0 else class_name(self.by.classes, stratum)

    def rows(self) -> Iterator[UnitRows]:
        """The units, a few million pixels at a time.

        Raises `SceneError` for a map that is damaged or holds no class ids.
        """
        for row0, mapped in _aligned(self.class_map.row_strips(), self.chip_px):
            strata = self._strata(row0, mapped)
            # A unit without a stratum is not part of the population, so its class does not count either.
            mapped = np.where(strata == IGNORE_ID, np.uint8(IGNORE_ID), mapped)
            areas = self._areas.of(Window(0, row0, mapped.shape[1], mapped.shape[0]))
            if self.chip_px == 1:
                yield UnitRows(row0, strata, mapped, areas)
                continue
            areas = np.where(strata == IGNORE_ID, 0.0, areas)
            yield UnitRows(
                row0 // self.chip_px,
                most_frequent(strata, self.chip_px),
                most_frequent(mapped, self.chip_px),
                _sums(areas, self.chip_px),
            )

    @cached_property
    def _areas(self) -> PixelAreas:
        return PixelAreas(self.class_map.grid)

    @cached_property
    def _truth(self) -> SceneTruth | None:
        return None if self.by is None else SceneTruth.of(self.by, self.class_map.scene)

    def _strata(self, row0: int, mapped: UInt8Array) -> UInt8Array:
        """(H, W) stratum of each pixel of a strip; 255 where the map has no class, or outside the AOI."""
        strata = mapped.copy()
        if self.whole:
            strata[mapped != IGNORE_ID] = WHOLE_MAP
        for window in _across(row0, mapped.shape):
            part = np.s_[:, window.col : window.col1]
            if self._truth is not None:
                found = class_mask(self._truth.chip(window), window.height, window.width)
                strata[part] = np.where(mapped[part] == IGNORE_ID, np.uint8(IGNORE_ID), found)
            if self.aoi is not None:
                inside = self.aoi.mask(window) if self.aoi.touches(window) else False
                strata[part] = np.where(inside, strata[part], np.uint8(IGNORE_ID))
        return strata


@dataclass(frozen=True)
class ObjectPopulation:
    """Chips of the scene that objects were predicted in, with the number of objects in each."""

    scene_grid: PixelGrid
    """The grid of the scene."""
    counts: Int64Array
    """(H, W) number of objects with their centre in each chip."""
    chip_px: int
    """Side of a chip, pixels of the scene."""
    whole: bool = False
    """True: there is one stratum; else chips with and without objects are two."""
    aoi: Aoi | None = None
    """The area that is sampled; None: all of the scene."""

    @property
    def grid(self) -> PixelGrid:
        """The grid of the chips."""
        return coarser(self.scene_grid, self.chip_px)

    def stratum_name(self, stratum: int) -> str:
        """The name of a stratum."""
        if self.whole:
            return _WHOLE_NAME
        return "chips with objects" if stratum else "chips without objects"

    def rows(self) -> Iterator[UnitRows]:
        """All chips at once: they are few."""
        height, width = self.counts.shape
        strata = (self.counts > 0).astype(np.uint8)
        if self.whole:
            strata[:] = WHOLE_MAP
        if self.aoi is not None:
            # a chip belongs to the AOI if its centre does
            rows, cols = np.indices((height, width)).reshape(2, -1)
            centre_cols = np.asarray((cols + 0.5) * self.chip_px, np.float64)
            centre_rows = np.asarray((rows + 0.5) * self.chip_px, np.float64)
            inside = self.aoi.contains(centre_cols, centre_rows).reshape(height, width)
            strata[~inside] = IGNORE_ID
        yield UnitRows(0, strata, np.zeros_like(strata), self._chip_areas())

    def _chip_areas(self) -> Float64Array:
        areas = PixelAreas(self.scene_grid)
        height, width = self.counts.shape
        rows = np.minimum(np.arange(height + 1) * self.chip_px, self.scene_grid.height)
        cols = np.minimum(np.arange(width + 1) * self.chip_px, self.scene_grid.width)
        pixels = np.outer(np.diff(rows), np.diff(cols)).astype(np.float64)
        if areas.equal:
            return pixels * areas.mean
        return pixels * PixelAreas(self.grid).of(self.grid.window) / self.chip_px**2


def class_name(classes: ClassSet | None, class_id: int) -> str:
    """The name of a class; its number where the map names no classes."""
    known = {} if classes is None else {info.id: info.name for info in classes}
    return known.get(class_id, BACKGROUND if class_id == 0 else str(class_id))


def counted_objects(cols: Float64Array, rows: Float64Array, grid: PixelGrid, chip_px: int) -> Int64Array:
    """(H, W) number of points in each chip of a grid; points outside the grid are left out."""
    shape = coarser(grid, chip_px).height, coarser(grid, chip_px).width
    inside = (cols >= 0) & (rows >= 0) & (cols < grid.width) & (rows < grid.height)
    places = (rows[inside] // chip_px).astype(np.int64) * shape[1] + (cols[inside] // chip_px).astype(
        np.int64
    )
    return np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64)


def coarser(grid: PixelGrid, chip_px: int) -> PixelGrid:
    """The grid whose pixels are squares of `chip_px` pixels; the last ones may reach beyond `grid`."""
    if chip_px == 1:
        return grid
    transform = grid.transform @ Affine.scale(chip_px)
    return PixelGrid(grid.crs, transform, -(-grid.height // chip_px), -(-grid.width // chip_px))


def most_frequent(ids: UInt8Array, side: int) -> UInt8Array:
    """The most frequent id of each square of `side` pixels, the lowest of several; 255 where all are 255."""
    padded = np.pad(ids, _padding(ids.shape, side), constant_values=IGNORE_ID)
    height, width = padded.shape[0] // side, padded.shape[1] // side
    best: UInt8Array = np.full((height, width), IGNORE_ID, np.uint8)
    most = np.zeros((height, width), np.int64)
    for value in np.unique(ids).tolist():
        if value == IGNORE_ID:
            continue
        counts = (padded == value).reshape(height, side, width, side).sum(axis=(1, 3))
        better = counts > most
        best[better], most[better] = value, counts[better]
    return best


def _sums(values: Float64Array, side: int) -> Float64Array:
    padded = np.pad(values, _padding(values.shape, side))
    height, width = padded.shape[0] // side, padded.shape[1] // side
    return np.asarray(padded.reshape(height, side, width, side).sum(axis=(1, 3)), np.float64)


def _padding(shape: tuple[int, ...], side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, -shape[0] % side), (0, -shape[1] % side)


def _aligned(strips: Iterator[tuple[int, UInt8Array]], side: int) -> Iterator[tuple[int, UInt8Array]]:
    """Strips whose heights are multiples of `side`, but for the last one."""
    waiting: list[UInt8Array] = []
    start = 0
    for _, strip in strips:
        waiting.append(strip)
        rows = np.concatenate(waiting) if len(waiting) > 1 else strip
        whole = len(rows) // side * side
        if whole:
            yield start, rows[:whole]
        start, waiting = start + whole, [rows[whole:]]
    rest = waiting[-1] if waiting else np.zeros((0, 0), np.uint8)
    if rest.shape[0]:
        yield start, rest


def _across(row0: int, shape: tuple[int, ...]) -> Iterator[Window]:
    """The windows of a strip, from left to right."""
    for left in range(0, shape[1], _WINDOW_COLS):
        right = min(left + _WINDOW_COLS, shape[1])
        yield Window.from_box(left, row0, right, row0 + shape[0])

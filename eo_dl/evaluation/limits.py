"""The ground on which is scored: AOI and the chips of a split, in the pixels of one prediction, and its
blocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely

from ..chips.chiprecord import SPLITS, SplitName
from ..chips.chipset import ChipSet, open_chip_set
from ..chips.sameground import on_ground_of
from ..core.arraytypes import Float64Array
from ..core.boxes import centres
from ..core.gridwindow import between_grids, window_outlines
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..errors import ChipSetError, ConfigError
from ..io.aoi import Aoi, read_aoi

BLOCKS_A_SIDE = 8
"""The longer side of a prediction is cut into so many squares, which the bootstrap resamples."""


class NoChipHere(ChipSetError):
    """None of the chips that are scored lies on a prediction."""


@dataclass(frozen=True)
class Limits:
    """What narrows the ground, the same for all files of a prediction."""

    aoi: str | Path | None = None
    chips: ChipSet | None = None
    split: SplitName = "test"

    @classmethod
    def of(cls, aoi: str | Path | None, chips: ChipSet | str | Path | None, split: str) -> Limits:
        """Opened and checked. Raises `ConfigError` for a split that is none, `ChipSetError`, also for a split
        without chips.
        """
        names: dict[str, SplitName] = {name: name for name in SPLITS}
        if split not in names:
            raise ConfigError(f"split {split!r} is none of {', '.join(SPLITS)}; choose another `split`")
        chosen = names[split]
        opened = None if chips is None else open_chip_set(chips)
        if opened is not None and not opened.split(chosen):
            raise ChipSetError(f"{opened.path}: has no chips in the split '{split}'; choose another `split`")
        return cls(aoi, opened, chosen)

    def areas(self, grid: PixelGrid, name: str) -> tuple[Aoi, ...]:
        """Each area, in pixels of `grid`, of which a pixel must be part; none where nothing narrows. `name`:
        the scene, with its folder where that is known.

        Raises `InputError`, `NoChipHere`.
        """
        found = [] if self.aoi is None else [read_aoi(self.aoi, grid, name)]
        if self.chips is not None:
            found.append(Aoi(self._chip_area(self.chips, grid, name)))
        return tuple(found)

    def windows(self, grid: PixelGrid, name: str) -> list[tuple[Window, str]]:
        """The chips of the split on a prediction, in whole pixels of `grid`, and the block of ground of each;
        of an AOI those with their centre in it.
        """
        if self.chips is None:
            return []
        aoi = None if self.aoi is None else read_aoi(self.aoi, grid, name)
        found = []
        for index in on_ground_of(name, grid, self.chips.scenes, str(self.chips.path)):
            scene = self.chips.scenes[index]
            records = [record for record in self.chips.split(self.split) if record.scene_index == index]
            if not records:
                continue
            boxes = window_outlines([record.window for record in records])
            moved = between_grids(boxes, scene.grid, grid, scene.name)
            for record, (col0, row0, col1, row1) in zip(
                records, np.rint(shapely.bounds(moved)).astype(int).tolist(), strict=True
            ):
                window = Window(col0, row0, max(1, col1 - col0), max(1, row1 - row0))
                centre = np.array([(col0 + col1) / 2]), np.array([(row0 + row1) / 2])
                if _on(grid, *centre) and (aoi is None or bool(aoi.contains(*centre)[0])):
                    found.append((window, f"{index}/{record.block}"))
        return found

    def _chip_area(self, chips: ChipSet, grid: PixelGrid, name: str) -> shapely.Geometry:
        outlines = []
        for index in on_ground_of(name, grid, chips.scenes, str(chips.path)):
            scene = chips.scenes[index]
            windows = [record.window for record in chips.split(self.split) if record.scene_index == index]
            if windows:
                inside = [
                    w for w in (window.intersection(scene.grid.window) for window in windows) if w is not None
                ]
                outlines.append(between_grids(window_outlines(inside), scene.grid, grid, scene.name))
        area = (
            shapely.intersection(
                shapely.union_all(np.concatenate(outlines)), shapely.box(0, 0, grid.width, grid.height)
            )
            if outlines
            else shapely.Polygon()
        )
        if area.area == 0:
            known = ", ".join(scene.name for scene in chips.scenes[:5])
            raise NoChipHere(
                f"{chips.path}: no {self.split} chip lies on {name}; its scenes are {known}; give the "
                "prediction of one of them"
            )
        return area


@dataclass
class LeftOut:
    """Of `files` predictions those on which no chip lies that is scored: of many scenes few are in one split.
    All of them is an error.
    """

    files: int
    names: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def where_no_chip_lies(self, name: str) -> Iterator[None]:
        """Scores one file, or counts it. Raises `NoChipHere` where it is the last and all were left out."""
        try:
            yield
        except NoChipHere:
            self.names.append(name)
            if len(self.names) == self.files:
                raise

    def notes(self, split: str) -> list[str]:
        """What was left out, counted."""
        return (
            [f"{len(self.names)} of {self.files} files are left out: no {split} chip lies on them"]
            if self.names
            else []
        )


def _on(grid: PixelGrid, cols: Float64Array, rows: Float64Array) -> bool:
    return bool(
        (cols >= 0).all() and (cols < grid.width).all() and (rows >= 0).all() and (rows < grid.height).all()
    )


@dataclass(frozen=True)
class Blocks:
    """Squares of a grid, numbered by row and column: the units that the bootstrap resamples."""

    side_px: int
    prefix: str = ""

    @classmethod
    def of(cls, grid: PixelGrid, prefix: str = "") -> Blocks:
        """About `BLOCKS_A_SIDE` along the longer side."""
        return cls(max(1, -(-max(grid.height, grid.width) // BLOCKS_A_SIDE)), prefix)

    def name(self, col: float, row: float) -> str:
        """The block of a pixel."""
        return f"{self.prefix}{int(row // self.side_px)}_{int(col // self.side_px)}"

    def names(self, boxes: Float64Array) -> list[str]:
        """The block of the centre of each box (N, 4)."""
        return [self.name(col, row) for col, row in centres(boxes).tolist()]

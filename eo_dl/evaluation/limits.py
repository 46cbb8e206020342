"""The area that is scored: AOI and chips of a split, in pixels of one prediction; blocks for the
bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
from ..io.discover import own_path

BLOCKS_PER_SIDE = 8
"""Number of squares along the longer side of a prediction; the bootstrap resamples them."""


class NoChipHere(ChipSetError):
    """None of the scored chips lies on a prediction."""


@dataclass(frozen=True)
class Limits:
    """What limits the scored area; the same for all files of a prediction."""

    aoi: str | Path | None = None
    """Vector file with the area to score."""
    chips: ChipSet | None = None
    """Chip set of which one split is scored."""
    split: SplitName = "test"
    """The split of `chips`."""

    @classmethod
    def of(cls, aoi: str | Path | None, chips: ChipSet | str | Path | None, split: str) -> Limits:
        """Open and check the limits.

        Raises:
            ConfigError: The split is unknown.
            ChipSetError: The chip set cannot be read, or has no chip in the split.
        """
        names: dict[str, SplitName] = {name: name for name in SPLITS}
        if split not in names:
            raise ConfigError(f"unknown `split` {split!r}; choose one of {', '.join(SPLITS)}")
        chip_set = None if chips is None else open_chip_set(chips)
        if chip_set is not None and not chip_set.split(names[split]):
            raise ChipSetError(
                f"{chip_set.path}: has no chips in the split '{split}'; choose another `split`"
            )
        return cls(aoi, chip_set, names[split])

    def with_own_paths(self) -> Limits:
        """The same with paths that do not depend on the folder in which a process runs."""
        return self if self.aoi is None else replace(self, aoi=own_path(self.aoi))

    def areas(self, grid: PixelGrid, name: str) -> tuple[Aoi, ...]:
        """The areas that a scored pixel must lie in, in pixels of `grid`; none without limits.

        Args:
            grid: Grid of the prediction.
            name: The scene, with its folder if that is known.

        Raises:
            InputError: The AOI cannot be read or does not overlap the grid.
            NoChipHere: No scored chip lies on the grid.
        """
        areas = [] if self.aoi is None else [read_aoi(self.aoi, grid, name)]
        if self.chips is not None:
            areas.append(Aoi(self._chip_area(self.chips, grid, name)))
        return tuple(areas)

    def windows(self, grid: PixelGrid, name: str) -> list[tuple[Window, str]]:
        """The scored chips on a prediction, as windows of `grid` with the name of their block.

        With an AOI, only the chips with their centre in it. See `areas` for the parameters.
        """
        if self.chips is None:
            return []
        aoi = None if self.aoi is None else read_aoi(self.aoi, grid, name)
        windows = []
        for index in on_ground_of(name, grid, self.chips.scenes, str(self.chips.path)):
            scene = self.chips.scenes[index]
            records = [record for record in self.chips.split(self.split) if record.scene_index == index]
            if not records:
                continue
            outlines = window_outlines([record.window for record in records])
            on_grid = between_grids(outlines, scene.grid, grid, scene.name)
            boxes = np.rint(shapely.bounds(on_grid)).astype(int).tolist()
            for record, (col0, row0, col1, row1) in zip(records, boxes, strict=True):
                window = Window(col0, row0, max(1, col1 - col0), max(1, row1 - row0))
                if _has_centre(grid, aoi, (col0 + col1) / 2, (row0 + row1) / 2):
                    windows.append((window, f"{index}/{record.block}"))
        return windows

    def _chip_area(self, chips: ChipSet, grid: PixelGrid, name: str) -> shapely.Geometry:
        """The union of the scored chips, in pixels of `grid`."""
        outlines = []
        for index in on_ground_of(name, grid, chips.scenes, str(chips.path)):
            scene = chips.scenes[index]
            inside = []
            for record in chips.split(self.split):
                window = record.window.intersection(scene.grid.window)
                if record.scene_index == index and window is not None:
                    inside.append(window)
            if inside:
                outlines.append(between_grids(window_outlines(inside), scene.grid, grid, scene.name))
        area: shapely.Geometry = shapely.Polygon()
        if outlines:
            whole_grid = shapely.box(0, 0, grid.width, grid.height)
            area = shapely.intersection(shapely.union_all(np.concatenate(outlines)), whole_grid)
        if area.area == 0:
            scenes = ", ".join(scene.name for scene in chips.scenes[:5])
            raise NoChipHere(
                f"{chips.path}: no {self.split} chip lies on {name}; its scenes are {scenes}; evaluate the "
                "prediction of one of them"
            )
        return area


def _has_centre(grid: PixelGrid, aoi: Aoi | None, col: float, row: float) -> bool:
    """True if a chip's centre lies on the grid (and in the AOI)."""
    if not (0 <= col < grid.width and 0 <= row < grid.height):
        return False
    return aoi is None or bool(aoi.contains(np.array([col]), np.array([row]))[0])


@dataclass
class LeftOut:
    """Files without any scored chip. With many scenes, few are in one split; all files is an error."""

    files: int
    """Number of files of the prediction."""
    names: list[str] = field(default_factory=list)
    """Names of those that were left out."""

    def add(self, name: str, why: NoChipHere) -> None:
        """Leave out a file; raises `why` if all files were left out."""
        self.names.append(name)
        if len(self.names) == self.files:
            raise why

    def notes(self, split: str) -> list[str]:
        """A note on the number of files that were left out."""
        if not self.names:
            return []
        return [f"{len(self.names)} of {self.files} files are left out: no {split} chip lies on them"]


@dataclass(frozen=True)
class Blocks:
    """Squares of a grid, named by row and column: the units that the bootstrap resamples."""

    side_px: int
    """Side of a square, pixels."""
    prefix: str = ""
    """Beginning of the names, so that blocks of several files differ."""

    @classmethod
    def of(cls, grid: PixelGrid, prefix: str = "") -> Blocks:
        """About `BLOCKS_PER_SIDE` squares along the longer side."""
        return cls(max(1, -(-max(grid.height, grid.width) // BLOCKS_PER_SIDE)), prefix)

    def name(self, col: float, row: float) -> str:
        """The block of a pixel."""
        return f"{self.prefix}{int(row // self.side_px)}_{int(col // self.side_px)}"

    def names(self, boxes: Float64Array) -> list[str]:
        """The blocks of the centres of (N, 4) boxes."""
        return [self.name(col, row) for col, row in centres(boxes).tolist()]

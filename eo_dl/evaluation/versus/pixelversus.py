"""Two class maps and the reference, strip by strip: only pixels that both maps have are scored."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...chips.truth import SceneTruth
from ...core.arraytypes import BoolArray, Float64Array, Int64Array, UInt8Array
from ...core.classes import IGNORE_ID, ClassSet
from ...core.pixelgrid import PixelGrid
from ...core.window import Window
from ...errors import InputError
from ...io.aoi import Aoi
from ...io.classmap import ClassMap, open_class_map
from ...io.rasterwriter import RasterWriter
from ...io.scene import SceneReader
from ...scores.pixelscores import PixelScorer
from ..classmatch import ClassMatch, match_classes
from ..comparison import nothing_to_score
from ..limits import Blocks
from ..pixelwise import named_by_scene, true_ids_in, windows_in_blocks
from .contrast import DIFFERENCES, Contrasted, RivalMaps, contrasts, draw_name

_THUMBNAIL_PX = 720
_SAME, _BOTH, _FIRST, _SECOND, _NEITHER, _DIFFERENT = DIFFERENCES.ids


def compare_pixels(pair: RivalMaps, differences: Path | None) -> Contrasted:
    """Score two class maps on the pixels that both have.

    Args:
        pair: The maps.
        differences: Where to write the class raster of differences; None: nowhere.

    Raises:
        LabelError: The reference does not fit the maps.
        SceneError: A map cannot be read.
        InputError: The grids of the maps cannot be brought together.
    """
    first, second = open_class_map(pair.first.path), open_class_map(pair.second.path)
    match = match_classes(
        first.classes, pair.labels.classes, pair.labels.source, pair.class_map, ids_agree=True
    )
    other = _match_of_second(match.classes, second, pair)
    strips = _Strips.of(pair, match, first)
    counts, thumbnail = np.zeros(256, np.int64), _Thumbnail(first.grid)
    with ExitStack() as stack:
        reader = stack.enter_context(SceneReader(second.scene))
        beside = _Beside(second, reader, first.grid, other)
        writer = None
        if differences is not None:
            writer = stack.enter_context(
                RasterWriter(differences, first.grid, nodata=IGNORE_ID, classes=DIFFERENCES)
            )
        for row0, ids in first.row_strips():
            found = strips.compare(row0, ids, beside.rows(row0, len(ids)))
            counts += np.bincount(found.ravel(), minlength=256)
            thumbnail.add(row0, found)
            if writer is not None:
                writer.write(row0, found)
            pair.on_progress(row0 + len(found), first.grid.height, "rows compared")
    scorers = strips.first, strips.second
    if not scorers[0].confusion.sum():
        raise nothing_to_score(pair.labels, "pixels of both maps have a known class in the truth")
    return Contrasted(
        kind="pixels",
        classes=match.classes,
        contrasts=contrasts(
            scorers[0].scores(), scorers[1].scores(), (_draws(scorers[0]), _draws(scorers[1]))
        ),
        counts={info.name: int(counts[info.id]) for info in DIFFERENCES},
        notes=(*first.notes, *second.notes, *match.notes, *other.notes, *_notes(counts, first.grid)),
        thumbnail=thumbnail.pixels,
    )


def _match_of_second(classes: ClassSet, second: ClassMap, pair: RivalMaps) -> ClassMatch:
    """The classes of the second map as those of the first; a map without class names has the same ids."""
    own = second.classes if second.classes is not None else classes
    return match_classes(classes, own, str(pair.second.path), ids_agree=True)


@dataclass(frozen=True)
class _Strips:
    """Scores strips of two maps."""

    match: ClassMatch
    truth: SceneTruth
    areas: tuple[Aoi, ...]
    blocks: Blocks
    first: PixelScorer
    second: PixelScorer

    @classmethod
    def of(cls, pair: RivalMaps, match: ClassMatch, first: ClassMap) -> _Strips:
        named = named_by_scene(first, pair.first)
        return cls(
            match=match,
            truth=SceneTruth.of(pair.labels, named),
            areas=pair.limits.areas(named.grid, named.path),
            blocks=Blocks.of(named.grid, pair.first.block_prefix),
            first=PixelScorer(match.classes, seed=pair.seed),
            second=PixelScorer(match.classes, seed=pair.seed),
        )

    def compare(self, row0: int, first: UInt8Array, second: UInt8Array) -> UInt8Array:
        """(H, W) which map is right, in the ids of `DIFFERENCES`; 255 where one of them has no class."""
        found: UInt8Array = np.full(first.shape, IGNORE_ID, np.uint8)
        for window in windows_in_blocks(row0, first.shape, self.blocks.side_px):
            part = np.s_[window.row - row0 : window.row1 - row0, window.col : window.col1]
            known = (first[part] != IGNORE_ID) & (second[part] != IGNORE_ID)
            true_ids, inside = true_ids_in(self.truth, window, self.match, self.areas)
            expected = np.where(inside & known, true_ids, np.uint8(IGNORE_ID))
            place = self.blocks.name(window.col, window.row)
            self.first.update(first[part], expected, place)
            self.second.update(second[part], expected, place)
            found[part] = _right_and_wrong(first[part], second[part], expected, known)
        return found


def _right_and_wrong(
    first: UInt8Array, second: UInt8Array, expected: UInt8Array, known: BoolArray
) -> UInt8Array:
    first_right, second_right = first == expected, second == expected
    found = np.where(first == second, np.uint8(_SAME), np.uint8(_DIFFERENT))
    scored = expected != IGNORE_ID
    found[scored] = _NEITHER
    found[scored & first_right] = _FIRST
    found[scored & second_right] = _SECOND
    found[scored & first_right & second_right] = _BOTH
    found[~known] = IGNORE_ID
    return found


@dataclass(frozen=True)
class _Beside:
    """Rows of the second map on the grid of the first one."""

    class_map: ClassMap
    reader: SceneReader
    grid: PixelGrid
    match: ClassMatch

    @cached_property
    def _places(self) -> tuple[Int64Array, Int64Array] | None:
        """Row and column of the second map for each row and column of the first; None: the same ones."""
        own = self.class_map.grid
        if own == self.grid:
            return None
        step = own.inverse @ self.grid.transform
        if own.crs != self.grid.crs or abs(step.b) > 1e-9 or abs(step.d) > 1e-9:
            raise InputError(
                f"{self.class_map.scene.path}: lies in another CRS than the first map, or is turned "
                "against it; bring both to one grid, e.g. gdalwarp -r near"
            )
        cols = np.floor(step.a * (np.arange(self.grid.width) + 0.5) + step.c).astype(np.int64)
        rows = np.floor(step.e * (np.arange(self.grid.height) + 0.5) + step.f).astype(np.int64)
        return rows, cols

    def rows(self, row0: int, count: int) -> UInt8Array:
        """(count, W) class ids of the first map's classes; 255 where the second map has none."""
        if self._places is None:
            window = Window(0, row0, self.grid.width, count)
            return self.match.truth_ids[self.class_map.ids_of(self.reader.read(window))]
        rows, cols = self._places
        here = rows[row0 : row0 + count]
        top, left = int(here.min()), int(cols.min())
        window = Window(left, top, int(cols.max()) - left + 1, int(here.max()) - top + 1)
        ids = self.class_map.ids_of(self.reader.read(window))
        return self.match.truth_ids[ids[np.ix_(here - top, cols - left)]]


class _Thumbnail:
    """Every nth pixel of the map of differences."""

    def __init__(self, grid: PixelGrid) -> None:
        self._step = max(1, -(-max(grid.height, grid.width) // _THUMBNAIL_PX))
        shape = -(-grid.height // self._step), -(-grid.width // self._step)
        self.pixels: UInt8Array = np.full(shape, IGNORE_ID, np.uint8)

    def add(self, row0: int, found: UInt8Array) -> None:
        rows = np.arange(-row0 % self._step, len(found), self._step)
        self.pixels[(row0 + rows) // self._step] = found[rows][:, :: self._step]


def _draws(scorer: PixelScorer) -> dict[str, Float64Array]:
    """Draws of the overall scores, and of those of classes."""
    draws = dict(scorer.draws())
    for name, of_classes in scorer.class_draws().items():
        for channel, info in enumerate(scorer.classes):
            draws[draw_name(name, info.name)] = of_classes[:, channel]
    return draws


def _notes(counts: Int64Array, grid: PixelGrid) -> list[str]:
    both = int(counts[:IGNORE_ID].sum())
    scored = int(counts[[_BOTH, _FIRST, _SECOND, _NEITHER]].sum())
    notes = [f"{scored} pixels are scored, on which both maps and the reference have a class"]
    missing = grid.height * grid.width - both
    if missing:
        notes.append(f"{missing} pixels without a class on one of the maps are left out of both")
    return notes

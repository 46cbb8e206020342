"""Class maps against the truth, band of rows by band of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..chips.truth import SceneTruth
from ..core.arraytypes import UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.labelset import LabelSet
from ..core.progress import OnProgress
from ..core.window import Window
from ..errors import SceneError
from ..io.aoi import Aoi
from ..io.classmap import ClassMap, open_class_map
from ..io.scene import Scene
from ..labels.classcover import class_mask
from ..scores.pixelscores import PixelScorer
from .classmatch import ClassMatch
from .limits import Blocks, Limits
from .predictionfiles import Part

# Truth is burnt a window at a time; this bounds the memory, not the result.
_WINDOW_COLS = 4096
_THUMBNAIL_PX = 720


@dataclass
class PixelTally:
    """Pixels that count, features of the truth that touch them, and pixels that were left out, and why."""

    scored: int = 0
    features: int = 0
    unlabelled: int = 0
    unpredicted: int = 0
    outside: int = 0


@dataclass(frozen=True)
class Thumbnail:
    """A thinned-out copy of what was compared, for the error picture: class ids (h, w), 255 where not
    scored.
    """

    predicted: UInt8Array
    truth: UInt8Array
    name: str


def score_map(
    part: Part,
    labels: LabelSet,
    match: ClassMatch,
    limits: Limits,
    *,
    scorer: PixelScorer,
    tally: PixelTally,
    on_progress: OnProgress,
) -> Thumbnail:
    """Add one class map to the scorer; memory does not grow with its height. Raises `LabelError`,
    `SceneError`.
    """
    found = open_class_map(part.path)
    named = _named(found, part)
    areas = limits.areas(named.grid, named.path)
    truth = SceneTruth.of(labels, named)
    tally.features += len(truth.labels)
    blocks = Blocks.of(named.grid, f"{part.path}:")
    thumbnail = _Thinned(named.grid.height, named.grid.width)
    for row0, ids in found.row_strips():
        _check_ids(ids, match.classes, found)
        for window in _windows(row0, ids.shape, blocks.side_px):
            predicted = ids[window.row - row0 : window.row1 - row0, window.col : window.col1]
            expected = _expected(truth, window, match, areas, tally, predicted)
            scorer.update(predicted, expected, blocks.name(window.col, window.row))
            thumbnail.add(window, predicted, expected)
        on_progress(row0 + len(ids), named.grid.height, "rows")
    tally.unpredicted = scorer.unpredicted
    tally.scored = int(scorer.confusion.sum())
    return Thumbnail(thumbnail.predicted, thumbnail.truth, part.path.name)


def _named(found: ClassMap, part: Part) -> Scene:
    """The map under the name of the scene it was made of: labels by image are matched by that name."""
    return replace(found.scene, file=replace(found.scene.file, path=part.made_of))


def _expected(
    truth: SceneTruth,
    window: Window,
    match: ClassMatch,
    areas: tuple[Aoi, ...],
    tally: PixelTally,
    predicted: UInt8Array,
) -> UInt8Array:
    """Class ids that are true in a window; 255 where they are not known or not asked for."""
    ids = match.truth_ids[class_mask(truth.chip(window), window.height, window.width)]
    known = ids != IGNORE_ID
    inside = np.ones(ids.shape, np.bool_)
    for area in areas:
        inside &= area.mask(window) if area.touches(window) else False
    measured = predicted != IGNORE_ID
    tally.outside += int((~inside & measured).sum())
    tally.unlabelled += int((inside & ~known & measured).sum())
    return np.where(inside, ids, np.uint8(IGNORE_ID))


def _windows(row0: int, shape: tuple[int, ...], side: int) -> Iterator[Window]:
    """The pieces of a band of rows that lie in one block each, cut again where a block is very wide."""
    rows = _cuts(row0, row0 + shape[0], side)
    cols = [
        piece for start, stop in _cuts(0, shape[1], side) for piece in _cuts(start, stop, _WINDOW_COLS, start)
    ]
    for top, bottom in rows:
        for left, right in cols:
            yield Window.from_box(left, top, right, bottom)


def _cuts(start: int, stop: int, step: int, origin: int = 0) -> list[tuple[int, int]]:
    """[start, stop) cut at `origin` plus multiples of `step`."""
    first = origin + ((start - origin) // step + 1) * step
    edges = [start, *range(first, stop, step), stop]
    return list(pairwise(edges))


def _check_ids(ids: UInt8Array, classes: ClassSet, found: ClassMap) -> None:
    met = np.zeros(256, np.bool_)
    met[np.unique(ids)] = True
    met[[*classes.ids, IGNORE_ID]] = False
    if met.any():
        raise SceneError(
            f"{found.scene.path}: holds the class id {int(np.argmax(met))}, but its classes are "
            f"{', '.join(f'{c.id}={c.name}' for c in classes)}"
        )


class _Thinned:
    """Every nth pixel of what is compared."""

    def __init__(self, height: int, width: int) -> None:
        self._step = max(1, -(-max(height, width) // _THUMBNAIL_PX))
        shape = -(-height // self._step), -(-width // self._step)
        self.predicted: UInt8Array = np.full(shape, IGNORE_ID, np.uint8)
        self.truth: UInt8Array = np.full(shape, IGNORE_ID, np.uint8)

    def add(self, window: Window, predicted: UInt8Array, truth: UInt8Array) -> None:
        step = self._step
        top, left = -window.row % step, -window.col % step
        picked = np.s_[top::step, left::step]
        rows, cols = (window.row + top) // step, (window.col + left) // step
        part = predicted[picked]
        if part.size:
            self.predicted[rows : rows + part.shape[0], cols : cols + part.shape[1]] = part
            self.truth[rows : rows + part.shape[0], cols : cols + part.shape[1]] = truth[picked]

"""Class maps against the truth, strip by strip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..chips.measure import in_order
from ..chips.truth import SceneTruth
from ..core.arraytypes import BoolArray, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.progress import OnProgress
from ..core.window import Window
from ..errors import SceneError
from ..io.aoi import Aoi
from ..io.classmap import ClassMap, open_class_map
from ..io.gdal import one_environment
from ..io.scene import Scene
from ..labels.classcover import class_mask
from ..scores.pixelscores import PixelCounts, PixelScorer
from .besidemap import (
    SetCounts,
    StripOfMap,
    TrustCounts,
    TrustScorer,
    beside_map,
    set_counts,
    strips_of,
    trust_counts,
)
from .classmatch import ClassMatch
from .eachfile import FileJob
from .limits import Blocks
from .predictionfiles import Part
from .trainedshare import trained_area

# The truth is rasterized window by window; this bounds memory and does not change the result.
_WINDOW_COLS = 4096
_THUMBNAIL_PX = 720


@dataclass
class PixelTally:
    """Counts of pixels."""

    scored: int = 0
    """Scored pixels."""
    features: int = 0
    """Features of the truth on the maps."""
    unlabelled: int = 0
    """Predicted pixels without a known class in the truth."""
    unpredicted: int = 0
    """Pixels with a true class but no prediction."""
    outside: int = 0
    """Predicted pixels outside the AOI or the scored chips."""
    trained: int = 0
    """Scored pixels on ground that the model was trained on."""


@dataclass(frozen=True)
class Thumbnail:
    """A reduced copy of the compared maps, for the error picture."""

    predicted: UInt8Array
    """(h, w) predicted class ids, 255 = not scored."""
    truth: UInt8Array
    """(h, w) true class ids, 255 = not scored."""
    name: str
    """Name of the file."""


@dataclass(frozen=True)
class MapToScore:
    """A class map."""

    part: Part
    """The file."""
    pictured: bool
    """True if a thumbnail is wanted."""
    zero_is_background: bool = True
    """True if a nodata value of 0 is the background; see `open_class_map`."""


@dataclass(frozen=True)
class ScoredMap:
    """What scoring a class map gave."""

    scorer: PixelScorer
    """Its counts by block."""
    tally: PixelTally
    """Its pixels, and those that were left out."""
    thumbnail: Thumbnail | None
    """A reduced copy; None where none was wanted."""
    trust: TrustScorer
    """What its probabilities and sets of classes are worth."""
    notes: tuple[str, ...]
    """What lies beside it and was left out."""


def score_map(job: FileJob, file: MapToScore, on_progress: OnProgress) -> ScoredMap:
    """Score one class map, in memory that does not grow with its height.

    Strips are read one after the other and scored in threads; the result does not depend on their number.

    Raises `LabelError`, `SceneError`, `NoChipHere`.
    """
    part, match = file.part, job.match
    scorer, tally = PixelScorer(match.classes, seed=job.seed), PixelTally()
    class_map = open_class_map(part.path, zero_is_background=file.zero_is_background)
    named = named_by_scene(class_map, part)
    areas = job.limits.areas(named.grid, named.path)
    truth = SceneTruth.of(job.labels, named)
    tally.features += len(truth.labels)
    blocks = Blocks.of(named.grid, part.block_prefix)
    thumbnail = _Reduced(named.grid.height, named.grid.width)
    trained = trained_area(part, named.grid)
    beside = beside_map(part, class_map, match)
    trust_scorer = TrustScorer(match.classes, job.seed, beside.coverage)
    for area in (*areas, *([] if trained is None else [trained])):
        area.touches(Window(0, 0, 1, 1))  # builds its search tree before threads share it

    def score_strip(strip: StripOfMap) -> list[_Scored]:
        """The work of one thread."""
        row0, ids = strip.row0, strip.ids
        scored = []
        with one_environment():
            for window in windows_in_blocks(row0, ids.shape, blocks.side_px):
                rows, cols = slice(window.row - row0, window.row1 - row0), slice(window.col, window.col1)
                predicted = ids[rows, cols]
                true_ids, inside = true_ids_in(truth, window, match, areas)
                expected = np.where(inside, true_ids, np.uint8(IGNORE_ID))
                counts = _counted(scorer, predicted, expected, class_map)
                has_prediction = predicted != IGNORE_ID
                trust, sets = None, None
                if strip.sets is not None:
                    sets = set_counts(strip.sets[:, rows, cols], expected, match.classes)
                if strip.probabilities is not None:
                    planes = strip.probabilities[:, rows, cols]
                    trust = trust_counts(planes, predicted, expected, match.classes)
                scored.append(
                    _Scored(
                        window=window,
                        counts=counts,
                        outside=int((~inside & has_prediction).sum()),
                        unlabelled=int((inside & (true_ids == IGNORE_ID) & has_prediction).sum()),
                        trained=_trained(trained, window, has_prediction & (expected != IGNORE_ID)),
                        trust=trust,
                        sets=sets,
                    )
                )
                thumbnail.add(window, predicted, expected)
        return scored

    with (
        closing(strips_of(class_map, beside)) as source,
        closing(in_order(score_strip, source, job.workers)) as strips,
    ):
        for strip in strips:
            for scored in strip:
                tally.outside += scored.outside
                tally.unlabelled += scored.unlabelled
                tally.trained += scored.trained
                block = blocks.name(scored.window.col, scored.window.row)
                scorer.add_counts(scored.counts, block)
                trust_scorer.add(scored.trust, scored.sets, block)
            on_progress(strip[-1].window.row1, named.grid.height, "rows")
    tally.unpredicted = scorer.unpredicted
    tally.scored = int(scorer.confusion.sum())
    picture = Thumbnail(thumbnail.predicted, thumbnail.truth, part.path.name) if file.pictured else None
    return ScoredMap(scorer, tally, picture, trust_scorer, beside.notes)


@dataclass(frozen=True)
class _Scored:
    """What was counted in a window."""

    window: Window
    counts: PixelCounts
    outside: int
    unlabelled: int
    trained: int
    trust: TrustCounts | None
    sets: SetCounts | None


def _trained(area: Aoi | None, window: Window, scored: BoolArray) -> int:
    """Number of scored pixels (H, W) of a window on ground of the training."""
    if area is None or not area.touches(window):
        return 0
    return int((area.mask(window) & scored).sum())


def _counted(
    scorer: PixelScorer, predicted: UInt8Array, expected: UInt8Array, class_map: ClassMap
) -> PixelCounts:
    try:
        return scorer.counted(predicted, expected)
    except ValueError:
        _check_ids(predicted, scorer.classes, class_map)
        raise


def named_by_scene(class_map: ClassMap, part: Part) -> Scene:
    """The map under the name of its scene, by which labels of images are matched."""
    file = replace(class_map.scene.file, path=part.made_of)
    return replace(class_map.scene, file=file)


def true_ids_in(
    truth: SceneTruth, window: Window, match: ClassMatch, areas: tuple[Aoi, ...]
) -> tuple[UInt8Array, BoolArray]:
    """(H, W) true class ids, 255 where unknown; and True for pixels in all areas."""
    ids = match.truth_ids[class_mask(truth.chip(window), window.height, window.width)]
    inside = np.ones(ids.shape, np.bool_)
    for area in areas:
        inside &= area.mask(window) if area.touches(window) else False
    return ids, inside


def windows_in_blocks(row0: int, shape: tuple[int, ...], side: int) -> Iterator[Window]:
    """Windows of a strip that lie in one block each; very wide blocks are cut further."""
    cols = []
    for start, stop in _cuts(0, shape[1], side):
        cols += _cuts(start, stop, _WINDOW_COLS, start)
    for top, bottom in _cuts(row0, row0 + shape[0], side):
        for left, right in cols:
            yield Window.from_box(left, top, right, bottom)


def _cuts(start: int, stop: int, step: int, origin: int = 0) -> list[tuple[int, int]]:
    """[start, stop) cut at `origin` plus multiples of `step`."""
    first = origin + ((start - origin) // step + 1) * step
    edges = [start, *range(first, stop, step), stop]
    return list(pairwise(edges))


def _check_ids(ids: UInt8Array, classes: ClassSet, class_map: ClassMap) -> None:
    unknown = np.zeros(256, np.bool_)
    unknown[np.unique(ids)] = True
    unknown[[*classes.ids, IGNORE_ID]] = False
    if unknown.any():
        raise SceneError(
            f"{class_map.scene.path}: holds the class id {int(np.argmax(unknown))}, but its classes are "
            f"{', '.join(f'{c.id}={c.name}' for c in classes)}"
        )


class _Reduced:
    """Every nth pixel of the compared maps."""

    def __init__(self, height: int, width: int) -> None:
        self._step = max(1, -(-max(height, width) // _THUMBNAIL_PX))
        shape = -(-height // self._step), -(-width // self._step)
        self.predicted: UInt8Array = np.full(shape, IGNORE_ID, np.uint8)
        self.truth: UInt8Array = np.full(shape, IGNORE_ID, np.uint8)

    def add(self, window: Window, predicted: UInt8Array, truth: UInt8Array) -> None:
        """Take over the pixels of a window."""
        step = self._step
        top, left = -window.row % step, -window.col % step
        picked = np.s_[top::step, left::step]
        rows, cols = (window.row + top) // step, (window.col + left) // step
        part = predicted[picked]
        if part.size:
            self.predicted[rows : rows + part.shape[0], cols : cols + part.shape[1]] = part
            self.truth[rows : rows + part.shape[0], cols : cols + part.shape[1]] = truth[picked]

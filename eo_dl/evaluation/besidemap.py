"""What `predict` writes beside a class map, against the reference: do probabilities mean what they say?"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..io.classmap import QUANTA, ClassMap, probability_classes, raster_tags
from ..io.outputtags import EXTRA_TAG, SET_COVERAGE_TAG
from ..io.scene import Scene, SceneReader, open_scene
from ..scores.reliability import ALL, Reliability
from ..scores.riskcoverage import RiskCoverage, certainty_counts
from ..scores.setcoverage import SetCoverage
from .classmatch import ClassMatch
from .predictionfiles import Part

_MODEL_TAG = "model_sha256"


@dataclass(frozen=True)
class BesideMap:
    """The rasters beside a class map that fit it."""

    probabilities: Scene | None = None
    """One band per class, in the order of the map's classes."""
    sets: Scene | None = None
    """Number of classes that a pixel may have, then one band per class: 1 if it may have it."""
    coverage: float = 0.0
    """The coverage for which the sets were made."""
    notes: tuple[str, ...] = ()
    """Why a raster is left out."""


@dataclass(frozen=True)
class StripOfMap:
    """Rows of a class map and of what lies beside it."""

    row0: int
    ids: UInt8Array
    """(rows, W) class ids."""
    probabilities: AnyArray | None
    """(K, rows, W) in steps of 1/254; 255 = nodata."""
    sets: AnyArray | None
    """(1 + K, rows, W); 255 = nodata."""


@dataclass(frozen=True)
class SetCounts:
    """What was counted of sets of classes in a window."""

    covered: Int64Array
    """(K, 2) pixels of each class, and those with their class in the set."""
    sizes: Int64Array
    """(K + 1,) pixels by the number of classes in their set."""


@dataclass(frozen=True)
class TrustCounts:
    """What was counted of probabilities in a window."""

    levels: Int64Array
    """(1 + K, 255, 2): of the most likely class and of each class, claims by level that failed and held."""
    certainty: Int64Array
    """Pixels by certainty, true and predicted channel (`riskcoverage.certainty_counts`)."""


class TrustScorer:
    """Adds up what is counted, for the report.

    Args:
        classes: Classes of the map.
        seed: Of the resampling.
        coverage: The coverage for which the sets of classes were made.
    """

    def __init__(self, classes: ClassSet, seed: int, coverage: float = 0.0) -> None:
        self._names = (ALL, *classes.names)
        self.reliability = Reliability(self._names, seed=seed)
        self.risk = RiskCoverage(classes)
        self.sets = SetCoverage(classes, seed=seed)
        self.coverage = coverage

    def add(self, counts: TrustCounts | None, sets: SetCounts | None, place: str) -> None:
        """Add what was counted in a block of ground."""
        if counts is not None:
            for name, levels in zip(self._names, counts.levels, strict=True):
                self.reliability.add_levels(name, levels, place)
            self.risk.add(counts.certainty)
        if sets is not None:
            self.sets.add(sets.covered, place)
            self.sets.add_sizes(sets.sizes)

    def merge(self, other: TrustScorer) -> None:
        """Add what another one counted on another file."""
        self.reliability.merge(other.reliability)
        self.risk.merge(other.risk)
        self.sets.merge(other.sets)


def beside_map(part: Part, class_map: ClassMap, match: ClassMatch) -> BesideMap:
    """The rasters beside a map, by their names. One that is of another map is left out with a note."""
    if class_map.classes is None:
        return BesideMap()
    found: dict[str, Scene] = {}
    notes = []
    for kind, problem_of in (("prob", _wrong_classes), ("sets", _wrong_sets)):
        path = part.path.with_name(f"{part.path.stem}_{kind}.tif")
        if not path.is_file():
            continue
        scene = open_scene(path)
        problem = _of_another_map(part, path, scene, class_map.grid) or problem_of(scene, match.classes)
        if problem:
            notes.append(f"{path.name}: left out, {problem}")
        else:
            found[kind] = scene
    coverage = 0.0
    if "sets" in found:
        coverage = float(raster_tags(found["sets"].path)[SET_COVERAGE_TAG])
    return BesideMap(found.get("prob"), found.get("sets"), coverage, tuple(notes))


def _of_another_map(part: Part, path: Path, scene: Scene, grid: PixelGrid) -> str:
    """Why a raster does not belong to a map; empty if it does."""
    same_size = (scene.grid.height, scene.grid.width) == (grid.height, grid.width)
    if not same_size or not scene.grid.transform.almost_equals(grid.transform):
        return "it does not lie on the grid of the map"
    if raster_tags(path).get(_MODEL_TAG) != part.tags.get(_MODEL_TAG):
        return "it was made by another model than the map"
    return ""


def _wrong_sets(scene: Scene, classes: ClassSet) -> str:
    """Why a raster holds no sets of these classes; empty if it does."""
    tags = raster_tags(scene.path)
    if tags.get(EXTRA_TAG) != "sets" or SET_COVERAGE_TAG not in tags:
        return "it holds no sets of classes of eo_dl"
    if len(scene.bands) != 1 + len(classes):
        return "its classes are not those of the map"
    return ""


def _wrong_classes(scene: Scene, classes: ClassSet) -> str:
    """Why a raster holds no probabilities of these classes; empty if it does."""
    known = probability_classes(scene)
    if known is None or known.ids != classes.ids:
        return "its classes are not those of the map"
    return ""


def strips_of(class_map: ClassMap, beside: BesideMap) -> Generator[StripOfMap]:
    """The rows of a map and of what lies beside it, from top to bottom. To be closed."""
    with ExitStack() as stack:
        probabilities, sets = (
            None if scene is None else stack.enter_context(SceneReader(scene))
            for scene in (beside.probabilities, beside.sets)
        )
        for row0, ids in class_map.row_strips():
            window = Window(0, row0, ids.shape[1], ids.shape[0])
            yield StripOfMap(row0, ids, _stored(probabilities, window), _stored(sets, window))


def _stored(reader: SceneReader | None, window: Window) -> AnyArray | None:
    if reader is None:
        return None
    chip = reader.read(window)
    planes = chip.pixels.copy()
    planes[:, ~chip.valid] = IGNORE_ID
    return planes


def trust_counts(
    planes: AnyArray, predicted: UInt8Array, expected: UInt8Array, classes: ClassSet
) -> TrustCounts:
    """Compare probabilities with the truth.

    Args:
        planes: (K, H, W) in steps of 1/254, 255 = nodata.
        predicted: (H, W) predicted ids.
        expected: (H, W) true ids; 255 = not known.
        classes: The K classes.
    """
    counted = (expected != IGNORE_ID) & (predicted != IGNORE_ID) & (planes[0] != IGNORE_ID)
    values = np.asarray(planes[:, counted], np.uint8)
    truth = classes.channel_of(expected[counted])
    answer = classes.channel_of(predicted[counted])
    largest = values[answer, np.arange(len(answer))] if len(answer) else values[0]
    levels = [_by_level(largest, answer == truth)]
    levels += [_by_level(plane, truth == channel) for channel, plane in enumerate(values)]
    return TrustCounts(np.stack(levels), certainty_counts(largest, truth, answer, len(classes)))


def set_counts(planes: AnyArray, expected: UInt8Array, classes: ClassSet) -> SetCounts:
    """Compare sets of classes with the truth.

    Args:
        planes: (1 + K, H, W) number of classes, and 1 for each class in the set; 255 = nodata.
        expected: (H, W) true ids; 255 = not known.
        classes: The K classes.
    """
    counted = (expected != IGNORE_ID) & (planes[0] != IGNORE_ID)
    sizes, members = np.asarray(planes[0, counted], np.uint8), planes[1:, counted] == 1
    truth = classes.channel_of(expected[counted]).astype(np.int64)
    holds = members[truth, np.arange(len(truth))]
    number = np.bincount(truth, minlength=len(classes))
    covered = np.bincount(truth[holds], minlength=len(classes))
    return SetCounts(np.stack([number, covered], axis=1), np.bincount(sizes, minlength=len(classes) + 1))


def _by_level(claimed: UInt8Array, right: BoolArray) -> Int64Array:
    """(255, 2) number of claims of each level that did not come true, and that did."""
    cells = claimed.astype(np.int64) * 2 + right
    return np.bincount(cells, minlength=2 * (QUANTA + 1)).reshape(QUANTA + 1, 2)

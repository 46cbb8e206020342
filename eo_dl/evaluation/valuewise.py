"""Maps of values against the truth, strip by strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..chips.measure import in_order
from ..chips.truth import SceneTruth
from ..core.arrays import Chip
from ..core.arraytypes import BoolArray, Float32Array
from ..core.classes import ClassSet
from ..core.labelset import LabelSet
from ..core.progress import OnProgress
from ..core.window import Window
from ..io.aoi import Aoi
from ..io.gdal import one_environment, small_cache
from ..io.outputtags import VALUES_TAG, read_values_tag
from ..io.scene import Scene, SceneReader, open_scene
from ..labels.valueplanes import value_planes
from ..scores.valuescores import ValueScorer, ValueSums
from .limits import Blocks, Limits
from .pixelwise import PixelTally, windows_in_blocks
from .predictionfiles import Part
from .trainedshare import trained_area

_STRIP_PIXELS = 2_000_000
_CACHE_BYTES = 16 * 2**20
_THUMBNAIL_PX = 720


@dataclass(frozen=True)
class ValueThumbnail:
    """A reduced copy of the first value of the compared maps, for the pictures."""

    predicted: Float32Array
    """(h, w) predicted numbers, NaN where not scored."""
    truth: Float32Array
    """(h, w) true numbers, NaN where not scored."""
    name: str
    """Name of the file."""


@dataclass(frozen=True)
class ValueJob:
    """What the scoring of all maps has in common."""

    labels: LabelSet
    """The reference."""
    classes: ClassSet
    """The values that are scored."""
    predicted: tuple[int, ...]
    """(K,) for each of them its place among the values of the maps."""
    true: tuple[int, ...]
    """(K,) for each of them its place among the values of the reference."""
    edges: tuple[tuple[float, ...], ...]
    """Per value the edges of the ranges by which it is scored."""
    limits: Limits
    """The area and the chips that are scored."""
    seed: int
    """Seed of the bootstrap."""
    workers: int | None
    """Number of threads per file (default: one per core)."""


@dataclass(frozen=True)
class ScoredValues:
    """What scoring a map gave."""

    scorer: ValueScorer
    """Its sums by block."""
    tally: PixelTally
    """Its pixels, and those that were left out."""
    thumbnail: ValueThumbnail
    """A reduced copy."""


def open_value_map(path: Path) -> Scene:
    """A raster of numbers; a pixel counts if any of its bands has one. Raises `SceneError`."""
    return open_scene(path, valid="any")


def values_of_map(part: Part) -> ClassSet | None:
    """The values of a map of ours; None for a raster of another program."""
    return read_values_tag(part.tags.get(VALUES_TAG))


def score_values(job: ValueJob, part: Part, on_progress: OnProgress) -> ScoredValues:
    """Score one map of values, in memory that does not grow with its height.

    Strips are read one after the other and scored in threads; the result does not depend on their number.

    Raises `LabelError`, `SceneError`, `NoChipHere`.
    """
    scene = open_value_map(part.path)
    named = replace(scene, file=replace(scene.file, path=part.made_of))
    areas = job.limits.areas(named.grid, named.path)
    truth = SceneTruth.of(job.labels, named)
    blocks = Blocks.of(named.grid, part.block_prefix)
    trained = trained_area(part, named.grid)
    for area in (*areas, *([] if trained is None else [trained])):
        area.touches(Window(0, 0, 1, 1))  # builds its search tree before threads share it
    scorer = ValueScorer(job.classes, edges=job.edges, seed=job.seed)
    tally = PixelTally(features=len(truth.labels))
    thumbnail = _Reduced(named.grid.height, named.grid.width)
    places = _band_places(job, scene, values_of_map(part))
    scorer.has_intervals = len(places) > len(job.classes)

    def score_strip(strip: tuple[int, Float32Array]) -> list[_Scored]:
        """The work of one thread."""
        row0, planes = strip
        scored = []
        with one_environment():
            for window in windows_in_blocks(row0, planes.shape[1:], blocks.side_px):
                predicted = planes[:, window.row - row0 : window.row1 - row0, window.col : window.col1]
                true, inside = _true_values(truth, window, job, areas)
                expected = np.where(inside, true, np.float32(np.nan))
                has_prediction = _any_known(predicted[: len(job.classes)])
                is_known = _any_known(expected)
                scored.append(
                    _Scored(
                        window=window,
                        sums=scorer.summed(predicted, expected),
                        pixels=int((has_prediction & is_known).sum()),
                        outside=int((~inside & has_prediction).sum()),
                        unlabelled=int((inside & ~_any_known(true) & has_prediction).sum()),
                        trained=_on_trained(trained, window, has_prediction & is_known),
                    )
                )
                thumbnail.add(window, predicted[0], expected[0])
        return scored

    with closing(in_order(score_strip, _strips(scene, places), job.workers)) as strips:
        for strip in strips:
            for one in strip:
                tally.scored += one.pixels
                tally.outside += one.outside
                tally.unlabelled += one.unlabelled
                tally.trained += one.trained
                scorer.add_sums(one.sums, blocks.name(one.window.col, one.window.row))
            on_progress(strip[-1].window.row1, named.grid.height, "rows")
    tally.unpredicted = scorer.unpredicted
    return ScoredValues(scorer, tally, ValueThumbnail(thumbnail.predicted, thumbnail.truth, part.path.name))


@dataclass(frozen=True)
class _Scored:
    """What was summed in a window."""

    window: Window
    sums: ValueSums
    pixels: int
    outside: int
    unlabelled: int
    trained: int


def _band_places(job: ValueJob, scene: Scene, values: ClassSet | None) -> list[int]:
    """The bands that are scored: of each value, and then of the ends of its interval where the map is one of
    ours that has them.
    """
    count = len(scene.bands) if values is None else len(values)
    places = list(job.predicted)
    if values is not None and len(scene.bands) == 3 * count:
        places += [count + place for place in job.predicted]
        places += [2 * count + place for place in job.predicted]
    return places


def _strips(scene: Scene, places: Sequence[int]) -> Iterator[tuple[int, Float32Array]]:
    """(row0, numbers (B, rows, W)) of some bands from top to bottom; NaN where there is none."""
    height, width, block_rows = scene.grid.height, scene.grid.width, scene.file.block_px[0]
    rows = max(1, _STRIP_PIXELS // width // block_rows) * block_rows
    with small_cache(_CACHE_BYTES), SceneReader(scene) as reader:  # each block is read once
        for row0 in range(0, height, rows):
            chip = reader.read(Window(0, row0, width, min(rows, height - row0)))
            yield row0, _numbers(chip, places)


def _numbers(chip: Chip, places: Sequence[int]) -> Float32Array:
    """(B, H, W) physical numbers of some bands; NaN where there is none."""
    planes = np.empty((len(places), *chip.valid.shape), np.float32)
    for plane, place in zip(planes, places, strict=True):
        band = chip.bands[place]
        plane[:] = chip.pixels[place] * band.scale + band.offset
    planes[:, ~chip.valid] = np.nan
    return planes


def _true_values(
    truth: SceneTruth, window: Window, job: ValueJob, areas: tuple[Aoi, ...]
) -> tuple[Float32Array, BoolArray]:
    """(K, H, W) true numbers, NaN where unknown; and True for pixels in all areas."""
    planes = value_planes(truth.chip(window), window.height, window.width)[list(job.true)]
    inside = np.ones(planes.shape[1:], np.bool_)
    for area in areas:
        inside &= area.mask(window) if area.touches(window) else False
    return planes, inside


def _any_known(planes: Float32Array) -> BoolArray:
    """(H, W) True where any of some planes (K, H, W) has a number."""
    return np.asarray(np.isfinite(planes).any(axis=0), np.bool_)


def _on_trained(area: Aoi | None, window: Window, scored: BoolArray) -> int:
    """Number of scored pixels (H, W) of a window on ground of the training."""
    if area is None or not area.touches(window):
        return 0
    return int((area.mask(window) & scored).sum())


class _Reduced:
    """Every nth pixel of the compared maps."""

    def __init__(self, height: int, width: int) -> None:
        self._step = max(1, -(-max(height, width) // _THUMBNAIL_PX))
        shape = -(-height // self._step), -(-width // self._step)
        self.predicted: Float32Array = np.full(shape, np.nan, np.float32)
        self.truth: Float32Array = np.full(shape, np.nan, np.float32)

    def add(self, window: Window, predicted: Float32Array, truth: Float32Array) -> None:
        """Take over the pixels of a window."""
        step = self._step
        top, left = -window.row % step, -window.col % step
        picked = np.s_[top::step, left::step]
        rows, cols = (window.row + top) // step, (window.col + left) // step
        part = predicted[picked]
        if part.size:
            self.predicted[rows : rows + part.shape[0], cols : cols + part.shape[1]] = part
            self.truth[rows : rows + part.shape[0], cols : cols + part.shape[1]] = truth[picked]

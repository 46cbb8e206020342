"""Candidate windows of every scene, by the way of sampling asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ..core.seeds import generator
from ..core.window import Window
from ..errors import ConfigError, LabelError
from .maskpoints import points_in_mask
from .measure import Candidate
from .sampling import (
    PointsOfClass,
    Sampling,
    balanced_windows,
    grid_windows,
    points_in_polygons,
    random_windows,
    touching,
    windows_around_objects,
    windows_around_single_objects,
)
from .truth import SceneTruth

_TRIES = 12
NEGATIVES = 0.1


@dataclass(frozen=True)
class SamplingRequest:
    """Where chips are wanted.

    `count`: in all scenes together; None: what a grid would give (objects: until each was seen whole).
    `negatives`: chips without any object to add to those drawn around objects or classes, as a share of their
    number, so that a network meets plain ground too.
    """

    sampling: Sampling
    chip_px: int
    overlap_px: int
    count: int | None
    seed: int
    negatives: float = NEGATIVES

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_px < self.chip_px:
            raise ConfigError(
                f"tile: an overlap of {self.overlap_px} px must be at least 0 and less than the chip's {self.chip_px} px"
            )
        if self.sampling == "grid" and self.count is not None:
            raise ConfigError(
                "tile: a grid has as many chips as it has; --count goes with --sampling random, objects, single or balanced"
            )
        if self.sampling != "grid" and self.overlap_px:
            raise ConfigError(f"tile: --overlap goes with --sampling grid, not with {self.sampling}")


def draw_candidates(
    truths: Sequence[SceneTruth], regions: Sequence[shapely.Geometry | None], request: SamplingRequest
) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """All candidates, by scene, row and column, each window once; and what has to be said."""
    grids = [
        touching(grid_windows(t.scene.grid, request.chip_px, request.overlap_px), region)
        for t, region in zip(truths, regions, strict=True)
    ]
    if not any(grids):
        raise LabelError(
            f"no chip of {request.chip_px} px touches ground that is labelled and asked for; check AOI, `annotated` and the scenes' place"
        )
    found: list[Candidate] = []
    crowded = 0
    for index, (windows, left) in enumerate(_windows(truths, regions, grids, request)):
        crowded += left
        unique = sorted(set(windows), key=lambda window: (window.row, window.col))
        found += [Candidate(index, window) for window in unique]
    if not found:
        raise LabelError(
            f"--sampling {request.sampling} finds no labelled object to cut chips around; check the labels{' and --size' if crowded else ''}, or use --sampling grid"
        )
    said = f"{crowded} objects have another one too near for a chip of {request.chip_px} px to show them alone: no chip is cut around them; smaller chips (--size) part more"
    return tuple(found), (said,) if crowded else ()


def _windows(
    truths: Sequence[SceneTruth],
    regions: Sequence[shapely.Geometry | None],
    grids: Sequence[Sequence[Window]],
    request: SamplingRequest,
) -> Iterator[tuple[Sequence[Window], int]]:
    """For each scene its windows, and the number of objects that none could be found for."""
    counts = _counts(truths, grids, request)
    for index, (truth, region) in enumerate(zip(truths, regions, strict=True)):
        rng = generator(request.seed, "sampling", index)
        if request.sampling == "grid" or not grids[index]:
            yield grids[index], 0
        elif request.sampling == "random":
            yield _filled(_drawer(truth, request, rng), region, counts[index] or 0), 0
        else:
            drawn, crowded = _around(truth, region, request, rng, counts[index])
            empty = _negatives(
                truth,
                region,
                request,
                generator(request.seed, "negatives", index),
                round(request.negatives * len(drawn)),
            )
            yield [*drawn, *_hard_negatives(truth, region, request), *empty], crowded


def _around(
    truth: SceneTruth,
    region: shapely.Geometry | None,
    request: SamplingRequest,
    rng: np.random.Generator,
    count: int | None,
) -> tuple[Sequence[Window], int]:
    """Windows around objects or points of classes; and how many objects have none."""
    if request.sampling == "balanced":
        return _filled(_drawer(truth, request, rng), region, count or 0), 0
    _refuse_masks(truth, request.sampling)
    if request.sampling == "single":
        alone, crowded = windows_around_single_objects(
            truth.scene.grid, truth.labels, request.chip_px, rng, count
        )
        return touching(alone, region), crowded
    return touching(
        windows_around_objects(truth.scene.grid, truth.labels, request.chip_px, rng, count), region
    ), 0


def _hard_negatives(
    truth: SceneTruth, region: shapely.Geometry | None, request: SamplingRequest
) -> Sequence[Window]:
    """A window around every area that a review rejected: what a model took for an object and is none."""
    if truth.negatives is None or not request.negatives:
        return ()
    rng = generator(request.seed, "hard negatives")
    return touching(
        windows_around_objects(truth.scene.grid, truth.negatives, request.chip_px, rng, None), region
    )


def _negatives(
    truth: SceneTruth,
    region: shapely.Geometry | None,
    request: SamplingRequest,
    rng: np.random.Generator,
    count: int,
) -> list[Window]:
    """Up to `count` random windows in which nothing is labelled; fewer where there is no such ground."""

    def draw(wanted: int) -> list[Window]:
        found = random_windows(truth.scene.grid, request.chip_px, 2 * wanted, rng)
        return [window for window in found if _shows_nothing(truth, window)]

    return _filled(draw, region, count)


def _shows_nothing(truth: SceneTruth, window: Window) -> bool:
    labels = truth.chip(window)
    return (
        not len(labels)
        if labels.mask is None
        else not np.isin(labels.mask, [info.id for info in labels.classes.foreground]).any()
    )


def _drawer(
    truth: SceneTruth, request: SamplingRequest, rng: np.random.Generator
) -> Callable[[int], Sequence[Window]]:
    """How to draw so many windows of a scene."""
    grid, size = truth.scene.grid, request.chip_px
    if request.sampling == "random":
        return lambda count: random_windows(grid, size, count, rng)
    ids = [info.id for info in truth.labels.classes.foreground] or list(truth.labels.classes.ids)
    points = _points(truth)
    return lambda count: balanced_windows(grid, size, ids, points, count, rng)


def _filled(
    draw: Callable[[int], Sequence[Window]], region: shapely.Geometry | None, count: int
) -> list[Window]:
    """Windows drawn until `count` touch the region, or it is clear that they do not."""
    found: list[Window] = []
    for _ in range(_TRIES):
        if len(found) >= count:
            break
        found += touching(draw(count - len(found)), region)
    return found[:count]


def _counts(
    truths: Sequence[SceneTruth], grids: Sequence[Sequence[Window]], request: SamplingRequest
) -> list[int | None]:
    """How many chips each scene gives: in proportion to its ground, for objects to their number."""
    of_objects = request.sampling in ("objects", "single")
    if of_objects and request.count is None:
        return [None] * len(truths)
    weights = np.array(
        [len(t.labels) if of_objects else len(g) for t, g in zip(truths, grids, strict=True)], np.float64
    )
    wanted = sum(len(g) for g in grids) if request.count is None else request.count
    edges = np.round(np.concatenate([[0], np.cumsum(weights)]) / max(weights.sum(), 1) * wanted).astype(int)
    return [int(n) for n in np.diff(edges)]


def _refuse_masks(truth: SceneTruth, sampling: Sampling) -> None:
    if truth.mask is not None:
        raise ConfigError(
            f"{truth.scene.path}: its labels are a raster, which has no objects to cut chips around (--sampling {sampling}); use --sampling balanced"
        )


def _points(truth: SceneTruth) -> PointsOfClass:
    if truth.mask is not None:
        return points_in_mask(truth)
    return points_in_polygons(
        truth.labels, shapely.box(0, 0, truth.scene.grid.width, truth.scene.grid.height)
    )

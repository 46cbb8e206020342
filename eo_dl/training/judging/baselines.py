"""Simple predictors that a network must beat, fitted on the train split only and scored like the network.

Class maps: the most frequent class everywhere, and logistic regressions on the values of single pixels.
Objects: boxes of the mean size at the local maxima of one contrast, that of a band or of the probability that
a pixel lies inside an object, whichever finds the train objects best; where chips hold one object, also the
same box in every chip; where objects have outlines, also patches of pixels (`patchbaseline`). Whole chips:
see `chipbaselines`. Maps of values: see `valuebaselines`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import ndimage

from ...chips.dataset import Sample
from ...core.arrays import BoxTarget, MaskTarget, Objects
from ...core.arraytypes import Float32Array, Float64Array, FloatArray, UInt8Array
from ...core.classes import IGNORE_ID, ClassSet
from ...tasks import CHIPS, OBJECTS, RASTER, VALUES, ObjectCodec, RasterCodec, Task, TaskConfig, codec_for
from ...tasks.codecs import Answer
from .chipbaselines import chip_baselines
from .patchbaseline import fit_patches
from .pixelregression import DrawnPixels, PixelRegression
from .thresholds import best_threshold
from .valuebaselines import value_baselines

FIT_CHIPS = 60
"""Most chips that the baseline for objects is fitted on; with more, its band and threshold get no better."""
_LEAST_CONTRAST = 1e-6


class Baseline(Protocol):
    """A predictor without a network."""

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    @property
    def threshold(self) -> float | None:
        """The score from which an object is reported; None where the output is not objects."""
        ...

    def answer(self, image: Float32Array) -> Answer:
        """The prediction for the normalized pixels (C, H, W) of one chip, in the form of `Codec.answer`."""
        ...


@dataclass(frozen=True)
class MajorityClass:
    """One class everywhere."""

    class_id: int
    name: str = "majority class"
    threshold: float | None = None

    def answer(self, image: Float32Array) -> UInt8Array:
        """(H, W): the class."""
        return np.full(image.shape[1:], self.class_id, np.uint8)


class Plane(Protocol):
    """Makes one plane (H, W) of an image (C, H, W)."""

    def __call__(self, image: Float32Array) -> FloatArray: ...


@dataclass(frozen=True)
class BandPlane:
    """One band."""

    index: int

    def __call__(self, image: Float32Array) -> Float32Array:
        """(H, W): the band."""
        plane: Float32Array = image[self.index]
        return plane


@dataclass(frozen=True)
class InsidePlane:
    """The probability that a pixel lies inside an object."""

    regression: PixelRegression

    def __call__(self, image: Float32Array) -> Float64Array:
        """(H, W): the probability."""
        outside, inside = self.regression.margins(image)
        return np.asarray(1 / (1 + np.exp(-np.clip(inside - outside, -30, 30))), np.float64)


@dataclass(frozen=True)
class PeakBoxes:
    """Boxes of one size at the local maxima of a contrast."""

    plane: Plane
    """What the contrast is taken of."""
    sign: int
    """1 for objects that are brighter than their surroundings, -1 for darker ones."""
    box_px: tuple[float, float]
    """Width and height of the boxes, pixels."""
    class_id: int
    threshold: float | None = None
    name: str = "mean-size boxes at local maxima"

    def answer(self, image: Float32Array) -> Objects:
        """Boxes with a score in 0..1 that grows with the contrast."""
        side = sum(self.box_px) / 2
        plane = self.plane(image)
        smooth = ndimage.gaussian_filter(plane, side / 4, mode="nearest")
        surroundings = ndimage.gaussian_filter(plane, side, mode="nearest")
        contrast = self.sign * (smooth - surroundings)
        neighbourhood = max(3, round(0.6 * side))
        largest = ndimage.maximum_filter(contrast, size=neighbourhood, mode="nearest")
        rows, cols = np.nonzero((contrast == largest) & (contrast > _LEAST_CONTRAST))
        centres = np.column_stack([cols, rows]) + 0.5
        strength = contrast[rows, cols]
        boxes = self._boxes(centres, *image.shape[1:])
        ids = np.full(len(boxes), self.class_id, np.int64)
        return Objects(boxes, ids, (strength / (1 + strength)).astype(np.float32))

    def _boxes(self, centres: FloatArray, height: int, width: int) -> Float64Array:
        """(N, 4): boxes around centres (col, row), cut at the edges of the chip."""
        half = np.array(self.box_px) / 2
        corners = np.concatenate([centres - half, centres + half], axis=1)
        return corners.clip(0, [width, height, width, height]).astype(np.float64).reshape(-1, 4)


@dataclass(frozen=True)
class FixedBox:
    """The same box in every chip."""

    box: tuple[float, float, float, float]
    """(col0, row0, col1, row1) as fractions of the chip."""
    class_id: int
    name: str
    threshold: float | None = None

    def answer(self, image: Float32Array) -> Objects:
        """One box with score 1."""
        height, width = image.shape[1:]
        box = np.array([self.box]) * [width, height, width, height]
        return Objects(box, np.array([self.class_id], np.int64), np.ones(1, np.float32))


def fit_baselines(
    task: Task, classes: ClassSet, config: TaskConfig, train: Iterable[Sample], seed: int
) -> list[Baseline]:
    """The baselines of a task.

    Args:
        task: The task.
        classes: The network's classes.
        config: The options of the task.
        train: Train chips, not augmented.
        seed: Of the pixels that are drawn from them.

    Returns:
        The fitted baselines; fewer where there is nothing to fit, such as chips of one class or without
        objects.
    """
    if task.output == RASTER:
        return _raster_baselines(codec_for(RASTER, task, classes, config), train, seed)
    if task.output == VALUES:
        return list(value_baselines(codec_for(VALUES, task, classes, config), train, seed))
    if task.output == CHIPS:
        return list(chip_baselines(codec_for(CHIPS, task, classes, config), train))
    codec, samples = codec_for(OBJECTS, task, classes, config), list(train)
    baselines: list[Baseline] = []
    if codec.one_object is not None:
        baselines += _fixed_boxes(codec, samples)
    return [*baselines, *_object_baselines(codec, samples, seed)]


def _raster_baselines(codec: RasterCodec, train: Iterable[Sample[MaskTarget]], seed: int) -> list[Baseline]:
    counts = np.zeros(256, np.int64)
    drawn = DrawnPixels(seed)
    for sample in train:
        truth = codec.truth(sample.target)
        counts += np.bincount(truth.ravel(), minlength=256)
        drawn.add(sample, truth)
    counts[IGNORE_ID] = 0
    plain = drawn.fit(PixelRegression.name, balanced=False)
    balanced = drawn.fit(f"{PixelRegression.name}, balanced classes", balanced=True)
    fitted = [regression for regression in (plain, balanced) if regression is not None]
    return [MajorityClass(int(counts.argmax())), *fitted]


def _fixed_boxes(codec: ObjectCodec, samples: Sequence[Sample[BoxTarget]]) -> list[Baseline]:
    """The mean box of the train chips, and a box of the mean size in the middle of the chip."""
    boxes, ids = [], []
    for sample in samples:
        truth = codec.truth(sample.target)
        if len(truth) and truth.counted[0]:
            height, width = sample.image.shape[1:]
            boxes.append(truth.boxes[0] / [width, height, width, height])
            ids.append(int(truth.class_ids[0]))
    if not boxes:
        return []
    class_id = int(np.bincount(ids).argmax())
    col0, row0, col1, row1 = (float(value) for value in np.mean(boxes, axis=0))
    half_width, half_height = (col1 - col0) / 2, (row1 - row0) / 2
    centred = (0.5 - half_width, 0.5 - half_height, 0.5 + half_width, 0.5 + half_height)
    return [
        FixedBox((col0, row0, col1, row1), class_id, "mean box"),
        FixedBox(centred, class_id, "centre box of the mean size"),
    ]


def _object_baselines(codec: ObjectCodec, samples: Sequence[Sample[BoxTarget]], seed: int) -> list[Baseline]:
    truths = [codec.truth(sample.target) for sample in samples]
    together = Objects.concatenate(truths)
    boxes, ids = together.boxes[together.counted], together.class_ids[together.counted]
    if not len(boxes):
        return []
    mean_size = float((boxes[:, 2] - boxes[:, 0]).mean()), float((boxes[:, 3] - boxes[:, 1]).mean())
    class_id = int(np.bincount(ids).argmax())
    candidates = []
    regression = _inside_regression(samples, truths, seed)
    if regression is not None:
        candidates.append(PeakBoxes(InsidePlane(regression), 1, mean_size, class_id))
    for band in range(len(samples[0].image)):
        for sign in (1, -1):
            candidates.append(PeakBoxes(BandPlane(band), sign, mean_size, class_id))
    baselines: list[Baseline] = [_best_of(candidates, samples, truths)]
    if len(together.polygons):
        patches = fit_patches(samples, truths, seed)
        baselines += [] if patches is None else [patches]
    return baselines


def _best_of(
    candidates: Sequence[PeakBoxes], samples: Sequence[Sample[BoxTarget]], truths: Sequence[Objects]
) -> PeakBoxes:
    """The candidate with the best F1 on the train chips (the first of equal ones), with its threshold."""
    best, best_f1 = candidates[0], -math.inf
    for candidate in candidates:
        pairs = [
            (candidate.answer(sample.image), truth) for sample, truth in zip(samples, truths, strict=True)
        ]
        threshold, f1 = best_threshold(pairs)
        f1 = f1 if math.isfinite(f1) else -1.0
        if f1 > best_f1:
            best, best_f1 = replace(candidate, threshold=threshold), f1
    return best


def _inside_regression(
    samples: Sequence[Sample[BoxTarget]], truths: Sequence[Objects], seed: int
) -> PixelRegression | None:
    """Pixels inside any true box against all others."""
    drawn = DrawnPixels(seed)
    for sample, truth in zip(samples, truths, strict=True):
        inside = np.zeros(sample.image.shape[1:], np.uint8)
        for col0, row0, col1, row1 in np.rint(truth.boxes).astype(int):
            inside[row0:row1, col0:col1] = 1
        drawn.add(sample, inside)
    return drawn.fit("inside an object", balanced=True)

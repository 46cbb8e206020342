"""What costs nothing must be beaten: simple predictors, fitted on the train split only, scored like the
network.

Raster tasks: the most frequent class everywhere, and a logistic regression on the bands of the single pixel.
Object tasks: boxes of the mean size at the local maxima (with one object a chip also the same box everywhere)
of whichever contrast of one band (or of the pixel regression's probability of "inside an object") finds the
train objects best. Chips as a whole: see `chipbaselines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...chips.dataset import Sample
from ...core.arrays import BoxTarget, MaskTarget, Objects
from ...core.classes import IGNORE_ID, ClassSet
from ...core.seeds import generator
from ...tasks import (
    CHIPS,
    OBJECTS,
    RASTER,
    ObjectCodec,
    RasterCodec,
    Task,
    TaskConfig,
    codec_for,
)
from ...tasks.codecs import Answer
from .chipbaselines import chip_baselines
from .patchbaseline import fit_patches
from .pixelregression import Image, PixelRegression, drawn_pixels, fitted_regression, thinned
from .thresholds import best_threshold

FIT_CHIPS = 60
"""Chips that the object baseline needs at most: the choice of a band and a threshold does not get better with more."""


class Baseline(Protocol):
    """A predictor without a network; `threshold`: above which score objects are reported."""

    @property
    def name(self) -> str: ...

    @property
    def threshold(self) -> float | None: ...

    def answer(self, image: Image) -> Answer:
        """The prediction for the normalized pixels (C, H, W) of one chip, as `Codec.answer` gives it."""
        ...


@dataclass(frozen=True)
class Constant:
    """One class everywhere."""

    class_id: int
    name: str = "majority class"
    threshold: float | None = None

    def answer(self, image: Image) -> npt.NDArray[np.uint8]:
        """(H, W) uint8."""
        return np.full(image.shape[1:], self.class_id, np.uint8)


@dataclass(frozen=True)
class Blobs:
    """Boxes (mean train size) at the local maxima of one contrast: `channel` a band, or -1 for `regression`;
    `sign` +1 bright, -1 dark.
    """

    channel: int
    sign: int
    box_px: tuple[float, float]
    class_id: int
    regression: PixelRegression | None
    threshold: float | None = None
    name: str = "mean-size boxes at local maxima"

    def answer(self, image: Image) -> Objects:
        """Boxes with a score in 0..1 that grows with the contrast."""
        source = image[self.channel] if self.channel >= 0 else self._inside(image)
        side = sum(self.box_px) / 2
        smooth = ndimage.gaussian_filter(source, side / 4, mode="nearest")
        contrast = self.sign * (smooth - ndimage.gaussian_filter(source, side, mode="nearest"))
        peaks = (
            contrast == ndimage.maximum_filter(contrast, size=max(3, round(0.6 * side)), mode="nearest")
        ) & (contrast > 1e-6)
        rows, cols = np.nonzero(peaks)
        return self._boxes(np.column_stack([cols, rows]) + 0.5, contrast[rows, cols], image.shape[1:])

    def _boxes(
        self, centres: npt.NDArray[np.floating], strength: npt.NDArray[np.floating], shape: tuple[int, ...]
    ) -> Objects:
        half = np.array(self.box_px) / 2
        limits = [shape[1], shape[0], shape[1], shape[0]]
        boxes = (
            np.concatenate([centres - half, centres + half], axis=1)
            .clip(0, limits)
            .astype(np.float64)
            .reshape(-1, 4)
        )
        return Objects(
            boxes,
            np.full(len(boxes), self.class_id, np.int64),
            (strength / (1 + strength)).astype(np.float32),
        )

    def _inside(self, image: Image) -> npt.NDArray[np.float64]:
        assert self.regression is not None
        margins = self.regression.margins(image)
        return np.asarray(1 / (1 + np.exp(-np.clip(margins[1] - margins[0], -30, 30))), np.float64)


@dataclass(frozen=True)
class SameBox:
    """The same box in every chip, of the most frequent class: `box` (col0, row0, col1, row1) as shares of the
    chip.
    """

    box: tuple[float, float, float, float]
    class_id: int
    name: str
    threshold: float | None = None

    def answer(self, image: Image) -> Objects:
        """One box with score 1."""
        height, width = image.shape[1:]
        box = np.array([self.box]) * [width, height, width, height]
        return Objects(box, np.array([self.class_id], np.int64), np.ones(1, np.float32))


def fit_baselines(
    task: Task, classes: ClassSet, config: TaskConfig, train: Iterable[Sample], seed: int
) -> list[Baseline]:
    """The baselines of a task, fitted on unaugmented train chips. Fewer where there is nothing to fit (one
    class, no objects).
    """
    if task.output == RASTER:
        return _raster_baselines(codec_for(RASTER, task, classes, config), train, seed)
    if task.output == CHIPS:
        return list(chip_baselines(codec_for(CHIPS, task, classes, config), train))
    codec, samples = codec_for(OBJECTS, task, classes, config), list(train)
    baselines = _object_baselines(codec, samples, seed)
    return baselines if codec.one_object is None else [*_same_boxes(codec, samples), *baselines]


def _same_boxes(codec: ObjectCodec, samples: Sequence[Sample[BoxTarget]]) -> list[Baseline]:
    """The mean train box, and a box of the mean size in the middle: what a network must beat that is to say
    where the object lies.
    """
    found = []
    for sample in samples:
        truth = codec.truth(sample.target)
        if len(truth) and truth.counted[0]:
            height, width = sample.image.shape[1:]
            found.append((truth.boxes[0] / [width, height, width, height], int(truth.class_ids[0])))
    if not found:
        return []
    mean = np.mean([box for box, _ in found], axis=0)
    half = (mean[2:] - mean[:2]) / 2
    class_id = int(np.bincount([own for _, own in found]).argmax())
    boxes = {"mean box": mean, "centre box of the mean size": np.concatenate([0.5 - half, 0.5 + half])}
    return [
        SameBox((float(b[0]), float(b[1]), float(b[2]), float(b[3])), class_id, name)
        for name, b in boxes.items()
    ]


def _raster_baselines(codec: RasterCodec, train: Iterable[Sample[MaskTarget]], seed: int) -> list[Baseline]:
    counts = np.zeros(256, np.int64)
    pixels, labels = [], []
    for sample in train:
        truth = codec.truth(sample.target)
        counts += np.bincount(truth.ravel(), minlength=256)
        drawn = drawn_pixels(sample, truth, generator(seed, "baseline", sample.chip_id))
        pixels.append(drawn[0])
        labels.append(drawn[1])
    counts[IGNORE_ID] = 0
    found: list[Baseline] = [Constant(int(counts.argmax()))]
    values, classes = thinned(np.concatenate(pixels), np.concatenate(labels), seed)
    for weighting, name in ((None, ""), ("balanced", ", balanced classes")):
        regression = fitted_regression(values, classes, weighting, PixelRegression.name + name)
        found += [regression] if regression is not None else []
    return found


def _object_baselines(codec: ObjectCodec, samples: Sequence[Sample[BoxTarget]], seed: int) -> list[Baseline]:
    true = [codec.truth(sample.target) for sample in samples]
    whole = Objects.concatenate(true)
    boxes, ids = whole.boxes[whole.counted], whole.class_ids[whole.counted]
    if not len(boxes):
        return []
    size = float((boxes[:, 2] - boxes[:, 0]).mean()), float((boxes[:, 3] - boxes[:, 1]).mean())
    regression = _inside_regression(samples, true, seed)
    class_id = int(np.bincount(ids).argmax())
    tried = []
    for channel in range(0 if regression is None else -1, samples[0].image.shape[0]):
        for sign in (1, -1) if channel >= 0 else (1,):
            blobs = Blobs(channel, sign, size, class_id, regression)
            pairs = [(blobs.answer(sample.image), truth) for sample, truth in zip(samples, true, strict=True)]
            threshold, f1 = best_threshold(pairs, 0.5)
            tried.append(
                (f1 if np.isfinite(f1) else -1.0, Blobs(channel, sign, size, class_id, regression, threshold))
            )
    best: Baseline = max(tried, key=lambda pair: pair[0])[1]
    return [best, *(fit_patches(samples, true, seed) if len(whole.polygons) else [])]


def _inside_regression(
    samples: Sequence[Sample], true: Sequence[Objects], seed: int
) -> PixelRegression | None:
    """Pixels inside any true box against the others."""
    pixels, labels = [], []
    for sample, objects in zip(samples, true, strict=True):
        inside = np.zeros(sample.image.shape[1:], np.uint8)
        for col0, row0, col1, row1 in np.rint(objects.boxes).astype(int):
            inside[row0:row1, col0:col1] = 1
        drawn = drawn_pixels(sample, inside, generator(seed, "baseline", sample.chip_id))
        pixels.append(drawn[0])
        labels.append(drawn[1])
    values, classes = thinned(np.concatenate(pixels), np.concatenate(labels), seed)
    return fitted_regression(values, classes, "balanced", "inside an object")

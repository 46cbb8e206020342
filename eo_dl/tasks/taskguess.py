"""Which task the labels of a chip set are meant for, by what was labelled, and why.

Numbers are regression.

Class rasters, and outlines of several classes that cover most of the ground, are land cover: segmentation.
Labels of whole images are classification, boxes are detection, one box per image is localization. Outlines of
separate objects are segmentation as well: a class map keeps them apart, learns most in little time, and its
polygons are the objects. Where most outlines touch another one of their class, a class map would join them:
instances. What lies between is a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ..chips.chipset import ChipSet
from ..core.arraytypes import BoolArray, GeometryArray
from ..core.features import Features
from ..core.labelset import features_of
from ..core.pixellabels import PixelLabels
from ..errors import ConfigError

_BOXES, _NO_BOXES = 0.9, 0.1
"""Share of boxes among the labels from which all are meant as boxes, and below which none is."""

_MOST_GROUND = 0.5
"""Share of the ground; outlines of several classes that cover more are land cover."""

_TOUCHING, _APART = 0.7, 0.4
"""Share of the outlines that touch another one of their class: from the first objects have to be separated,
up to the second a class map does it well enough."""

_TOUCH_PX = 1.0  # a class map shows no gap that is narrower
_BOX_AREA = 0.999
_FRAME_AREA = 0.99
_MOST_COMPARED = 5000  # outlines


@dataclass(frozen=True)
class TaskGuess:
    """A task that fits labels."""

    task: str
    """Its name."""

    reason: str
    """Why, in words."""

    def describe(self) -> str:
        """The guess with its reason and the parameter that overrules it, in one line."""
        return f"task {self.task}, because {self.reason}; change it with `task`"


def guess_task(chips: ChipSet) -> TaskGuess:
    """The task that the labels of a chip set are meant for.

    Args:
        chips: The chip set.

    Raises:
        ConfigError: Two tasks fit equally; the message names both.
    """
    if chips.classes.are_values:
        return TaskGuess("regression", "the labels are numbers")
    truths = [chips.truth_of(index) for index in range(len(chips.scenes))]
    if any(truth.raster is not None for truth in truths):
        return TaskGuess("segmentation", "the labels are class rasters")
    labels = [truth.labels for truth in truths]
    frames = [float(truth.scene.grid.height * truth.scene.grid.width) for truth in truths]
    if all(_are_whole_images(*pair) for pair in zip(labels, frames, strict=True)):
        return TaskGuess("classification", "every label is a class of a whole image")
    covered = 1 - _background_share(chips)
    if covered == 1:
        return TaskGuess("segmentation", "no ground is background: only what is labelled is known")
    boxes = _box_share(features_of(chips.labels))
    if boxes >= _BOXES:
        return _guess_for_boxes(labels)
    if boxes > _NO_BOXES:
        raise ConfigError(
            f"{chips.path}: {boxes:.0%} of the labels are boxes and the others outlines, so that detection "
            "and segmentation fit equally; choose one with `task`"
        )
    return _guess_for_outlines(chips, labels, covered)


def _are_whole_images(labels: PixelLabels, frame_px2: float) -> bool:
    """True if every label of a scene covers all of it; also where it has none."""
    return bool((shapely.area(labels.geometries) >= _FRAME_AREA * frame_px2).all())


def _background_share(chips: ChipSet) -> float:
    """The share of background in the labelled ground of all kept chips."""
    shares = [record.class_shares for record in chips.records if record.keep]
    known = sum(sum(of_chip.values()) for of_chip in shares)
    return sum(of_chip.get(0, 0.0) for of_chip in shares) / known if known else 0.0


def _box_share(features: Features) -> float:
    """The share of upright rectangles among outlines, in the frame in which they were drawn."""
    outlines = features.geometries[~features.ignore]
    bounds = shapely.bounds(outlines)
    box_areas = (bounds[:, 2] - bounds[:, 0]) * (bounds[:, 3] - bounds[:, 1])
    fills_box = shapely.area(outlines) >= _BOX_AREA * box_areas
    return float(fills_box.mean()) if len(outlines) else 0.0


def _guess_for_boxes(labels: Sequence[PixelLabels]) -> TaskGuess:
    counts = np.array([int((~of_scene.ignore).sum()) for of_scene in labels])
    if len(counts) > 1 and counts.max() == 1:
        return TaskGuess("localization", "the labels are boxes, at most one per image")
    return TaskGuess("detection", "the labels are boxes")


def _guess_for_outlines(chips: ChipSet, labels: Sequence[PixelLabels], covered: float) -> TaskGuess:
    if len(chips.classes.foreground) > 1 and covered >= _MOST_GROUND:
        return TaskGuess(
            "segmentation", f"the outlines cover {covered:.0%} of the ground with several classes"
        )
    touching = np.concatenate([_touches_its_kind(of_scene) for of_scene in labels])
    share = float(touching.mean()) if len(touching) else 0.0
    if share >= _TOUCHING:
        return TaskGuess(
            "instances",
            f"{share:.0%} of the outlines touch another one of their class, and a class map (segmentation) "
            "would join them",
        )
    if share > _APART:
        raise ConfigError(
            f"{chips.path}: {share:.0%} of the outlines touch another one of their class, so that "
            "segmentation (a class map, which joins them) and instances (an outline per object) fit equally; "
            "choose one with `task`"
        )
    return TaskGuess(
        "segmentation",
        "the labels are outlines that a class map keeps apart (instances gives one outline per object)",
    )


def _touches_its_kind(labels: PixelLabels) -> BoolArray:
    """(M,) for the outlines of a scene, of many for the first ones, whether each touches one of its class."""
    counted = np.flatnonzero(~labels.ignore)[:_MOST_COMPARED]
    outlines: GeometryArray = labels.geometries[counted]
    class_ids = labels.class_ids[counted]
    touching = np.zeros(len(outlines), np.bool_)
    tree = shapely.STRtree(outlines)
    first, second = tree.query(outlines, predicate="dwithin", distance=_TOUCH_PX)
    alike = (first != second) & (class_ids[first] == class_ids[second])
    touching[first[alike]] = True
    return touching

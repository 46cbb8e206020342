"""Two layers of predicted objects and the true ones, in one frame and with one set of blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np

from ...core.arrays import Objects
from ...core.arraytypes import BoolArray, GeometryArray
from ...core.classes import ClassSet
from ...core.pixelgrid import PixelGrid
from ...core.rasterlabels import RasterLabels
from ...errors import InputError, LabelError
from ...io.qgisstyles import categories_qml
from ...io.vectorlayers import write_layers
from ...scores.matching import match
from ...scores.objectscores import ObjectScorer
from ..classmatch import match_classes
from ..comparison import nothing_to_score
from ..objectreport import predicted_classes
from ..objectwise import Compared, Found, ObjectTally, are_boxes, read_found, score_objects
from .contrast import Contrast, Contrasted, RivalMaps, contrasts

STATUS_COLORS = {
    "found by both": "#009e73",
    "found by the first only": "#d55e00",
    "found by the second only": "#0072b2",
    "missed by both": "#5b5b5b",
    "false in both": "#cc79a7",
    "false in the first only": "#e69f00",
    "false in the second only": "#56b4e9",
}
"""What an object is in the layer of differences, each with its colour (Okabe & Ito 2008)."""

_NEED_CONFIDENCE = ("ap50", "ap50_95")


def compare_objects(pair: RivalMaps, differences: Path | None) -> Contrasted:
    """Score two layers of objects against the same true ones.

    Args:
        pair: The layers.
        differences: Where to write the layer of differences, a GeoPackage; None: nowhere.

    Raises:
        LabelError: A layer or the reference cannot be scored.
        InputError: A layer does not say which scene it is of.
    """
    labels = pair.labels
    if isinstance(labels, RasterLabels):
        raise LabelError(
            f"{labels.source}: the truth is a raster but the maps have objects; use true objects"
        )
    foreground = labels.classes.foreground
    only_class = foreground[0].name if len(foreground) == 1 else None
    files = [read_found(part, only_class) for part in (pair.first, pair.second)]
    classes = predicted_classes(files, labels.classes, pair.class_map)
    matched = match_classes(classes, labels.classes, labels.source, pair.class_map)
    use_polygons = not all(are_boxes(file, labels) for file in files)
    scorers, compared = [], []
    for file in files:
        scorer = ObjectScorer(matched.classes, pair.iou, use_polygons=use_polygons, seed=pair.seed)
        compared.append(score_objects(file, labels, matched, pair.limits, scorer=scorer, tally=ObjectTally()))
        scorers.append(scorer)
    if not len(compared[0].truth):
        raise nothing_to_score(labels, "true objects lie in the scored area")
    # Where only one of them found something, the other one has a block without objects.
    everywhere = scorers[0].places | scorers[1].places
    for scorer in scorers:
        scorer.add_places(everywhere)
    sides = _Sides.of(compared[0], compared[1], pair.iou, use_polygons)
    if differences is not None:
        _write(differences, sides, matched.classes)
    return Contrasted(
        kind="objects",
        classes=matched.classes,
        contrasts=_contrasts(files, scorers),
        counts=sides.counts(),
        notes=(*matched.notes, "outlines are compared" if use_polygons else "boxes are compared"),
    )


def _contrasts(files: list[Found], scorers: list[ObjectScorer]) -> tuple[Contrast, ...]:
    first, second = (list(scorer.scores()) for scorer in scorers)
    if not all(file.scored for file in files):
        first = [score for score in first if score.name not in _NEED_CONFIDENCE]
    return contrasts(first, second, (scorers[0].draws(), scorers[1].draws()))


@dataclass(frozen=True)
class _Sides:
    """True objects and false ones, each with what the two layers make of it."""

    grid: PixelGrid
    objects: tuple[Objects, ...]
    """Groups of objects, in pixels of `grid`."""
    statuses: tuple[str, ...]
    """The status of each group."""

    @classmethod
    def of(cls, first: Compared, second: Compared, iou: float, use_polygons: bool) -> _Sides:
        if first.grid != second.grid or len(first.truth) != len(second.truth):
            raise InputError(
                f"{first.name} and {second.name}: do not lie on the grid of one scene; name it with `scene`"
            )
        found_first, false_first = _found_and_false(first, iou, use_polygons)
        found_second, false_second = _found_and_false(second, iou, use_polygons)
        truth, counted = first.truth, first.truth.counted
        # A false object of both layers is one that the second layer has at the same place.
        twins = match(false_first, false_second, (iou,), use_polygons).found[0]
        shared = np.zeros(len(false_second), np.bool_)
        shared[twins[twins >= 0]] = True
        groups = (
            truth.take(counted & found_first & found_second),
            truth.take(counted & found_first & ~found_second),
            truth.take(counted & ~found_first & found_second),
            truth.take(counted & ~found_first & ~found_second),
            false_second.take(shared),
            false_first.take(twins < 0),
            false_second.take(~shared),
        )
        return cls(first.grid, groups, tuple(STATUS_COLORS))

    def counts(self) -> dict[str, int]:
        """Number of objects by status."""
        return {status: len(group) for status, group in zip(self.statuses, self.objects, strict=True)}


def _found_and_false(compared: Compared, iou: float, use_polygons: bool) -> tuple[BoolArray, Objects]:
    """(M,) True for true objects that were found; and the predicted objects that found none."""
    matches = match(compared.predicted, compared.truth, (iou,), use_polygons)
    found = np.zeros(len(compared.truth), np.bool_)
    hits = matches.found[0][matches.found[0] >= 0]
    found[hits] = True
    false = (matches.found[0] < 0) & ~matches.excused[0]
    return found, replace(compared.predicted.take(false), ignore=None)


def _write(path: Path, sides: _Sides, classes: ClassSet) -> None:
    name_of = {info.id: info.name for info in classes}
    statuses, names = [], []
    outlines: list[GeometryArray] = []
    for status, group in zip(sides.statuses, sides.objects, strict=True):
        statuses += [status] * len(group)
        names += [name_of.get(int(class_id), "") for class_id in group.class_ids]
        outlines.append(group.outlines())
    geometries = np.concatenate(outlines) if outlines else np.empty(0, dtype=object)
    frame = gpd.GeoDataFrame(
        {"status": statuses, "class_name": names},
        geometry=sides.grid.geometries_to_map(geometries),
        crs=sides.grid.crs,
    )
    style = categories_qml("status", STATUS_COLORS, "polygon", filled=False)
    write_layers(path, {"differences": frame}, {"differences": style})

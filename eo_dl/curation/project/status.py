"""`labels_status`: what has been drawn, and what a first model still needs, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS

from ...core.arraytypes import Float64Array, GeometryArray
from ...core.geometries import reproject
from ...core.htmlcard import card
from ...core.pixelgrid import PixelGrid
from ...io.discover import refuse_unnamed_hosts
from ...io.scene import Scene, SceneSources, open_scenes
from ...labels.labeloptions import LabelOptions
from .drawn import Drawn, read_drawn

FIRST_OBJECTS = 30
"""Objects per class for a first model: split 70/15/15 they leave about 20 to learn from and 5 to score; fewer
give no meaningful score."""

FIRST_CHIPS = 20
"""Chips of annotated ground for a first model: 70/15/15 leave 14, 3 and 3."""

CHIP_PX = 256
"""Default side of a chip in `tile`."""

_RARE = 10  # times as many objects of the most frequent class
_EXAMPLES = 5


@dataclass(frozen=True)
class ClassStatus:
    """The objects of one class."""

    name: str
    """Name of the class."""

    count: int
    """Number of objects."""

    area_m2: float | None
    """Their total area; None for points."""

    median_m2: float | None
    """Their median area; None for points."""

    reviewed: int
    """How many were ticked as reviewed."""


@dataclass(frozen=True)
class LabelStatus:
    """What has been drawn so far."""

    source: str
    """The label file."""

    classes: tuple[ClassStatus, ...]
    """All classes, those of the project first."""

    objects: int
    """Number of features with a geometry."""

    without_class: int
    """How many of them have no class."""

    without_geometry: int
    """Number of features without a geometry."""

    outside_annotated: int
    """Number of objects outside the annotated areas."""

    annotated_areas: int
    """Number of areas in which labels are complete."""

    annotated_m2: float | None
    """Their area; None if there are none."""

    scene_share: float | None
    """Share of the scenes that is annotated; None if no scene is known."""

    chips: float | None
    """Chips of 256 px that the annotated ground gives; None if no scene is known."""

    reviewed: int
    """Number of objects ticked as reviewed."""

    statuses: dict[str, int]
    """Number of objects of each review status."""

    unit: str
    """Unit of areas: "m2", or "px2" if labels have no CRS."""

    advice: tuple[str, ...]
    """What to do next, the most urgent first; empty if a first model can be trained."""

    notes: tuple[str, ...] = ()
    """What was decided when the file was read."""

    @property
    def ready(self) -> bool:
        """True if a first model has everything it needs."""
        return not self.advice

    def rows(self) -> list[tuple[object, ...]]:
        """One row per class: name, objects, area, median area, reviewed."""
        return [
            (c.name, c.count, _area_text(c.area_m2), _area_text(c.median_m2), c.reviewed)
            for c in self.classes
        ]

    def values(self) -> dict[str, object]:
        """Everything as plain values, for JSON."""
        classes = {}
        for info in self.classes:
            classes[info.name] = {
                "objects": info.count,
                "area": info.area_m2,
                "median_area": info.median_m2,
                "reviewed": info.reviewed,
            }
        return {
            "source": self.source,
            "ready": self.ready,
            "classes": classes,
            "area_unit": self.unit,
            "objects": self.objects,
            "without_class": self.without_class,
            "without_geometry": self.without_geometry,
            "annotated_areas": self.annotated_areas,
            "annotated_area": self.annotated_m2,
            "outside_annotated": self.outside_annotated,
            "scene_share": self.scene_share,
            "chips": self.chips,
            "reviewed": self.reviewed,
            "statuses": self.statuses,
            "advice": list(self.advice),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            (info.name, f"{info.count} objects, {_area_text(info.area_m2)} {self.unit}")
            for info in self.classes
        ]
        annotated_area = self.annotated_m2 or 0
        rows.append(("annotated", f"{self.annotated_areas} areas, {annotated_area:.0f} {self.unit}"))
        rows.append(("reviewed", self.reviewed))
        rows += [("to do", text) for text in self.advice]
        rows += [("note", note) for note in self.notes]
        return card(Path(self.source).name, rows)


def labels_status(
    labels: str | Path,
    *,
    scenes: SceneSources = (),
    label_options: LabelOptions = LabelOptions(),
) -> LabelStatus:
    """Count what a label file holds per class, and list what a first model still needs.

    Args:
        labels: Labels in any format that `read_labels` reads; a labelling project may be empty.
        scenes: The scenes that they belong to (default: those of the labelling project, if it is one).
        label_options: How the labels are read.

    Raises:
        LabelError: The labels cannot be read.

    Example:
        >>> labels_status("labels.gpkg").advice  # doctest: +SKIP
    """
    drawn = read_drawn(labels, label_options)
    opened = open_scenes(scenes)
    if not opened:
        refuse_unnamed_hosts(drawn.scenes, drawn.source, "name it with `scenes`")
        opened = open_scenes(drawn.scenes)
    areas = _areas(drawn.geometries, drawn.crs)
    annotated = np.empty(0) if drawn.annotated is None else _areas(drawn.annotated, drawn.crs)
    share, chips = _coverage(drawn, opened)
    outside = _outside_count(drawn)
    classes = tuple(_class_status(drawn, name, areas) for name in drawn.class_names)
    statuses = Counter(status for status in drawn.statuses if status)
    return LabelStatus(
        source=str(labels),
        classes=classes,
        objects=len(drawn),
        without_class=len(drawn.without_class),
        without_geometry=drawn.without_geometry,
        outside_annotated=outside,
        annotated_areas=len(annotated),
        annotated_m2=float(annotated.sum()) if len(annotated) else None,
        scene_share=share,
        chips=chips,
        reviewed=int(drawn.reviewed.sum()),
        statuses=dict(sorted(statuses.items())),
        unit="px2" if drawn.crs is None else "m2",
        advice=tuple(_advice(drawn, classes, chips, outside)),
        notes=drawn.notes,
    )


def _area_text(area_m2: float | None) -> str:
    return "-" if area_m2 is None else f"{area_m2:.1f}"


def _areas(geometries: GeometryArray, crs: CRS | None) -> Float64Array:
    """(N,) areas, square metres (0 for points and lines); square pixels without a CRS."""
    areas = np.zeros(len(geometries))
    polygons = shapely.area(geometries) > 0
    if polygons.any():
        areas[polygons] = PixelGrid(crs, Affine.identity(), 1, 1).areas_m2(geometries[polygons])
    return areas


def _class_status(drawn: Drawn, name: str, areas: Float64Array) -> ClassStatus:
    of_class = np.array([value == name for value in drawn.values], np.bool_)
    class_areas = areas[of_class]
    has_area = bool((class_areas > 0).any())
    return ClassStatus(
        name=name,
        count=int(of_class.sum()),
        area_m2=float(class_areas.sum()) if has_area else None,
        median_m2=float(np.median(class_areas)) if has_area else None,
        reviewed=int(drawn.reviewed[of_class].sum()),
    )


def _outside_count(drawn: Drawn) -> int:
    """Number of objects that touch no annotated area; 0 if there are no areas."""
    if drawn.annotated is None or not len(drawn.annotated):
        return 0
    touching, _ = shapely.STRtree(drawn.annotated).query(drawn.geometries, predicate="intersects")
    return len(drawn) - len(np.unique(touching))


def _coverage(drawn: Drawn, scenes: Sequence[Scene]) -> tuple[float | None, float | None]:
    """Share of the scenes that is annotated, and how many chips that gives. All of them are annotated if the
    file has no layer for it.
    """
    total_px = annotated_px = 0.0
    for scene in scenes:
        if scene.grid.crs is None or drawn.crs is None:
            continue
        frame = shapely.box(*scene.grid.window.box)
        total_px += frame.area
        if drawn.annotated is None:
            annotated_px += frame.area
        elif len(drawn.annotated):
            on_map = reproject(drawn.annotated, drawn.crs, scene.grid.crs, drawn.source)
            areas = shapely.union_all(shapely.make_valid(scene.grid.geometries_to_pixel(on_map)))
            annotated_px += float(shapely.area(shapely.intersection(areas, frame)))
    if not total_px:
        return None, None
    return annotated_px / total_px, round(annotated_px / CHIP_PX**2, 1)


# Advice


def _advice(drawn: Drawn, classes: Sequence[ClassStatus], chips: float | None, outside: int) -> list[str]:
    """What to do next, the most urgent first."""
    return [
        *_advice_on_ground(drawn, classes),
        *_advice_on_classes(classes),
        *_advice_on_chips(drawn, chips),
        *_advice_on_features(drawn, outside),
        *_advice_on_balance(classes),
        *_advice_on_points(drawn),
    ]


def _advice_on_ground(drawn: Drawn, classes: Sequence[ClassStatus]) -> list[str]:
    advice = []
    if not classes:
        advice.append(
            f"nothing has been drawn and no class is known: draw {FIRST_OBJECTS} objects of each class; "
            "`eo-dl labels start` makes a file to draw in"
        )
    if _nothing_annotated(drawn):
        advice.append(
            "the layer 'annotated' is empty: outline there the ground on which all objects have been drawn, "
            "or unlabelled ground counts as background everywhere"
        )
    return advice


def _nothing_annotated(drawn: Drawn) -> bool:
    """True if there is a layer for annotated areas, and it is empty."""
    return drawn.annotated is not None and not len(drawn.annotated)


def _advice_on_classes(classes: Sequence[ClassStatus]) -> list[str]:
    return [
        f"class '{info.name}' has {info.count} objects: draw {FIRST_OBJECTS - info.count} more (a first "
        f"model needs {FIRST_OBJECTS})"
        for info in classes
        if info.count < FIRST_OBJECTS
    ]


def _advice_on_chips(drawn: Drawn, chips: float | None) -> list[str]:
    if chips is None or chips >= FIRST_CHIPS or not len(drawn) or _nothing_annotated(drawn):
        return []
    return [
        f"the annotated ground gives {chips:g} chips of {CHIP_PX} px: annotate "
        f"{FIRST_CHIPS / max(chips, 0.1):.1f} times as much (a first model needs {FIRST_CHIPS} chips), or "
        "tile with smaller chips"
    ]


def _advice_on_features(drawn: Drawn, outside: int) -> list[str]:
    advice = []
    if drawn.without_class:
        examples = ", ".join(drawn.without_class[:_EXAMPLES])
        advice.append(f"{len(drawn.without_class)} objects have no class and are ignored: {examples}")
    if drawn.unknown_classes:
        examples = ", ".join(map(repr, drawn.unknown_classes[:_EXAMPLES]))
        known = ", ".join(drawn.project_classes)
        advice.append(f"classes that the project does not have: {examples} (it has {known}); correct them")
    if outside:
        advice.append(
            f"{outside} of {len(drawn)} objects lie outside 'annotated' and do not count: extend the areas, "
            "or delete the objects"
        )
    return advice


def _advice_on_balance(classes: Sequence[ClassStatus]) -> list[str]:
    most = max((info.count for info in classes), default=0)
    rare = [f"'{info.name}' {info.count}" for info in classes if FIRST_OBJECTS <= info.count < most / _RARE]
    if not rare:
        return []
    return [
        f"classes more than {_RARE} times rarer than the most frequent one ({most}): {', '.join(rare)}; draw "
        "more of them"
    ]


def _advice_on_points(drawn: Drawn) -> list[str]:
    if not drawn.point_count:
        return []
    return [
        f"{drawn.point_count} objects are points or lines: tile needs their radius in metres (`buffer_m`)"
    ]

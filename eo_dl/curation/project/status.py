"""`labels_status`: what is drawn, and what a first model still needs, in numbers."""

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
from ...core.classes import IGNORE_ID
from ...core.geometries import reproject
from ...core.htmlcard import card
from ...core.pixelgrid import PixelGrid
from ...io.scene import Scene, SceneSources, open_scenes
from ...labels.labeloptions import LabelOptions
from .drawn import Drawn, read_drawn

FIRST_OBJECTS = 30
"""Objects a class for a first model: split 70/15/15 they leave about 20 to learn from and 5 to score, fewer say nothing."""

FIRST_CHIPS = 20
"""Chips of annotated ground for a first model: 70/15/15 leave 14, 3 and 3."""

CHIP_PX = 256
"""The side of a chip by default."""

_RARE = 10  # times fewer than the most frequent class
_FEW_SHOWN = 5


@dataclass(frozen=True)
class ClassStatus:
    """One class: objects drawn, their ground (None for points), and the median of it."""

    name: str
    count: int
    area_m2: float | None
    median_m2: float | None
    reviewed: int


@dataclass(frozen=True)
class LabelStatus:
    """What is drawn so far. `advice`: what to do next, the most needed first; empty where a first model can
    be trained.

    `annotated_m2`: ground on which labels are complete (None: nothing is drawn there). `chips`: how many
    chips of 256 px that ground gives (None: no scene is known). `unit`: of areas, "m2", or "px2" where labels
    have no CRS.
    """

    source: str
    classes: tuple[ClassStatus, ...]
    objects: int
    without_class: int
    without_geometry: int
    outside_annotated: int
    annotated_areas: int
    annotated_m2: float | None
    scene_share: float | None
    chips: float | None
    reviewed: int
    statuses: dict[str, int]
    unit: str
    advice: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """True where nothing that a first model needs is missing."""
        return not self.advice

    def rows(self) -> list[tuple[object, ...]]:
        """The table of classes: name, objects, area, median area, reviewed."""
        return [
            (
                c.name,
                c.count,
                "-" if c.area_m2 is None else f"{c.area_m2:.1f}",
                "-" if c.median_m2 is None else f"{c.median_m2:.1f}",
                c.reviewed,
            )
            for c in self.classes
        ]

    def values(self) -> dict[str, object]:
        """For JSON."""
        return {
            "source": self.source,
            "ready": self.ready,
            "classes": {
                c.name: {
                    "objects": c.count,
                    "area": c.area_m2,
                    "median_area": c.median_m2,
                    "reviewed": c.reviewed,
                }
                for c in self.classes
            },
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
            (str(name), f"{count} objects, {area} {self.unit}") for name, count, area, _, _ in self.rows()
        ]
        facts = [
            ("annotated", f"{self.annotated_areas} areas, {self.annotated_m2 or 0:.0f} {self.unit}"),
            ("reviewed", self.reviewed),
        ]
        return card(
            Path(self.source).name,
            [
                *rows,
                *facts,
                *(("to do", text) for text in self.advice),
                *(("note", note) for note in self.notes),
            ],
        )


def labels_status(
    labels: str | Path,
    *,
    scenes: SceneSources = (),
    label_options: LabelOptions = LabelOptions(),
) -> LabelStatus:
    """What a label file holds, per class, and what a first model still needs.

    Any format that `read_labels` takes; of a labelling project (`labels start`) also an empty one, and its
    scenes need not be named. Raises `LabelError` with one line.

    >>> labels_status("labels.gpkg").advice  # doctest: +SKIP
    """
    drawn = read_drawn(labels, label_options)
    opened = open_scenes(scenes) or open_scenes(drawn.scenes)
    areas = _areas(drawn.geometries, drawn.crs)
    annotated = _areas(drawn.annotated, drawn.crs) if drawn.annotated is not None else np.empty(0)
    ground = float(annotated.sum()) if len(annotated) else None
    share, chips = _coverage(drawn, opened)
    outside = _outside(drawn)
    classes = tuple(_class_status(drawn, name, areas) for name in drawn.class_names)
    statuses = Counter(status for status in drawn.statuses if status)
    return LabelStatus(
        source=str(labels),
        classes=classes,
        objects=len(drawn),
        without_class=drawn.without_class,
        without_geometry=drawn.without_geometry,
        outside_annotated=outside,
        annotated_areas=len(annotated),
        annotated_m2=ground,
        scene_share=share,
        chips=chips,
        reviewed=int(drawn.reviewed.sum()),
        statuses=dict(sorted(statuses.items())),
        unit="px2" if drawn.crs is None else "m2",
        advice=tuple(_advice(drawn, classes, chips, outside)),
        notes=drawn.notes,
    )


def _areas(geometries: GeometryArray, crs: CRS | None) -> Float64Array:
    """Ground of each geometry, square metres (0 of points and lines); square pixels without CRS."""
    areas = np.zeros(len(geometries))
    solid = shapely.area(geometries) > 0
    if solid.any():
        areas[solid] = PixelGrid(crs, Affine.identity(), 1, 1).areas_m2(geometries[solid])
    return areas


def _class_status(drawn: Drawn, name: str, areas: Float64Array) -> ClassStatus:
    mine = np.array([value == name for value in drawn.values], np.bool_)
    own = areas[mine]
    solid = bool(len(own)) and bool((own > 0).any())
    return ClassStatus(
        name,
        int(mine.sum()),
        float(own.sum()) if solid else None,
        float(np.median(own)) if solid else None,
        int(drawn.reviewed[mine].sum()),
    )


def _outside(drawn: Drawn) -> int:
    """Objects that touch no annotated ground, where some is drawn."""
    if drawn.annotated is None or not len(drawn.annotated):
        return 0
    near = shapely.STRtree(drawn.annotated).query(drawn.geometries, predicate="intersects")[0]
    return len(drawn) - len(np.unique(near))


def _coverage(drawn: Drawn, scenes: Sequence[Scene]) -> tuple[float | None, float | None]:
    """Share of the scenes that is annotated, and how many chips that gives; all of it where nothing is drawn
    in `annotated` but it could be.
    """
    known = [scene for scene in scenes if scene.grid.crs is not None]
    if drawn.crs is None or not known:
        return None, None
    total = inside = 0.0
    for scene in known:
        assert scene.grid.crs is not None
        total += scene.grid.height * scene.grid.width
        if drawn.annotated is None:
            inside += scene.grid.height * scene.grid.width
        elif len(drawn.annotated):
            moved = reproject(drawn.annotated, drawn.crs, scene.grid.crs, drawn.source)
            union = shapely.union_all(shapely.make_valid(scene.grid.geometries_to_pixel(moved)))
            inside += float(
                shapely.area(
                    shapely.intersection(union, shapely.box(0, 0, scene.grid.width, scene.grid.height))
                )
            )
    return inside / total, round(inside / CHIP_PX**2, 1)


def _advice(drawn: Drawn, classes: Sequence[ClassStatus], chips: float | None, outside: int) -> list[str]:
    said = []
    if not classes:
        said.append(
            f"nothing is drawn and no class is known: draw {FIRST_OBJECTS} objects of each class (labels start makes a file to draw in)"
        )
    if drawn.annotated is not None and not len(drawn.annotated):
        said.append(
            "nothing is drawn in the layer 'annotated': draw there the ground on which all objects are drawn, or unlabelled ground counts as background everywhere"
        )
    for one in classes:
        if one.count < FIRST_OBJECTS:
            said.append(
                f"class '{one.name}' has {one.count} objects: draw {FIRST_OBJECTS - one.count} more ({FIRST_OBJECTS} are the least for a first model)"
            )
    if (
        chips is not None
        and len(drawn)
        and chips < FIRST_CHIPS
        and not (drawn.annotated is not None and not len(drawn.annotated))
    ):
        said.append(
            f"the annotated ground gives {chips:g} chips of {CHIP_PX} px: annotate {FIRST_CHIPS / max(chips, 0.1):.1f} times as much ({FIRST_CHIPS} chips are the least), or tile smaller chips"
        )
    if drawn.without_class:
        ids = [str(i) for i, value in zip(drawn.feature_ids, drawn.values, strict=True) if value is None][
            :_FEW_SHOWN
        ]
        said.append(f"{drawn.without_class} objects have no class and are ignored: {', '.join(ids)}")
    unknown = [name for name in drawn.class_names if drawn.announced and name not in drawn.announced]
    if unknown:
        said.append(
            f"classes that the project does not know: {', '.join(map(repr, unknown[:_FEW_SHOWN]))} (it has {', '.join(drawn.announced[:IGNORE_ID])}); correct them"
        )
    if outside:
        said.append(
            f"{outside} of {len(drawn)} objects lie outside 'annotated' and do not count: extend it, or delete them"
        )
    most = max((one.count for one in classes), default=0)
    rare = [f"'{one.name}' {one.count}" for one in classes if FIRST_OBJECTS <= one.count < most / _RARE]
    if rare:
        said.append(
            f"classes more than {_RARE} times rarer than the most frequent ({most}): {', '.join(rare)}; draw more of them"
        )
    if drawn.point_count:
        said.append(
            f"{drawn.point_count} objects are points or lines: tile needs their radius in metres (`buffer_m`)"
        )
    return said

"""`start_labels`: a GeoPackage and a QGIS project, ready to draw in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from pyproj import CRS

from ...core.classes import BACKGROUND, IGNORE_ID, ClassSet
from ...core.htmlcard import card
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.qgisforms import FormField, form_elements
from ...io.qgisproject import Drawing, VectorLayer, write_project
from ...io.qgisstyles import GeometryKind, categories_qml, outline_qml
from ...io.scene import Scene, SceneSources, open_scenes
from ...io.vectorlayers import write_layers
from ...labels.classnames import lookalikes, parse_classes
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, KINDS, LABELS, STATUSES, Kind, metadata

_MAX_NAME = 80
_ANNOTATED_COLOR = "#5b5b5b"
_GEOMETRY = {"polygon": "MultiPolygon", "box": "Polygon", "point": "Point"}
_DRAWN: dict[Kind, GeometryKind] = {"polygon": "polygon", "box": "polygon", "point": "point"}
_IS_BOX = "abs(area(bounds($geometry)) - area($geometry)) <= 0.001 * area($geometry)"


@dataclass(frozen=True)
class StartedLabels:
    """What was made: the file to draw in, the project to open, and in what."""

    path: Path
    project: Path | None
    classes: ClassSet
    kind: Kind
    crs: CRS
    scenes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def values(self) -> dict[str, object]:
        """For JSON and tables."""
        return {
            "output": str(self.path),
            "project": None if self.project is None else str(self.project),
            "classes": list(self.classes.names),
            "geometry": self.kind,
            "crs": self.crs.to_string() if len(self.crs.to_string()) < 40 else self.crs.name,
            "scenes": list(self.scenes),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return card(
            self.path.name,
            [
                (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
                for name, value in self.values().items()
            ],
        )


def start_labels(
    scenes: SceneSources,
    *,
    classes: Sequence[str] | str | Path,
    out: str | Path,
    geometry: Kind = "polygon",
    overwrite: bool = False,
) -> StartedLabels:
    """A GeoPackage that QGIS (3.22 or later) opens ready to draw in, and beside it a project `NAME.qgz` with
    the scenes below.

    Layers `labels` (the class from a list, coloured, first class preset) and `annotated` (draw there where
    the labels are complete), in the CRS of the first scene. `classes`: names in order, "building,tree" or a
    text file with one a line. `geometry`: what is drawn: "polygon" (new ones give way to those that are
    there), "box" or "point".

    Raises `LabelError` for class names that cannot be told apart, scenes without a CRS; `OutputExistsError`.

    >>> start_labels("ortho.tif", classes="building,tree", out="labels.gpkg")  # doctest: +SKIP
    """
    target = Path(out)
    if target.suffix.lower() != ".gpkg":
        raise ConfigError(f"{target}: labels are drawn in a GeoPackage; give it a name that ends in .gpkg")
    if geometry not in KINDS:
        raise ConfigError(f"`geometry`: expected one of {', '.join(KINDS)}")
    named = _class_set(classes)
    opened = open_scenes(scenes)
    if not opened:
        raise LabelError(f"{target}: no scene was given; name the image that is to be labelled")
    crs = _common_crs(opened)
    project = target.with_suffix(".qgz")
    for path in (target, project):
        refuse_existing(path, overwrite)
    styles = {LABELS: labels_style(named, geometry), ANNOTATED: annotated_style()}
    types = {LABELS: _GEOMETRY[geometry], ANNOTATED: "MultiPolygon"}
    write_layers(
        target,
        {ANNOTATED: _no_areas(crs), LABELS: _no_labels(crs)},
        styles,
        metadata=metadata(named, geometry, [scene.path for scene in opened], target.parent),
        geometry_types=types,
        overwrite=overwrite,
    )
    layers = [VectorLayer(target, name, crs, styles[name], types[name]) for name in (LABELS, ANNOTATED)]
    write_project(project, opened, layers, Drawing(exclusive=geometry == "polygon"), overwrite=overwrite)
    return StartedLabels(
        target, project, named, geometry, crs, tuple(scene.path for scene in opened), _notes(opened, crs)
    )


def _class_set(classes: Sequence[str] | str | Path) -> ClassSet:
    """Classes of plain names. Raises `LabelError` for anything else."""
    spec = parse_classes(classes)
    assert spec is not None
    if not spec.bare:
        raise LabelError(
            "classes: plain names were expected, such as building,tree; there are no values to merge or ignore yet"
        )
    names = [name for name in spec.names if name.casefold() != BACKGROUND]
    if len(names) < len(spec.names):
        raise LabelError(
            f"classes: {BACKGROUND!r} is what is left over inside 'annotated' and is not drawn; leave it out"
        )
    wrong = [
        name
        for name in names
        if len(name) > _MAX_NAME or not name.isprintable() or name == "*" or name.startswith("-")
    ]
    if wrong:
        raise LabelError(
            f"classes: {wrong[0][:40]!r} is no class name; give printable names of at most {_MAX_NAME} characters"
        )
    if len(names) >= IGNORE_ID:
        raise LabelError(f"classes: {len(names)} were given, at most {IGNORE_ID - 1} fit")
    twins = lookalikes(dict.fromkeys(names, 1))
    if twins:
        raise LabelError(
            f"classes: two names cannot be told apart ({twins[0].split(';')[0].replace(' (1)', '')}); give each class one name"
        )
    return ClassSet.of_names(names)


def _common_crs(scenes: Sequence[Scene]) -> CRS:
    without = [scene.path for scene in scenes if scene.grid.crs is None]
    if without:
        raise LabelError(
            f"{without[0]}: has no CRS, so nothing drawn over it has a place; georeference it, or state its CRS with `crs`, e.g. EPSG:32633"
        )
    crs = scenes[0].grid.crs
    assert crs is not None
    return crs


def _notes(scenes: Sequence[Scene], crs: CRS) -> tuple[str, ...]:
    other = [scene.name for scene in scenes if scene.grid.crs != crs]
    notes = (
        [
            f"{len(other)} of {len(scenes)} scenes are in another CRS than the labels ({crs.name}): QGIS brings them together"
        ]
        if other
        else []
    )
    given = [scene.name for scene in scenes if _places(scene) > 1]
    return (
        *notes,
        *(
            f"{name}: seen from far away it is slow in QGIS (no overviews); add them with gdaladdo"
            for name in given
        ),
    )


def _places(scene: Scene) -> int:
    """1 where QGIS draws a scene at once; more where it is large and has no overviews."""
    return 1 if scene.file.overviews or scene.native.height * scene.native.width < 10_000 * 10_000 else 2


def _no_labels(crs: CRS) -> gpd.GeoDataFrame:
    columns = {
        CLASS_FIELD: str,
        "status": str,
        "reviewed": bool,
        "score": np.float64,
        "source": str,
        "note": str,
    }
    return _empty(columns, crs)


def _no_areas(crs: CRS) -> gpd.GeoDataFrame:
    return _empty({"note": str}, crs)


def _empty(columns: dict[str, type], crs: CRS) -> gpd.GeoDataFrame:
    found: dict[str, object] = {
        name: np.empty(0, dtype=object if kind is str else kind) for name, kind in columns.items()
    }
    return gpd.GeoDataFrame(found, geometry=gpd.GeoSeries([], crs=crs), crs=crs)


def labels_style(classes: ClassSet, kind: Kind, statuses: tuple[str, ...] = STATUSES) -> str:
    """How QGIS draws the layer `labels` and asks for its attributes."""
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in classes.names)
    box = {
        "rule": f'{_IS_BOX} and "{CLASS_FIELD}" in ({listed})',
        "reason": "Draw boxes: the shape digitizing toolbar has 'Add rectangle from extent'.",
    }
    known = {
        "rule": f'"{CLASS_FIELD}" in ({listed})',
        "reason": f"One of the classes: {', '.join(classes.names)}.",
    }
    said = box if kind == "box" else known
    fields = [
        FormField("fid", widget="Hidden"),
        FormField(
            CLASS_FIELD,
            "Class",
            "ValueMap",
            classes.names,
            "'" + classes.names[0].replace("'", "''") + "'",
            required=True,
            rule=said["rule"],
            reason=said["reason"],
            sticky=True,
        ),
        FormField("status", "Status", "ValueMap", statuses),
        FormField("reviewed", "Reviewed", "CheckBox", default="false"),
        FormField("score", "Score of the model", "Hidden"),
        FormField("source", "Source", "Hidden", default="'hand'"),
        FormField("note", "Note"),
    ]
    tip = f"<b>[% \"{CLASS_FIELD}\" %]</b> #[% $id %]<br>[% if($area > 0, round($area, 1) || ' m²', '') %] [% coalesce(\"status\", '') %] [% coalesce(\"note\", '') %]"
    form = form_elements(fields, tip, check_geometry=kind != "point")
    return categories_qml(CLASS_FIELD, {c.name: c.color for c in classes}, _DRAWN[kind], form)


def annotated_style() -> str:
    """How QGIS draws the layer `annotated`."""
    fields = [FormField("fid", widget="Hidden"), FormField("note", "Note")]
    return outline_qml(
        _ANNOTATED_COLOR,
        "polygon",
        form_elements(
            fields, "<b>labels are complete here</b><br>[% coalesce(\"note\", '') %]", check_geometry=True
        ),
    )

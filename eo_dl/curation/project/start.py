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
from ...io.outputlock import locks_output
from ...io.qgisforms import FormField, form_elements
from ...io.qgisproject import Drawing, VectorLayer, write_project
from ...io.qgisstyles import GeometryKind, categories_qml, outline_qml
from ...io.scene import Scene, SceneSources, open_scenes
from ...io.vectorlayers import write_layers
from ...labels.classnames import lookalikes
from ...labels.classrequest import parse_classes
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, KINDS, LABELS, STATUSES, Kind, metadata

_LONGEST_NAME = 80
_LONGEST_CRS = 40
_ANNOTATED_COLOR = "#5b5b5b"
_LAYER_TYPES = {"polygon": "MultiPolygon", "box": "Polygon", "point": "Point"}
_STYLED_AS: dict[Kind, GeometryKind] = {"polygon": "polygon", "box": "polygon", "point": "point"}
_IS_BOX = "abs(area(bounds($geometry)) - area($geometry)) <= 0.001 * area($geometry)"
_SLOW_PX = 10_000 * 10_000  # without overviews, QGIS reads all of it to show it from afar


@dataclass(frozen=True)
class StartedLabels:
    """A new labelling project."""

    path: Path
    """The GeoPackage to draw in."""

    project: Path | None
    """The QGIS project to open."""

    classes: ClassSet
    """The classes to choose from."""

    kind: Kind
    """What is drawn."""

    crs: CRS
    """CRS of the layers."""

    scenes: tuple[str, ...]
    """The scenes shown below."""

    notes: tuple[str, ...] = ()
    """What to know about the scenes."""

    def values(self) -> dict[str, object]:
        """As plain values, for JSON."""
        crs = self.crs.to_string()
        return {
            "output": str(self.path),
            "project": None if self.project is None else str(self.project),
            "classes": list(self.classes.names),
            "geometry": self.kind,
            "crs": crs if len(crs) < _LONGEST_CRS else self.crs.name,
            "scenes": list(self.scenes),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = []
        for name, value in self.values().items():
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, list) else value))
        return card(self.path.name, rows)


@locks_output
def start_labels(
    scenes: SceneSources,
    *,
    classes: Sequence[str] | str | Path,
    out: str | Path,
    geometry: Kind = "polygon",
    overwrite: bool = False,
) -> StartedLabels:
    """Make a GeoPackage that QGIS (3.22 or later) opens ready to draw in, and a project with the scenes
    below.

    The layer `labels` offers the classes in a list, coloured, with the first one preset. In the layer
    `annotated` the areas are outlined in which labels are complete. Both are in the CRS of the first scene.

    Args:
        scenes: The images to label.
        classes: Names in order, "building,tree", or a text file with one class per line.
        out: The GeoPackage to write; the project beside it is called the same, with the suffix .qgz.
        geometry: What is drawn: "polygon" (new ones give way to existing ones), "box" or "point".
        overwrite: Replace existing files.

    Raises:
        LabelError: Two class names are too similar, or a scene has no CRS.
        ConfigError: `out` is not a GeoPackage, or `geometry` is unknown.
        OutputExistsError: One of the files exists.

    Example:
        >>> start_labels("ortho.tif", classes="building,tree", out="labels.gpkg")  # doctest: +SKIP
    """
    target = Path(out)
    if target.suffix.lower() != ".gpkg":
        raise ConfigError(f"{target}: labels are drawn in a GeoPackage; use a name that ends in .gpkg")
    if geometry not in KINDS:
        raise ConfigError(f"`geometry`: expected one of {', '.join(KINDS)}, found {geometry!r}")
    class_set = _class_set(classes)
    opened = open_scenes(scenes)
    if not opened:
        raise LabelError("`scenes`: expected at least one image to label, found none")
    crs = _crs_of_first(opened)
    project = target.with_suffix(".qgz")
    for path in (target, project):
        refuse_existing(path, overwrite)
    scene_paths = tuple(scene.path for scene in opened)
    styles = {LABELS: labels_style(class_set, geometry), ANNOTATED: annotated_style()}
    types = {LABELS: _LAYER_TYPES[geometry], ANNOTATED: "MultiPolygon"}
    write_layers(
        target,
        {ANNOTATED: _empty_areas(crs), LABELS: _empty_labels(crs)},
        styles,
        metadata=metadata(class_set, geometry, scene_paths, target.parent),
        geometry_types=types,
        overwrite=overwrite,
    )
    layers = [VectorLayer(target, name, crs, styles[name], types[name]) for name in (LABELS, ANNOTATED)]
    rasters = [raster for scene in opened for raster in scene.rasters]
    write_project(project, rasters, layers, Drawing(exclusive=geometry == "polygon"), overwrite=overwrite)
    return StartedLabels(
        path=target,
        project=project,
        classes=class_set,
        kind=geometry,
        crs=crs,
        scenes=scene_paths,
        notes=_notes(opened, crs),
    )


def _class_set(classes: Sequence[str] | str | Path) -> ClassSet:
    """Classes of plain names, all distinct."""
    request = parse_classes(classes)
    if not request.bare:
        raise LabelError(
            "`classes`: expected plain names such as building,tree; there are no values to merge or ignore "
            "yet"
        )
    for name in request.names:
        if name.casefold() == BACKGROUND:
            raise LabelError(
                f"`classes`: {BACKGROUND!r} is everything else inside 'annotated' and is not drawn; omit it"
            )
        if len(name) > _LONGEST_NAME or not name.isprintable() or name == "*" or name.startswith("-"):
            raise LabelError(
                f"`classes`: {name[:40]!r} is not a class name; use printable names of at most "
                f"{_LONGEST_NAME} characters"
            )
    names = list(request.names)
    if len(names) >= IGNORE_ID:
        raise LabelError(f"`classes`: expected at most {IGNORE_ID - 1} names, found {len(names)}")
    similar = lookalikes(dict.fromkeys(names, 1))
    if similar:
        pair = similar[0].split(";")[0].replace(" (1)", "")
        raise LabelError(f"`classes`: two names are too similar ({pair}); choose distinct names")
    return ClassSet.of_names(names)


def _crs_of_first(scenes: Sequence[Scene]) -> CRS:
    """The CRS of the first scene; all must have one."""
    for scene in scenes:
        if scene.grid.crs is None:
            raise LabelError(
                f"{scene.path}: has no CRS, so nothing drawn over it has a position; georeference it, or "
                "name its CRS with `crs`"
            )
    return scenes[0].grid.required_crs


def _notes(scenes: Sequence[Scene], crs: CRS) -> tuple[str, ...]:
    notes = []
    in_other_crs = sum(scene.grid.crs != crs for scene in scenes)
    if in_other_crs:
        notes.append(
            f"{in_other_crs} of {len(scenes)} scenes are in another CRS than the labels ({crs.name}): QGIS "
            "reprojects them"
        )
    for scene in scenes:
        if not scene.file.overviews and scene.native.height * scene.native.width >= _SLOW_PX:
            notes.append(
                f"{scene.name}: has no overviews, so QGIS is slow when zoomed out; add them with gdaladdo"
            )
    return tuple(notes)


def _empty_labels(crs: CRS) -> gpd.GeoDataFrame:
    texts, numbers, flags = (np.empty(0, dtype=dtype) for dtype in (object, np.float64, np.bool_))
    columns = {
        CLASS_FIELD: texts,
        "status": texts,
        "reviewed": flags,
        "score": numbers,
        "source": texts,
        "note": texts,
    }
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries([], crs=crs), crs=crs)


def _empty_areas(crs: CRS) -> gpd.GeoDataFrame:
    columns = {"note": np.empty(0, dtype=object)}
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries([], crs=crs), crs=crs)


def labels_style(classes: ClassSet, kind: Kind, statuses: tuple[str, ...] = STATUSES) -> str:
    """How QGIS draws the layer `labels` and asks for its attributes.

    Args:
        classes: The classes to choose from.
        kind: What is drawn.
        statuses: The review statuses to choose from.
    """
    quoted = [_quoted(name) for name in classes.names]
    rule = f'"{CLASS_FIELD}" in ({", ".join(quoted)})'
    reason = f"Choose one of the classes: {', '.join(classes.names)}."
    if kind == "box":
        rule = f"{_IS_BOX} and {rule}"
        reason = "Draw boxes: use 'Add rectangle from extent' of the shape digitizing toolbar."
    fields = [
        FormField("fid", widget="Hidden"),
        FormField(
            CLASS_FIELD,
            "Class",
            "ValueMap",
            classes.names,
            quoted[0],
            required=True,
            rule=rule,
            reason=reason,
            sticky=True,
        ),
        FormField("status", "Status", "ValueMap", statuses),
        FormField("reviewed", "Reviewed", "CheckBox", default="false"),
        FormField("score", "Score of the model", "Hidden"),
        FormField("source", "Source", "Hidden", default="'hand'"),
        FormField("note", "Note"),
    ]
    tip = (
        f"<b>[% \"{CLASS_FIELD}\" %]</b> #[% $id %]<br>[% if($area > 0, round($area, 1) || ' m²', '') %] "
        "[% coalesce(\"status\", '') %] [% coalesce(\"note\", '') %]"
    )
    form = form_elements(fields, tip, check_geometry=kind != "point")
    colors = {info.name: info.color for info in classes}
    return categories_qml(CLASS_FIELD, colors, _STYLED_AS[kind], form)


def _quoted(text: str) -> str:
    """A text in an expression of QGIS."""
    return "'" + text.replace("'", "''") + "'"


def annotated_style() -> str:
    """How QGIS draws the layer `annotated`."""
    fields = [FormField("fid", widget="Hidden"), FormField("note", "Note")]
    tip = "<b>labels are complete here</b><br>[% coalesce(\"note\", '') %]"
    return outline_qml(_ANNOTATED_COLOR, "polygon", form_elements(fields, tip, check_geometry=True))

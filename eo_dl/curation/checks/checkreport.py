"""`CheckReport`: all findings, as a table, as JSON, and as a layer to step through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from pyproj import CRS

from ...core.arraytypes import GeometryArray
from ...core.geometries import reproject
from ...core.htmlcard import grid_table
from ...core.imagenames import stem_of
from ...core.pixelgrid import map_coordinates
from ...errors import ConfigError
from ...io.qgisforms import FormField, form_elements
from ...io.qgisstyles import categories_qml
from ...io.scene import Scene
from ...io.vectorlayers import write_layers
from ...labels.cleaning import polygonal_part
from .finding import KINDS, SEVERITIES, SEVERITY_COLORS, Finding, Severity
from .registration import Misregistration

FINDINGS = "findings"
_GAP_PX = 32  # between images laid side by side
_IDS_SHOWN = 3
_IDS_WRITTEN = 50


@dataclass(frozen=True)
class CheckReport:
    """What was found in labels, the worst first."""

    source: str
    """The labels."""

    findings: tuple[Finding, ...]
    """All findings, by severity and kind."""

    classes: dict[str, float]
    """For each class how much of it is labelled, in `unit`."""

    unit: str
    """"objects", or "px" of label rasters."""

    registration: dict[str, Misregistration]
    """For each scene (or "all scenes") how far the labels are shifted against it."""

    crs: CRS | None
    """CRS of the geometries of the findings; None: pixels of their images."""

    scenes: tuple[Scene, ...] = field(default=(), repr=False)
    """The scenes that were looked at."""

    notes: tuple[str, ...] = ()
    """What was done when the labels were read."""

    def with_findings(self, findings: Sequence[Finding], notes: Sequence[str] = ()) -> CheckReport:
        """The report with further findings and notes."""
        return replace(self, findings=in_order([*self.findings, *findings]), notes=(*self.notes, *notes))

    def count(self, severity: Severity) -> int:
        """Number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def rows(self) -> list[tuple[object, ...]]:
        """One row per kind: severity of the worst, kind, number, an example."""
        counts = Counter(finding.kind for finding in self.findings)
        worst: dict[str, Finding] = {}
        for finding in self.findings:
            worst.setdefault(finding.kind, finding)
        rows: list[tuple[object, ...]] = []
        for kind, finding in worst.items():
            features = ""
            if finding.feature_ids:
                features = f"{', '.join(finding.feature_ids[:_IDS_SHOWN])}: "
            rows.append((finding.severity, kind, counts[kind], features + finding.text))
        return rows

    def values(self) -> dict[str, object]:
        """Everything as plain values, for JSON."""
        return {
            "source": self.source,
            "scenes": [scene.path for scene in self.scenes],
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "kinds": dict(Counter(finding.kind for finding in self.findings)),
            "classes": self.classes,
            "unit": self.unit,
            "registration": {name: registration_values(shift) for name, shift in self.registration.items()},
            "findings": [finding.values() for finding in self.findings],
            "notes": list(self.notes),
        }

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the findings as a styled layer of a GeoPackage, with a box to tick when one is dealt with.

        Args:
            path: The GeoPackage.
            overwrite: Replace an existing file.

        Raises:
            ConfigError: The name does not end in .gpkg.
            OutputExistsError: The file exists.
        """
        check_findings_suffix(path)
        crs, geometries = self._layer_geometries()
        columns = {
            "number": list(range(1, len(self.findings) + 1)),
            "severity": [finding.severity for finding in self.findings],
            "kind": [finding.kind for finding in self.findings],
            "text": [finding.text for finding in self.findings],
            "feature_id": [", ".join(finding.feature_ids[:_IDS_WRITTEN]) for finding in self.findings],
            "class_name": [finding.class_name for finding in self.findings],
            "scene": [finding.image or "" for finding in self.findings],
            "done": np.zeros(len(self.findings), np.bool_),
        }
        table = gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(geometries, crs=crs), crs=crs)
        write_layers(
            path,
            {FINDINGS: table},
            {FINDINGS: _style()},
            geometry_types={FINDINGS: "MultiPolygon"},
            overwrite=overwrite,
        )

    def _layer_geometries(self) -> tuple[CRS | None, GeometryArray]:
        """All geometries in one frame: the CRS of the labels, else that of the first scene, else images side
        by side in pixels.
        """
        crs = self.crs
        if crs is None and self.scenes:
            crs = self.scenes[0].native.crs
        positions = _positions(self.scenes)
        shapes = np.empty(len(self.findings), dtype=object)
        for index, finding in enumerate(self.findings):
            shape = None if finding.geometry is None else _polygon(finding.geometry)
            if shape is not None and finding.image is not None:
                position = positions.get(finding.image) or positions.get(stem_of(finding.image))
                shape = None if position is None else _placed(shape, position, crs)
            shapes[index] = shape
        return crs, shapes

    def _repr_html_(self) -> str:
        registration = [
            ("note", "registration", "", registration_text(name, shift))
            for name, shift in self.registration.items()
        ]
        return grid_table(
            ("severity", "kind", "count", "example"),
            [*self.rows(), *registration],
            f"{Path(self.source).name}: {len(self.findings)} findings",
        )


def check_findings_suffix(path: str | Path) -> None:
    """Refuse a name that is not that of a GeoPackage.

    Raises:
        ConfigError: The name does not end in .gpkg.
    """
    if Path(path).suffix.lower() != ".gpkg":
        raise ConfigError(f"{path}: findings are written as a GeoPackage; use a name that ends in .gpkg")


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The worst first, and each kind together."""
    kinds = list(KINDS)
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), kinds.index(f.kind))))


def registration_values(shift: Misregistration) -> dict[str, object]:
    """As plain values, for JSON: numbers, or the reason why there are none."""
    if not shift.known:
        return {"known": False, "reason": shift.reason, "places": shift.cells}
    return {
        "known": True,
        "cols_px": round(shift.cols, 2),
        "rows_px": round(shift.rows, 2),
        "error_px": [round(error, 2) for error in shift.error_px],
        "significant": shift.significant,
        "places": shift.cells,
    }


def registration_text(name: str, shift: Misregistration, gsd_m: float | None = None) -> str:
    """One sentence on the position of labels.

    Args:
        name: The scene.
        shift: How far they are shifted.
        gsd_m: GSD of the scene, metres, if it is known.
    """
    if not shift.known:
        return f"{name}: the position of the labels cannot be checked by edges ({shift.reason})"
    across = f"{abs(shift.cols):.1f} px to the {'right' if shift.cols >= 0 else 'left'}"
    down = f"{abs(shift.rows):.1f} px {'down' if shift.rows >= 0 else 'up'}"
    metres = "" if gsd_m is None else f", {shift.distance_px * gsd_m:.3g} m in all"
    error = f"± {max(shift.error_px):.1f} px{metres}"
    return f"{name}: the labels are shifted {across} and {down} against the edges in the image ({error})"


def _positions(scenes: Sequence[Scene]) -> dict[str, tuple[Scene, Affine]]:
    """For each name and stem of a scene that scene, and the transform that lays it side by side."""
    positions: dict[str, tuple[Scene, Affine]] = {}
    start = 0
    for scene in scenes:
        for name in (scene.stem, scene.name):
            positions[name] = (scene, Affine(1, 0, float(start), 0, -1, 0))
        start += scene.native.width + _GAP_PX
    return positions


def _polygon(geometry: shapely.Geometry) -> shapely.Geometry | None:
    """A geometry as polygons; its bounding box if it has no area."""
    if geometry.is_empty:
        return None
    flat = shapely.force_2d(geometry)
    if flat.geom_type in ("Polygon", "MultiPolygon"):
        return flat
    polygons = polygonal_part(flat)
    if not polygons.is_empty:
        return polygons
    return shapely.box(*shapely.buffer(flat, 1e-6).bounds)


def _placed(
    shape: shapely.Geometry, position: tuple[Scene, Affine], crs: CRS | None
) -> shapely.Geometry | None:
    """A shape in pixels of a scene, in the frame of the layer; None if it has no position there."""
    scene, side_by_side = position
    shapes = np.array([shape], dtype=object)
    if crs is None:
        return map_coordinates(shapes, side_by_side)[0]
    if scene.native.crs is None:
        return None
    return reproject(scene.native.geometries_to_map(shapes), scene.native.crs, crs, scene.path)[0]


def _style() -> str:
    names = ("number", "severity", "kind", "text", "feature_id", "class_name", "scene")
    shown = [FormField(name, name.replace("_", " ").capitalize()) for name in names]
    fields = [
        FormField("fid", widget="Hidden"),
        *shown,
        FormField("done", "Done", "CheckBox", default="false"),
    ]
    form = form_elements(fields, '<b>[% "kind" %]</b> [% "feature_id" %]<br>[% "text" %]')
    return categories_qml("severity", SEVERITY_COLORS, "polygon", form)

"""`CheckReport`: everything that was found, as a table, as JSON, and as a layer to step through."""

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
from ...labels.geometry import polygonal_part
from .finding import KINDS, SEVERITIES, SEVERITY_COLORS, Finding
from .registration import Misregistration

FINDINGS = "findings"
_GAP_PX = 32


@dataclass(frozen=True)
class CheckReport:
    """What was found in labels, the worst first.

    `objects` (or pixels, of label rasters) per class in `classes`. `registration`: for each scene (or "all
    scenes") how far labels lie beside the image's edges. `crs`: of the findings' geometries (None: pixels of
    their images). `notes`: what reading did.
    """

    source: str
    findings: tuple[Finding, ...]
    classes: dict[str, float]
    unit: str
    registration: dict[str, Misregistration]
    crs: CRS | None
    scenes: tuple[Scene, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def with_findings(self, more: Sequence[Finding], notes: Sequence[str] = ()) -> CheckReport:
        """The same with what others found, in order."""
        return replace(self, findings=in_order([*self.findings, *more]), notes=(*self.notes, *notes))

    def count(self, severity: str) -> int:
        """How many findings are that bad."""
        return sum(found.severity == severity for found in self.findings)

    def rows(self) -> list[tuple[object, ...]]:
        """One row a kind: severity of the worst, how many, an example."""
        counts = Counter(found.kind for found in self.findings)
        rows: list[tuple[object, ...]] = []
        for kind in dict.fromkeys(found.kind for found in self.findings):
            first = next(found for found in self.findings if found.kind == kind)
            who = f"{', '.join(first.feature_ids[:3])}: " if first.feature_ids else ""
            rows.append((first.severity, kind, counts[kind], who + first.text))
        return rows

    def values(self) -> dict[str, object]:
        """For JSON."""
        return {
            "source": self.source,
            "scenes": [scene.path for scene in self.scenes],
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "kinds": dict(Counter(found.kind for found in self.findings)),
            "classes": self.classes,
            "unit": self.unit,
            "registration": {name: registration_values(found) for name, found in self.registration.items()},
            "findings": [found.values() for found in self.findings],
            "notes": list(self.notes),
        }

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """The findings as a styled layer of a GeoPackage, with a box to tick when one is dealt with. Raises
        `OutputExistsError`, `WriteError`.
        """
        check_findings_suffix(path)
        crs, geometries = self._layer_geometries()
        columns = {
            "number": list(range(1, len(self.findings) + 1)),
            "severity": [found.severity for found in self.findings],
            "kind": [found.kind for found in self.findings],
            "text": [found.text for found in self.findings],
            "feature_id": [", ".join(found.feature_ids[:50]) for found in self.findings],
            "class_name": [found.class_name for found in self.findings],
            "scene": [found.image or "" for found in self.findings],
            "done": np.zeros(len(self.findings), np.bool_),
        }
        frame = gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(geometries, crs=crs), crs=crs)
        write_layers(
            path,
            {FINDINGS: frame},
            {FINDINGS: _style()},
            geometry_types={FINDINGS: "MultiPolygon"},
            overwrite=overwrite,
        )

    def _layer_geometries(self) -> tuple[CRS | None, GeometryArray]:
        """One frame for all: the labels' CRS, else that of the first scene, else images side by side in
        pixels.
        """
        crs = self.crs or next((scene.native.crs for scene in self.scenes), None)
        starts = np.cumsum([0, *(scene.native.width + _GAP_PX for scene in self.scenes)])
        by_name = {
            name: (scene, Affine(1, 0, float(start), 0, -1, 0))
            for scene, start in zip(self.scenes, starts, strict=False)
            for name in (scene.stem, scene.name)
        }
        out = np.empty(len(self.findings), dtype=object)
        for place, found in enumerate(self.findings):
            shape = None if found.geometry is None else _polygon(found.geometry)
            if shape is not None and found.image is not None:
                shape = _placed(shape, by_name.get(found.image) or by_name.get(stem_of(found.image)), crs)
            out[place] = shape
        return crs, out

    def _repr_html_(self) -> str:
        said = [
            ("note", "registration", "", registration_text(name, found))
            for name, found in self.registration.items()
        ]
        return grid_table(
            ("severity", "kind", "count", "for example"),
            [*self.rows(), *said],
            f"{Path(self.source).name}: {len(self.findings)} findings",
        )


def check_findings_suffix(path: str | Path) -> None:
    """Raises `ConfigError` for a name that is no GeoPackage's."""
    if Path(path).suffix.lower() != ".gpkg":
        raise ConfigError(f"{path}: findings are written as a GeoPackage; give a name that ends in .gpkg")


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The worst first, each kind together."""
    kinds = list(KINDS)
    return tuple(
        sorted(findings, key=lambda found: (SEVERITIES.index(found.severity), kinds.index(found.kind)))
    )


def registration_values(found: Misregistration) -> dict[str, object]:
    """For JSON: numbers, or why there are none."""
    if not found.known:
        return {"known": False, "reason": found.reason, "places": found.cells}
    return {
        "known": True,
        "cols_px": round(found.cols, 2),
        "rows_px": round(found.rows, 2),
        "error_px": [round(error, 2) for error in found.error_px],
        "significant": found.significant,
        "places": found.cells,
    }


def registration_text(name: str, found: Misregistration, gsd_m: float | None = None) -> str:
    """One sentence on where labels lie."""
    if not found.known:
        return f"{name}: whether the labels lie in place cannot be told from edges ({found.reason})"
    right = f"{abs(found.cols):.1f} px {'right' if found.cols >= 0 else 'left'}"
    below = f"{abs(found.rows):.1f} px {'below' if found.rows >= 0 else 'above'}"
    metres = "" if gsd_m is None else f", {found.distance_px * gsd_m:.3g} m in all"
    return f"{name}: the labels lie {right} and {below} of the image's edges (± {max(found.error_px):.1f} px{metres})"


def _polygon(geometry: shapely.Geometry) -> shapely.Geometry | None:
    """A geometry as polygons; its box where it has none."""
    if geometry.is_empty:
        return None
    flat = shapely.force_2d(geometry)
    if flat.geom_type in ("Polygon", "MultiPolygon"):
        return flat
    found = polygonal_part(flat)
    return found if not found.is_empty else shapely.box(*shapely.buffer(flat, 1e-6).bounds)


def _placed(
    shape: shapely.Geometry, where: tuple[Scene, Affine] | None, crs: CRS | None
) -> shapely.Geometry | None:
    if where is None:
        return None
    scene, beside = where
    one = np.array([shape], dtype=object)
    if crs is None or scene.native.crs is None:
        return map_coordinates(one, beside)[0] if crs is None else None
    moved = scene.native.geometries_to_map(one)
    return reproject(moved, scene.native.crs, crs, scene.path)[0]


def _style() -> str:
    hidden = [FormField("fid", widget="Hidden")]
    shown = [
        FormField(name, name.replace("_", " ").capitalize())
        for name in ("number", "severity", "kind", "text", "feature_id", "class_name", "scene")
    ]
    form = form_elements(
        [*hidden, *shown, FormField("done", "Done", "CheckBox", default="false")],
        '<b>[% "kind" %]</b> [% "feature_id" %]<br>[% "text" %]',
    )
    return categories_qml("severity", SEVERITY_COLORS, "polygon", form)

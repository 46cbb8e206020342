"""`eo-dl inspect`: what a file contains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.core.labelset import LabelSet
    from eo_dl.core.pixelgrid import PixelGrid
    from eo_dl.io.scene import Scene
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions

VECTOR_SUFFIXES = {".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".xml", ".csv"}
FIELD_SUFFIXES = {".gpkg", ".geojson", ".shp", ".fgb", ".parquet"}
"""Those of layers, which have fields."""
Found = tuple[dict[str, object], list[str]]
Statistics = list[dict[str, float | None]]
"""Per band: lowest and highest value, and the share of measured pixels."""


@click.command("inspect", cls=options.Command, short_help="Show what a file contains.")
@click.argument("path", metavar="FILE")
@click.option(
    "--stats",
    is_flag=True,
    help="Also read the pixels of a raster: range, and share of measured pixels, per band.",
)
@options.scenes("bands", "nodata", "valid", "crs", "mask", "derive", "trust_vrt", "allow_remote")
@options.drop_dead_bands
@options.labels("class_field", "layer", "where", "label_crs")
def command(
    reporter: Reporter,
    path: str,
    stats: bool,
    scene_options: SceneOptions,
    drop_dead_bands: bool,
    label_options: LabelOptions,
) -> None:
    """Show what a raster, a label file, a chip set (folder) or a model (.eodl) contains."""
    if (Path(path) / "chips.json").is_file():
        values, lines = _chip_set(path, scene_options)
    elif path.endswith(".eodl"):
        values, lines = _model(path)
    elif _may_hold_labels(path):
        values, lines, notes = _label_file(path, label_options)
        reporter.notes(notes)
    else:
        from eo_dl import drop_dead_bands as without_dead_bands
        from eo_dl.io.scene import open_scenes

        scenes = open_scenes(path, scene_options)
        (scene,) = without_dead_bands(scenes) if drop_dead_bands else scenes
        statistics, found, warnings = _statistics(scene) if stats or drop_dead_bands else (None, [], [])
        notes = [*scene.notes, *_gaps(scene, statistics), *found]
        values, lines = _scene(scene, statistics, notes)
        for warning in warnings:
            reporter.warning(warning)
        reporter.notes(notes)
    reporter.result(values, lines)


def _may_hold_labels(path: str) -> bool:
    """True for vector files and folders that are no product."""
    if Path(path).suffix.lower() not in VECTOR_SUFFIXES and not Path(path).is_dir():
        return False
    from eo_dl.io.discover import is_product

    return not is_product(path)


def _scene(scene: Scene, statistics: Statistics | None, notes: list[str]) -> Found:
    grid = scene.grid
    gsd = grid.gsd_m
    values: dict[str, object] = {
        "kind": "scene",
        "path": scene.path,
        "driver": scene.file.driver,
        "width": grid.width,
        "height": grid.height,
        "crs": _crs_text(grid),
        "gsd_m": gsd,
        "transform": list(grid.transform)[:6],
        "dtype": scene.dtype,
        "block": f"{scene.file.block_px[1]}x{scene.file.block_px[0]}",
        "overviews": list(scene.file.overviews),
    }
    bands = [
        {
            "number": b.number,
            "name": b.name,
            "named": b.named,
            "dtype": b.dtype,
            "nodata": b.nodata,
            "scale": b.scale,
            "offset": b.offset,
        }
        for b in scene.bands
    ]
    for row, found in zip(bands, statistics or (), strict=statistics is not None):
        row.update(found)
    shown = {
        **values,
        "crs": values["crs"] or "none: results are in pixels",
        "gsd_m": "unknown" if gsd is None else f"{gsd:.4g}",
    }
    lines = [
        *table([(k, v) for k, v in shown.items() if k != "transform"], ("scene", "")),
        "",
        *table([list(b.values()) for b in bands], list(bands[0])),
    ]
    return {**values, "bands": bands, "notes": notes}, lines


def _gaps(scene: Scene, statistics: Statistics | None) -> list[str]:
    """Notes on values that look like those of gaps, if the pixels were read."""
    from eo_dl.chips.statistics import gap_note

    pairs = zip(scene.bands, statistics or (), strict=statistics is not None)
    gaps = [gap_note(band, found["min"], found["max"]) for band, found in pairs]
    return [gap for gap in gaps if gap is not None]


def _crs_text(grid: PixelGrid) -> str | None:
    """The code of the CRS, or its name if it has none; None without a CRS."""
    if grid.crs is None:
        return None
    text = grid.crs.to_string()
    return text if len(text) < 40 else grid.crs.name


def _without_noise(value: float) -> float:
    """A number without the last digits, which come of computing with a scale: 0.0082, not 0.00819999."""
    return float(f"{value:.9g}")


def _statistics(scene: Scene) -> tuple[Statistics, list[str], list[str]]:
    """Range in physical units and measured share of each band from its own measured pixels; notes on dead
    bands and on what the rule of valid pixels costs; those of the notes that are warnings.
    """
    from eo_dl.io.deadbands import band_values, dead_note
    from eo_dl.io.validity import gap_lines

    found, gaps = band_values(scene)
    rows: Statistics = []
    for band, values in zip(scene.bands, found, strict=True):
        ends: list[float | None] = [None, None]
        if values.lowest is not None and values.highest is not None:
            ends = [
                _without_noise(value * band.scale + band.offset) for value in (values.lowest, values.highest)
            ]
            ends = ends[::-1] if band.scale < 0 else ends
        rows.append({"min": ends[0], "max": ends[1], "valid_share": round(values.valid_share, 4)})
    notes = []
    dead = [band for band, values in zip(scene.bands, found, strict=True) if values.dead]
    if dead:
        notes.append(f"{dead_note(dead)}; `drop_dead_bands` leaves such bands out")
    costs = gap_lines(gaps, scene.bands, scene.valid, scene.name)
    return rows, [*notes, *costs], costs if gaps.costly else []


def _label_file(path: str, label_options: LabelOptions) -> tuple[dict[str, object], list[str], list[str]]:
    """Classes and fields of a label file; without a clear class field the fields, and why it is not clear."""
    from eo_dl.core.maplabels import MapLabels
    from eo_dl.errors import InputError
    from eo_dl.labels.reading import labels_of

    try:
        labels = labels_of(path, label_options)
    except InputError as cause:
        if label_options.class_field is not None or Path(path).suffix.lower() not in FIELD_SUFFIXES:
            raise
        values, lines = _fields(path, label_options.layer)
        return {"kind": "layer", "path": path, **values}, lines, [str(cause)]
    values, lines = _labels(labels)
    if not isinstance(labels, MapLabels) or Path(path).suffix.lower() not in FIELD_SUFFIXES:
        return values, lines, []
    fields, field_lines = _fields(path, label_options.layer)
    return {**values, "fields": fields["fields"]}, [*lines, "", *field_lines], []


def _fields(path: str, layer: str | None) -> Found:
    """The fields of a vector layer with their most frequent values."""
    from eo_dl.labels.vector.fieldvalues import field_values

    count, found = field_values(path, layer)
    rows = [(one.name, one.kind, one.different, one.text) for one in found]
    values: dict[str, object] = {
        "features": count,
        "fields": [
            {
                "name": one.name,
                "kind": one.kind,
                "different": one.different,
                "without": one.empty,
                "values": dict(one.counts),
            }
            for one in found
        ],
    }
    return values, table(rows, ("field", "kind", "values", "features per value"))


def _labels(labels: LabelSet) -> Found:
    from eo_dl.core.rasterlabels import RasterLabels

    counts = labels.class_counts()
    values: dict[str, object] = {
        "kind": "labels",
        "source": labels.source,
        "features": len(labels),
        "masks": len(labels.rasters) if isinstance(labels, RasterLabels) else 0,
        "crs": None if labels.crs is None else labels.crs.name,
        "class_field": labels.class_field,
        "classes": counts,
        "notes": list(labels.notes),
    }
    shown = [
        (k, "none: pixels of an image" if k == "crs" and v is None else v)
        for k, v in values.items()
        if k not in {"classes", "notes", "kind"}
    ]
    rows = [(info.id, info.name, info.color, counts[info.name]) for info in labels.classes]
    return values, [
        *table(shown, ("labels", "")),
        "",
        *table(rows, ("id", "class", "color", "features")),
    ]


def _chip_set(path: str, scene_options: SceneOptions) -> Found:
    chips = options.chip_set(path, scene_options)
    summary = chips.summary()
    return {"kind": "chips", **summary.values}, [
        f"{chips.path}: {len(chips.records)} chips of {chips.chip_px} px",
        "",
        *table(summary.rows, summary.header),
    ]


def _model(path: str) -> Found:
    from eo_dl import load_model
    from eo_dl.modelcard import (
        CALIBRATION_HEADER,
        COVERAGE_HEADER,
        SCORE_HEADER,
        applicability_text,
        calibration_rows,
        calibration_text,
        coverage_rows,
        network_text,
        score_row,
        sets_text,
        training_facts,
    )

    spec = load_model(path).spec
    values = {"kind": "model", **spec.model_dump(mode="json")}
    rows = [(k, v) for k, v in values.items() if isinstance(v, str | int | float)]
    bands = [(b.name, b.dtype, b.scale, b.offset) for b in spec.bands]
    classes, header = [(str(c.id), c.name, c.color) for c in spec.classes], ("id", "class", "color")
    named = spec.class_set()
    if named.are_values:
        infos = zip(named.names, named.value_infos, strict=True)
        classes, header = [(name, i.unit, i.range_text) for name, i in infos], ("value", "unit", "range")
    rows.append(("network", network_text(spec)))
    lines = [
        *table(rows, ("model", "")),
        "",
        *table(bands, ("band", "dtype", "scale", "offset")),
        "",
        *table(classes, header),
    ]
    scores = [score_row(score) for score in spec.scores]
    scores += [(f"baseline {name}", *rest) for name, *rest in map(score_row, spec.provenance.baselines)]
    if scores:
        lines += ["", *table(scores, SCORE_HEADER)]
    if spec.calibration is not None:
        lines += ["", calibration_text(spec.calibration)]
        lines += table(calibration_rows(spec.calibration), CALIBRATION_HEADER)
    if spec.prediction_sets is not None:
        lines += ["", sets_text(spec.prediction_sets)]
        lines += table(coverage_rows(spec.prediction_sets), COVERAGE_HEADER)
    if spec.applicability is not None:
        lines += ["", applicability_text(spec.applicability)]
    facts = list(training_facts(spec).items())
    if facts:
        lines += ["", *table(facts, ("training", ""))]
    return values, [*lines, *(f"note: {note}" for note in spec.provenance.notes)]

"""The file of a sample: a GeoPackage with the units to interpret, and their design beside them.

The layer `sample` is what the interpreter sees: the units in random order, a form with the classes to choose
from, and no word about the map. The layer `design` holds stratum and inclusion probability of each unit; it
is apart because a stratum often tells the class of the map.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pydantic import ValidationError

from ...core.arraytypes import Float64Array, GeometryArray, Int64Array, ObjectArray
from ...core.pixelgrid import PixelGrid
from ...core.wording import listed
from ...errors import LabelError
from ...io.outputtags import read_grid_tag
from ...io.qgisforms import FormField, form_elements
from ...io.qgisstyles import categories_qml, outline_qml
from ...io.vectorlayers import layer_names, read_layer, read_metadata, write_layers
from .sampledesign import DesignRecord
from .unitdraw import DrawnUnits

SAMPLE_LAYER, DESIGN_LAYER = "sample", "design"
NOT_INTERPRETABLE = "not interpretable"
FIRST, SECOND, AGREED = "reference", "reference_2", "agreed"
"""Fields: the answer of the first and of the second interpreter, and what both agreed on."""

_DESIGN_KEY = "eo_dl_sample"
_OPEN_COLOR = "#e6ab02"


@dataclass(frozen=True)
class AnsweredSample:
    """A sample with its answers, as read from its file; arrays in the order of the design."""

    path: Path
    """The file."""
    design: DesignRecord
    """How it was drawn."""
    grid: PixelGrid
    """Grid of the units."""
    unit: Int64Array
    """(N,) numbers of the units."""
    stratum: Int64Array
    """(N,) index into `design.strata`."""
    col: Int64Array
    """(N,) column on `grid`."""
    row: Int64Array
    """(N,) row."""
    area: Float64Array
    """(N,) ground area."""
    answers: Mapping[str, ObjectArray]
    """(N,) text by field (`FIRST`, `SECOND`, `AGREED`); None where nothing was answered."""
    notes: tuple[str, ...] = ()
    """What was found on reading."""


def write_sample(
    path: str | Path, units: DrawnUnits, design: DesignRecord, grid: PixelGrid, *, overwrite: bool
) -> None:
    """Write the units of a sample to a GeoPackage.

    Args:
        path: The file.
        units: The units, in the order in which they are to be interpreted.
        design: How they were drawn.
        grid: Grid of the units.
        overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        WriteError: The file cannot be written.
    """
    geometries = unit_geometries(grid, units.col, units.row, as_points=design.unit_px == 1)
    numbers = np.arange(1, len(units) + 1)
    answers = {name: _no_answers(design, len(units)) for name in (FIRST, SECOND, AGREED)}
    sample = gpd.GeoDataFrame(
        {"unit": numbers, **answers, "note": pd.array([pd.NA] * len(units), dtype="string")},
        geometry=geometries,
        crs=grid.crs,
    )
    name_of = {stratum.id: stratum.name for stratum in design.strata}
    probability_of = {stratum.id: stratum.drawn / stratum.units for stratum in design.strata}
    strata = units.stratum.tolist()
    details = gpd.GeoDataFrame(
        {
            "unit": numbers,
            "stratum": [name_of[stratum] for stratum in strata],
            "inclusion_probability": [probability_of[stratum] for stratum in strata],
            f"area_{design.area_unit}": units.area,
            "unit_col": units.col,
            "unit_row": units.row,
        },
        geometry=geometries,
        crs=grid.crs,
    )
    write_layers(
        path,
        {SAMPLE_LAYER: sample, DESIGN_LAYER: details},
        {SAMPLE_LAYER: sample_style(design)},
        metadata={_DESIGN_KEY: design.model_dump_json()},
        overwrite=overwrite,
    )


def _no_answers(design: DesignRecord, count: int) -> pd.api.extensions.ExtensionArray:
    """An empty column: text for classes, whole numbers for objects."""
    return pd.array([pd.NA] * count, dtype="string" if design.kind == "classes" else "Int64")


def unit_geometries(grid: PixelGrid, cols: Int64Array, rows: Int64Array, *, as_points: bool) -> GeometryArray:
    """Centres or outlines of units, in map coordinates."""
    if as_points:
        geometries = shapely.points(cols + 0.5, rows + 0.5)
    else:
        geometries = shapely.box(cols, rows, cols + 1, rows + 1)
    return grid.geometries_to_map(np.asarray(geometries, dtype=object).reshape(-1))


def sample_style(design: DesignRecord) -> str:
    """How QGIS draws the units and asks for answers. Open units are grey."""
    tip = '<b>unit [% "unit" %]</b> [% coalesce("reference", \'open\') %]'
    if design.kind == "objects":
        return outline_qml(_OPEN_COLOR, "polygon", form_elements(_count_fields(), tip))
    choices = (*design.class_set.names, NOT_INTERPRETABLE)
    fields = [
        FormField("fid", widget="Hidden"),
        FormField("unit", "Unit"),
        FormField(FIRST, "Class", "ValueMap", choices),
        FormField(SECOND, "Class, second interpreter", "ValueMap", choices),
        FormField(AGREED, "Class both agreed on, where they differed", "ValueMap", choices),
        FormField("note", "Note"),
    ]
    colors = {info.name: info.color for info in design.class_set} | {NOT_INTERPRETABLE: "#000000"}
    as_points = design.unit_px == 1
    return categories_qml(
        FIRST, colors, "point" if as_points else "polygon", form_elements(fields, tip), filled=as_points
    )


def _count_fields() -> list[FormField]:
    rule = "must be 0 or more; -1: not interpretable"
    return [
        FormField("fid", widget="Hidden"),
        FormField("unit", "Chip"),
        FormField(FIRST, "Number of objects (-1: not interpretable)", rule=f'"{FIRST}" >= -1', reason=rule),
        FormField(SECOND, "Number of objects, second interpreter", rule=f'"{SECOND}" >= -1', reason=rule),
        FormField(
            AGREED, "Number both agreed on, where they differed", rule=f'"{AGREED}" >= -1', reason=rule
        ),
        FormField("note", "Note"),
    ]


def read_sample(path: str | Path) -> AnsweredSample:
    """A sample with the answers that it has so far.

    Raises:
        LabelError: The file is no sample, its units do not fit its design, or an answer is not among the
            choices.
    """
    design = _read_design(path)
    grid = read_grid_tag(design.grid)
    if grid is None:
        raise LabelError(f"{path}: the grid of its units cannot be read; draw the sample again")
    details = read_layer(path, layer=DESIGN_LAYER)
    answered = read_layer(path, layer=SAMPLE_LAYER)
    _check_units(path, details, answered)
    index_of_name = {stratum.name: index for index, stratum in enumerate(design.strata)}
    unknown = sorted(set(details["stratum"]) - set(index_of_name))
    if unknown:
        raise LabelError(f"{path}: the design has no stratum {listed(unknown)}; draw the sample again")
    answers = answered.set_index("unit").reindex(details["unit"])
    texts = {name: _texts(path, design, answers, name) for name in (FIRST, SECOND, AGREED)}
    return AnsweredSample(
        path=Path(path),
        design=design,
        grid=grid,
        unit=details["unit"].to_numpy(np.int64),
        stratum=np.array([index_of_name[name] for name in details["stratum"]], np.int64),
        col=details["unit_col"].to_numpy(np.int64),
        row=details["unit_row"].to_numpy(np.int64),
        area=details[f"area_{design.area_unit}"].to_numpy(np.float64),
        answers=texts,
        notes=_deleted(len(details), len(answered)),
    )


def _deleted(drawn: int, left: int) -> tuple[str, ...]:
    """A note on units that are no longer in the layer `sample`; they count as not answered."""
    if left >= drawn:
        return ()
    return (
        f"{drawn - left} of {drawn} units were deleted from the layer '{SAMPLE_LAYER}'; they count as open",
    )


def _read_design(path: str | Path) -> DesignRecord:
    is_file = Path(path).suffix.lower() == ".gpkg" and Path(path).is_file()
    if not is_file or not {SAMPLE_LAYER, DESIGN_LAYER} <= set(layer_names(path)):
        raise LabelError(
            f"{path}: expected a sample that `sample` drew, a GeoPackage with the layers '{SAMPLE_LAYER}' "
            f"and '{DESIGN_LAYER}'; an export of one of its layers lacks the design"
        )
    text = read_metadata(path, SAMPLE_LAYER).get(_DESIGN_KEY, "")
    try:
        return DesignRecord.model_validate(json.loads(text))
    except (ValueError, ValidationError, sqlite3.Error) as cause:
        first = " ".join(str(cause).split())[:160]
        raise LabelError(f"{path}: its design cannot be read ({first}); draw the sample again") from cause


def _check_units(path: str | Path, details: gpd.GeoDataFrame, answered: gpd.GeoDataFrame) -> None:
    drawn, left = details["unit"], answered["unit"]
    if drawn.duplicated().any() or left.duplicated().any():
        raise LabelError(f"{path}: a unit occurs twice; delete the copy, each unit has one answer")
    added = sorted(set(left.dropna()) - set(drawn)) or [None] * int(left.isna().sum())
    if added:
        raise LabelError(
            f"{path}: {len(added)} units were added by hand (unit {listed(added)}); they were not drawn at "
            "random and cannot count, delete them"
        )


def _texts(path: str | Path, design: DesignRecord, answers: pd.DataFrame, name: str) -> ObjectArray:
    """The answers of a field as text; None where there is none."""
    texts: ObjectArray = np.full(len(answers), None, dtype=object)
    if name not in answers.columns:
        return texts
    for index, value in enumerate(answers[name]):
        if not pd.isna(value) and str(value).strip():
            texts[index] = str(value).strip()
    choices = {*(info.name for info in design.classes), NOT_INTERPRETABLE}
    for index, text in enumerate(texts):
        if text is None:
            continue
        if design.kind == "objects":
            texts[index] = _count_text(path, int(answers.index[index]), name, text)
        elif text not in choices:
            raise LabelError(
                f"{path}: unit {answers.index[index]} has the answer {text!r} in '{name}', which is none of "
                f"{listed(sorted(choices), 12)}"
            )
    return texts


def _count_text(path: str | Path, unit: int, name: str, text: str) -> str:
    """A number of objects as text; -1 is "not interpretable"."""
    try:
        number = float(text)
    except ValueError:
        number = -2
    if number < -1 or number != int(number):
        raise LabelError(
            f"{path}: chip {unit} has the answer {text!r} in '{name}'; expected a number of objects, or -1 "
            "where they cannot be seen"
        )
    return NOT_INTERPRETABLE if number == -1 else str(int(number))

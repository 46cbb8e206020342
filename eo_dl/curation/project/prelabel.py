"""`prelabel`: a prediction as labels to correct."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from ...core.arraytypes import Float64Array
from ...core.classes import ClassSet
from ...core.htmlcard import card
from ...core.progress import OnProgress, silent
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.classmap import PARTITION_KEY
from ...io.outputlock import locks_output
from ...io.vectorlayers import layer_names, read_layer, read_metadata, write_layers
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, metadata
from ...labels.review import ACCEPTED, PROPOSED, REVIEW, statuses_of, ticked_rows
from ...labels.vector.fields import class_column
from ...postprocessing.vectorize import vectorize
from .corrected import ID_FIELD, PROPOSALS
from .start import annotated_style, labels_style

_AREAS = (-1, 3, 6)  # type ids of shapely: missing, polygon, multipolygon
_RASTERS = (".tif", ".tiff", ".vrt")


@dataclass(frozen=True)
class PreLabels:
    """A project with proposed labels."""

    path: Path
    """The GeoPackage to correct."""

    classes: ClassSet
    """Its classes."""

    count: int
    """Number of proposed labels."""

    notes: tuple[str, ...] = ()
    """What was left out."""

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            ("classes", ", ".join(self.classes.names)),
            ("to correct", self.count),
        ]
        rows += [("note", note) for note in self.notes]
        return card(self.path.name, rows)


@locks_output
def prelabel(
    prediction: str | Path,
    *,
    out: str | Path,
    min_score: float | None = None,
    min_area_m2: float | None = None,
    probabilities: str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> PreLabels:
    """Make a GeoPackage of proposed labels from a prediction, to be accepted, changed or rejected in QGIS.

    The layer `labels` has class, `status` (proposed), `reviewed`, `score` and `source`, with lists to choose
    from. In the layer `annotated` the areas are outlined in which everything was reviewed. The layer
    `proposals` keeps the labels as proposed, for `merge_labels` to compare with; it must not be edited. If
    the prediction itself was reviewed (`status`, `reviewed`), that review is kept. If a class map has no
    background, the project records it, and `merge_labels` ignores what is rejected: that ground belongs to
    another class, and which is not known.

    Args:
        prediction: Predicted objects or polygons, or a class map, which is vectorized.
        out: The GeoPackage to write.
        min_score: Leave out predictions with a lower score.
        min_area_m2: Leave out smaller ones, square metres.
        probabilities: NAME_prob.tif of a class map, from which its polygons get their scores.
        overwrite: Replace an existing file.
        on_progress: Called with the number of rows vectorized and their total.

    Raises:
        LabelError: The prediction has no CRS, holds points or lines, or nothing is left of it.
        ConfigError: `out` is not a GeoPackage, or `probabilities` do not belong to a class map.
        OutputExistsError: `out` exists.

    Example:
        >>> prelabel("trees.gpkg", out="to_correct.gpkg", min_score=0.3)  # doctest: +SKIP
    """
    target, source = Path(out), Path(prediction)
    if target.suffix.lower() != ".gpkg":
        raise ConfigError(f"{target}: pre-labels are a GeoPackage; give `out` a name that ends in .gpkg")
    refuse_existing(target, overwrite)
    table, is_partition = _polygons(source, probabilities, on_progress)
    _check(table, source)
    present = ~(table.geometry.isna() | table.geometry.is_empty)
    table, notes = _selected(table[present], min_score, min_area_m2, source)
    labels, classes = _proposals(table, source)
    if is_partition:
        notes.append(
            "every pixel of the map has a class: change the class of what is wrong; what is only rejected is "
            "ignored"
        )
    notes.append(f"CRS of the labels: {CRS(labels.crs).name}")

    areas = gpd.GeoDataFrame({"note": np.empty(0, dtype=object)}, geometry=gpd.GeoSeries([], crs=labels.crs))
    layers = {ANNOTATED: areas, PROPOSALS: labels, LABELS: labels}
    styles = {
        ANNOTATED: annotated_style(),
        PROPOSALS: annotated_style(),
        LABELS: labels_style(classes, "polygon", REVIEW),
    }
    tags = metadata(classes, "polygon", [], target.parent)
    if is_partition:
        tags[PARTITION_KEY] = "true"
    types = dict.fromkeys(layers, "MultiPolygon")
    write_layers(target, layers, styles, metadata=tags, geometry_types=types, overwrite=overwrite)
    return PreLabels(target, classes, len(labels), tuple(notes))


def _polygons(
    source: Path, probabilities: str | Path | None, on_progress: OnProgress
) -> tuple[gpd.GeoDataFrame, bool]:
    """The features of a prediction, and whether they come from a class map without background."""
    if source.suffix.lower() in _RASTERS:
        with tempfile.TemporaryDirectory() as folder:
            polygons = Path(folder) / "map.gpkg"
            vectorize(source, out=polygons, probabilities=probabilities, on_progress=on_progress)
            return _polygons(polygons, None, on_progress)
    if probabilities is not None:
        raise ConfigError(
            f"{probabilities}: probabilities belong to a class map, and {source.name} has scores of its own; "
            "omit `probabilities`"
        )
    is_partition = False
    if source.suffix.lower() == ".gpkg":
        tags = read_metadata(source, layer_names(source)[0])
        is_partition = tags.get(PARTITION_KEY) == "true"
    return read_layer(source), is_partition


def _check(table: gpd.GeoDataFrame, source: Path) -> None:
    if table.crs is None:
        raise LabelError(
            f"{source}: has no CRS, so QGIS cannot lay it over the scene; predict on a georeferenced scene"
        )
    types = np.asarray(shapely.get_type_id(np.asarray(table.geometry.array, dtype=object)))
    if not np.isin(types, _AREAS).all():
        raise LabelError(
            f"{source}: holds points or lines; expected a prediction of polygons or boxes, or a class map"
        )


def _selected(
    table: gpd.GeoDataFrame, min_score: float | None, min_area_m2: float | None, source: Path
) -> tuple[gpd.GeoDataFrame, list[str]]:
    """The features with enough score and area, and how many were left out."""
    notes = []
    for field, least, parameter in (
        ("score", min_score, "min_score"),
        ("area_m2", min_area_m2, "min_area_m2"),
    ):
        if least is None:
            continue
        if field not in table.columns:
            raise LabelError(f"{source}: has no field {field!r}; omit `{parameter}`")
        values = _numbers(table, field, source)
        kept = values >= least
        if not kept.all():
            missing = int(np.isnan(values).sum())
            without = f" ({missing} have none)" if missing else ""
            notes.append(f"{int((~kept).sum())} of {len(kept)} left out: {field} below {least:g}{without}")
        table = table[kept]
    if not len(table):
        raise LabelError(
            f"{source}: holds nothing to correct; lower `min_score` and `min_area_m2`, or predict with "
            "another model"
        )
    return table, notes


def _numbers(table: gpd.GeoDataFrame, field: str, source: Path) -> Float64Array:
    """(N,) a field as numbers, NaN if it is empty."""
    numbers = pd.to_numeric(table[field], errors="coerce")
    texts = table[field][numbers.isna() & table[field].notna()]
    if len(texts):
        raise LabelError(
            f"{source}: feature {texts.index[0]} has the {field} {texts.iloc[0]!r}, a number was expected"
        )
    return np.asarray(numbers, np.float64)


def _proposals(table: gpd.GeoDataFrame, source: Path) -> tuple[gpd.GeoDataFrame, ClassSet]:
    """The features as proposed labels."""
    class_field = CLASS_FIELD if CLASS_FIELD in table.columns else None
    values = class_column(table, class_field, str(source)).values
    scores = np.full(len(table), np.nan)
    if "score" in table.columns:
        scores = _numbers(table, "score", source)
    statuses = _statuses(table)
    columns = {
        CLASS_FIELD: list(values),
        "status": statuses,
        "reviewed": np.array([status != PROPOSED for status in statuses], np.bool_),
        "score": scores,
        "source": [source.name] * len(table),
        "note": np.full(len(table), None, dtype=object),
        ID_FIELD: np.arange(1, len(table) + 1),
    }
    outlines = gpd.GeoSeries(np.asarray(table.geometry.array, dtype=object), crs=table.crs)
    classes = ClassSet.of_names(sorted({value for value in values if value is not None}))
    return gpd.GeoDataFrame(columns, geometry=outlines), classes


def _statuses(table: gpd.GeoDataFrame) -> list[str]:
    """The review status of each feature; accepted if it was only ticked, proposed if it was not reviewed."""
    statuses = []
    for status, ticked in zip(statuses_of(table), ticked_rows(table), strict=True):
        if status is not None:
            statuses.append(str(status))
        else:
            statuses.append(ACCEPTED if ticked else PROPOSED)
    return statuses

"""`prelabel`: a prediction as labels to correct."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import CRS

from ...core.classes import ClassSet
from ...core.htmlcard import card
from ...core.progress import OnProgress, silent
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.classmap import PARTITION_KEY
from ...io.vectorlayers import layer_names, read_layer, read_metadata, write_layers
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, metadata
from ...labels.review import ACCEPTED, PROPOSED, REVIEW, statuses_of, ticked_rows
from ...labels.vector.fields import class_column
from ...mosaic.vectorize import vectorize
from .corrected import ID_FIELD, PROPOSALS
from .start import annotated_style, labels_style


@dataclass(frozen=True)
class PreLabels:
    """The project at `path` with `count` proposed labels; `notes` count what was left out."""

    path: Path
    classes: ClassSet
    count: int
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            ("classes", ", ".join(self.classes.names)),
            ("to correct", self.count),
        ]
        return card(self.path.name, [*rows, *(("note", note) for note in self.notes)])


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
    """A prediction (objects or polygons, or a class map, which is vectorized) as a GeoPackage of proposed
    labels, to be accepted, changed or rejected in QGIS.

    Layer `labels`: class, `status` (proposed), `reviewed`, `score`, `source`, with drop-downs; `annotated`:
    draw there where you have looked at everything; `proposals`: the same as they were proposed, for
    `merge_labels` to compare with: leave it alone. `min_score` and `min_area_m2` leave out the rest, counted.
    What a review of the prediction itself has said already (`status`, `reviewed`) is kept. `probabilities`
    (NAME_prob.tif) give the polygons of a class map their score. Of a map without background the project says
    so, and `merge_labels` ignores what is rejected in it: it is of another class, and which is not known.

    Raises `LabelError`, `SceneError`, `ConfigError`, `OutputExistsError`.

    >>> prelabel("trees.gpkg", out="to_correct.gpkg", min_score=0.3)  # doctest: +SKIP
    """
    target, source = Path(out), Path(prediction)
    if target.suffix.lower() != ".gpkg":
        raise ConfigError(f"{target}: pre-labels are a GeoPackage; give `out` a name that ends in .gpkg")
    refuse_existing(target, overwrite)
    frame, partition = _polygons(source, probabilities, on_progress)
    if frame.crs is None:
        raise LabelError(
            f"{source}: has no CRS, so QGIS cannot lay it over the scene; predict on a georeferenced scene"
        )
    kinds = np.asarray(shapely.get_type_id(np.asarray(frame.geometry.array, dtype=object)))
    if np.isin(kinds, (-1, 3, 6)).sum() < len(frame):
        raise LabelError(
            f"{source}: holds points or lines; a prediction to correct is of polygons, boxes, or a class map"
        )
    frame, notes = _chosen(frame, min_score, min_area_m2, source)
    values = class_column(frame, CLASS_FIELD if CLASS_FIELD in frame.columns else None, str(source)).values
    classes = ClassSet.of_names(sorted({value for value in values if value is not None}))
    scores = _numbers(frame, "score", source) if "score" in frame.columns else np.full(len(frame), np.nan)
    statuses = _statuses(frame)
    columns = {
        CLASS_FIELD: list(values),
        "status": statuses,
        "reviewed": np.array([status != PROPOSED for status in statuses], np.bool_),
        "score": scores,
        "source": [source.name] * len(frame),
        "note": np.full(len(frame), None, dtype=object),
        ID_FIELD: np.arange(1, len(frame) + 1),
    }
    shapes = gpd.GeoSeries(np.asarray(frame.geometry.array, dtype=object), crs=frame.crs)
    labels = gpd.GeoDataFrame(columns, geometry=shapes)
    areas = gpd.GeoDataFrame({"note": np.empty(0, dtype=object)}, geometry=gpd.GeoSeries([], crs=frame.crs))
    styles = {
        LABELS: labels_style(classes, "polygon", REVIEW),
        ANNOTATED: annotated_style(),
        PROPOSALS: annotated_style(),
    }
    write_layers(
        target,
        {ANNOTATED: areas, PROPOSALS: labels, LABELS: labels},
        styles,
        metadata={
            **metadata(classes, "polygon", [], target.parent),
            **({PARTITION_KEY: "true"} if partition else {}),
        },
        geometry_types={LABELS: "MultiPolygon", ANNOTATED: "MultiPolygon", PROPOSALS: "MultiPolygon"},
        overwrite=overwrite,
    )
    notes += (
        [
            "every pixel of the map has a class: change the class of what is wrong; ground that is only "
            "rejected is ignored"
        ]
        if partition
        else []
    )
    return PreLabels(target, classes, len(labels), (*notes, f"CRS of the labels: {CRS(frame.crs).name}"))


def _polygons(
    source: Path, probabilities: str | Path | None, on_progress: OnProgress
) -> tuple[gpd.GeoDataFrame, bool]:
    """The features of a prediction, and whether they come of a class map without background."""
    if source.suffix.lower() in (".tif", ".tiff", ".vrt"):
        with tempfile.TemporaryDirectory() as folder:
            return _polygons(
                vectorize(
                    source,
                    out=Path(folder) / "map.gpkg",
                    probabilities=probabilities,
                    on_progress=on_progress,
                ),
                None,
                on_progress,
            )
    if probabilities is not None:
        raise ConfigError(
            f"{probabilities}: probabilities go with a class map, {source.name} has scores of its own; leave "
            "them out"
        )
    frame = read_layer(source)
    return frame, source.suffix.lower() == ".gpkg" and read_metadata(source, layer_names(source)[0]).get(
        PARTITION_KEY
    ) == "true"


def _statuses(frame: gpd.GeoDataFrame) -> list[str]:
    """What a review has said, proposed where nothing."""
    return [
        str(said) if said is not None else ACCEPTED if done else PROPOSED
        for said, done in zip(statuses_of(frame), ticked_rows(frame), strict=True)
    ]


def _chosen(
    frame: gpd.GeoDataFrame, min_score: float | None, min_area_m2: float | None, source: Path
) -> tuple[gpd.GeoDataFrame, list[str]]:
    notes = []
    there = ~(frame.geometry.isna() | frame.geometry.is_empty)
    frame = frame[there]
    for field, least, flag in (("score", min_score, "min_score"), ("area_m2", min_area_m2, "min_area_m2")):
        if least is None:
            continue
        if field not in frame.columns:
            raise LabelError(f"{source}: has no field {field!r} for {flag}; leave it out")
        values = _numbers(frame, field, source)
        kept = values >= least
        unsaid = int(np.isnan(values).sum())
        notes += (
            [
                f"{int((~kept).sum())} of {len(kept)} left out: {field} below "
                f"{least:g}{f' ({unsaid} have none)' if unsaid else ''}"
            ]
            if not kept.all()
            else []
        )
        frame = frame[kept]
    if not len(frame):
        raise LabelError(
            f"{source}: holds nothing to correct; lower `min_score` and `min_area_m2`, or predict with "
            "another model"
        )
    return frame, notes


def _numbers(frame: gpd.GeoDataFrame, field: str, source: Path) -> npt.NDArray[np.float64]:
    """A field as numbers, NaN where nothing is said. Raises `LabelError` for texts that are none."""
    found = pd.to_numeric(frame[field], errors="coerce")
    wrong = frame[field][found.isna() & frame[field].notna()]
    if len(wrong):
        raise LabelError(
            f"{source}: feature {wrong.index[0]} has the {field} {wrong.iloc[0]!r}, a number was expected"
        )
    return np.asarray(found, np.float64)

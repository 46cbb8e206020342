"""Corrected pre-labels, checked before anything is concluded from them: a misunderstood correction would be a
wrong label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from ...errors import LabelError
from ...io.classmap import PARTITION_KEY
from ...io.vectorlayers import layer_names, read_layer, read_metadata
from ...labels.classrequest import value_text
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, is_project
from ...labels.review import PROPOSED, REJECTED, REVIEW, statuses_of

PROPOSALS = "proposals"
"""The layer that keeps what was proposed."""

ID_FIELD = "prelabel_id"
"""The field by which a corrected label finds its proposal."""

_POLYGONS = (3, 6)  # type ids of shapely
_EXAMPLES = 5


@dataclass(frozen=True)
class Corrections:
    """The features of a pre-label project, or of a reviewed prediction."""

    current: gpd.GeoDataFrame
    """The labels as they are now."""

    proposed: gpd.GeoDataFrame
    """The labels as they were proposed."""

    without_outline: int
    """Number of current features without an outline; they count as deleted."""


def read_corrected(source: Path) -> Corrections:
    """Read a pre-label project, or a prediction that was reviewed.

    Raises:
        LabelError: The file is neither, or a prediction in which nothing was reviewed.
    """
    if is_project(source) and PROPOSALS in layer_names(source):
        current, without_outline = _with_outline(read_layer(source, layer=LABELS))
        proposed, _ = _with_outline(read_layer(source, layer=PROPOSALS))
        return Corrections(current, proposed, without_outline)
    table = read_layer(source) if len(layer_names(source)) == 1 else None
    if table is None or not {CLASS_FIELD, "status", "reviewed"} <= set(table.columns):
        raise LabelError(
            f"{source}: expected the layers {LABELS}, {ANNOTATED} and {PROPOSALS}, or one layer with the "
            f"fields {CLASS_FIELD}, status and reviewed; use the file that `eo-dl labels prelabel` made, "
            "after correcting it, or a prediction that was reviewed in QGIS"
        )
    current, without_outline = _with_outline(table)
    current = current.assign(
        status=[PROPOSED if pd.isna(value) else value for value in current["status"]],
        **{ID_FIELD: np.arange(1, len(current) + 1)},
    )
    if all(status == PROPOSED for status in statuses_of(current)):
        raise LabelError(
            f"{source}: nothing in it has been reviewed yet; accept, change or reject the predictions first"
        )
    return Corrections(current, current, without_outline)


def without_background(source: Path) -> bool:
    """True if the labels were predicted by a map in which every pixel has a class: what is rejected there
    belongs to another class.
    """
    if source.suffix.lower() != ".gpkg":
        return False
    layers = layer_names(source)
    layer = PROPOSALS if PROPOSALS in layers else layers[0]
    return read_metadata(source, layer).get(PARTITION_KEY) == "true"


def check_corrected(corrections: Corrections, source: Path) -> None:
    """Refuse corrections that cannot be compared with what was proposed.

    Args:
        corrections: The features.
        source: Their file, for messages.

    Raises:
        LabelError: A field was lost, the CRS changed, or a feature has an unknown status, an invalid number,
            no class, or is not a polygon. The message names the features.
    """
    current = corrections.current
    for name in (ID_FIELD, CLASS_FIELD, "status", "reviewed"):
        if name not in current.columns:
            raise LabelError(
                f"{source}: its layer {LABELS} has lost the field {name}; correct a copy of the original "
                "project"
            )
    _check_crs(corrections, source)

    statuses = [value_text(value) for value in current["status"]]
    unknown = [status is not None and status not in REVIEW for status in statuses]
    if any(unknown):
        words = sorted({str(status) for status, wrong in zip(statuses, unknown, strict=True) if wrong})
        raise LabelError(
            f"{source}: {_features(current, unknown)} with the status "
            f"{', '.join(map(repr, words[:_EXAMPLES]))}; use one of {', '.join(REVIEW)}"
        )
    not_numbers = [not pd.isna(value) and id_of(value) is None for value in current[ID_FIELD]]
    if any(not_numbers):
        raise LabelError(
            f"{source}: {_features(current, not_numbers)} with a {ID_FIELD} that is not a number; leave the "
            "field as it was, or empty for a new label"
        )
    types = shapely.get_type_id(np.asarray(current.geometry.array, dtype=object))
    not_polygons = [int(type_id) not in _POLYGONS for type_id in np.asarray(types)]
    if any(not_polygons):
        raise LabelError(
            f"{source}: {_features(current, not_polygons)} that is not a Polygon or MultiPolygon; labels to "
            "merge are areas"
        )
    unnamed = [
        value_text(name) is None and status not in (REJECTED, PROPOSED)
        for name, status in zip(current[CLASS_FIELD], statuses_of(current), strict=True)
    ]
    if any(unnamed):
        raise LabelError(
            f"{source}: {_features(current, unnamed)} without a class; set {CLASS_FIELD}, or set the status "
            f"to {REJECTED}"
        )


def _check_crs(corrections: Corrections, source: Path) -> None:
    proposed_crs = CRS(corrections.proposed.crs)
    current_crs = corrections.current.crs
    if current_crs is not None and CRS(current_crs) == proposed_crs:
        return
    name = "none" if current_crs is None else CRS(current_crs).name
    raise LabelError(
        f"{source}: its layer {LABELS} was proposed in the CRS {proposed_crs.name} and now has {name}; "
        "correct it in its original CRS"
    )


def _features(table: gpd.GeoDataFrame, wrong: Sequence[bool]) -> str:
    """ "found feature 3" or "found features 3, 4 and 5 more"."""
    ids = [str(index) for index, is_wrong in zip(table.index, wrong, strict=True) if is_wrong]
    plural = "s" if len(ids) > 1 else ""
    more = f" and {len(ids) - _EXAMPLES} more" if len(ids) > _EXAMPLES else ""
    return f"found feature{plural} {', '.join(ids[:_EXAMPLES])}{more}"


def _with_outline(table: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, int]:
    """The features that have an outline, and how many have none."""
    present = ~(table.geometry.isna() | table.geometry.is_empty)
    return table[present], int((~present).sum())


def id_of(value: object) -> int | None:
    """The number of a proposal as any tool may write it (3, 3.0, "3"); None if it is none."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None

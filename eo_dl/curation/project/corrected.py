"""What a person made of pre-labels, checked before anything is concluded from it: a misunderstood correction
would be a wrong label.
"""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from ...errors import LabelError
from ...io.classmap import PARTITION_KEY
from ...io.vectorlayers import layer_names, read_layer, read_metadata
from ...labels.classnames import value_text
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, is_project
from ...labels.review import PROPOSED, REJECTED, REVIEW, statuses_of

PROPOSALS = "proposals"
ID_FIELD = "prelabel_id"
_AREAS = ("Polygon", "MultiPolygon")
_MOST_NAMED = 5


def read_corrected(source: Path) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, int]:
    """(the labels as they are now, as they were proposed, how many have no outline) of a pre-label project,
    or of a prediction that was reviewed.

    Raises `LabelError` for a file that is neither, and for a prediction that nobody has looked at.
    """
    if is_project(source) and PROPOSALS in layer_names(source):
        now, empty = with_outline(read_layer(source, layer=LABELS))
        before, _ = with_outline(read_layer(source, layer=PROPOSALS))
        return now, before, empty
    frame = read_layer(source) if len(layer_names(source)) == 1 else None
    if frame is None or not {CLASS_FIELD, "status", "reviewed"} <= set(frame.columns):
        raise LabelError(
            f"{source}: holds no layers {LABELS}, {ANNOTATED} and {PROPOSALS}, nor one with {CLASS_FIELD}, "
            "status and reviewed; give the file that `eo-dl labels prelabel` made, after correcting it, or a "
            "prediction that was reviewed in QGIS"
        )
    now, empty = with_outline(frame)
    now = now.assign(
        status=[PROPOSED if pd.isna(value) else value for value in now["status"]],
        **{ID_FIELD: np.arange(1, len(now) + 1)},
    )
    if all(status == PROPOSED for status in statuses_of(now)):
        raise LabelError(
            f"{source}: nothing in it is reviewed yet; accept, change or reject what was predicted first"
        )
    return now, now, empty


def without_background(source: Path) -> bool:
    """True for what was predicted by a map in which every place has a class: what is rejected there is of
    another one.
    """
    names = layer_names(source)
    layer = PROPOSALS if PROPOSALS in names else names[0]
    return source.suffix.lower() == ".gpkg" and read_metadata(source, layer).get(PARTITION_KEY) == "true"


def check_corrected(now: gpd.GeoDataFrame, before: gpd.GeoDataFrame, source: Path) -> None:
    """Raises `LabelError`, naming the features, where the corrected layer cannot be compared with what was
    proposed.
    """
    for name in (ID_FIELD, CLASS_FIELD, "status", "reviewed"):
        if name not in now.columns:
            raise LabelError(
                f"{source}: its layer {LABELS} has lost the field {name}; correct a copy of the original "
                "project"
            )
    if now.crs is None or CRS(now.crs) != CRS(before.crs):
        found = "no CRS" if now.crs is None else CRS(now.crs).name
        raise LabelError(
            f"{source}: its layer {LABELS} was proposed in {CRS(before.crs).name} and has {found} now; "
            "correct it in its own CRS"
        )
    said = [value_text(value) for value in now["status"]]
    strange = [text is not None and text not in REVIEW for text in said]
    if any(strange):
        words = sorted({str(text) for text, wrong in zip(said, strange, strict=True) if wrong})
        raise LabelError(
            f"{source}: {named(now, strange)} with the status {', '.join(map(repr, words[:_MOST_NAMED]))}; "
            f"it is one of {', '.join(REVIEW)}"
        )
    numbers = [not pd.isna(value) and id_of(value) is None for value in now[ID_FIELD]]
    if any(numbers):
        raise LabelError(
            f"{source}: {named(now, numbers)} whose {ID_FIELD} is no number; leave it as it was, or empty "
            "for a new label"
        )
    shapes = np.asarray(shapely.get_type_id(np.asarray(now.geometry.array, dtype=object)))
    lines = [int(kind) not in (3, 6) for kind in shapes]
    if any(lines):
        raise LabelError(
            f"{source}: {named(now, lines)} that is neither {' nor '.join(_AREAS)}; labels to merge are areas"
        )
    unnamed = [
        value_text(name) is None and status not in (REJECTED, PROPOSED)
        for name, status in zip(now[CLASS_FIELD], statuses_of(now), strict=True)
    ]
    if any(unnamed):
        raise LabelError(
            f"{source}: {named(now, unnamed)} without a class; set {CLASS_FIELD}, or the status to {REJECTED}"
        )


def named(frame: gpd.GeoDataFrame, which: list[bool]) -> str:
    """ "feature 3" or "features 3, 4 and 5 more"."""
    ids = [str(index) for index, wrong in zip(frame.index, which, strict=True) if wrong]
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return f"found feature{'s' if len(ids) > 1 else ''} {', '.join(ids[:_MOST_NAMED])}{more}"


def with_outline(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, int]:
    """Features that have one, and how many have none."""
    there = ~(frame.geometry.isna() | frame.geometry.is_empty)
    return frame[there], int((~there).sum())


def id_of(value: object) -> int | None:
    """The number of a proposal as any tool may write it (3, 3.0, "3"); None where there is none."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None

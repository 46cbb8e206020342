"""Boxes in a CSV file with the columns image_path, xmin, ymin, xmax, ymax, label, as DeepForest and RetinaNet
tools write it.

Coordinates are edges in pixels, counted from 0.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import shapely

from ...core.imagelabels import CoveredImage
from ...errors import LabelError
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..records import PixelObject, Records, image_name, pixel_records
from .annotations import Annotations, LabelledObject, Losses, objects_that_count
from .csvtable import (
    CLASS_COLUMNS,
    IMAGE_COLUMNS,
    SIDE_COLUMNS,
    Row,
    by_lower_name,
    first_column,
    has_boxes,
    read_columns,
    read_rows,
)
from .labelformat import Capabilities, Certainty, LabelFormat, Recognition, WrittenFormat
from .outlineforms import box_of
from .safefile import put

_SCORE_COLUMN = "score"
_ID_COLUMN = "feature_id"
_ONLY_CLASS = "object"  # the class of all boxes in a file without a class column


def read_box_csv(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Boxes of CSV files. A row without coordinates says that its image has no objects.

    Raises:
        LabelError: A column is missing or a row is malformed; names the file and the line.
    """
    objects: list[PixelObject] = []
    images: dict[str, CoveredImage] = {}
    for path in paths:
        columns = _columns(path)
        for line, row in read_rows(path):
            box = _object(path, line, row, columns)
            images.setdefault(box.image, CoveredImage(box.image))
            if box.outline is not None:
                objects.append(box)
    return pixel_records(source, objects, list(images.values()), class_field="label")


@dataclass(frozen=True)
class _Columns:
    """Which column of a file is what, by the names as they are written."""

    image: str
    sides: tuple[str, ...]
    label: str | None
    score: str | None
    attributes: tuple[str, ...]


def _columns(path: Path) -> _Columns:
    columns = by_lower_name(read_columns(path))
    image = first_column(IMAGE_COLUMNS, columns)
    if image is None or not columns.keys() >= set(SIDE_COLUMNS):
        names = ", ".join(columns)[:120] or "none"
        raise LabelError(
            f"{path}: expected the columns image_path, xmin, ymin, xmax, ymax, label, found {names}"
        )
    sides = tuple(columns[name] for name in SIDE_COLUMNS)
    label = first_column(CLASS_COLUMNS, columns)
    score = columns.get(_SCORE_COLUMN)
    known = {image, label, score, *sides}
    return _Columns(image, sides, label, score, tuple(name for name in columns.values() if name not in known))


def _object(path: Path, line: int, row: Row, columns: _Columns) -> PixelObject:
    """The box of a row; without an outline if the row has no coordinates."""
    image = image_name(row[columns.image], str(path), f"line {line}")
    feature_id = f"{path.name}:{line}"
    texts = [(row[side] or "").strip() for side in columns.sides]
    if not any(texts):
        return PixelObject(image, None, None, feature_id)
    try:
        x0, y0, x1, y1 = (float(text) for text in texts)
    except ValueError as cause:
        raise LabelError(f"{path}: line {line}: expected a box of four numbers, found {texts}") from cause
    if not all(math.isfinite(value) for value in (x0, y0, x1, y1)):
        raise LabelError(
            f"{path}: line {line}: a coordinate is not a finite number ({texts}); correct or delete the line"
        )
    has_area = x1 > x0 and y1 > y0
    return PixelObject(
        image=image,
        outline=shapely.box(x0, y0, x1, y1) if has_area else shapely.Polygon(),
        value=_ONLY_CLASS if columns.label is None else value_text(row[columns.label]),
        feature_id=feature_id,
        score=_score(path, line, row, columns),
        attributes={name: row[name] for name in columns.attributes if row[name]},
    )


def _score(path: Path, line: int, row: Row, columns: _Columns) -> float | None:
    text = "" if columns.score is None else (row[columns.score] or "").strip()
    if not text:
        return None
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise LabelError(
            f"{path}: line {line}: the score {text[:40]!r} is not a number; correct or delete it"
        )
    return score


def write_box_csv(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `labels.csv` with one row per box; an image without objects has one row without coordinates."""
    attributes = _attribute_names(annotations)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = ["image_path", *SIDE_COLUMNS, "label", _SCORE_COLUMN, _ID_COLUMN, *attributes]
    writer.writerow(header)
    for image in annotations.images:
        boxes = objects_that_count(image, losses)
        for box in boxes:
            writer.writerow([image.name, *_cells(box, attributes, losses)])
        if not boxes:
            writer.writerow([image.name, *[""] * (len(header) - 1)])
    put(folder, "labels.csv", out.getvalue())


def _attribute_names(annotations: Annotations) -> list[str]:
    """All attributes that occur, except those whose names are taken by the columns of every file."""
    names: set[str] = set()
    for image in annotations.images:
        for labelled in image.objects:
            names.update(labelled.attributes)
    return sorted(names - {*SIDE_COLUMNS, *IMAGE_COLUMNS, *CLASS_COLUMNS, _SCORE_COLUMN, _ID_COLUMN})


def _cells(labelled: LabelledObject, attributes: Sequence[str], losses: Losses) -> list[object]:
    """The row of an object after the name of its image."""
    score = "" if labelled.score is None else repr(float(labelled.score))
    sides = [repr(side) for side in box_of(labelled.outline, losses)]
    values = [_text(labelled.attributes, name) for name in attributes]
    return [*sides, labelled.class_name, score, labelled.feature_id, *values]


def _text(attributes: Mapping[str, object], name: str) -> object:
    value = attributes.get(name)
    return "" if value is None else value


FORMAT = LabelFormat(
    name="csv",
    title="CSV of boxes",
    recognition=Recognition(
        suffixes=frozenset({".csv"}),
        content=has_boxes,
        hint="columns image_path, xmin, ymin, xmax, ymax, label",
        certainty=Certainty.TABLE,
    ),
    read_records=read_box_csv,
    written=(
        WrittenFormat(
            name="csv",
            title="CSV of boxes",
            holds=Capabilities(shape="boxes", scores=True, attributes=True),
            label_files=("labels.csv",),
            write_images=write_box_csv,
            single_file="labels.csv",
            default_suffix=".csv",
        ),
    ),
)

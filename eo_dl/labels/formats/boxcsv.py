"""Boxes in a CSV with a header: image, xmin, ymin, xmax, ymax, label (as DeepForest and RetinaNet tools write
it).

Coordinates are edges in pixels counted from 0.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import shapely

from ...errors import LabelError
from ..classnames import value_text
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .annotations import Annotations, Losses, usable
from .outlineforms import box_of
from .safefile import put

MAX_BYTES = 1 << 30
SIDE_COLUMNS = ("xmin", "ymin", "xmax", "ymax")
IMAGE_COLUMNS = ("image_path", "image", "filename", "file_name", "path", "file")
SCORE_COLUMN = "score"
CLASS_COLUMNS = ("label", "class", "class_name", "name", "category")


def read_csv(paths: Sequence[Path], source: str) -> Records:
    """Boxes of CSV files. A row without coordinates says that its image holds nothing. Raises `LabelError`
    with the line.
    """
    objects: list[PixelObject] = []
    covered: dict[str, ImageRecord] = {}
    for path in paths:
        for row in _rows(path):
            covered.setdefault(row.image, ImageRecord(row.image))
            if row.outline is not None:
                objects.append(row)
    return pixel_records(source, objects, list(covered.values()), class_field="label")


def _rows(path: Path) -> list[PixelObject]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelError(f"{path}: is larger than 1 GB; split it")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in reader.fieldnames or []}
            image = next((columns[name] for name in IMAGE_COLUMNS if name in columns), None)
            label = next((columns[name] for name in CLASS_COLUMNS if name in columns), None)
            if image is None or any(side not in columns for side in SIDE_COLUMNS):
                raise LabelError(
                    f"{path}: has the columns {', '.join(columns)[:120] or 'none'}; image_path, xmin, ymin, xmax, ymax, label were expected"
                )
            sides = [columns[side] for side in SIDE_COLUMNS]
            others = {key: name for key, name in columns.items() if name not in {image, label, *sides}}
            return [_row(path, reader.line_num, row, image, label, sides, others) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise LabelError(f"{path}: cannot be read as CSV ({cause}); write it again as UTF-8 text") from cause


def _row(
    path: Path,
    line: int,
    row: dict[str, str],
    image: str,
    label: str | None,
    sides: list[str],
    others: dict[str, str],
) -> PixelObject:
    name = image_name(row[image], str(path), f"line {line}")
    texts = [(row[side] or "").strip() for side in sides]
    feature = f"{path.name}:{line}"
    if not any(texts):
        return PixelObject(name, None, None, feature)
    try:
        x0, y0, x1, y1 = (float(text) for text in texts)
    except ValueError as cause:
        raise LabelError(f"{path}: line {line} has the box {texts}; four numbers were expected") from cause
    if not all(math.isfinite(value) for value in (x0, y0, x1, y1)):
        raise LabelError(
            f"{path}: line {line} has a coordinate that is no finite number ({texts}); correct or delete it"
        )
    outline = shapely.box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else shapely.Polygon()
    extras = {column: row[column] for key, column in others.items() if key != SCORE_COLUMN and row[column]}
    value = value_text(row[label]) if label else "object"
    return PixelObject(
        name, outline, value, feature, score=_score(path, line, row, others), attributes=extras
    )


def _score(path: Path, line: int, row: dict[str, str], others: dict[str, str]) -> float | None:
    text = (row[others[SCORE_COLUMN]] or "").strip() if SCORE_COLUMN in others else ""
    try:
        found = float(text) if text else None
    except ValueError:
        found = math.nan
    if found is not None and not math.isfinite(found):
        raise LabelError(
            f"{path}: line {line} has the score {text[:40]!r}, which is no number; correct or delete it"
        )
    return found


def write_box_csv(found: Annotations, folder: Path, losses: Losses) -> None:
    """`labels.csv`: a box a line; an image without objects has a line without coordinates."""
    names = sorted(
        {name for image in found.images for one in image.objects for name in one.attributes}
        - {*SIDE_COLUMNS, *IMAGE_COLUMNS, *CLASS_COLUMNS, SCORE_COLUMN}
    )
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "image_path",
            *SIDE_COLUMNS,
            "label",
            SCORE_COLUMN,
            "feature_id",
            *(name for name in names if name != "feature_id"),
        ]
    )
    for image in found.images:
        objects = usable(image, losses)
        for one in objects:
            score = "" if one.score is None else repr(float(one.score))
            extras = [
                "" if one.attributes.get(name) is None else one.attributes[name]
                for name in names
                if name != "feature_id"
            ]
            writer.writerow(
                [
                    image.name,
                    *map(repr, box_of(one.outline, losses)),
                    one.class_name,
                    score,
                    one.feature_id,
                    *extras,
                ]
            )
        if not objects:
            writer.writerow(
                [image.name, *[""] * (6 + len([name for name in names if name != "feature_id"]) + 1)]
            )
    put(folder, "labels.csv", out.getvalue())

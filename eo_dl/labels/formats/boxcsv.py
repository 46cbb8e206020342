"""Boxes in a CSV file with the columns image_path, xmin, ymin, xmax, ymax, label, as DeepForest and RetinaNet
tools write it; or polygons, as WKT in the column geometry.

Coordinates are edges in pixels, counted from 0. Columns `width` and `height` are the size of the image,
except in files of ours, where they are attributes.
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
from ..classrequest import cell_text
from ..labeloptions import LabelOptions
from ..records import PixelObject, Records, image_path, pixel_records
from .annotations import Annotations, LabelledObject, Losses, objects_that_count
from .csvtable import (
    CLASS_COLUMNS,
    CSV_SUFFIXES,
    GEOMETRY_COLUMNS,
    IMAGE_COLUMNS,
    SIDE_COLUMNS,
    Row,
    by_lower_name,
    coordinate_columns,
    first_column,
    has_coordinates,
    has_decimal_commas,
    named_images,
    read_columns,
    read_rows,
    side_columns,
    size_columns,
)
from .labelformat import Capabilities, Certainty, LabelFormat, Recognition, WrittenFormat
from .outlineforms import box_of
from .safefile import image_size, put

_SCORE_COLUMN = "score"
_ID_COLUMN = "feature_id"
_ONLY_CLASS = "object"  # the class of all boxes in a file without a class column


def read_box_csv(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Boxes or polygons of CSV files. A row without coordinates says that its image has no objects; points
    and lines have no area and are counted.

    Raises:
        LabelError: A column is missing or a row is malformed; names the file and the line.
    """
    objects: list[PixelObject] = []
    images: dict[str, CoveredImage] = {}
    left_out = 0
    for path in paths:
        columns = _columns(path)
        for line, row in read_rows(path):
            labelled = _object(path, line, row, columns)
            _add_image(images, CoveredImage(labelled.image, _size(path, line, row, columns)), path, line)
            if labelled.outline is None:
                continue
            if shapely.get_dimensions(labelled.outline) in (0, 1):
                left_out += 1
            else:
                objects.append(labelled)
    notes = [f"{left_out} points and lines have no area and are left out"] if left_out else []
    dropped = {"points and lines": left_out}
    return pixel_records(source, objects, list(images.values()), notes, class_field="label", dropped=dropped)


@dataclass(frozen=True)
class _Columns:
    """Which column of a file is what, by the names as they are written."""

    image: str
    sides: tuple[str, ...]
    geometry: str | None
    size: tuple[str, str] | None
    label: str | None
    score: str | None
    attributes: tuple[str, ...]
    decimal_commas: bool

    def number(self, text: str) -> float:
        """The number that a cell holds. Raises `ValueError` where it is none."""
        is_with_comma = self.decimal_commas and "." not in text and text.count(",") == 1
        return float(text.replace(",", ".") if is_with_comma else text)


def _columns(path: Path) -> _Columns:
    columns = by_lower_name(read_columns(path))
    image, sides = first_column(IMAGE_COLUMNS, columns), side_columns(columns)
    geometry = first_column(GEOMETRY_COLUMNS, columns)
    if image is None or (sides is None and geometry is None):
        names = ", ".join(columns)[:120] or "none"
        others = ", ".join(coordinate_columns(list(columns.values())))
        not_read = ""
        if image is not None and others:
            not_read = (
                f"; {others} may be coordinates, which are not read: rename them, or set `format=image-csv` "
                "if the classes are those of whole images"
            )
        raise LabelError(
            f"{path}: expected the columns image_path, xmin, ymin, xmax, ymax, label, or image_path, "
            f"geometry (polygons as WKT), label; found {names}{not_read}"
        )
    ours = _ID_COLUMN in columns
    size = None if ours else size_columns(columns)
    label = first_column(CLASS_COLUMNS, columns)
    score = columns.get(_SCORE_COLUMN)
    known = {image, geometry, label, score, *(sides or ()), *(size or ())}
    attributes = tuple(name for name in columns.values() if name not in known)
    return _Columns(image, sides or (), geometry, size, label, score, attributes, has_decimal_commas(path))


def _add_image(images: dict[str, CoveredImage], image: CoveredImage, path: Path, line: int) -> None:
    known = images.setdefault(image.name, image)
    if image.size_px != known.size_px:
        raise LabelError(
            f"{path}: line {line}: says another size of {image.name} ({image.size_px}) than a line before it "
            f"({known.size_px}); correct one of them"
        )


def _size(path: Path, line: int, row: Row, columns: _Columns) -> tuple[int, int] | None:
    """(width, height) of the image of a row; None where the file does not say it."""
    if columns.size is None:
        return None
    texts = [(row[column] or "").strip() for column in columns.size]
    if not any(texts):
        return None
    try:
        width, height = (int(columns.number(text)) for text in texts)
    except (ValueError, OverflowError) as cause:
        raise LabelError(
            f"{path}: line {line}: expected width and height of the image, found {texts}; correct them"
        ) from cause
    return image_size(width, height)


def _object(path: Path, line: int, row: Row, columns: _Columns) -> PixelObject:
    """The object of a row; without an outline if the row has no coordinates."""
    image = image_path(row[columns.image], str(path), f"line {line}")
    outline = _outline(path, line, row, columns)
    feature_id = f"{path.name}:{line}"
    if outline is None:
        return PixelObject(image, None, None, feature_id)
    return PixelObject(
        image=image,
        outline=outline,
        value=_ONLY_CLASS if columns.label is None else cell_text(row[columns.label]),
        feature_id=feature_id,
        score=_score(path, line, row, columns),
        attributes={name: row[name] for name in columns.attributes if row[name]},
    )


def _outline(path: Path, line: int, row: Row, columns: _Columns) -> shapely.Geometry | None:
    """The polygon of a row, else its box; None if it has neither."""
    wkt = "" if columns.geometry is None else (row[columns.geometry] or "").strip()
    if wkt:
        outline = shapely.from_wkt(wkt, on_invalid="ignore")
        if outline is None:
            raise LabelError(
                f"{path}: line {line}: expected a geometry as WKT, found {wkt[:60]!r}; correct or delete the "
                "line"
            )
        return outline
    texts = [(row[side] or "").strip() for side in columns.sides]
    if not any(texts):
        return None
    try:
        x0, y0, x1, y1 = (columns.number(text) for text in texts)
    except ValueError as cause:
        raise LabelError(f"{path}: line {line}: expected a box of four numbers, found {texts}") from cause
    if not all(math.isfinite(value) for value in (x0, y0, x1, y1)):
        raise LabelError(
            f"{path}: line {line}: a coordinate is not a finite number ({texts}); correct or delete the line"
        )
    has_area = x1 > x0 and y1 > y0
    return shapely.box(x0, y0, x1, y1) if has_area else shapely.Polygon()


def _score(path: Path, line: int, row: Row, columns: _Columns) -> float | None:
    text = "" if columns.score is None else (row[columns.score] or "").strip()
    if not text:
        return None
    try:
        score = columns.number(text)
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
        suffixes=CSV_SUFFIXES,
        content=has_coordinates,
        hint="columns image_path, xmin, ymin, xmax, ymax, label",
        certainty=Certainty.TABLE,
        reason="its header names coordinates",
        named_images=named_images,
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

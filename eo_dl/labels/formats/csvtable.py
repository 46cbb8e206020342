"""CSV files of labels: their columns and rows, and the names that tools give to the usual columns."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ...errors import LabelError
from .labelfile import LabelFile

MAX_BYTES = 1 << 30
SIDE_COLUMNS = ("xmin", "ymin", "xmax", "ymax")
_OTHER_SIDES = (
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("left", "top", "right", "bottom"),
)
GEOMETRY_COLUMNS = ("geometry", "wkt", "polygon", "geom")
IMAGE_COLUMNS = ("image_path", "image", "filename", "file_name", "path", "file")
CLASS_COLUMNS = ("label", "class", "class_name", "name", "category")
_SIZE_COLUMNS = (("width", "height"), ("image_width", "image_height"), ("img_width", "img_height"))
# Columns that speak of places in an image, whether or not they are read.
_COORDINATES = frozenset(
    {
        *GEOMETRY_COLUMNS,
        *SIDE_COLUMNS,
        *(name for names in _OTHER_SIDES for name in names),
        *("polygons", "points", "point", "segmentation", "segments", "coordinates", "coords", "vertices"),
        *("bbox", "box", "boxes", "bounding_box", "cx", "cy", "x_center", "y_center", "xcenter", "ycenter"),
        *("center_x", "center_y", "region_shape_attributes", "encodedpixels", "rle"),
    }
)
_MOST_NAMED = 1000

Row = dict[str, str | None]


def coordinate_columns(columns: Sequence[str]) -> list[str]:
    """The columns of a header that speak of places in an image, as written. The x, y and z of a map tile
    speak of the image itself.
    """
    known = by_lower_name(columns)
    places = _COORDINATES if "z" in known else _COORDINATES | {"x", "y"}
    return [written for name, written in known.items() if name in places]


def has_coordinates(file: LabelFile) -> bool:
    """Whether the header names any coordinate; a CSV file without one labels whole images."""
    try:
        header = next(_reader(io.StringIO(file.text, newline="")), [])
    except csv.Error:
        return False
    return bool(coordinate_columns(header))


def side_columns(columns: dict[str, str]) -> tuple[str, ...] | None:
    """The columns of the left, top, right and bottom side of a box, as written; None if one is missing.

    `columns` comes from `by_lower_name`.
    """
    for names in (SIDE_COLUMNS, *_OTHER_SIDES):
        if columns.keys() >= set(names):
            return tuple(columns[name] for name in names)
    return None


def size_columns(columns: dict[str, str]) -> tuple[str, str] | None:
    """The columns of the width and height of the image, as written; None if there are none."""
    for width, height in _SIZE_COLUMNS:
        if width in columns and height in columns:
            return columns[width], columns[height]
    return None


def named_images(path: Path) -> list[str]:
    """The images that the first rows of a CSV file name, as written; none without a column of images."""
    column = first_column(IMAGE_COLUMNS, by_lower_name(read_columns(path)))
    if column is None:
        return []
    rows = itertools.islice(read_rows(path), _MOST_NAMED)
    return [text for _, row in rows if (text := row.get(column))]


def read_columns(path: Path) -> list[str]:
    """The column names of a CSV file as they are written.

    Raises:
        LabelError: The file is too large or is not CSV in UTF-8.
    """
    with _refusing_bad_files(path), path.open(newline="", encoding="utf-8-sig") as file:
        return next(_reader(file), [])


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows below the header of a CSV file, each with its line number.

    Raises:
        LabelError: The file is too large or is not CSV in UTF-8.
    """
    with _refusing_bad_files(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter=_separator(file))
        for row in reader:
            yield reader.line_num, row


def _reader(file: TextIO) -> Iterator[list[str]]:
    return csv.reader(file, delimiter=_separator(file))


def _separator(file: TextIO) -> str:
    """What separates columns: the comma, unless the header has none. Spreadsheets of countries that write 1,5
    for a number separate columns by semicolons.
    """
    header = file.readline()
    file.seek(0)
    others = [separator for separator in (";", "\t") if separator in header]
    return others[0] if others and "," not in header else ","


@contextmanager
def _refusing_bad_files(path: Path) -> Iterator[None]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelError(f"{path}: is larger than {MAX_BYTES >> 30} GB; split it")
        yield
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise LabelError(f"{path}: cannot be read as CSV ({cause}); save it as UTF-8 text") from cause


def by_lower_name(columns: Sequence[str]) -> dict[str, str]:
    """Column names as written, by their names in lower case without spaces around."""
    return {name.strip().lower(): name for name in columns}


def first_column(names: Sequence[str], columns: dict[str, str]) -> str | None:
    """The column, as written, that has the first of `names`; `columns` comes from `by_lower_name`."""
    return next((columns[name] for name in names if name in columns), None)

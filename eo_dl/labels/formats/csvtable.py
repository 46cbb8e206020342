"""CSV files of labels: their columns and rows, and the names that tools give to the usual columns.

Spreadsheets write such files in several ways. Columns are separated by commas, semicolons, tabs or bars; a
first line `sep=;` may name the separator; and the text is UTF-8 or, with a byte order mark, UTF-16.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ...errors import LabelError
from .labelfile import LabelFile, text_encoding

MAX_BYTES = 1 << 30
CSV_SUFFIXES = frozenset({".csv", ".tsv"})
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
_OTHER_SEPARATORS = (";", "\t", "|")
_NAMED_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)

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
    with _opened(path) as file:
        rows = itertools.islice(_rows(file), _MOST_NAMED)
        return [text for _, row in rows if (text := row.get(column))]


def read_columns(path: Path) -> list[str]:
    """The column names of a CSV file as they are written.

    Raises:
        LabelError: The file is too large, is not CSV, or is text in an unknown encoding.
    """
    with _opened(path) as file:
        return next(_reader(file), [])


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows below the header of a CSV file, each with its line number.

    Raises:
        LabelError: The file is too large, is not CSV, or is text in an unknown encoding.
    """
    with _opened(path) as file:
        yield from _rows(file)


def has_decimal_commas(path: Path) -> bool:
    """Whether numbers of a CSV file may be written 1,5: where no comma separates columns."""
    with _opened(path) as file:
        _lines_before_header(file)
        return _separator(file) != ","


def _rows(file: TextIO) -> Iterator[tuple[int, Row]]:
    before = _lines_before_header(file)
    reader = csv.DictReader(file, delimiter=_separator(file))
    for row in reader:
        yield reader.line_num + before, row


def _reader(file: TextIO) -> Iterator[list[str]]:
    _lines_before_header(file)
    return csv.reader(file, delimiter=_separator(file))


def _lines_before_header(file: TextIO) -> int:
    """Skip a first line that only names the separator, as Excel writes it; the number of lines skipped."""
    if _NAMED_SEPARATOR.fullmatch(file.readline()):
        return 1
    file.seek(0)
    return 0


def _separator(file: TextIO) -> str:
    """What separates columns: the comma, unless the header has none. Spreadsheets of countries that write 1,5
    for a number separate columns by semicolons.
    """
    start = file.tell()
    header = file.readline()
    file.seek(start)
    others = [separator for separator in _OTHER_SEPARATORS if separator in header]
    return others[0] if others and "," not in header else ","


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelError(f"{path}: is larger than {MAX_BYTES >> 30} GB; split it")
        with path.open("rb") as start:
            encoding = text_encoding(start.read(4))
        with path.open(newline="", encoding=encoding) as file:
            yield file
    except (OSError, UnicodeError, csv.Error) as cause:
        raise LabelError(f"{path}: cannot be read as CSV ({cause}); save it as UTF-8 text") from cause


def by_lower_name(columns: Sequence[str]) -> dict[str, str]:
    """Column names as written, by their names in lower case without spaces around."""
    return {name.strip().lower(): name for name in columns}


def first_column(names: Sequence[str], columns: dict[str, str]) -> str | None:
    """The column, as written, that has the first of `names`; `columns` comes from `by_lower_name`."""
    return next((columns[name] for name in names if name in columns), None)

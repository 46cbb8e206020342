"""CSV files of labels: their columns and rows, and the names that tools give to the usual columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...errors import LabelError
from .labelfile import LabelFile

MAX_BYTES = 1 << 30
SIDE_COLUMNS = ("xmin", "ymin", "xmax", "ymax")
IMAGE_COLUMNS = ("image_path", "image", "filename", "file_name", "path", "file")
CLASS_COLUMNS = ("label", "class", "class_name", "name", "category")

Row = dict[str, str | None]


def has_boxes(file: LabelFile) -> bool:
    """Whether the header names any side of a box; a CSV file without sides labels whole images."""
    try:
        header = next(csv.reader(io.StringIO(file.text, newline="")), [])
    except csv.Error:
        return False
    return not by_lower_name(header).keys().isdisjoint(SIDE_COLUMNS)


def read_columns(path: Path) -> list[str]:
    """The column names of a CSV file as they are written.

    Raises:
        LabelError: The file is too large or is not CSV in UTF-8.
    """
    with _refusing_bad_files(path), path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file), [])


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows below the header of a CSV file, each with its line number.

    Raises:
        LabelError: The file is too large or is not CSV in UTF-8.
    """
    with _refusing_bad_files(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        for row in reader:
            yield reader.line_num, row


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

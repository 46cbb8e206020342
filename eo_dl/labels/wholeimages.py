"""Labels of whole images: a folder for each class (ROOT/CLASS/.../NAME.jpg, as EuroSAT has it), or a CSV with
a file and its class or classes.

A feature stands for the whole of its image, whatever its size, which need not be known here; an image with
several classes has several features.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import shapely

from ..core.imagenames import names_of
from ..errors import LabelError
from ..io.discover import own_path, rasters_below
from .classnames import value_text
from .formats.boxcsv import CLASS_COLUMNS, IMAGE_COLUMNS, MAX_BYTES, SIDE_COLUMNS
from .records import ImageRecord, PixelObject, Records, image_name, pixel_records

_WHOLE = shapely.box(0, 0, 1, 1)
_SEVERAL = re.compile(r"[;|]")
_LABELS = (*CLASS_COLUMNS, "labels", "classes", "tags")
_TAGS = "tags"  # written with spaces between, by custom


def class_folders(root: Path) -> tuple[Path, ...]:
    """The folders directly in `root` that have rasters in or below them, by name."""
    return tuple(
        path
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith(".") and rasters_below(path)
    )


def read_folders(roots: Sequence[Path], source: str) -> Records:
    """Every raster below `ROOT/CLASS` is of the class CLASS; images of one name, as `cat/001.jpg` and
    `dog/001.jpg`, are told apart by their folders.
    """
    found_in = [
        (folder, Path(path))
        for root in roots
        for folder in class_folders(root)
        for path in rasters_below(folder)
    ]
    names = names_of([own_path(path).as_posix() for _, path in found_in])
    objects = [
        PixelObject(name, _WHOLE, value_text(folder.name), f"{folder.name}/{path.name}")
        for name, (folder, path) in zip(names, found_in, strict=True)
    ]
    counts = Counter(str(found.value) for found in objects)
    told = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:12]) + (
        " ..." if len(counts) > 12 else ""
    )
    found = pixel_records(
        source,
        objects,
        [ImageRecord(one.image) for one in objects],
        [f"a folder for each class, images in it: {told}"],
        class_field="folder",
    )
    return replace(found, whole_images=True)


@dataclass(frozen=True)
class _Row:
    """A line: the path of the image as written, what it is called, and its classes."""

    path: str
    image: str
    labels: tuple[str, ...]
    line: str


def is_image_csv(path: Path) -> bool:
    """True for a CSV that has no boxes. Raises `LabelError` where it cannot be read."""
    return not set(SIDE_COLUMNS) & {name.strip().lower() for name in _read(path)[0]}


def read_image_csv(paths: Sequence[Path], source: str, class_field: str | None) -> Records:
    """Classes of whole images: several of one image stand in several lines, or in one with `;` or `|`
    between.

    An image without a class is ignored; where some have several, it has none of them. Raises `LabelError`
    with the line.
    """
    rows = [row for path in paths for row in _rows(path, class_field)]
    rows = [
        replace(row, image=name) for row, name in zip(rows, names_of([row.path for row in rows]), strict=True)
    ]
    several = any(len(labels) > 1 for labels in _together(rows).values())
    objects: list[PixelObject] = []
    for row in rows:
        labels: tuple[str | None, ...] = row.labels or (() if several else (None,))
        objects += [PixelObject(row.image, _WHOLE, label, row.line) for label in labels]
    unique = list({(one.image, one.value): one for one in objects}.values())
    images = list(_together(rows))
    notes = [f"{len(images)} images are labelled as a whole"]
    if several:
        notes.append(
            f"{sum(len(labels) > 1 for labels in _together(rows).values())} of {len(images)} images have several classes"
        )
    if len(unique) < len(objects):
        notes.append(f"{len(objects) - len(unique)} of {len(objects)} labels are there twice and count once")
    return replace(
        pixel_records(
            source, unique, [ImageRecord(name) for name in images], notes, class_field=class_field or "label"
        ),
        whole_images=True,
    )


def _together(rows: Sequence[_Row]) -> dict[str, set[str]]:
    """All classes of each image, in the order of the images."""
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.image, set()).update(row.labels)
    return found


def _rows(path: Path, class_field: str | None) -> list[_Row]:
    columns, table = _read(path)
    known = {name.strip().lower(): name for name in columns}
    image = next((known[name] for name in IMAGE_COLUMNS if name in known), None)
    if image is None:
        raise LabelError(
            f"{path}: has the columns {', '.join(columns)[:120] or 'none'}; one of {', '.join(IMAGE_COLUMNS)} with the name of the image was expected"
        )
    label = _label_column(path, columns, known, image, class_field)
    split = re.compile(r"[;|\s]") if label.strip().lower() == _TAGS else _SEVERAL
    found = []
    for number, row in table:
        texts = [value_text(part) for part in split.split(row.get(label) or "")]
        name = image_name(row.get(image), str(path), f"line {number}")
        written = PurePosixPath(str(row[image]).strip().replace("\\", "/")).as_posix()
        there = path.parent / written
        found.append(
            _Row(
                own_path(there).as_posix() if there.is_file() else written,
                name,
                tuple(dict.fromkeys(text for text in texts if text is not None)),
                f"{path.name}:{number}",
            )
        )
    if not found:
        raise LabelError(f"{path}: holds no lines below its header; write one for each image")
    return found


def _label_column(
    path: Path, columns: Sequence[str], known: dict[str, str], image: str, class_field: str | None
) -> str:
    others = [name for name in columns if name != image]
    if class_field is not None:
        if class_field not in columns:
            raise LabelError(
                f"{path}: the class field {class_field!r} is not there; it has {', '.join(others)[:120] or 'no other columns'}; correct --class-field"
            )
        return class_field
    named = [known[name] for name in _LABELS if name in known]
    if len(named) == 1 or len(others) == 1:
        return named[0] if named else others[0]
    raise LabelError(
        f"{path}: several columns could be the class: {', '.join(named or others)[:120] or 'none'}; choose one with --class-field"
    )


def _read(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str | None]]]]:
    """The header, and each line with its number."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LabelError(f"{path}: is larger than 1 GB; split it")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or []), [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise LabelError(f"{path}: cannot be read as CSV ({cause}); write it again as UTF-8 text") from cause

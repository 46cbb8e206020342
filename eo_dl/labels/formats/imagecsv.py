"""Labels of whole images in a CSV file: one column names the image, another its class or classes.

An object stands for the whole of its image, whatever its size, which need not be known here; an image with
several classes has several objects.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ...core.imagenames import composed, names_of
from ...errors import LabelError
from ...io.discover import own_path
from ..classrequest import cell_text
from ..labeloptions import LabelOptions
from ..records import ImageClass, Records, image_class_records, image_name
from .annotations import Annotations, Losses
from .csvtable import (
    CLASS_COLUMNS,
    CSV_SUFFIXES,
    IMAGE_COLUMNS,
    by_lower_name,
    first_column,
    has_coordinates,
    named_images,
    read_columns,
    read_rows,
)
from .imageclasses import classes_of_image
from .labelfile import LabelFile
from .labelformat import Capabilities, Certainty, LabelFormat, Recognition, WrittenFormat
from .safefile import put

_TAGS_COLUMN = "tags"
_CLASS_COLUMNS = (*CLASS_COLUMNS, "labels", "classes", _TAGS_COLUMN)
_BETWEEN_CLASSES = re.compile(r"[;|]")
_BETWEEN_TAGS = re.compile(r"[;|\s]")  # tags have spaces between them by custom


@dataclass(frozen=True)
class _ImageRow:
    """One row: the path of the image, its name among all images, its classes, and the line."""

    path: str
    image: str
    classes: tuple[str, ...]
    line: str


def read_image_csv(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Classes of whole images; several of one image are in several rows, or in one with `;` or `|` between.

    An image without a class is ignored; in files where some image has several classes, it has none of them.

    Raises:
        LabelError: A column is missing or ambiguous, or a row names no image; names the file and the line.
    """
    rows: list[_ImageRow] = []
    for path in paths:
        rows += _rows(path, options.class_field)
    names = names_of([row.path for row in rows])
    rows = [replace(row, image=name) for row, name in zip(rows, names, strict=True)]
    classes = _classes_by_image(rows)
    multi_labelled = sum(len(names) > 1 for names in classes.values())
    labels: list[ImageClass] = []
    for row in rows:
        # Without any class: no label if images may have several or none, else one label that is ignored.
        nothing: tuple[str | None, ...] = () if multi_labelled else (None,)
        labels += [ImageClass(row.image, name, row.line) for name in row.classes or nothing]
    unique = list({(label.image, label.value): label for label in labels}.values())
    notes = [f"labels of {len(classes)} whole images"]
    if multi_labelled:
        notes.append(f"{multi_labelled} of {len(classes)} images have several classes")
    if len(unique) < len(labels):
        notes.append(f"{len(labels) - len(unique)} of {len(labels)} labels are duplicates and count once")
    return image_class_records(
        source, unique, list(classes), notes, class_field=options.class_field or "label"
    )


def _classes_by_image(rows: Sequence[_ImageRow]) -> dict[str, set[str]]:
    """All classes of each image, in the order of the images."""
    classes: dict[str, set[str]] = {}
    for row in rows:
        classes.setdefault(row.image, set()).update(row.classes)
    return classes


def _rows(path: Path, class_field: str | None) -> list[_ImageRow]:
    columns = read_columns(path)
    image_column = first_column(IMAGE_COLUMNS, by_lower_name(columns))
    if image_column is None:
        names = ", ".join(columns)[:120] or "none"
        raise LabelError(
            f"{path}: expected one of the columns {', '.join(IMAGE_COLUMNS)} with the names of images, "
            f"found {names}"
        )
    class_column = _class_column(path, columns, image_column, class_field)
    are_tags = class_column.strip().lower() == _TAGS_COLUMN
    between = _BETWEEN_TAGS if are_tags else _BETWEEN_CLASSES
    rows = []
    for line, row in read_rows(path):
        image = image_name(row.get(image_column), str(path), f"line {line}")
        cell = (row.get(class_column) or "").strip()
        if cell.startswith(("{", "[{")):
            raise LabelError(
                f"{path}: line {line}: the column {class_column!r} holds JSON ({cell[:40]}...) and not a "
                "class; export the labels in another format, such as JSON or COCO"
            )
        texts = [cell_text(part) for part in between.split(cell)]
        classes = tuple(dict.fromkeys(text for text in texts if text is not None))
        rows.append(
            _ImageRow(_image_path(path, str(row[image_column])), image, classes, f"{path.name}:{line}")
        )
    if not rows:
        raise LabelError(f"{path}: has no rows below its header; write one per image")
    return rows


def _image_path(csv_path: Path, text: str) -> str:
    """The image of a row: its full path if it lies where the file says, else what the file says."""
    written = PurePosixPath(text.strip().replace("\\", "/")).as_posix()
    path = csv_path.parent / written
    return composed(own_path(path).as_posix() if path.is_file() else written)


def _class_column(path: Path, columns: Sequence[str], image_column: str, class_field: str | None) -> str:
    others = [name for name in columns if name != image_column]
    if class_field is not None:
        if class_field not in columns:
            names = ", ".join(others)[:120] or "no other columns"
            raise LabelError(f"{path}: has no column {class_field!r}; set `class_field` to one of {names}")
        return class_field
    known = by_lower_name(columns)
    likely = [known[name] for name in _CLASS_COLUMNS if name in known]
    if len(likely) == 1:
        return likely[0]
    if len(others) == 1:
        return others[0]
    names = ", ".join(likely or others)[:120] or "none"
    raise LabelError(f"{path}: several columns could be the class: {names}; choose one with `class_field`")


def write_image_csv(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `labels.csv` with the columns file, label and split.

    Several classes have `;` between them; an image without a class has none.

    Raises:
        LabelError: A class name contains a sign that separates classes.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["file", "label", "split"])
    for image in annotations.images:
        names = classes_of_image(image, losses)
        for name in names:
            if _BETWEEN_CLASSES.search(name):
                raise LabelError(
                    f"{annotations.source}: the class {name!r} contains ; or |, which separate classes "
                    "in a CSV file; rename it with `classes`"
                )
        writer.writerow([image.name, ";".join(names), image.split])
    put(folder, "labels.csv", out.getvalue())


def _is_image_csv(file: LabelFile) -> bool:
    return not has_coordinates(file)


def _images_with_class(path: Path) -> list[str]:
    """The images that the first rows name, if a column is called like one of classes."""
    columns = by_lower_name(read_columns(path))
    return named_images(path) if any(name in columns for name in _CLASS_COLUMNS) else []


FORMAT = LabelFormat(
    name="image-csv",
    title="CSV of images and classes",
    recognition=Recognition(
        suffixes=CSV_SUFFIXES,
        content=_is_image_csv,
        hint="columns file and label",
        certainty=Certainty.TABLE,
        reason="its header names no coordinates",
        named_images=_images_with_class,
    ),
    read_records=read_image_csv,
    options=frozenset({"class_field"}),
    written=(
        WrittenFormat(
            name="image-csv",
            title="CSV of images and classes",
            holds=Capabilities(shape="classes"),
            label_files=("labels.csv",),
            write_images=write_image_csv,
            single_file="labels.csv",
        ),
    ),
)

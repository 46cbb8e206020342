"""YOLO: a text file per image with one line per object: a box, a polygon or four corners.

Coordinates are fractions of the image. `data.yaml` names the classes and the folders of images; `labels/`
mirrors `images/`. A box may be followed by a score, and by key points if `kpt_shape` of data.yaml says so.
The files do not contain the sizes of images, so these are taken from the images beside them or from the
caller. `channels` is the number of bands if it is not 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import shapely
import yaml

from ...core.geometries import polygons_in
from ...core.imagelabels import CoveredImage
from ...errors import LabelError
from ..classnames import Known
from ..labeloptions import LabelOptions
from ..records import PixelObject, Records, pixel_records
from .annotations import (
    NO_SPLIT,
    Annotations,
    LabelledImage,
    LabelledObject,
    Losses,
    objects_that_count,
    without_extras,
)
from .labelfile import LabelFile
from .labelformat import (
    Capabilities,
    ImageWriter,
    LabelFormat,
    Recognition,
    Shape,
    WrittenFormat,
)
from .outlineforms import box_of, edges_polygon, filled_rings, four_corners, ring_polygon
from .safefile import put, read_text
from .yolodata import (
    FARTHEST_FRACTION,
    YAML_SUFFIXES,
    YoloDescription,
    YoloImages,
    is_data_yaml,
    is_label_text,
    label_file_of,
    yolo_data_set,
)

_MAX_LINES = 200_000
_FEWEST_WITH_POINTS = 8  # numbers: a box and two points
_BOX_NUMBERS = 4
_FEWEST_LINES = 2
_SPANNED = 0.4  # of the box, by its key points
_ROUNDED = 1e-3  # of the image, by which a point may leave its box


# Recognising


def _is_yolo(file: LabelFile) -> bool:
    return is_label_text(file.text) if file.suffix == ".txt" else is_data_yaml(file.text)


# Reading


def read_yolo(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Objects of a data set: its `data.yaml`, or its label files.

    Raises:
        LabelError: A line is malformed, or the size of an image is unknown; names the file and the line.
    """
    data_set = yolo_data_set(paths, source)
    key_points, corners = _KeyPointsCheck(), _CornersCheck()
    images = YoloImages.of(data_set, options.sizes_px or {})
    objects: list[PixelObject] = []
    covered: list[CoveredImage] = []
    for file in data_set.label_files:
        image, size_px = images.of_label_file(file)
        covered.append(CoveredImage(image, size_px))
        for line in _lines(file):
            numbers = line.numbers()
            key_points.add(numbers)
            corners.add(numbers)
            objects.append(line.as_object(image, size_px, data_set.description))
    if not data_set.description.point_values:
        key_points.refuse(source)
    corners.refuse(source)
    labelled = set(data_set.label_files)
    for path in data_set.images:
        if label_file_of(path) not in labelled and path.with_suffix(".txt") not in labelled:
            covered.append(CoveredImage(*images.without_objects(path)))
    known = Known(tuple(data_set.description.names.values()))
    notes = [*data_set.notes, *_line_notes(objects, data_set.description)]
    return pixel_records(source, objects, covered, notes, known, class_field="class")


@dataclass
class _KeyPointsCheck:
    """Whether lines look like boxes with key points, which no `kpt_shape` states.

    Such a line starts with the centre of a box and its width and height; all other points lie in that box and
    span much of it. A polygon may look so by chance, all lines of a data set hardly.
    """

    long_lines: int = 0
    all_alike: bool = True

    def add(self, numbers: Sequence[float]) -> None:
        """Look at the numbers of one more line."""
        if self.all_alike and len(numbers) >= _FEWEST_WITH_POINTS:
            self.long_lines += 1
            self.all_alike = _is_box_with_points(numbers)

    def refuse(self, source: str) -> None:
        """Raise `LabelError` where all long lines look so."""
        if self.all_alike and self.long_lines >= _FEWEST_LINES:
            raise LabelError(
                f"{source}: all {self.long_lines} long lines look like boxes followed by key points, and not "
                "like polygons; state kpt_shape in data.yaml, e.g. kpt_shape: [4, 2]"
            )


@dataclass
class _CornersCheck:
    """Whether boxes may be two corners in truth, and not centre, width and height."""

    boxes: int = 0
    beyond: int = 0
    """Boxes that leave their image, as centre, width and height."""
    corners_fit: bool = True

    def add(self, numbers: Sequence[float]) -> None:
        """Look at the numbers of one more line."""
        if len(numbers) != _BOX_NUMBERS:
            return
        first, second = np.array(numbers[:2]), np.array(numbers[2:])
        self.boxes += 1
        self.beyond += bool(
            (first - second / 2 < -_ROUNDED).any() or (first + second / 2 > 1 + _ROUNDED).any()
        )
        self.corners_fit &= bool((first < second).all() and (second <= 1 + _ROUNDED).all())

    def refuse(self, source: str) -> None:
        """Raise `LabelError` where boxes leave their images, and all would fit if they were corners."""
        if self.corners_fit and self.beyond and self.boxes >= _FEWEST_LINES:
            raise LabelError(
                f"{source}: {self.beyond} of {self.boxes} boxes leave their image, while all fit if their "
                "numbers are x0, y0, x1, y1 and not centre, width and height as YOLO has it; write these"
            )


def _is_box_with_points(numbers: Sequence[float]) -> bool:
    """Whether the points after the first four numbers lie in the box that these make."""
    centre, size = np.array(numbers[:2]), np.array(numbers[2:4])
    points = np.reshape(numbers[4:], (-1, 2))
    if (size <= 0).any() or (np.abs(points - centre) > size / 2 + _ROUNDED).any():
        return False
    return bool((np.ptp(points, axis=0) >= _SPANNED * size).all())


def _line_notes(objects: Sequence[PixelObject], description: YoloDescription) -> list[str]:
    notes = []
    scored = sum(labelled.score is not None for labelled in objects)
    if scored:
        notes.append(
            f"{scored} lines have a number from 0 to 1 after their box, which is read as its score; write "
            "turned boxes, if it is an angle, as four corners"
        )
    if description.point_values:
        notes.append("key points are left out, and their boxes read, as kpt_shape of data.yaml says")
    return notes


def _lines(file: Path) -> list[_Line]:
    """The lines of a label file that are not empty."""
    lines = read_text(file).splitlines()
    if len(lines) > _MAX_LINES:
        raise LabelError(f"{file}: holds {len(lines)} lines, at most {_MAX_LINES} are read; split the image")
    return [_Line(file, number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


@dataclass(frozen=True)
class _Line:
    """The text of one object."""

    file: Path
    number: int
    text: str

    def numbers(self) -> list[float]:
        """The numbers after the class; none where they are no pairs, or no numbers."""
        try:
            values = [float(word) for word in self.text.split()[1:]]
        except ValueError:
            return []
        return values if len(values) % 2 == 0 else []

    def as_object(self, image: str, size_px: tuple[int, int], description: YoloDescription) -> PixelObject:
        """The object in pixels of its image."""
        words = self.text.split()
        names = description.names
        try:
            class_number, values = int(words[0]), [float(word) for word in words[1:]]
        except ValueError as cause:
            raise self._malformed("expected a class number and fractions") from cause
        if not all(map(math.isfinite, values)):
            raise self._malformed("a coordinate is not a fraction of the image; correct or delete the line")
        if names and class_number not in names:
            raise self._malformed(
                f"class {class_number} has no name, but {len(names)} classes have; add it or correct the line"
            )
        coordinates, score = self._parts(values, description.point_values)
        return PixelObject(
            image=image,
            outline=self._outline(coordinates, size_px),
            value=names.get(class_number, f"class_{class_number}"),
            feature_id=f"{self.file.name}:{self.number}",
            score=score,
        )

    def _parts(self, values: Sequence[float], point_values: int) -> tuple[Sequence[float], float | None]:
        """The coordinates of the outline, and the score that detections have after their box."""
        if point_values and len(values) not in (4, 4 + point_values):
            raise self._malformed(
                f"{len(values)} numbers after the class; a box with the key points of kpt_shape has "
                f"{4 + point_values}"
            )
        coordinates = values[:4] if point_values or len(values) == 5 else values
        if not all(abs(value) <= FARTHEST_FRACTION for value in coordinates):
            raise self._malformed(
                "a coordinate is not a fraction of the image; correct or delete the line, or, if these are "
                "key points, state their kpt_shape in data.yaml"
            )
        if point_values or len(values) != 5:
            return coordinates, None
        if not 0 <= values[4] <= 1:
            raise self._malformed(
                f"the number {values[4]:g} after the box is no score from 0 to 1; if it is the angle of a "
                "turned box, write its four corners (class x1 y1 x2 y2 x3 y3 x4 y4)"
            )
        return coordinates, values[4]

    def _outline(self, values: Sequence[float], size_px: tuple[int, int]) -> shapely.Geometry:
        """A box of 4 fractions, or a polygon of pairs, in pixels."""
        width, height = size_px
        if len(values) == 4:
            col, row = values[0] * width, values[1] * height
            half_width, half_height = values[2] * width / 2, values[3] * height / 2
            return edges_polygon(col - half_width, row - half_height, col + half_width, row + half_height)
        if len(values) < 6 or len(values) % 2:
            raise self._malformed(
                f"{len(values)} numbers after the class; a box has 4, a polygon an even number from 6 on"
            )
        return ring_polygon(np.reshape(values, (-1, 2)) * (width, height))

    def _malformed(self, what: str) -> LabelError:
        return LabelError(f"{self.file}: line {self.number} ({self.text[:60]}): {what}")


# Writing

LinesOf = Callable[[LabelledObject, Losses], list[list[float]]]
"""An object to the numbers of its lines, in pixels."""


def write_yolo_boxes(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write boxes: class, centre and size."""
    _write(annotations, folder, losses, _box_lines)


def write_yolo_polygons(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write polygons, one ring per line, so parts become objects of their own."""
    _write(annotations, folder, losses, _polygon_lines)


def write_yolo_corners(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write turned boxes, four corners per line."""
    _write(annotations, folder, losses, _corner_lines)


def _box_lines(labelled: LabelledObject, losses: Losses) -> list[list[float]]:
    col0, row0, col1, row1 = box_of(labelled.outline, losses)
    return [[(col0 + col1) / 2, (row0 + row1) / 2, col1 - col0, row1 - row0]]


def _polygon_lines(labelled: LabelledObject, losses: Losses) -> list[list[float]]:
    losses.count(
        "objects of several parts became one object per part: a line holds one ring",
        int(len(polygons_in(labelled.outline)) > 1),
    )
    return [ring.ravel().tolist() for ring in filled_rings(labelled.outline, losses)]


def _corner_lines(labelled: LabelledObject, losses: Losses) -> list[list[float]]:
    return [four_corners(labelled.outline, losses).ravel().tolist()]


def _write(annotations: Annotations, folder: Path, losses: Losses, lines_of: LinesOf) -> None:
    """Write `labels/SPLIT/NAME.txt` and `data.yaml`; an image without objects has an empty file."""
    class_numbers = {info.name: number for number, info in enumerate(annotations.classes.foreground)}
    for image in annotations.images:
        text = ""
        for labelled in without_extras(objects_that_count(image, losses), losses):
            for values in lines_of(labelled, losses):
                text += f"{class_numbers[labelled.class_name]} {_fractions(values, image)}\n"
        put(folder, f"{_split_folder('labels', image.split)}/{image.stem}.txt", text)
    put(folder, "data.yaml", _data_yaml(annotations))


def _split_folder(kind: Literal["images", "labels"], split: str) -> str:
    """The folder of images or labels of a split; YOLO finds labels by the path of their image."""
    return kind if split == NO_SPLIT else f"{kind}/{split}"


def _image_folder(image: LabelledImage, losses: Losses) -> str:
    return _split_folder("images", image.split)


def _fractions(values: Sequence[float], image: LabelledImage) -> str:
    fractions = np.reshape(values, (-1, 2)) / (image.width, image.height)
    return " ".join(repr(float(value)) for value in fractions.ravel())


def _data_yaml(annotations: Annotations) -> str:
    """Train and val must be named, so train stands for val if there is none."""
    folders = {split: _split_folder("images", split) for split in annotations.splits}
    train = folders.get("train") or next(iter(folders.values()), "images")
    values: dict[str, object] = {"path": ".", "train": train, "val": folders.get("val", train)}
    if "test" in folders:
        values["test"] = folders["test"]
    if NO_SPLIT in folders and len(folders) > 1:
        values[NO_SPLIT] = folders[NO_SPLIT]  # YOLO ignores other keys than its own; we read it on import
    bands = {image.bands for image in annotations.images}
    if bands and bands != {3}:
        values["channels"] = max(bands)
    values["names"] = {number: info.name for number, info in enumerate(annotations.classes.foreground)}
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _written(name: str, title: str, shape: Shape, writer: ImageWriter) -> WrittenFormat:
    return WrittenFormat(
        name=name,
        title=title,
        holds=Capabilities(shape=shape),
        label_files=("data.yaml",),
        write_images=writer,
        image_folder=_image_folder,
        output_names=("data.yaml", "labels"),
    )


FORMAT = LabelFormat(
    name="yolo",
    title="YOLO",
    recognition=Recognition(
        suffixes=frozenset({".txt"}) | YAML_SUFFIXES,
        content=_is_yolo,
        hint="lines of a class number and fractions, or a data.yaml with names, train and val",
        text_per_image=True,
        data_set_suffixes=YAML_SUFFIXES,
    ),
    read_records=read_yolo,
    written=(
        _written("yolo", "YOLO detect", "boxes", write_yolo_boxes),
        _written("yolo-seg", "YOLO segment", "polygons", write_yolo_polygons),
        _written("yolo-obb", "YOLO OBB", "turned boxes", write_yolo_corners),
    ),
)

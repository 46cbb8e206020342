"""YOLO: a text file per image with one line per object: a box, a polygon or four corners.

Coordinates are fractions of the image. `data.yaml` names the classes and the folders of images; `labels/`
mirrors `images/`. The files do not contain the sizes of images, so these are taken from the images beside
them or from the caller. `channels` is the number of bands if it is not 3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import shapely
import yaml

from ...core.geometries import polygons_in
from ...core.imagelabels import CoveredImage
from ...core.imagenames import stem_of
from ...errors import LabelError, SceneError
from ...io.discover import RASTER_SUFFIXES
from ...io.scene import open_scene
from ...io.yamlfiles import load_yaml
from ..classnames import Known
from ..labeloptions import LabelOptions, Sizes
from ..records import PixelObject, Records, image_name, pixel_records
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

_MAX_LINES = 200_000
_SPLITS = ("train", "val", "test")
_YAML = frozenset({".yaml", ".yml"})
_DATA_FILES = ("data.yaml", "dataset.yaml")
_CLASS_LISTS = ("classes.txt", "obj.names", "labels.txt")
_FARTHEST_FRACTION = 1.5  # of a line that is recognised: a little outside the image happens
_ABSURD_FRACTION = 16.0  # of a line that is read: farther out it is not a fraction


# Recognising


def _is_yolo(file: LabelFile) -> bool:
    return _is_label_text(file.text) if file.suffix == ".txt" else _is_data_yaml(file.text)


def _is_label_text(text: str) -> bool:
    """Whether the first line is a class number and fractions."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    words = first.split()
    if len(words) < 5 or not re.fullmatch(r"\d{1,6}", words[0]):
        return False
    try:
        return all(abs(float(word)) <= _FARTHEST_FRACTION for word in words[1:])
    except ValueError:
        return False


def _is_data_yaml(text: str) -> bool:
    has_names = re.search(r"^names\s*:", text, re.MULTILINE)
    has_images = re.search(r"^(train|val|path)\s*:", text, re.MULTILINE)
    return has_names is not None and has_images is not None


# Reading


@dataclass(frozen=True)
class _DataSet:
    """What is known about a data set before its label files are read."""

    label_files: tuple[Path, ...]
    """One per image."""

    names: Mapping[int, str]
    """Class names by number; empty if nothing names them."""

    roots: tuple[Path, ...]
    """Folders in or below which the images may lie."""

    images: tuple[Path, ...] = ()
    """All images, if `data.yaml` says where they are; some may have no label file."""


def read_yolo(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Objects of a data set: its `data.yaml`, or its label files.

    Raises:
        LabelError: A line is malformed, or the size of an image is unknown; names the file and the line.
    """
    data_set = _data_set(paths, source)
    sizes = options.sizes_px or {}
    images = _Images(_images_below(data_set.roots), {stem_of(name): name for name in sizes}, sizes)
    objects: list[PixelObject] = []
    covered: list[CoveredImage] = []
    for file in data_set.label_files:
        image, size_px = images.of_label_file(file)
        covered.append(CoveredImage(image, size_px))
        for line in _lines(file):
            objects.append(line.as_object(image, size_px, data_set.names))
    labelled = {file.stem for file in data_set.label_files}
    for path in data_set.images:
        if path.stem not in labelled:  # an image without a label file has no objects
            covered.append(CoveredImage(path.name, sizes.get(path.name)))
    known = Known(tuple(data_set.names.values()))
    return pixel_records(source, objects, covered, known=known, class_field="class")


def _data_set(paths: Sequence[Path], source: str) -> _DataSet:
    for path in paths:
        if path.suffix.lower() in _YAML:
            return _described_data_set(path)
    files = tuple(path for path in paths if path.name not in _CLASS_LISTS)
    if not files:
        raise LabelError(f"{source}: has no label files (NAME.txt); use data.yaml or the folder of labels")
    roots: list[Path] = []
    for folder in dict.fromkeys(path.parent for path in files):
        roots += [folder, folder.parent, folder.parent.parent]
    return _DataSet(files, _listed_names(roots), tuple(roots))


def _described_data_set(path: Path) -> _DataSet:
    """The data set of a `data.yaml`."""
    data = load_yaml(path)
    names = _names(data.get("names"), path)
    root = _folder_inside(path.parent, data.get("path") or ".", path, "path")
    label_files: list[Path] = []
    images: list[Path] = []
    for split in (*_SPLITS, NO_SPLIT):
        for entry in _entries(data.get(split)):
            folder = _folder_inside(root, entry, path, split)
            images += _rasters(folder.rglob("*"))
            base = root if folder.is_relative_to(root) else path.parent
            mirror = ["labels" if part == "images" else part for part in folder.relative_to(base).parts]
            texts = sorted(base.joinpath(*mirror).rglob("*.txt"))
            label_files += [file for file in texts if file.name not in _CLASS_LISTS]
    if not label_files:
        raise LabelError(
            f"{path}: no folder that it names below {root} has label files; labels/ must lie beside images/"
        )
    return _DataSet(
        label_files=tuple(dict.fromkeys(label_files)),
        names=names,
        roots=(root,),
        images=tuple(dict.fromkeys(images)),
    )


def _entries(value: object) -> list[object]:
    """The folders of a split: one, several or none."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def _rasters(paths: Iterator[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in RASTER_SUFFIXES)


def _folder_inside(root: Path, entry: object, path: Path, key: str) -> Path:
    """A folder that a data.yaml names; it must lie in the folder of the file, wherever the file was made."""
    text = str(entry).replace("\\", "/")
    parts = PurePosixPath(text).parts
    if ".." in parts:
        raise LabelError(
            f"{path}: {key!r} climbs out of the folder of the file ({text[:80]}); write a folder inside it"
        )
    is_absolute = text.startswith("/") or re.match(r"[A-Za-z]:", text)
    if not is_absolute:
        return root.joinpath(*parts)
    folder = Path(text)
    if folder.is_dir() and folder.resolve().is_relative_to(path.parent.resolve()):
        return folder
    if key == "path":
        return root  # the file was made on another machine, and lies in its data set
    raise LabelError(
        f"{path}: {key!r} is {text[:80]}, outside the folder of the file; write it relative to that folder, "
        "e.g. images/train"
    )


def _names(value: object, path: Path) -> dict[int, str]:
    """The class names of a data.yaml, a list or a mapping, by number."""
    names = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(names, dict) or not names:
        raise LabelError(f"{path}: expected names as a list or by number, found {str(value)[:60]}")
    if not all(isinstance(number, int) and number >= 0 for number in names):
        raise LabelError(f"{path}: expected names by whole numbers from 0, found {str(value)[:60]}")
    if len({str(name) for name in names.values()}) < len(names):
        raise LabelError(f"{path}: two of its names are the same; give each class its own")
    return {int(number): str(name).strip() for number, name in sorted(names.items())}


def _listed_names(folders: Sequence[Path]) -> dict[int, str]:
    """The class names in a data.yaml or class list of some folders; empty if there is none."""
    for folder in folders:
        for path in (folder / name for name in _DATA_FILES):
            if path.is_file() and _is_data_yaml(read_text(path)):
                return _names(load_yaml(path).get("names"), path)
        for path in (folder / name for name in _CLASS_LISTS):
            if path.is_file() and not _is_label_text(read_text(path)):
                lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
                return dict(enumerate(lines))
    return {}


def _images_below(roots: Sequence[Path]) -> dict[str, Path]:
    """Images by stem, in these folders and in the usual folders of images below them."""
    usual = ["", "images"]
    for split in _SPLITS:
        usual += [f"images/{split}", f"{split}/images"]
    images: dict[str, Path] = {}
    for root in dict.fromkeys(roots):
        for folder in (root / name for name in usual):
            if folder.is_dir():
                for path in _rasters(folder.iterdir()):
                    images.setdefault(path.stem, path)
    return images


@dataclass(frozen=True)
class _Images:
    """The images of a data set, to find the one of a label file."""

    path_of: Mapping[str, Path]
    """Images beside the labels, by stem."""

    name_of: Mapping[str, str]
    """Images whose sizes are known, by stem."""

    sizes: Sizes
    """Known sizes by name."""

    def of_label_file(self, file: Path) -> tuple[str, tuple[int, int]]:
        """Name and (width, height) of the image with the stem of a label file."""
        if file.stem in self.name_of:
            name = self.name_of[file.stem]
            return name, self.sizes[name]
        path = self.path_of.get(file.stem)
        if path is None:
            raise LabelError(
                f"{file}: its image is not found beside it, and YOLO files do not contain its size; "
                "put images/ beside labels/, or name the images with `images`"
            )
        try:
            grid = open_scene(path).native
        except SceneError as cause:
            raise LabelError(str(cause)) from cause
        return image_name(path.name, str(file), "the image"), (grid.width, grid.height)


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

    def as_object(self, image: str, size_px: tuple[int, int], names: Mapping[int, str]) -> PixelObject:
        """The object in pixels of its image."""
        words = self.text.split()
        try:
            class_number, values = int(words[0]), [float(word) for word in words[1:]]
        except ValueError as cause:
            raise self._malformed("expected a class number and fractions") from cause
        if not all(math.isfinite(value) and abs(value) <= _ABSURD_FRACTION for value in values):
            raise self._malformed("a coordinate is not a fraction of the image; correct or delete the line")
        if names and class_number not in names:
            raise self._malformed(
                f"class {class_number} has no name, but {len(names)} classes have; add it or correct the line"
            )
        return PixelObject(
            image=image,
            outline=self._outline(values, size_px),
            value=names.get(class_number, f"class_{class_number}"),
            feature_id=f"{self.file.name}:{self.number}",
            score=values[4] if len(values) == 5 else None,  # detections have it after their box
        )

    def _outline(self, values: Sequence[float], size_px: tuple[int, int]) -> shapely.Geometry:
        """A box of 4 fractions, perhaps with a score, or a polygon of pairs, in pixels."""
        width, height = size_px
        if len(values) in (4, 5):
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
        suffixes=frozenset({".txt"}) | _YAML,
        content=_is_yolo,
        hint="lines of a class number and fractions, or a data.yaml with names, train and val",
        text_per_image=True,
        data_set_suffixes=_YAML,
    ),
    read_records=read_yolo,
    written=(
        _written("yolo", "YOLO detect", "boxes", write_yolo_boxes),
        _written("yolo-seg", "YOLO segment", "polygons", write_yolo_polygons),
        _written("yolo-obb", "YOLO OBB", "turned boxes", write_yolo_corners),
    ),
)

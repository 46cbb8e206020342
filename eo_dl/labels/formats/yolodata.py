"""A data set of YOLO: which label files it has, what its data.yaml says, and which image belongs to which
file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...core.imagenames import ImageNames, composed, stem_of
from ...core.wording import listed
from ...errors import LabelError, SceneError
from ...io.discover import RASTER_SUFFIXES
from ...io.scene import open_scene
from ...io.yamlfiles import load_yaml
from ..labeloptions import Sizes
from ..records import image_path
from .annotations import NO_SPLIT
from .safefile import read_text

_SPLITS = ("train", "val", "test")
YAML_SUFFIXES = frozenset({".yaml", ".yml"})
FARTHEST_FRACTION = 1.5
"""Of a coordinate: a little outside the image happens; farther out it is not a fraction."""
_DATA_FILES = ("data.yaml", "dataset.yaml")
_CLASS_LISTS = ("classes.txt", "obj.names", "labels.txt")
_MOST_POINTS = 1000


def is_label_text(text: str) -> bool:
    """Whether the first line is a class number and fractions."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    words = first.split()
    if len(words) < 5 or not re.fullmatch(r"\d{1,6}", words[0]):
        return False
    try:
        return all(abs(float(word)) <= FARTHEST_FRACTION for word in words[1:])
    except ValueError:
        return False


def is_data_yaml(text: str) -> bool:
    """Whether a text names classes and folders of images, as a data.yaml does."""
    has_names = re.search(r"^names\s*:", text, re.MULTILINE)
    has_images = re.search(r"^(train|val|path)\s*:", text, re.MULTILINE)
    return has_names is not None and has_images is not None


@dataclass(frozen=True)
class YoloDescription:
    """What a data.yaml or a list of classes says about the lines of label files."""

    names: Mapping[int, str] = field(default_factory=dict)
    """Class names by number; empty if nothing names them."""

    point_values: int = 0
    """Numbers that the key points of a line have after its box."""


@dataclass(frozen=True)
class YoloDataSet:
    """What is known of a data set before its label files are read."""

    label_files: tuple[Path, ...]
    """One per image."""

    description: YoloDescription
    """Classes and key points."""

    roots: tuple[Path, ...]
    """Folders in or below which the images may lie."""

    images: tuple[Path, ...] = ()
    """All images, if `data.yaml` says where they are; some may have no label file."""

    notes: tuple[str, ...] = ()
    """What was not found."""


def yolo_data_set(paths: Sequence[Path], source: str) -> YoloDataSet:
    """The data set that a data.yaml describes, or that label files make up.

    Args:
        paths: A data.yaml, or label files, perhaps with a list of classes among them.
        source: All of them, for messages.

    Raises:
        LabelError: There are no label files, or the data.yaml is malformed.
    """
    for path in paths:
        if path.suffix.lower() in YAML_SUFFIXES:
            return _described_data_set(path)
    files = tuple(path for path in paths if path.name not in _CLASS_LISTS)
    if not files:
        raise LabelError(f"{source}: has no label files (NAME.txt); use data.yaml or the folder of labels")
    roots: list[Path] = []
    for folder in dict.fromkeys(path.parent for path in files):
        roots += [folder, folder.parent, folder.parent.parent]
    return YoloDataSet(files, _description_in(roots), tuple(roots))


def _described_data_set(path: Path) -> YoloDataSet:
    """The data set of a `data.yaml`."""
    data = load_yaml(path)
    description = _described(data, path)
    root = _root_of(path, data.get("path"))
    images: list[Path] = []
    label_files: list[Path] = []
    missing: list[str] = []
    for split in (*_SPLITS, NO_SPLIT):
        for entry in _entries(data.get(split)):
            place = _inside(root, path, str(entry))
            if place is None:
                missing.append(str(entry)[:80])
                continue
            of_entry = _listed_images(place, root) if place.is_file() else _rasters(place.rglob("*"))
            images += of_entry
            label_files += _label_files(place, of_entry)
    if not label_files:
        named = f" ({listed(missing)} not there)" if missing else ""
        raise LabelError(
            f"{path}: no folder or list that it names below {root} has label files{named}; labels/ must lie "
            "beside images/"
        )
    notes = [f"{path.name} names {listed(missing)}, which is not in its folder"] if missing else []
    stated = data.get("nc")
    if isinstance(stated, int) and stated != len(description.names):
        notes.append(
            f"{path.name} says nc: {stated} but names {len(description.names)} classes; these are taken"
        )
    return YoloDataSet(
        label_files=tuple(dict.fromkeys(label_files)),
        description=description,
        roots=(root,),
        images=tuple(dict.fromkeys(images)),
        notes=tuple(notes),
    )


def _entries(value: object) -> list[object]:
    """The folders or lists of a split: one, several or none."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def _rasters(paths: Iterator[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in RASTER_SUFFIXES)


def _root_of(path: Path, entry: object) -> Path:
    """The folder of the data set: the one named, if it lies in the folder of the file, else that folder,
    since the file was made on another machine.
    """
    place = _inside(path.parent, path, str(entry or "."))
    return place if place is not None and place.is_dir() else path.parent


def _inside(root: Path, path: Path, text: str) -> Path | None:
    """A folder or list that a data.yaml names, in the folder of the file; None if there is none.

    Exporters write paths from a folder that only their own training script has ("../train/images"), so
    folders that are climbed are left out.
    """
    written = text.strip().replace("\\", "/")
    if written.startswith("/") or re.match(r"[A-Za-z]:", written):
        absolute = Path(written)
        known = absolute.exists() and absolute.resolve().is_relative_to(path.parent.resolve())
        return absolute if known else None
    parts = [part for part in PurePosixPath(posixpath.normpath(written)).parts if part != ".."]
    for base in (root, path.parent):
        place = base.joinpath(*parts)
        # The images themselves may be elsewhere.
        is_there = place.exists() or _mirrored(place, "images", "labels").is_dir()
        if is_there and place.resolve().is_relative_to(path.parent.resolve()):
            return place
    return None


def _listed_images(file: Path, root: Path) -> list[Path]:
    """The images that a list of paths names, whether or not they are there."""
    images = []
    for line in read_text(file).splitlines():
        parts = _parts_of(line)
        if parts:
            places = [base.joinpath(*parts) for base in dict.fromkeys((root, file.parent))]
            images.append(next((place for place in places if _has_file(place)), places[0]))
    return images


def _parts_of(path: str) -> list[str]:
    """The parts of a path without the folders that it climbs."""
    parts = PurePosixPath(path.strip().replace("\\", "/")).parts
    return [part for part in parts if part not in ("..", "/")]


def _has_file(image: Path) -> bool:
    return image.is_file() or label_file_of(image).is_file()


def _label_files(place: Path, images: Sequence[Path]) -> list[Path]:
    """The label files of a folder of images, or of the images of a list."""
    if place.is_file():
        found = [_label_file_at(image) for image in images]
        return [file for file in found if file is not None]
    texts = sorted(_mirrored(place, "images", "labels").rglob("*.txt"))
    return [file for file in texts if file.name not in _CLASS_LISTS]


def _label_file_at(image: Path) -> Path | None:
    """The label file of an image: where it lies by custom, or beside the image; None if there is none."""
    for file in (label_file_of(image), image.with_suffix(".txt")):
        if file.is_file():
            return file
    return None


def label_file_of(image: Path) -> Path:
    """Where the labels of an image lie by custom: labels/train/a.txt for images/train/a.tif."""
    return _mirrored(image.parent, "images", "labels") / f"{image.stem}.txt"


def _mirrored(folder: Path, name: str, other: str) -> Path:
    return Path(*[other if part == name else part for part in folder.parts])


def _described(data: Mapping[str, object], path: Path) -> YoloDescription:
    return YoloDescription(_names(data.get("names"), path), _point_values(data.get("kpt_shape"), path))


def _point_values(shape: object, path: Path) -> int:
    """How many numbers the key points of an object have, by `kpt_shape`, their count and values each."""
    if shape is None:
        return 0
    numbers = [one for one in shape if isinstance(one, int)] if isinstance(shape, list) else []
    if len(numbers) != 2 or not 0 < numbers[0] <= _MOST_POINTS or numbers[1] not in (2, 3):
        raise LabelError(
            f"{path}: expected kpt_shape as [points, 2 or 3], found {str(shape)[:60]}; correct or delete it"
        )
    return numbers[0] * numbers[1]


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


def _description_in(folders: Sequence[Path]) -> YoloDescription:
    """What a data.yaml or class list in some folders says."""
    for folder in folders:
        for path in (folder / name for name in _DATA_FILES):
            if path.is_file() and is_data_yaml(read_text(path)):
                return _described(load_yaml(path), path)
        for path in (folder / name for name in _CLASS_LISTS):
            if path.is_file() and not is_label_text(read_text(path)):
                lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
                return YoloDescription(dict(enumerate(lines)))
    return YoloDescription()


def _images_below(roots: Sequence[Path], mirrored: Sequence[Path]) -> dict[str, list[Path]]:
    """Images by stem: in the first folders, in the usual folders of images below them, and in the others."""
    usual = ["", "images"]
    for split in _SPLITS:
        usual += [f"images/{split}", f"{split}/images"]
    images: dict[str, list[Path]] = {}
    folders = dict.fromkeys([*(root / name for root in roots for name in usual), *mirrored])
    for folder in folders:
        if folder.is_dir():
            for path in _rasters(folder.iterdir()):
                images.setdefault(path.stem, []).append(path)
    return images


@dataclass(frozen=True)
class YoloImages:
    """The images of a data set, to find the one of a label file."""

    paths_of: Mapping[str, Sequence[Path]]
    """Images beside the labels, by stem."""

    sizes: Sizes
    """Known sizes by name."""

    names: ImageNames
    """The names of images whose sizes are known."""

    name_of_stem: Mapping[str, str]
    """The same names by their stems."""

    @classmethod
    def of(cls, data_set: YoloDataSet, sizes: Sizes) -> YoloImages:
        """Images beside the labels, and those whose sizes the caller knows."""
        label_folders = dict.fromkeys(file.parent for file in data_set.label_files)
        mirrored = [_mirrored(folder, "labels", "images") for folder in label_folders]
        paths_of = _images_below(data_set.roots, mirrored)
        for path in data_set.images:
            others = paths_of.setdefault(path.stem, [])
            if path not in others and path.is_file():
                others.append(path)
        return cls(paths_of, sizes, ImageNames(sizes), {stem_of(composed(name)): name for name in sizes})

    def of_label_file(self, file: Path) -> tuple[str, tuple[int, int]]:
        """Name and (width, height) of the image of a label file: with its stem, in the mirrored folder."""
        mirrored = _mirrored(file.parent, "labels", "images") / file.stem
        known = self._known(mirrored.with_name(f"{file.stem}.tif"))
        if known is not None:
            return known
        path = self._beside(file, mirrored.parent)
        try:
            grid = open_scene(path).native
        except SceneError as cause:
            raise LabelError(str(cause)) from cause
        return image_path(path.as_posix(), str(file), "the image"), (grid.width, grid.height)

    def without_objects(self, path: Path) -> tuple[str, tuple[int, int] | None]:
        """Name and (width, height), where known, of an image without a label file."""
        return self._known(path) or (image_path(path.as_posix(), str(path), "the image"), None)

    def _known(self, path: Path) -> tuple[str, tuple[int, int]] | None:
        """Name and size of an image whose size the caller knows."""
        stem = self.names.by_stem(path.as_posix())
        if stem is None:
            return None
        name = self.name_of_stem[stem]
        return name, self.sizes[name]

    def _beside(self, file: Path, mirrored: Path) -> Path:
        paths = self.paths_of.get(file.stem, [])
        nearest = [path for path in paths if path.parent in (mirrored, file.parent)]
        found = nearest or paths
        if not found:
            raise LabelError(
                f"{file}: its image is not found beside it, and YOLO files do not contain its size; "
                "put images/ beside labels/, or name the images with `images`"
            )
        if len(found) > 1:
            raise LabelError(
                f"{file}: two images have its name, {found[0]} and {found[1]}; remove one, or name the "
                "images with `images`"
            )
        return found[0]

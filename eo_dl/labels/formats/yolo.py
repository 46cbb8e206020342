"""YOLO: a text file an image with a line an object, in fractions of the image's size: boxes (detect),
polygons (segment), four corners (OBB).

`data.yaml` names the classes and the folders of images; `labels/` is the twin of `images/`. Sizes of images
are not in the files: they are those of the images beside them, or are given. `channels` says how many bands
images have, where that is not 3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import shapely
import yaml

from ...core.imagenames import stem_of
from ...errors import LabelError, SceneError
from ...io.discover import RASTER_SUFFIXES
from ...io.scene import open_scene
from ...io.yamlfiles import load_yaml
from ..classnames import Known
from ..labeloptions import LabelOptions, Sizes
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .annotations import NO_SPLIT, Annotations, LabelledObject, Losses, usable, without_extras
from .labelfile import LabelFile
from .labelformat import Capabilities, ImageWriter, LabelFormat, Recognition, Shape, WrittenFormat, images_in
from .outlineforms import box_of, edges_polygon, filled_rings, four_corners, polygon_parts, ring_polygon
from .safefile import put, read_text

_MAX_LINES = 200_000
_SPLITS = ("train", "val", "test")
_FAR = 16.0  # a fraction farther out is no fraction
_CLASS_LISTS = ("classes.txt", "obj.names", "labels.txt")


def is_yolo_text(text: str) -> bool:
    """True where the first line is a class number and fractions."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return _is_line(first.split())


def _is_line(parts: Sequence[str]) -> bool:
    if len(parts) < 5 or not re.fullmatch(r"\d{1,6}", parts[0]):
        return False
    try:
        return all(abs(float(part)) <= 1.5 for part in parts[1:])
    except ValueError:
        return False


def is_yolo_yaml(text: str) -> bool:
    """True for the text of a `data.yaml`."""
    return bool(re.search(r"^names\s*:", text, re.MULTILINE)) and bool(
        re.search(r"^(train|val|path)\s*:", text, re.MULTILINE)
    )


# Reading


@dataclass(frozen=True)
class _Found:
    """The label files of a data set, its class names by number, the folders where its images may be, and all
    its images where it lists them.
    """

    files: tuple[Path, ...]
    names: Mapping[int, str]
    roots: tuple[Path, ...]
    images: tuple[Path, ...] = ()


def read_yolo(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Objects of a data set: its `data.yaml`, its folder, or its label files. `sizes`: (width, height) of
    images by file name.

    Raises `LabelError` with the line, and where the size of an image is not known.
    """
    sizes = options.sizes_px
    found = _find(paths, source)
    objects: list[PixelObject] = []
    covered: list[ImageRecord] = []
    places = _images_below(found.roots)
    given = {stem_of(name): (name, size) for name, size in (sizes or {}).items()}
    for file in found.files:
        image, size = _image_of(file, places, given)
        covered.append(ImageRecord(image, size))
        objects += _objects(file, image, size, found.names)
    labelled = {file.stem for file in found.files}
    covered += [_negative(path, sizes or {}) for path in found.images if path.stem not in labelled]
    return pixel_records(
        source, objects, covered, known=Known(tuple(found.names.values())), class_field="class"
    )


def _find(paths: Sequence[Path], source: str) -> _Found:
    described = [path for path in paths if path.suffix.lower() in (".yaml", ".yml")]
    if described:
        return _of_yaml(described[0])
    files = tuple(path for path in paths if path.name not in _CLASS_LISTS)
    if not files:
        raise LabelError(f"{source}: holds no label files (NAME.txt); give data.yaml or the folder of labels")
    folders = list(dict.fromkeys(path.parent for path in files))
    return _Found(
        files,
        _listed_names(folders),
        tuple(root for folder in folders for root in (folder, folder.parent, folder.parent.parent)),
    )


def _of_yaml(path: Path) -> _Found:
    data = load_yaml(path)
    names = _names(data.get("names"), path)
    root = _inside(path.parent, data.get("path") or ".", path, "path")
    files: list[Path] = []
    images: list[Path] = []
    for split in _SPLITS:
        entries = data.get(split)
        for entry in [entries] if isinstance(entries, str) else entries if isinstance(entries, list) else []:
            folder = _inside(root, entry, path, split)
            images += (
                [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in RASTER_SUFFIXES]
                if folder.is_dir()
                else []
            )
            base = root if folder.is_relative_to(root) else path.parent
            labels = base / Path(
                *["labels" if part == "images" else part for part in folder.relative_to(base).parts]
            )
            files += [file for file in sorted(labels.rglob("*.txt")) if file.name not in _CLASS_LISTS]
    if not files:
        raise LabelError(
            f"{path}: names no folder with label files below {root}; labels/ lies beside images/"
        )
    return _Found(tuple(dict.fromkeys(files)), names, (root,), tuple(dict.fromkeys(images)))


def _inside(root: Path, entry: object, path: Path, key: str) -> Path:
    """A folder that a data.yaml names; only one in the folder of the file, wherever the data set was made."""
    text = str(entry).replace("\\", "/")
    parts = PurePosixPath(text).parts
    if ".." in parts:
        raise LabelError(f"{path}: its {key!r} climbs out of its folder ({text[:80]}); write a folder inside")
    absolute = text.startswith("/") or re.match(r"[A-Za-z]:", text)
    if not absolute:
        return root.joinpath(*parts)
    inside = Path(text)
    if inside.is_dir() and inside.resolve().is_relative_to(path.parent.resolve()):
        return inside
    if key == "path":
        return root  # made on another machine: the file lies in the data set
    raise LabelError(
        f"{path}: its {key!r} is {text[:80]}, outside the folder of the file; write it from there, e.g. images/train"
    )


def _names(value: object, path: Path) -> dict[int, str]:
    items = dict(enumerate(value)) if isinstance(value, list) else value
    if (
        not isinstance(items, dict)
        or not items
        or not all(isinstance(key, int) and key >= 0 for key in items)
    ):
        raise LabelError(
            f"{path}: its names are {str(value)[:60]}; a list, or numbers with names, was expected"
        )
    if len({str(name) for name in items.values()}) < len(items):
        raise LabelError(f"{path}: two of its names are the same; give each class its own")
    return {int(key): str(name).strip() for key, name in sorted(items.items())}


def _listed_names(folders: Sequence[Path]) -> dict[int, str]:
    """Names of a class list, or of a data.yaml, in or above the folder of the labels; none where there is
    none.
    """
    for place in (place for folder in folders for place in (folder, folder.parent, folder.parent.parent)):
        for name in ("data.yaml", "dataset.yaml"):
            if (place / name).is_file() and is_yolo_yaml(read_text(place / name)):
                return _names(load_yaml(place / name).get("names"), place / name)
        for name in _CLASS_LISTS:
            if (place / name).is_file() and not is_yolo_text(read_text(place / name)):
                return dict(
                    enumerate(line.strip() for line in read_text(place / name).splitlines() if line.strip())
                )
    return {}


def _images_below(roots: Sequence[Path]) -> dict[str, Path]:
    """Images by stem in these folders and in those called images below them."""
    found: dict[str, Path] = {}
    for root in dict.fromkeys(roots):
        for folder in (
            root,
            *(
                root / name
                for name in (
                    "images",
                    *(f"images/{split}" for split in _SPLITS),
                    *(f"{split}/images" for split in _SPLITS),
                )
            ),
        ):
            if folder.is_dir():
                for path in sorted(folder.iterdir()):
                    if path.suffix.lower() in RASTER_SUFFIXES:
                        found.setdefault(path.stem, path)
    return found


def _image_of(
    file: Path, places: Mapping[str, Path], given: Mapping[str, tuple[str, tuple[int, int]]]
) -> tuple[str, tuple[int, int]]:
    """The name and size of the image of a label file."""
    if file.stem in given:
        return given[file.stem]
    path = places.get(file.stem)
    if path is None:
        raise LabelError(
            f"{file}: its image is not found beside it, and YOLO files do not say its size; put images/ beside labels/, or name the images (--images)"
        )
    try:
        grid = open_scene(path).native
    except SceneError as cause:
        raise LabelError(str(cause)) from cause
    return image_name(path.name, str(file), "it"), (grid.width, grid.height)


def _negative(path: Path, sizes: Sizes) -> ImageRecord:
    """An image that has no label file, and so no objects."""
    return ImageRecord(path.name, sizes.get(path.name))


def _objects(file: Path, image: str, size: tuple[int, int], names: Mapping[int, str]) -> list[PixelObject]:
    lines = read_text(file).splitlines()
    if len(lines) > _MAX_LINES:
        raise LabelError(f"{file}: holds {len(lines)} lines, at most {_MAX_LINES} are read; split the image")
    return [
        _object(file, number, line.split(), image, size, names)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _object(
    file: Path, number: int, parts: Sequence[str], image: str, size: tuple[int, int], names: Mapping[int, str]
) -> PixelObject:
    try:
        index, values = int(parts[0]), [float(part) for part in parts[1:]]
    except ValueError as cause:
        raise LabelError(
            f"{file}: line {number} is {' '.join(parts)[:60]!r}; a class number and fractions were expected"
        ) from cause
    if not all(math.isfinite(value) and abs(value) <= _FAR for value in values):
        raise LabelError(
            f"{file}: line {number} has a coordinate that is no fraction of its image ({' '.join(parts)[:60]}); correct or delete it"
        )
    if names and index not in names:
        raise LabelError(
            f"{file}: line {number} is of class {index}, which the names do not have ({len(names)} classes); correct it or add the name"
        )
    outline, score = _outline(values, size, file, number)
    return PixelObject(
        image, outline, names.get(index, f"class_{index}"), f"{file.name}:{number}", score=score
    )


def _outline(
    values: Sequence[float], size: tuple[int, int], file: Path, number: int
) -> tuple[shapely.Geometry, float | None]:
    """The outline in pixels, and the score of a detection's line."""
    width, height = size
    if len(values) in (4, 5):
        col, row, wide, high = values[0] * width, values[1] * height, values[2] * width, values[3] * height
        return edges_polygon(col - wide / 2, row - high / 2, col + wide / 2, row + high / 2), values[
            4
        ] if len(values) == 5 else None
    if len(values) < 6 or len(values) % 2:
        raise LabelError(
            f"{file}: line {number} has {len(values)} numbers after its class; a box has 4, a polygon 6 or more in pairs"
        )
    return ring_polygon(np.reshape(values, (-1, 2)) * (width, height)), None


# Writing


def write_yolo_boxes(found: Annotations, folder: Path, losses: Losses) -> None:
    """Boxes: class, centre and size."""
    _write(found, folder, losses, _box_lines)


def write_yolo_polygons(found: Annotations, folder: Path, losses: Losses) -> None:
    """Polygons: one ring a line, so that parts become objects of their own."""
    _write(found, folder, losses, _polygon_lines)


def write_yolo_corners(found: Annotations, folder: Path, losses: Losses) -> None:
    """Turned boxes: four corners a line."""
    _write(found, folder, losses, _corner_lines)


def _box_lines(one: LabelledObject, losses: Losses) -> list[list[float]]:
    col0, row0, col1, row1 = box_of(one.outline, losses)
    return [[(col0 + col1) / 2, (row0 + row1) / 2, col1 - col0, row1 - row0]]


def _polygon_lines(one: LabelledObject, losses: Losses) -> list[list[float]]:
    losses.count(
        "objects of several parts became one object a part: a line holds one ring",
        int(len(polygon_parts(one.outline)) > 1),
    )
    return [ring.ravel().tolist() for ring in filled_rings(one.outline, losses)]


def _corner_lines(one: LabelledObject, losses: Losses) -> list[list[float]]:
    return [four_corners(one.outline, losses).ravel().tolist()]


def _write(
    found: Annotations,
    folder: Path,
    losses: Losses,
    lines_of: Callable[[LabelledObject, Losses], list[list[float]]],
) -> None:
    """`labels/SPLIT/NAME.txt` and `data.yaml`; an image without objects has an empty file."""
    number = {info.name: place for place, info in enumerate(found.classes.foreground)}
    for image in found.images:
        lines = []
        for one in without_extras(usable(image, losses), losses):
            for values in lines_of(one, losses):
                fractions = np.reshape(values, (-1, 2)) / (image.width, image.height)
                lines.append(
                    " ".join(
                        [str(number[one.class_name]), *(repr(float(value)) for value in fractions.ravel())]
                    )
                )
        put(
            folder,
            f"labels/{'' if image.split == NO_SPLIT else image.split + '/'}{image.stem}.txt",
            "".join(f"{line}\n" for line in lines),
        )
    put(folder, "data.yaml", _yaml(found))


def _yaml(found: Annotations) -> str:
    """Train and val have to be named; where there is no val, it is train."""
    places = {split: "images" if split == NO_SPLIT else f"images/{split}" for split in found.splits}
    first = next(iter(places.values()), "images")
    train = places.get("train", first)
    values: dict[str, object] = {"path": ".", "train": train, "val": places.get("val", train)}
    if "test" in places:
        values["test"] = places["test"]
    bands = {image.bands for image in found.images}
    if bands and bands != {3}:
        values["channels"] = max(bands)
    values["names"] = {place: info.name for place, info in enumerate(found.classes.foreground)}
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _is_yolo(file: LabelFile) -> bool:
    return is_yolo_text(file.text) if file.suffix == ".txt" else is_yolo_yaml(file.text)


def _written(name: str, title: str, shape: Shape, writer: ImageWriter) -> WrittenFormat:
    return WrittenFormat(
        name=name,
        title=title,
        holds=Capabilities(shape=shape),
        label_files=("data.yaml",),
        write_images=writer,
        image_folder=images_in("images/{split}"),
        output_names=("data.yaml", "labels"),
    )


_YAML = frozenset({".yaml", ".yml"})

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

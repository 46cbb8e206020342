"""`eo_dl_index.json`: where each exported image lies on the map, by which corrected labels come back."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.classes import ClassInfo, ClassSet
from ..core.imagenames import composed, stem_of
from ..core.pixelgrid import PixelGrid
from ..errors import EoDlError, LabelError
from ..labels.formats.formatlist import written_formats
from ..labels.formats.labelformat import Shape
from ..labels.formats.safefile import checked_list, one_line, read_json
from ..labels.reading import LabelFiles
from ..labels.records import image_name

INDEX_NAME = "eo_dl_index.json"
_FORMAT = "eo_dl label index"
_VERSION = 1
_FOLDERS_ABOVE = 3
_MAX_SIDE_PX = 1_000_000
_MAX_LABEL_PATHS = 1000


@dataclass(frozen=True)
class IndexedImage:
    """An exported image."""

    name: str
    """File name."""

    grid: PixelGrid
    """Its pixels on the map; of a scene without CRS, in pixels of that scene."""

    scene: str
    """File name of the scene."""

    scene_path: str
    """Path of the scene."""

    split: str
    """The split of its chip."""

    file: str = ""
    """Where it was written, relative to the index; "" if it was not."""

    chip_id: str = ""
    """The chip in its chip set."""

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return stem_of(self.name)


@dataclass(frozen=True)
class ImageIndex:
    """What an export records about itself."""

    images: tuple[IndexedImage, ...]
    """All exported images."""

    classes: ClassSet
    """The classes of the labels."""

    format: str
    """The name of the format in which labels were written."""

    source: str = ""
    """The chip set."""

    stretch: Mapping[str, Any] = field(default_factory=dict)
    """How pixels became 8-bit pictures; empty for GeoTIFFs."""

    labels: tuple[str, ...] = ()
    """Where the labels lie, relative to the index: files, or folders of files."""

    whole_images: bool = False
    """The labels are of whole images."""

    @property
    def shape(self) -> Shape:
        """The outlines that the format holds; polygons if the format is unknown."""
        written = written_formats().get(self.format)
        return "polygons" if written is None else written.holds.shape

    @property
    def sizes_px(self) -> dict[str, tuple[int, int]]:
        """(width, height) of each image by name."""
        return {image.name: (image.grid.width, image.grid.height) for image in self.images}


# Writing


def index_text(index: ImageIndex) -> str:
    """The index as JSON."""
    crs = list(dict.fromkeys(_crs_text(image.grid.crs) for image in index.images))
    document = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "label_format": index.format,
        "labels": list(index.labels),
        "whole_images": index.whole_images,
        "source": index.source,
        "classes": [{"id": info.id, "name": info.name, "color": info.color} for info in index.classes],
        "stretch": dict(index.stretch),
        "crs": crs,
        "images": [_image_item(image, crs) for image in index.images],
    }
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _image_item(image: IndexedImage, crs: Sequence[str | None]) -> dict[str, object]:
    """An image with its CRS as a position in the list of all CRS."""
    return {
        "name": image.name,
        "file": image.file,
        "chip_id": image.chip_id,
        "scene": image.scene,
        "scene_path": image.scene_path,
        "split": image.split,
        "crs": crs.index(_crs_text(image.grid.crs)),
        "transform": list(image.grid.transform)[:6],
        "width": image.grid.width,
        "height": image.grid.height,
    }


@lru_cache(maxsize=64)
def _crs_text(crs: CRS | None) -> str | None:
    """A CRS by its code, or as WKT if no code says exactly the same."""
    if crs is None:
        return None
    authority = crs.to_authority(min_confidence=100)
    if authority and CRS.from_user_input(":".join(authority)) == crs:
        return ":".join(authority)
    return str(crs.to_wkt())


# Reading


def find_index(source: LabelFiles) -> Path:
    """The index beside labels, or in one of the three folders above them.

    Raises:
        LabelError: There is no index.
    """
    first = Path(source if isinstance(source, str | Path) else source[0])
    folder = first if first.is_dir() else first.parent
    for candidate in (folder, *list(folder.resolve().parents)[:_FOLDERS_ABOVE]):
        if (candidate / INDEX_NAME).is_file():
            return candidate / INDEX_NAME
    raise LabelError(
        f"{first}: no {INDEX_NAME}, which says where the images lie on the map, is beside or above it; "
        "name it with `index`"
    )


def read_index(path: str | Path) -> ImageIndex:
    """An index that `labels export` wrote.

    Raises:
        LabelError: The file is not such an index, or is damaged; names the image.
    """
    file = Path(path)
    data = read_json(file)
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise LabelError(
            f"{file}: is not an index of exported labels; use the {INDEX_NAME} that `labels export` wrote"
        )
    version = data.get("format_version")
    if not isinstance(version, int) or version > _VERSION:
        raise LabelError(
            f"{file}: has the format version {version}, this eo_dl reads up to {_VERSION}; update eo_dl"
        )
    stretch = data.get("stretch")
    return ImageIndex(
        images=_images(data, file),
        classes=_classes(data, file),
        format=str(data.get("label_format", "")),
        source=str(data.get("source", "")),
        stretch=stretch if isinstance(stretch, dict) else {},
        labels=_label_paths(data.get("labels", []), file),
        whole_images=data.get("whole_images") is True,
    )


def _images(data: Mapping[str, Any], file: Path) -> tuple[IndexedImage, ...]:
    crs = [_crs(text, file) for text in data.get("crs") or []]
    items = checked_list(data.get("images"), "images", file)
    images = tuple(_image(item, number, crs, file) for number, item in enumerate(items, start=1))
    for name, count in Counter(image.name for image in images).items():
        if count > 1:
            raise LabelError(f"{file}: lists the image {name!r} twice; export the labels again")
    return images


def _classes(data: Mapping[str, Any], file: Path) -> ClassSet:
    items = checked_list(data.get("classes"), "classes", file)
    try:
        return ClassSet(
            tuple(ClassInfo(int(item["id"]), str(item["name"]), str(item["color"])) for item in items)
        )
    except (KeyError, ValueError, TypeError) as cause:
        raise LabelError(f"{file}: its classes cannot be read ({cause}); export the labels again") from cause


def _label_paths(value: object, file: Path) -> tuple[str, ...]:
    """Where the labels lie: only inside the folder of the index, whoever wrote it."""
    if not isinstance(value, list) or len(value) > _MAX_LABEL_PATHS:
        raise LabelError(f"{file}: expected a list of label files, found {str(value)[:60]}; export again")
    for text in value:
        if not isinstance(text, str) or not text:
            raise LabelError(f"{file}: {str(text)[:60]!r} is not a label file; export the labels again")
        if _is_outside(text):
            raise LabelError(
                f"{file}: its labels lie in {text[:80]!r}, outside its folder; export the labels again"
            )
    return tuple(value)


def _is_outside(text: str) -> bool:
    """Whether a path may lead out of its folder, on any system."""
    path = PurePosixPath(text.replace("\\", "/"))
    has_drive = re.match(r"[A-Za-z]:", text) is not None
    has_control = any(ord(sign) < 32 for sign in text)
    return path.is_absolute() or ".." in path.parts or has_drive or has_control


def _crs(text: object, file: Path) -> CRS | None:
    try:
        return None if text is None else CRS.from_user_input(str(text))
    except CRSError as cause:
        raise LabelError(f"{file}: unknown CRS {str(text)[:60]!r}; export the labels again") from cause


def _image(item: Mapping[str, Any], number: int, crs: Sequence[CRS | None], file: Path) -> IndexedImage:
    name = image_name(item.get("name"), str(file), f"image {number}")
    if name != composed(str(item.get("name")).strip()):
        raise LabelError(
            f"{file}: image {number} is called {str(item.get('name'))[:80]!r}, which is not a safe file "
            "name; export the labels again"
        )
    try:
        grid = _grid(item, crs)
    except (KeyError, ValueError, TypeError, OverflowError, EoDlError) as cause:
        raise LabelError(
            f"{file}: image {number} ({name}): {one_line(cause)}; export the labels again"
        ) from cause
    texts = {key: str(item.get(key) or "") for key in ("scene", "scene_path", "split", "file", "chip_id")}
    return IndexedImage(name, grid, **texts)


def _grid(item: Mapping[str, Any], crs: Sequence[CRS | None]) -> PixelGrid:
    transform = [float(value) for value in item["transform"]]
    position, width, height = int(item["crs"]), int(item["width"]), int(item["height"])
    if len(transform) != 6 or not all(map(math.isfinite, transform)):
        raise ValueError("the transform is not six finite numbers")
    if not 0 <= position < len(crs):
        raise ValueError(f"the CRS number {position} is not in the list of {len(crs)}")
    if max(width, height) > _MAX_SIDE_PX:
        raise ValueError(f"the size of {width}x{height} px is too large")
    return PixelGrid(crs[position], Affine(*transform), height, width)

"""`eo_dl_index.json`: for each exported image its place on the ground, scene and split, so that corrected
labels find their way back.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.classes import ClassInfo, ClassSet
from ..core.imagenames import stem_of
from ..core.pixelgrid import PixelGrid
from ..errors import EoDlError, LabelError
from ..labels.formats.formatlist import written_formats
from ..labels.formats.labelformat import Shape
from ..labels.formats.safefile import checked_list, read_json
from ..labels.records import image_name

INDEX_NAME = "eo_dl_index.json"
_FORMAT, _VERSION = "eo_dl label index", 1
_MAX_SIDE_PX = 1_000_000
_MAX_PLACES = 1000


@dataclass(frozen=True)
class IndexedImage:
    """An exported image. `grid`: its pixels on the ground; of a scene without CRS, in pixels of that scene's
    file. `file`: where it was written.
    """

    name: str
    grid: PixelGrid
    scene: str
    scene_path: str
    split: str
    file: str = ""
    chip_id: str = ""

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return stem_of(self.name)


@dataclass(frozen=True)
class ImageIndex:
    """All exported images, the classes, the format, and how pixels were stretched to pictures, where they
    were.

    `labels`: where the labels lie, relative to the index: files, or folders of files. `whole_images`: they
    are of whole images.
    """

    images: tuple[IndexedImage, ...]
    classes: ClassSet
    format: str
    source: str = ""
    stretch: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    whole_images: bool = False

    @property
    def shape(self) -> Shape:
        """The outlines that the format holds; polygons if it is not known."""
        written = written_formats().get(self.format)
        return "polygons" if written is None else written.holds.shape

    def find(self, name: str) -> IndexedImage | None:
        """The image of a name: the full name first, then the stem."""
        stem = stem_of(name)
        return next((one for one in self.images if one.name == name), None) or next(
            (one for one in self.images if one.stem == stem), None
        )

    @property
    def sizes_px(self) -> dict[str, tuple[int, int]]:
        """(width, height) of each image."""
        return {one.name: (one.grid.width, one.grid.height) for one in self.images}


def index_text(index: ImageIndex) -> str:
    """The index as it is written."""
    crs = list(dict.fromkeys(_crs_text(one.grid.crs) for one in index.images))
    images = [
        {
            "name": one.name,
            "file": one.file,
            "chip_id": one.chip_id,
            "scene": one.scene,
            "scene_path": one.scene_path,
            "split": one.split,
            "crs": crs.index(_crs_text(one.grid.crs)),
            "transform": list(one.grid.transform)[:6],
            "width": one.grid.width,
            "height": one.grid.height,
        }
        for one in index.images
    ]
    classes = [{"id": info.id, "name": info.name, "color": info.color} for info in index.classes]
    head = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "label_format": index.format,
        "labels": list(index.labels),
        "whole_images": index.whole_images,
        "source": index.source,
        "classes": classes,
    }
    return (
        json.dumps(
            {**head, "stretch": dict(index.stretch), "crs": crs, "images": images},
            indent=1,
            allow_nan=False,
            ensure_ascii=False,
        )
        + "\n"
    )


@lru_cache(maxsize=64)
def _crs_text(crs: CRS | None) -> str | None:
    if crs is None:
        return None
    authority = crs.to_authority(min_confidence=100)
    return (
        ":".join(authority)
        if authority and CRS.from_user_input(":".join(authority)) == crs
        else str(crs.to_wkt())
    )


def find_index(source: str | Path | Sequence[str | Path]) -> Path:
    """The index beside labels, or in one of the three folders above them. Raises `LabelError` where there is
    none.
    """
    first = Path(str(source if isinstance(source, str | Path) else source[0]))
    start = first if first.is_dir() else first.parent
    places = [start, *list(start.resolve().parents)[:3]]
    found = next((place / INDEX_NAME for place in places if (place / INDEX_NAME).is_file()), None)
    if found is None:
        raise LabelError(
            f"{first}: no {INDEX_NAME} lies beside or above it, which says where its images are on the ground; name it with --index"
        )
    return found


def read_index(path: str | Path) -> ImageIndex:
    """An index as `labels export` wrote it. Raises `LabelError` naming the image that is wrong."""
    file = Path(path)
    data = read_json(file)
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise LabelError(
            f"{file}: is no index of exported labels; give the {INDEX_NAME} that labels export wrote"
        )
    if not isinstance(data.get("format_version"), int) or data["format_version"] > _VERSION:
        raise LabelError(
            f"{file}: is of format {data.get('format_version')}, this eo_dl reads up to {_VERSION}; update eo_dl"
        )
    crs = [_crs(text, file) for text in data.get("crs") or []]
    images = tuple(
        _image(item, number, crs, file)
        for number, item in enumerate(checked_list(data.get("images"), "images", file), start=1)
    )
    names = [one.name for one in images]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise LabelError(f"{file}: lists the image {twice!r} twice; export the labels again")
    try:
        classes = ClassSet(
            tuple(
                ClassInfo(int(c["id"]), str(c["name"]), str(c["color"]))
                for c in checked_list(data.get("classes"), "classes", file)
            )
        )
    except (KeyError, ValueError, TypeError) as cause:
        raise LabelError(f"{file}: its classes cannot be read ({cause}); export the labels again") from cause
    stretch = data.get("stretch")
    return ImageIndex(
        images,
        classes,
        str(data.get("label_format", "")),
        str(data.get("source", "")),
        stretch if isinstance(stretch, dict) else {},
        _places(data.get("labels", []), file),
        data.get("whole_images") is True,
    )


def _places(value: object, file: Path) -> tuple[str, ...]:
    """Where the labels lie: only in the folder of the index, whoever wrote it."""
    if (
        not isinstance(value, list)
        or len(value) > _MAX_PLACES
        or not all(isinstance(text, str) and text for text in value)
    ):
        raise LabelError(
            f"{file}: its labels are {str(value)[:60]}; a list of files or folders was expected; export the labels again"
        )
    for text in value:
        parts = PurePosixPath(text.replace("\\", "/"))
        if (
            parts.is_absolute()
            or ".." in parts.parts
            or re.match(r"[A-Za-z]:", text)
            or any(ord(sign) < 32 for sign in text)
        ):
            raise LabelError(
                f"{file}: its labels are said to lie in {text[:80]!r}, outside its folder; export the labels again"
            )
    return tuple(value)


def _crs(text: object, file: Path) -> CRS | None:
    try:
        return None if text is None else CRS.from_user_input(str(text))
    except CRSError as cause:
        raise LabelError(
            f"{file}: the CRS {str(text)[:60]!r} is not known; export the labels again"
        ) from cause


def _image(item: Mapping[str, Any], number: int, crs: Sequence[CRS | None], file: Path) -> IndexedImage:
    name = image_name(item.get("name"), str(file), f"image {number}")
    try:
        transform = [float(value) for value in item["transform"]]
        place, width, height = int(item["crs"]), int(item["width"]), int(item["height"])
        if (
            len(transform) != 6
            or not all(map(math.isfinite, transform))
            or not 0 <= place < len(crs)
            or max(width, height) > _MAX_SIDE_PX
        ):
            raise ValueError("its transform, CRS or size is no such thing")
        grid = PixelGrid(crs[place], Affine(*transform), height, width)
    except (KeyError, ValueError, TypeError, OverflowError, EoDlError) as cause:
        raise LabelError(
            f"{file}: image {number} ({name}): {' '.join(str(cause).split())[:100]}; export the labels again"
        ) from cause
    texts = {key: str(item.get(key) or "") for key in ("scene", "scene_path", "split", "file", "chip_id")}
    return IndexedImage(name, grid, **texts)

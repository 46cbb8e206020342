"""COCO: one JSON with images, categories and annotations (boxes, polygons, run-length masks), coordinates in pixels from the corner."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from ...core.classes import IGNORE_ID
from ...errors import LabelError
from ..naming import Known, value_text
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .rle import rle_outline

_MAX_BYTES = 1 << 30
_MAX_RECORDS = 5_000_000
_FARTHEST = 1e12


@dataclass(frozen=True)
class _Image:
    name: str
    size_px: tuple[int, int] | None


def read_coco(paths: Sequence[Path], source: str) -> Records:
    """Objects of COCO files; their outline is the segmentation, or the box where there is none.

    Crowds are ignored. Category ids stay where they are 1 to 254, names come from `categories`. Images without annotations are covered too.
    Raises `LabelError` naming the annotation.
    """
    objects: list[PixelObject] = []
    covered: dict[str, ImageRecord] = {}
    known: dict[str, int] = {}
    from_box = 0
    for path in paths:
        data = load_json(path)
        images = _images(data, path)
        names = _categories(data, path, known)
        for image in images.values():
            covered.setdefault(image.name, ImageRecord(image.name, image.size_px))
        for number, annotation in enumerate(_list(data, "annotations", path)):
            found, boxed = _object(annotation, number, images, names, path)
            objects.append(found)
            from_box += boxed
    notes = [f"{from_box} annotations have no usable segmentation: their box is taken"] if 0 < from_box < len(objects) else []
    fitting = {name: i for name, i in known.items() if 0 < i < IGNORE_ID}
    return pixel_records(source, objects, list(covered.values()), notes, Known(tuple(known), fitting), "category")


def load_json(path: Path) -> Mapping[str, object]:
    """The object that a JSON file holds. Raises `LabelError` for anything else, and for files above 1 GB."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise LabelError(f"{path}: is larger than 1 GB; split it into files of fewer images")
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as cause:
        raise LabelError(f"{path}: is no readable JSON ({' '.join(str(cause).split())[:100]}); write it again") from cause
    except OSError as cause:
        raise LabelError(f"{path}: cannot be read ({cause.strerror}); check the path") from cause
    if not isinstance(data, dict):
        raise LabelError(f"{path}: holds a JSON {type(data).__name__}; a COCO object with images, annotations and categories was expected")
    return data


def _list(data: Mapping[str, object], key: str, path: Path) -> list[Mapping[str, object]]:
    found = data.get(key)
    if not isinstance(found, list):
        raise LabelError(f"{path}: has no list of {key}, which COCO files have; other formats of labels are GeoJSON, GPKG, masks, VOC and CSV")
    if len(found) > _MAX_RECORDS:
        raise LabelError(f"{path}: lists {len(found)} {key}, at most {_MAX_RECORDS} are read; split it")
    wrong = next((place for place, item in enumerate(found) if not isinstance(item, dict)), None)
    if wrong is not None:
        raise LabelError(f"{path}: item {wrong} of {key} is no object: {str(found[wrong])[:60]}; correct or delete it")
    return found


def _images(data: Mapping[str, object], path: Path) -> dict[object, _Image]:
    images: dict[object, _Image] = {}
    for place, item in enumerate(_list(data, "images", path)):
        key = item.get("id")
        if not isinstance(key, int | str) or key in images:
            raise LabelError(f"{path}: image {place} has the id {str(key)[:40]!r}, which is missing or taken; give each image its own")
        name = image_name(item.get("file_name"), str(path), f"image {key}")
        width, height = item.get("width"), item.get("height")
        sized = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
        images[key] = _Image(name, (width, height) if sized and isinstance(width, int) and isinstance(height, int) else None)
    names = [image.name for image in images.values()]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise LabelError(f"{path}: lists two images called {twice!r}; give each image a name of its own")
    return images


def _categories(data: Mapping[str, object], path: Path, known: dict[str, int]) -> dict[object, str]:
    names: dict[object, str] = {}
    for place, item in enumerate(_list(data, "categories", path)):
        key, name = item.get("id"), value_text(item.get("name"))
        if not isinstance(key, int) or key in names or name is None:
            raise LabelError(f"{path}: category {place} ({str(item)[:80]}) needs an id of its own and a name; correct it")
        names[key] = name
        known.setdefault(name, key)
    return names


def _object(item: Mapping[str, object], number: int, images: Mapping[object, _Image], names: Mapping[object, str], path: Path) -> tuple[PixelObject, bool]:
    """One annotation, and whether its box had to do."""
    feature = f"{path.name}#{item.get('id', number)}"
    image, name = images.get(_key(item.get("image_id"))), names.get(_key(item.get("category_id")))
    if image is None:
        raise LabelError(f"{path}: annotation {feature} is of image {item.get('image_id')!r}, which is not listed; add the image or delete the annotation")
    if name is None:
        raise LabelError(f"{path}: annotation {feature} is of category {item.get('category_id')!r}, which is not listed; add the category or correct it")
    try:
        outline = _segmentation(item.get("segmentation"), image)
        boxed = outline is None
        if outline is None:
            outline = _box(item.get("bbox"))
    except ValueError as cause:
        raise LabelError(f"{path}: annotation {feature}: {cause}; correct or delete it") from cause
    return PixelObject(image.name, outline, name, feature, item.get("iscrowd") == 1), boxed


def _key(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _segmentation(value: object, image: _Image) -> shapely.Geometry | None:
    """None where there is nothing usable, so that the box has to do."""
    if isinstance(value, dict):
        size = value.get("size")
        if image.size_px is not None and size != [image.size_px[1], image.size_px[0]]:
            raise ValueError(f"its mask has the size {str(size)[:40]}, its image {[image.size_px[1], image.size_px[0]]}")
        return rle_outline(value.get("counts"), size)
    if not isinstance(value, list) or not value:
        return None
    rings = [np.array(_numbers(ring, "a ring"), np.float64).reshape(-1, 2) for ring in value if _is_ring(ring)]
    if not rings:
        return None
    polygons = (
        shapely.make_valid([shapely.Polygon(ring) for ring in rings], method="structure", keep_collapsed=False)
        if len(rings) > 1
        else [shapely.Polygon(rings[0])]
    )
    return polygons[0] if len(rings) == 1 else shapely.union_all(polygons)


def _is_ring(ring: object) -> bool:
    """At least three points; shorter ones enclose nothing."""
    if not isinstance(ring, list) or len(ring) % 2:
        raise ValueError(f"its ring {str(ring)[:60]} is no list of x and y")
    return len(ring) >= 6


def _box(value: object) -> shapely.Geometry:
    """Empty for a box without area."""
    if value is None:
        return shapely.Polygon()
    x, y, width, height = _numbers(value, "bbox", 4)
    return shapely.box(x, y, x + width, y + height) if width > 0 and height > 0 else shapely.Polygon()


def _numbers(value: object, what: str, count: int | None = None) -> list[float]:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        raise ValueError(f"its {what} {str(value)[:60]} is not a list of {count or 'all'} numbers")
    if not all(isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < _FARTHEST for number in value):
        raise ValueError(f"its {what} {str(value)[:60]} holds something that is no pixel coordinate")
    return [float(number) for number in value]

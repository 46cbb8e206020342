"""COCO: one JSON with images, categories and annotations (boxes, polygons, run-length masks), coordinates in
pixels from the corner.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from ...core.classes import IGNORE_ID
from ...errors import LabelError
from ...io.geojson import plain_value
from ...io.rasterize import burn
from ..classnames import Known, value_text
from ..labeloptions import LabelOptions
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .annotations import NO_SPLIT, Annotations, LabelledImage, LabelledObject, Losses, classed
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat
from .outlineforms import box_of, has_holes, open_ring, polygon_parts
from .rle import rle_outline, rle_runs
from .safefile import checked_list, put, read_json

_FARTHEST = 1e12


@dataclass(frozen=True)
class _Image:
    name: str
    size_px: tuple[int, int] | None


def read_coco(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Objects of COCO files; their outline is the segmentation, or the box where there is none.

    Crowds are ignored. Category ids stay where they are 1 to 254, names come from `categories`. Images
    without annotations are covered too. Raises `LabelError` naming the annotation.
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
        for number, annotation in enumerate(checked_list(data.get("annotations"), "annotations", path)):
            found, boxed = _object(annotation, number, images, names, path)
            objects.append(found)
            from_box += boxed
    notes = (
        [f"{from_box} annotations have no usable segmentation: their box is taken"]
        if 0 < from_box < len(objects)
        else []
    )
    fitting = {name: i for name, i in known.items() if 0 < i < IGNORE_ID}
    return pixel_records(
        source, objects, list(covered.values()), notes, Known(tuple(known), fitting), "category"
    )


def load_json(path: Path) -> Mapping[str, object]:
    """The object that a COCO file holds. Raises `LabelError` for anything else."""
    data = read_json(path)
    if isinstance(data, list) and data and isinstance(data[0], dict) and "category_id" in data[0]:
        raise LabelError(
            f"{path}: is a list of COCO results, which names no images; give the whole data set (images, annotations, categories)"
        )
    if not isinstance(data, dict):
        raise LabelError(
            f"{path}: holds a JSON {type(data).__name__}; a COCO object with images, annotations and categories was expected"
        )
    return data


def _images(data: Mapping[str, object], path: Path) -> dict[object, _Image]:
    images: dict[object, _Image] = {}
    for place, item in enumerate(checked_list(data.get("images"), "images", path)):
        key = item.get("id")
        if not isinstance(key, int | str) or key in images:
            raise LabelError(
                f"{path}: image {place} has the id {str(key)[:40]!r}, which is missing or taken; give each image its own"
            )
        name = image_name(item.get("file_name"), str(path), f"image {key}")
        width, height = item.get("width"), item.get("height")
        sized = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
        images[key] = _Image(
            name, (width, height) if sized and isinstance(width, int) and isinstance(height, int) else None
        )
    names = [image.name for image in images.values()]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise LabelError(f"{path}: lists two images called {twice!r}; give each image a name of its own")
    return images


def _categories(data: Mapping[str, object], path: Path, known: dict[str, int]) -> dict[object, str]:
    names: dict[object, str] = {}
    for place, item in enumerate(checked_list(data.get("categories"), "categories", path)):
        key, name = item.get("id"), value_text(item.get("name"))
        if not isinstance(key, int) or key in names or name is None:
            raise LabelError(
                f"{path}: category {place} ({str(item)[:80]}) needs an id of its own and a name; correct it"
            )
        names[key] = name
        known.setdefault(name, key)
    return names


def _object(
    item: Mapping[str, object],
    number: int,
    images: Mapping[object, _Image],
    names: Mapping[object, str],
    path: Path,
) -> tuple[PixelObject, bool]:
    """One annotation, and whether its box had to do."""
    feature = f"{path.name}#{item.get('id', number)}"
    image, name = images.get(_key(item.get("image_id"))), names.get(_key(item.get("category_id")))
    if image is None:
        raise LabelError(
            f"{path}: annotation {feature} is of image {item.get('image_id')!r}, which is not listed; add the image or delete the annotation"
        )
    if name is None:
        raise LabelError(
            f"{path}: annotation {feature} is of category {item.get('category_id')!r}, which is not listed; add the category or correct it"
        )
    try:
        outline = _segmentation(item.get("segmentation"), image)
        boxed = outline is None
        if outline is None:
            outline = _box(item.get("bbox"))
    except ValueError as cause:
        raise LabelError(f"{path}: annotation {feature}: {cause}; correct or delete it") from cause
    return PixelObject(
        image.name,
        outline,
        name,
        feature,
        item.get("iscrowd") == 1,
        _score(item, feature, path),
        attributes_of(item),
    ), boxed


def attributes_of(item: Mapping[str, object]) -> Mapping[str, object]:
    """What an annotation says beside its class and place, as CVAT and others write it."""
    found = item.get("attributes")
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def _score(item: Mapping[str, object], feature: str, path: Path) -> float | None:
    value = item.get("score")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LabelError(
            f"{path}: annotation {feature} has the score {str(value)[:40]!r}, which is no number; correct or delete it"
        )
    return float(value)


def _key(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _segmentation(value: object, image: _Image) -> shapely.Geometry | None:
    """None where there is nothing usable, so that the box has to do."""
    if isinstance(value, dict):
        size = value.get("size")
        if image.size_px is not None and size != [image.size_px[1], image.size_px[0]]:
            raise ValueError(
                f"its mask has the size {str(size)[:40]}, its image {[image.size_px[1], image.size_px[0]]}"
            )
        return rle_outline(value.get("counts"), size)
    if not isinstance(value, list) or not value:
        return None
    rings = [
        np.array(_numbers(ring, "a ring"), np.float64).reshape(-1, 2) for ring in value if _is_ring(ring)
    ]
    if not rings:
        return None
    polygons = (
        shapely.make_valid(
            [shapely.Polygon(ring) for ring in rings], method="structure", keep_collapsed=False
        )
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
    if not all(
        isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < _FARTHEST
        for number in value
    ):
        raise ValueError(f"its {what} {str(value)[:60]} holds something that is no pixel coordinate")
    return [float(number) for number in value]


# Writing


def write_coco(found: Annotations, folder: Path, losses: Losses) -> None:
    """`annotations.json`, or one file a split: `annotations/instances_SPLIT.json`. Holes become pixels
    (run-length masks); ignored objects are crowds.
    """
    ids = {info.name: info.id for info in found.classes.foreground}
    number = 0
    for split in found.splits:
        images, annotations = [], []
        for image_id, image in enumerate(found.of_split(split), start=1):
            images.append(
                {"id": image_id, "file_name": image.name, "width": image.width, "height": image.height}
            )
            for one in classed(image, losses):
                number += 1
                annotations.append(
                    {
                        "id": number,
                        "image_id": image_id,
                        "category_id": ids[one.class_name],
                        **_annotation(one, image, losses),
                    }
                )
        categories = [{"id": i, "name": name, "supercategory": ""} for name, i in ids.items()]
        text = json.dumps(
            {
                "info": {"description": "written by eo_dl"},
                "images": images,
                "annotations": annotations,
                "categories": categories,
            },
            allow_nan=False,
        )
        put(folder, "annotations.json" if split == NO_SPLIT else f"annotations/instances_{split}.json", text)


def _annotation(one: LabelledObject, image: LabelledImage, losses: Losses) -> dict[str, object]:
    col0, row0, col1, row1 = box_of(one.outline, Losses())
    extras: dict[str, object] = {} if one.score is None else {"score": float(one.score)}
    attributes = {key: plain_value(value) for key, value in one.attributes.items() if value is not None}
    return {
        "segmentation": _written_segmentation(one.outline, image, losses),
        "bbox": [col0, row0, col1 - col0, row1 - row0],
        "area": float(one.outline.area),
        "iscrowd": int(one.ignore),
        **extras,
        "attributes": {**attributes, "feature_id": one.feature_id},
    }


def _written_segmentation(outline: shapely.Geometry, image: LabelledImage, losses: Losses) -> object:
    if not has_holes(outline):
        return [open_ring(part).ravel().tolist() for part in polygon_parts(outline)]
    losses.count("objects with holes became masks of whole pixels (COCO has no polygons with holes)")
    mask = burn([outline], [1], image.height, image.width) == 1
    return {"size": [image.height, image.width], "counts": rle_runs(mask)}


def _is_coco(file: LabelFile) -> bool:
    outline = file.json
    lists = {name for name in ("annotations", "categories") if outline.members.get(name) == "["}
    return outline.outer == "{" and bool(lists)


FORMAT = LabelFormat(
    name="coco",
    title="COCO",
    recognition=Recognition(
        suffixes=frozenset({".json"}),
        content=_is_coco,
        hint="lists of images, annotations and categories",
    ),
    read_records=read_coco,
    written=(
        WrittenFormat(
            name="coco",
            title="COCO",
            holds=Capabilities(
                shape="polygons", holes="pixels", parts="yes", scores=True, attributes=True, ignore=True
            ),
            label_files=("annotations.json", "annotations/instances_*.json"),
            write_images=write_coco,
            single_file="annotations.json",
            default_suffix=".json",
        ),
    ),
)

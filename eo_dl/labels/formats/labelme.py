"""LabelMe: a JSON an image with shapes: polygons, rectangles, circles, and masks as a PNG in base64; several
shapes of one `group_id` are one object.

Shapes of a group are read as one object only where they are of one class and say the same `feature_id`, since
people group other things too.
"""

from __future__ import annotations

import base64
import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image, UnidentifiedImageError

from ...errors import LabelError
from ...io.geojson import plain_value
from ...io.rasterize import burn, polygonize
from ..classnames import value_text
from ..labeloptions import LabelOptions
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .annotations import Annotations, LabelledImage, LabelledObject, Losses, usable
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat, images_in
from .outlineforms import edges_polygon, has_holes, is_box, joined, open_ring, polygon_parts, ring_polygon
from .parts import joined_parts
from .safefile import checked_list, put, read_json

_MAX_MASK_PX = 2**26
_CIRCLE_SEGMENTS = 16
_AREALESS = {"point", "points", "line", "linestrip"}


def read_labelme(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Shapes of LabelMe files; lines and points, which have no area, are counted and left out. Raises
    `LabelError` naming the shape.
    """
    objects: list[PixelObject] = []
    covered: list[ImageRecord] = []
    left = 0
    for path in paths:
        data = read_json(path)
        if not isinstance(data, dict):
            raise LabelError(
                f"{path}: holds a JSON {type(data).__name__}; a LabelMe object with shapes and imagePath was expected"
            )
        name = image_name(data.get("imagePath"), str(path), "imagePath")
        covered.append(ImageRecord(name, _size(data)))
        shapes = checked_list(data.get("shapes"), "shapes", path)
        found = [
            (_object(shape, number, name, path), _group(shape))
            for number, shape in enumerate(shapes, start=1)
            if shape.get("shape_type") not in _AREALESS
        ]
        left += len(shapes) - len(found)
        objects += joined_parts([one for one, _ in found], [group for _, group in found])
    notes = [f"{left} points and lines have no area and are left out"] if left else []
    return pixel_records(source, objects, covered, notes, class_field="label")


def _size(data: Mapping[str, object]) -> tuple[int, int] | None:
    width, height = data.get("imageWidth"), data.get("imageHeight")
    return (
        (width, height)
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
        else None
    )


def _group(shape: Mapping[str, object]) -> str | None:
    group = shape.get("group_id")
    attributes = shape.get("attributes")
    own = attributes.get("feature_id") if isinstance(attributes, dict) else None
    return None if group is None or own is None else f"{group}/{own}"


def _object(shape: Mapping[str, object], number: int, image: str, path: Path) -> PixelObject:
    try:
        outline = _outline(shape)
        score = shape.get("score")
        if score is not None and (
            isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score)
        ):
            raise ValueError(f"its score is {str(score)[:40]!r}")
    except (ValueError, TypeError, UnidentifiedImageError, OSError) as cause:
        raise LabelError(
            f"{path}: shape {number} ({str(shape.get('label'))[:40]}): {' '.join(str(cause).split())[:120]}; correct or delete it"
        ) from cause
    attributes = shape.get("attributes")
    extras = {str(key): value for key, value in attributes.items()} if isinstance(attributes, dict) else {}
    return PixelObject(
        image,
        outline,
        value_text(shape.get("label")),
        f"{path.name}#{number}",
        score=score,
        attributes=extras,
    )


def _outline(shape: Mapping[str, object]) -> shapely.Geometry:
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape.get("points"), np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("its points are no list of x and y")
    if kind in ("rectangle", "circle", "mask") and len(points) != 2:
        raise ValueError(f"a {kind} has two points, found {len(points)}")
    if kind == "rectangle":
        return edges_polygon(*points.ravel())
    if kind == "circle":
        ring_polygon(points)
        return shapely.Point(points[0]).buffer(
            float(np.hypot(*(points[1] - points[0]))), quad_segs=_CIRCLE_SEGMENTS
        )
    if kind == "mask":
        ring_polygon(points)
        return _mask_outline(shape.get("mask"), points[0])
    if kind in ("polygon", "oriented_rectangle"):
        return ring_polygon(points)
    raise ValueError(f"its shape_type is {str(kind)[:40]!r}; polygon, rectangle, circle and mask are read")


def _mask_outline(text: object, origin: npt.NDArray[np.float64]) -> shapely.Geometry:
    if not isinstance(text, str):
        raise ValueError("its mask is no text")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG",)) as picture:
                if picture.width * picture.height > _MAX_MASK_PX:
                    raise ValueError(f"its mask of {picture.width}x{picture.height} px is too large")
                mask = np.asarray(picture.convert("L")) > 0
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as cause:
        raise ValueError("its mask is too large") from cause
    polygons, _ = polygonize(mask.astype(np.uint8), mask)
    return shapely.transform(joined(list(polygons)), lambda xy: xy + origin)


# Writing


def write_labelme(found: Annotations, folder: Path, losses: Losses) -> None:
    """`NAME.json` beside each image. Parts of an object share a group; outlines with holes become masks of
    whole pixels.
    """
    for image in found.images:
        shapes = [
            shape
            for number, one in enumerate(usable(image, losses), start=1)
            for shape in _shapes(one, number, image, losses)
        ]
        document: dict[str, object] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": image.name,
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        put(folder, f"{image.stem}.json", json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False))


def _shapes(
    one: LabelledObject, number: int, image: LabelledImage, losses: Losses
) -> list[dict[str, object]]:
    if has_holes(one.outline):
        losses.count("objects with holes became masks of whole pixels (LabelMe has no polygons with holes)")
        return [_shape(one, *_written_mask(one.outline, image), None)]
    parts = polygon_parts(one.outline)
    group = number if len(parts) > 1 else None
    found = []
    for part in parts:
        if is_box(part):
            col0, row0, col1, row1 = part.bounds
            found.append(_shape(one, "rectangle", [[col0, row0], [col1, row1]], None, group))
        else:
            found.append(_shape(one, "polygon", open_ring(part).tolist(), None, group))
    return found


def _shape(
    one: LabelledObject, kind: str, points: list[list[float]], mask: str | None, group: int | None
) -> dict[str, object]:
    attributes = {key: plain_value(value) for key, value in one.attributes.items() if value is not None}
    return {
        "label": one.class_name,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": mask,
        **({} if one.score is None else {"score": float(one.score)}),
        "attributes": {**attributes, "feature_id": one.feature_id},
    }


def _written_mask(outline: shapely.Geometry, image: LabelledImage) -> tuple[str, list[list[float]], str]:
    full = burn([outline], [1], image.height, image.width) == 1
    rows, cols = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
    if not len(rows):  # holds no pixel's centre: one pixel stands for it
        col, row = (
            min(max(int(v), 0), most - 1)
            for v, most in zip(outline.bounds[:2], (image.width, image.height), strict=True)
        )
        rows, cols, full[row, col] = np.array([row]), np.array([col]), True
    cut = full[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    buffer = io.BytesIO()
    Image.fromarray(cut).save(buffer, format="PNG")
    corners = [[float(cols[0]), float(rows[0])], [float(cols[-1]), float(rows[-1])]]
    return "mask", corners, base64.b64encode(buffer.getvalue()).decode()


def _is_labelme(file: LabelFile) -> bool:
    if file.json.outer != "{" or file.json.members.get("shapes") != "[":
        return False
    # The name of the image comes after the shapes, so a long file has it at its end.
    return b'"imagePath"' in file.head or b'"imagePath"' in file.tail


FORMAT = LabelFormat(
    name="labelme",
    title="LabelMe",
    recognition=Recognition(
        suffixes=frozenset({".json"}),
        content=_is_labelme,
        hint="shapes and imagePath",
    ),
    read_records=read_labelme,
    written=(
        WrittenFormat(
            name="labelme",
            title="LabelMe",
            holds=Capabilities(
                shape="polygons", holes="pixels", parts="yes", scores=True, attributes=True, bands=False
            ),
            label_files=(".",),
            write_images=write_labelme,
            image_folder=images_in(""),
            image_kind="png",
            output_names=("*.json",),
        ),
    ),
)

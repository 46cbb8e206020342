"""LabelMe: a JSON file per image with polygons, rectangles, circles, and masks as PNG in base64.

Shapes with one `group_id` and one label are the parts of one object, as LabelMe's own converters read them;
of our exports only those that also have the same `feature_id`. Files of X-AnyLabeling, which have more kinds
of shapes and mark difficult ones, are read, too.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import shapely
from PIL import Image, UnidentifiedImageError

from ...core.arraytypes import BoolArray, Float64Array
from ...core.geometries import polygons_in, shifted
from ...core.imagelabels import CoveredImage
from ...core.imagenames import composed, stem_of
from ...core.pixelpolygons import polygonize
from ...core.wording import listed
from ...errors import LabelError
from ...io.geojson import plain_value
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..marks import without_marks, without_whole_images
from ..records import PixelObject, Records, image_path, pixel_records
from .annotations import Annotations, LabelledImage, LabelledObject, Losses, objects_that_count
from .labelfile import LabelFile
from .labelformat import ANNOTATION_TOOL, LabelFormat, Recognition, WrittenFormat, images_in
from .outlineforms import (
    check_coordinates,
    cut_mask,
    edges_polygon,
    has_holes,
    is_box,
    joined,
    open_ring,
    ring_polygon,
)
from .parts import joined_parts
from .safefile import checked_list, checked_score, image_size, one_line, put, read_json

_MAX_MASK_PX = 2**26
_CIRCLE_SEGMENTS = 16
_WITHOUT_AREA = {"point", "points", "line", "linestrip"}
_TWO_POINTS = {"circle", "mask"}
_RINGS = {"polygon", "oriented_rectangle", "rotation", "quadrilateral"}


def read_labelme(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Shapes of LabelMe files; lines and points, which have no area, are counted and left out. Difficult ones
    are ignored unless `options.crowds` says otherwise. A flag that is set is a class of the whole image, in
    files without any shape; beside shapes it is left out and counted.

    Raises:
        LabelError: A file is malformed; names the shape.
    """
    objects: list[PixelObject] = []
    covered: list[CoveredImage] = []
    flagged: list[PixelObject] = []
    renamed: list[str] = []
    left_out = joined = 0
    for path in paths:
        data = read_json(path)
        if not isinstance(data, dict):
            raise LabelError(
                f"{path}: expected a LabelMe object with shapes and imagePath, "
                f"found a JSON {type(data).__name__}"
            )
        image = _image(data, path)
        covered.append(CoveredImage(image, image_size(data.get("imageWidth"), data.get("imageHeight"))))
        if stem_of(PurePosixPath(image).name).casefold() != composed(path.stem).casefold():
            renamed.append(f"{path.name} is for {PurePosixPath(image).name}")
        parts: list[PixelObject] = []
        groups: list[str | None] = []
        for number, shape in enumerate(checked_list(data.get("shapes"), "shapes", path), start=1):
            if shape.get("shape_type") in _WITHOUT_AREA:
                left_out += 1
            else:
                parts.append(_object(shape, number, image, path))
                groups.append(_group(shape))
        flagged += _flags(data, covered[-1], path)
        whole = joined_parts(parts, groups)
        joined += len(parts) - len(whole)
        objects += whole
    notes = [f"{left_out} points and lines have no area and are left out"] if left_out else []
    if joined:
        notes.append(
            f"{joined} shapes joined to others with the same group_id and label, as parts of one object"
        )
    if renamed:
        notes.append(f"{len(renamed)} files have another name than their image: {listed(renamed)}")
    objects = without_marks(objects, options.crowds, "difficult", notes)
    objects, dropped = without_whole_images([*objects, *flagged], "flags", notes)
    return pixel_records(
        source,
        objects,
        covered,
        notes,
        class_field="label",
        ignored_as="difficult",
        dropped=dropped | {"points and lines": left_out},
    )


def _image(data: Mapping[str, object], path: Path) -> str:
    """The path of the image, which the file names from its own folder."""
    text = data.get("imagePath")
    name = image_path(text, str(path), "imagePath")
    written = str(text).strip().replace("\\", "/")
    if written.startswith("/") or re.match(r"[A-Za-z]:", written):
        return name  # a path of another machine
    return composed(Path(os.path.normpath(path.parent / written)).as_posix())


def _flags(data: Mapping[str, object], image: CoveredImage, path: Path) -> list[PixelObject]:
    """The flags of an image that are set, as objects of the whole image."""
    flags = data.get("flags")
    names = [name for name, is_set in flags.items() if is_set is True] if isinstance(flags, dict) else []
    if not names:
        return []
    if image.size_px is None:
        raise LabelError(
            f"{path}: has a flag of the whole image ({names[0][:40]}) but no imageWidth and imageHeight; add "
            "them, or delete the flag"
        )
    outline = shapely.box(0, 0, *image.size_px)
    return [
        PixelObject(image.name, outline, value_text(name), f"{path.name}#{name}", whole_image=True)
        for name in names
    ]


def _attributes(shape: Mapping[str, object]) -> Mapping[str, object]:
    attributes = shape.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _group(shape: Mapping[str, object]) -> str | None:
    """What the parts of one object have in common; None for a shape by itself."""
    group, feature_id = shape.get("group_id"), _attributes(shape).get("feature_id")
    return None if group is None else f"{group}/{feature_id}"


def _object(shape: Mapping[str, object], number: int, image: str, path: Path) -> PixelObject:
    try:
        outline = _outline(shape)
        score = checked_score(shape.get("score"))
    except (ValueError, TypeError, UnidentifiedImageError, OSError) as cause:
        label = str(shape.get("label"))[:40]
        raise LabelError(
            f"{path}: shape {number} ({label}): {one_line(cause)}; correct or delete it"
        ) from cause
    return PixelObject(
        image=image,
        outline=outline,
        value=value_text(shape.get("label")),
        feature_id=f"{path.name}#{number}",
        score=score,
        ignore=shape.get("difficult") is True,
        attributes=_attributes(shape),
    )


def _outline(shape: Mapping[str, object]) -> shapely.Geometry:
    """The outline of a shape in pixels. Raises ValueError, TypeError or OSError for a malformed one."""
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape.get("points"), np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("its points are not a list of x and y")
    if kind in _TWO_POINTS and len(points) != 2:
        raise ValueError(f"a {kind} has two points, found {len(points)}")
    if kind == "rectangle" and len(points) == 2:
        return edges_polygon(*points.ravel())
    if kind == "rectangle" and len(points) != 4:
        raise ValueError(f"a rectangle has two or four points, found {len(points)}")
    if kind in _RINGS or kind == "rectangle":
        return ring_polygon(points)
    if kind == "circle":
        check_coordinates(points)
        radius = float(np.hypot(*(points[1] - points[0])))
        return shapely.Point(points[0]).buffer(radius, quad_segs=_CIRCLE_SEGMENTS)
    if kind == "mask":
        check_coordinates(points)
        return _mask_outline(shape.get("mask"), points[0])
    raise ValueError(
        f"the shape_type {str(kind)[:40]!r} is unknown; polygon, rectangle, circle and mask are read"
    )


def _mask_outline(text: object, corner: Float64Array) -> shapely.Geometry:
    """The outline of a mask in base64, whose upper left pixel lies at `corner`."""
    if not isinstance(text, str):
        raise ValueError("its mask is not text")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            mask = _decoded(base64.b64decode(text, validate=True))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as cause:
        raise ValueError("its mask is too large") from cause
    polygons, _ = polygonize(mask.astype(np.uint8), mask)
    return shifted(joined(list(polygons)), *corner)


def _decoded(png: bytes) -> BoolArray:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        if picture.width * picture.height > _MAX_MASK_PX:
            raise ValueError(f"its mask of {picture.width}x{picture.height} px is too large")
        return np.asarray(picture.convert("L")) > 0


# Writing


def write_labelme(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `NAME.json` beside each image.

    Parts of an object share a group; outlines with holes become masks of whole pixels.
    """
    for image in annotations.images:
        shapes: list[dict[str, object]] = []
        for number, labelled in enumerate(objects_that_count(image, losses), start=1):
            shapes += _shapes(labelled, number, image, losses)
        document: dict[str, object] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": image.name,
            "imageData": None,
            "imageHeight": image.height,
            "imageWidth": image.width,
        }
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
        put(folder, f"{image.stem}.json", text)


def _shapes(
    labelled: LabelledObject, number: int, image: LabelledImage, losses: Losses
) -> list[dict[str, object]]:
    """The shapes of an object, the `number`-th of its image; those of several parts share a group."""
    if has_holes(labelled.outline):
        losses.count("objects with holes became masks of whole pixels (LabelMe has no polygons with holes)")
        return [_written(labelled, _mask(labelled.outline, image))]
    parts = polygons_in(labelled.outline)
    group = number if len(parts) > 1 else None
    return [_written(labelled, _part(part), group) for part in parts]


@dataclass(frozen=True)
class _Geometry:
    """The geometry of a shape as LabelMe has it."""

    shape_type: str
    points: list[list[float]]
    mask: str | None = None


def _part(part: shapely.Polygon) -> _Geometry:
    if not is_box(part):
        return _Geometry("polygon", open_ring(part).tolist())
    col0, row0, col1, row1 = part.bounds
    return _Geometry("rectangle", [[col0, row0], [col1, row1]])


def _mask(outline: shapely.Geometry, image: LabelledImage) -> _Geometry:
    mask = cut_mask(outline, image)
    height, width = mask.pixels.shape
    png = io.BytesIO()
    Image.fromarray(mask.pixels).save(png, format="PNG")
    corners = [[mask.col, mask.row], [mask.col + width - 1, mask.row + height - 1]]
    points = [[float(col), float(row)] for col, row in corners]
    return _Geometry("mask", points, base64.b64encode(png.getvalue()).decode())


def _written(labelled: LabelledObject, geometry: _Geometry, group: int | None = None) -> dict[str, object]:
    attributes = {
        name: plain_value(value) for name, value in labelled.attributes.items() if value is not None
    }
    score: dict[str, object] = {} if labelled.score is None else {"score": float(labelled.score)}
    return {
        "label": labelled.class_name,
        "points": geometry.points,
        "group_id": group,
        "description": "",
        "shape_type": geometry.shape_type,
        "flags": {},
        "mask": geometry.mask,
        **score,
        "attributes": {**attributes, "feature_id": labelled.feature_id},
    }


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
            holds=ANNOTATION_TOOL,
            label_files=(".",),
            write_images=write_labelme,
            image_folder=images_in(""),
            image_kind="png",
            output_names=("*.json",),
        ),
    ),
)

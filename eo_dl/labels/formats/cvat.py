"""CVAT for images 1.1: one XML file with the labels of the task and the shapes and tags of each image.

Coordinates are pixels from the upper left corner. Masks are run lengths by rows inside their box, zeros
first. Shapes are drawn in the order of their `z_order`. Parts of one object share a `group_id`. Shapes of a
group are read as one object only if they have one class and the same `feature_id`, since annotators group
other things too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, indent

import numpy as np
import shapely
from shapely.affinity import rotate, scale

from ...core.classes import ClassSet
from ...core.geometries import polygons_in, shifted
from ...core.imagelabels import CoveredImage
from ...core.pixelpolygons import polygonize
from ...errors import LabelError
from ...io.geojson import plain_value
from ...io.xmltree import element, to_xml
from ..classnames import Known
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..marks import without_whole_images
from ..records import PixelObject, Records, image_path, pixel_records
from .annotations import Annotations, LabelledImage, LabelledObject, Losses, objects_that_count
from .labelfile import LabelFile
from .labelformat import ANNOTATION_TOOL, LabelFormat, Recognition, WrittenFormat
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
from .rle import run_lengths
from .safefile import MAX_RECORDS, one_line, put, read_xml

_MAX_BYTES = 512 << 20
_MAX_MASK_PX = 2**26
_ROOT = re.compile(rb"<annotations[\s/>]")
_SHAPES = ("box", "polygon", "ellipse", "mask", "tag")
_BOX_SIDES = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Shapes and tags of CVAT files. A tag is an object of the whole image; beside shapes it is left out and
    counted.

    Raises:
        LabelError: A file is malformed; names the image and the shape.
    """
    objects: list[PixelObject] = []
    covered: list[CoveredImage] = []
    names: dict[str, None] = {}  # in the order in which they occur
    left_out: Counter[str] = Counter()
    grouped = 0
    for path in paths:
        root = _root(path)
        for label in root.iter("label"):
            name = value_text(label.findtext("name"))
            if name is not None:
                names[name] = None
        for node in root.findall("image"):
            image = _image(node, path)
            covered.append(image)
            objects += _objects(node, image, path)
            left_out.update(child.tag for child in node if child.tag not in (*_SHAPES, "attribute"))
            grouped += sum(shape.get("group_id") not in (None, "0") for shape in node if _is_foreign(shape))
            if len(objects) > MAX_RECORDS:
                raise LabelError(f"{path}: holds more than {MAX_RECORDS} shapes; split it")
    notes = []
    if left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in left_out.items())
        notes.append(f"shapes without an area are left out: {kinds}")
    if grouped:
        notes.append(f"{grouped} shapes are grouped in the tool; each is an object of its own")
    objects, dropped = without_whole_images(objects, "tags", notes)
    return pixel_records(
        source,
        objects,
        covered,
        notes,
        Known(tuple(names)),
        class_field="label",
        dropped=dropped | {f"{kind}, without an area": count for kind, count in left_out.items()},
    )


def _is_foreign(shape: Element) -> bool:
    """Whether a shape was not exported by us: ours have a `feature_id`."""
    return all(child.get("name") != "feature_id" for child in shape.findall("attribute"))


def _root(path: Path) -> Element:
    root = read_xml(path, _MAX_BYTES)
    if root.tag != "annotations":
        raise LabelError(f"{path}: expected CVAT for images 1.1 with <annotations>, found <{root.tag[:40]}>")
    if root.find("track") is not None:
        raise LabelError(f"{path}: contains tracks of a video; export the task as 'CVAT for images 1.1'")
    return root


def _image(node: Element, path: Path) -> CoveredImage:
    name = image_path(node.get("name"), str(path), f"image {node.get('id')}")
    try:
        width, height = int(node.get("width", "0")), int(node.get("height", "0"))
    except ValueError as cause:
        raise LabelError(
            f"{path}: the size of {name} is not two whole numbers "
            f"({node.get('width')}x{node.get('height')}); correct it"
        ) from cause
    return CoveredImage(name, (width, height) if width > 0 and height > 0 else None)


def _objects(node: Element, image: CoveredImage, path: Path) -> list[PixelObject]:
    objects: list[PixelObject] = []
    groups: list[str | None] = []
    name = PurePosixPath(image.name).name
    shapes = list(enumerate((child for child in node if child.tag in _SHAPES), start=1))
    for number, shape in sorted(shapes, key=lambda numbered: _z_order(numbered[1], image, path)):
        attributes = {str(child.get("name")): child.text or "" for child in shape.findall("attribute")}
        try:
            outline = _outline(shape, image)
            score = _score(attributes.pop("score", ""))
        except (ValueError, KeyError) as cause:
            shape_name = f"{image.name}: {shape.tag} {number} ({str(shape.get('label'))[:40]})"
            raise LabelError(f"{path}: {shape_name}: {one_line(cause)}; correct or delete it") from cause
        objects.append(
            PixelObject(
                image=image.name,
                outline=outline,
                value=value_text(shape.get("label")),
                feature_id=f"{name}#{number}",
                score=score,
                attributes=attributes,
                whole_image=shape.tag == "tag",
            )
        )
        groups.append(_group(shape, attributes))
    return joined_parts(objects, groups)


def _z_order(shape: Element, image: CoveredImage, path: Path) -> int:
    text = shape.get("z_order") or "0"
    try:
        return int(text)
    except ValueError as cause:
        raise LabelError(
            f"{path}: {image.name}: the z_order {text[:40]!r} of a {shape.tag} is not a whole number; "
            "correct it"
        ) from cause


def _score(text: str) -> float | None:
    if not text:
        return None
    score = float(text)
    if not math.isfinite(score):
        raise ValueError("the score is not a finite number")
    return score


def _group(shape: Element, attributes: Mapping[str, str]) -> str | None:
    """What the parts of one object have in common; None for a shape by itself."""
    group = shape.get("group_id")
    if group in (None, "0") or "feature_id" not in attributes:
        return None
    return f"{group}/{attributes['feature_id']}"


def _outline(shape: Element, image: CoveredImage) -> shapely.Geometry:
    """The outline of a shape in pixels. Raises ValueError or KeyError for a malformed one."""
    if shape.tag == "box":
        box = edges_polygon(*(float(shape.attrib[side]) for side in _BOX_SIDES))
        degrees = float(shape.get("rotation", "0"))
        return rotate(box, degrees, origin="center") if degrees else box
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.attrib["points"].split(";")]
        return ring_polygon([[float(value) for value in pair] for pair in pairs])
    if shape.tag == "ellipse":
        return _ellipse(shape)
    if shape.tag == "mask":
        return _mask_outline(shape)
    if image.size_px is None:
        raise ValueError("a tag is for a whole image, whose size the file does not contain")
    return shapely.box(0, 0, *image.size_px)


def _ellipse(shape: Element) -> shapely.Geometry:
    col, row, radius_x, radius_y = (float(shape.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
    check_coordinates([col, row, radius_x, radius_y])
    ellipse = scale(shapely.Point(col, row).buffer(1.0), radius_x, radius_y)
    return rotate(ellipse, float(shape.get("rotation", "0")), origin=(col, row))


def _mask_outline(shape: Element) -> shapely.Geometry:
    left, top, width, height = (int(float(shape.attrib[key])) for key in ("left", "top", "width", "height"))
    size = width * height
    if not 0 < size <= _MAX_MASK_PX or width < 1:
        raise ValueError(f"the mask of {width}x{height} px is empty or too large")
    runs = np.array([int(run) for run in shape.attrib["rle"].split(",") if run.strip()], np.int64)
    if (runs < 0).any() or (runs > size).any() or int(runs.sum()) != size:
        raise ValueError(f"the runs add up to {int(runs.sum())} px, but the mask has {size}")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    polygons, _ = polygonize(mask.astype(np.uint8), mask)
    return shifted(joined(list(polygons)), left, top)


# Writing


def write_cvat(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `annotations.xml`, to be uploaded to a task of these images.

    The labels declare the attributes that occur, as texts; outlines with holes become masks of whole pixels.
    """
    attributes = ["feature_id"]
    attributes += [name for name in annotations.attribute_names if name not in ("feature_id", "score")]
    if annotations.has_scores:
        attributes.append("score")
    root = element("annotations", children=[element("version", text="1.1")])
    root.append(_meta(annotations.classes, len(annotations.images), attributes))
    for number, image in enumerate(annotations.images):
        size = {"width": str(image.width), "height": str(image.height)}
        node = element("image", {"id": str(number), "name": image.name, **size})
        for group, labelled in enumerate(objects_that_count(image, losses), start=1):
            if annotations.whole_images:
                node.append(_tag(labelled))
            else:
                node.extend(_shapes(labelled, group, image, losses))
        root.append(node)
    indent(root, space="")
    put(folder, "annotations.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{to_xml(root)}\n')


def _meta(classes: ClassSet, size: int, attributes: Sequence[str]) -> Element:
    labels = []
    for info in classes.foreground:
        declared = element("attributes", children=[_declared(name) for name in attributes])
        texts = {"name": info.name, "color": info.color, "type": "any"}
        labels.append(element("label", children=[*_text_elements(texts), declared]))
    texts = {"name": "eo_dl", "size": str(size), "mode": "annotation"}
    task = element("task", children=[*_text_elements(texts), element("labels", children=labels)])
    return element("meta", children=[task])


def _declared(attribute: str) -> Element:
    texts = {
        "name": attribute,
        "mutable": "False",
        "input_type": "text",
        "default_value": "",
        "values": "",
    }
    return element("attribute", children=_text_elements(texts))


def _text_elements(texts: Mapping[str, str]) -> list[Element]:
    return [element(tag, text=text) for tag, text in texts.items()]


def _tag(labelled: LabelledObject) -> Element:
    attributes = {"label": labelled.class_name, "source": "manual"}
    return element("tag", attributes, _attribute_elements(labelled))


def _shapes(labelled: LabelledObject, group: int, image: LabelledImage, losses: Losses) -> list[Element]:
    """The shapes of an object; those of several parts share a group."""
    if has_holes(labelled.outline):
        losses.count("objects with holes became masks of whole pixels (CVAT has no polygons with holes)")
        return [_mask(labelled, image)]
    parts = polygons_in(labelled.outline)
    group_id = {"group_id": str(group)} if len(parts) > 1 else {}
    return [_part(labelled, part, group_id) for part in parts]


def _part(labelled: LabelledObject, part: shapely.Polygon, group_id: Mapping[str, str]) -> Element:
    common = {**_common(labelled), **group_id}
    children = _attribute_elements(labelled)
    if is_box(part):
        sides = {side: repr(float(value)) for side, value in zip(_BOX_SIDES, part.bounds, strict=True)}
        return element("box", {**common, **sides}, children)
    points = ";".join(f"{float(col)!r},{float(row)!r}" for col, row in open_ring(part))
    return element("polygon", {**common, "points": points}, children)


def _mask(labelled: LabelledObject, image: LabelledImage) -> Element:
    mask = cut_mask(labelled.outline, image)
    height, width = mask.pixels.shape
    attributes = {
        **_common(labelled),
        "rle": ", ".join(map(str, run_lengths(mask.pixels.ravel()))),
        "left": str(mask.col),
        "top": str(mask.row),
        "width": str(width),
        "height": str(height),
    }
    return element("mask", attributes, _attribute_elements(labelled))


def _common(labelled: LabelledObject) -> dict[str, str]:
    """The XML attributes that all shapes have."""
    return {"label": labelled.class_name, "source": "manual", "occluded": "0", "z_order": "0"}


def _attribute_elements(labelled: LabelledObject) -> list[Element]:
    values = {name: plain_value(value) for name, value in labelled.attributes.items()}
    values["feature_id"] = labelled.feature_id
    if labelled.score is not None:
        values["score"] = repr(float(labelled.score))
    return [
        element("attribute", {"name": name}, text=str(value))
        for name, value in values.items()
        if value is not None
    ]


def _is_cvat(file: LabelFile) -> bool:
    return _ROOT.search(file.head) is not None


FORMAT = LabelFormat(
    name="cvat",
    title="CVAT for images 1.1",
    recognition=Recognition(
        suffixes=frozenset({".xml"}),
        content=_is_cvat,
        hint="<annotations> as its root",
    ),
    read_records=read_cvat,
    written=(
        WrittenFormat(
            name="cvat",
            title="CVAT for images 1.1",
            holds=ANNOTATION_TOOL,
            label_files=("annotations.xml",),
            write_images=write_cvat,
            image_kind="png",
            single_file="annotations.xml",
            default_suffix=".xml",
        ),
    ),
)

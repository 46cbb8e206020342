"""CVAT for images 1.1: one XML with the labels of the task and, for each image, boxes, polygons, ellipses,
masks and tags.

Coordinates are pixels from the corner. Masks are run lengths by rows inside their box, zeros first. Parts of
one object share a `group_id`; shapes of a group are read as one object only where they are of one class and
say the same `feature_id`, since people group other things too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt
import shapely
from shapely.affinity import rotate, scale

from ...core.classes import ClassSet
from ...errors import LabelError
from ...io.geojson import plain_value
from ...io.rasterize import burn, polygonize
from ..classnames import Known, value_text
from ..labeloptions import LabelOptions
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .annotations import Annotations, LabelledImage, LabelledObject, Losses, usable
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat
from .outlineforms import edges_polygon, has_holes, is_box, joined, open_ring, polygon_parts, ring_polygon
from .parts import joined_parts
from .rle import run_lengths
from .safefile import MAX_RECORDS, put, read_xml, xml_attribute, xml_text

_MAX_BYTES = 512 << 20
_MAX_MASK_PX = 2**26
_AREALESS = ("points", "polyline", "cuboid", "skeleton")
_ROOT = re.compile(rb"<annotations[\s/>]")
_SHAPES = ("box", "polygon", "ellipse", "mask", "tag")


def read_cvat(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Shapes and tags of CVAT files; a tag is an object of the whole image. Raises `LabelError` naming image
    and shape.
    """
    objects: list[PixelObject] = []
    covered: list[ImageRecord] = []
    names: list[str] = []
    left = 0
    for path in paths:
        root = read_xml(path, _MAX_BYTES)
        if root.tag != "annotations":
            raise LabelError(
                f"{path}: starts with <{root.tag[:40]}>; CVAT for images 1.1 with <annotations> was expected"
            )
        if root.find("track") is not None:
            raise LabelError(f"{path}: holds tracks of a video; export the task as 'CVAT for images 1.1'")
        names += [
            name
            for name in (value_text(label.findtext("name")) for label in root.iter("label"))
            if name is not None
        ]
        for image in root.findall("image"):
            record = _image(image, path)
            covered.append(record)
            left += sum(len(image.findall(kind)) for kind in _AREALESS)
            objects += _objects(image, record, path)
            if len(objects) > MAX_RECORDS:
                raise LabelError(f"{path}: holds more than {MAX_RECORDS} shapes; split it")
    notes = [f"{left} points, lines and cuboids have no area and are left out"] if left else []
    return pixel_records(source, objects, covered, notes, Known(tuple(dict.fromkeys(names))), "label")


def _image(image: Element, path: Path) -> ImageRecord:
    name = image_name(image.get("name"), str(path), f"image {image.get('id')}")
    try:
        width, height = int(image.get("width", "0")), int(image.get("height", "0"))
    except ValueError as cause:
        raise LabelError(
            f"{path}: the size of {name} is no number ({image.get('width')}x{image.get('height')}); correct it"
        ) from cause
    return ImageRecord(name, (width, height) if width > 0 and height > 0 else None)


def _objects(image: Element, record: ImageRecord, path: Path) -> list[PixelObject]:
    found: list[PixelObject] = []
    groups: list[str | None] = []
    for number, shape in enumerate((child for child in image if child.tag in _SHAPES), start=1):
        attributes = {str(a.get("name")): a.text or "" for a in shape.findall("attribute")}
        what = f"{record.name}: {shape.tag} {number} ({str(shape.get('label'))[:40]})"
        try:
            outline = _outline(shape, record)
            score = float(attributes.pop("score")) if attributes.get("score") else None
            if score is not None and not math.isfinite(score):
                raise ValueError("its score is no number")
        except (ValueError, KeyError) as cause:
            raise LabelError(
                f"{path}: {what}: {' '.join(str(cause).split())[:120]}; correct or delete it"
            ) from cause
        attributes.pop("score", None)
        found.append(
            PixelObject(
                record.name,
                outline,
                value_text(shape.get("label")),
                f"{record.name}#{number}",
                score=score,
                attributes=attributes,
            )
        )
        group = shape.get("group_id")
        groups.append(
            f"{group}/{attributes['feature_id']}"
            if group not in (None, "0") and "feature_id" in attributes
            else None
        )
    return joined_parts(found, groups)


def _outline(shape: Element, record: ImageRecord) -> shapely.Geometry:
    if shape.tag == "box":
        box = edges_polygon(*(float(shape.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr")))
        return (
            rotate(box, float(shape.get("rotation", "0")), origin="center")
            if float(shape.get("rotation", "0"))
            else box
        )
    if shape.tag == "ellipse":
        col, row, across, down = (float(shape.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        edges_polygon(col - across, row - down, col + across, row + down)
        round_one = scale(shapely.Point(col, row).buffer(1.0), across, down)
        return rotate(round_one, float(shape.get("rotation", "0")), origin=(col, row))
    if shape.tag == "polygon":
        return ring_polygon(
            [[float(value) for value in pair.split(",")] for pair in shape.attrib["points"].split(";")]
        )
    if shape.tag == "tag":
        if record.size_px is None:
            raise ValueError("a tag is for a whole image, whose size the file does not say")
        return shapely.box(0, 0, *record.size_px)
    return _mask_outline(shape)


def _mask_outline(shape: Element) -> shapely.Geometry:
    left, top, width, height = (int(float(shape.attrib[key])) for key in ("left", "top", "width", "height"))
    if not 0 < width * height <= _MAX_MASK_PX or width < 1:
        raise ValueError(f"its mask of {width}x{height} px is empty or too large")
    runs = np.array([int(run) for run in shape.attrib["rle"].split(",") if run.strip()], np.int64)
    if (runs < 0).any() or (runs > width * height).any() or int(runs.sum()) != width * height:
        raise ValueError(f"its runs add up to {int(runs.sum())} px, the mask has {width * height}")
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    polygons, _ = polygonize(mask.astype(np.uint8), mask)
    return shapely.transform(joined(list(polygons)), lambda xy: np.add(xy, (left, top)))


# Writing


def write_cvat(found: Annotations, folder: Path, losses: Losses) -> None:
    """`annotations.xml`: to be uploaded to a task of these images. Labels have the attributes that occur, as
    texts; outlines with holes become masks.
    """
    names = sorted(
        {name for image in found.images for one in image.objects for name in one.attributes}
        - {"feature_id", "score"}
    )
    scored = any(one.score is not None for image in found.images for one in image.objects)
    declared = ["feature_id", *names, *(["score"] if scored else [])]
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n',
        _meta(found.classes, len(found.images), declared),
    ]
    for number, image in enumerate(found.images):
        lines.append(
            f'<image id="{number}" name={xml_attribute(image.name)} width="{image.width}" height="{image.height}">\n'
        )
        for place, one in enumerate(usable(image, losses), start=1):
            lines += _tag(one) if found.whole_images else _shapes(one, place, image, losses)
        lines.append("</image>\n")
    put(folder, "annotations.xml", "".join([*lines, "</annotations>\n"]))


def _meta(classes: ClassSet, size: int, attributes: Sequence[str]) -> str:
    declared = "".join(
        f"<attribute><name>{xml_text(name)}</name><mutable>False</mutable><input_type>text</input_type><default_value></default_value><values></values></attribute>"
        for name in attributes
    )
    labels = "".join(
        f"<label><name>{xml_text(info.name)}</name><color>{info.color}</color><type>any</type><attributes>{declared}</attributes></label>\n"
        for info in classes.foreground
    )
    return f"<meta><task><name>eo_dl</name><size>{size}</size><mode>annotation</mode><labels>\n{labels}</labels></task></meta>\n"


def _head(one: LabelledObject, group: int = 0) -> str:
    grouped = f' group_id="{group}"' if group else ""
    return f'label={xml_attribute(one.class_name)} source="manual" occluded="0" z_order="0"{grouped}'


def _attributes(one: LabelledObject) -> str:
    values = {
        **{key: plain_value(value) for key, value in one.attributes.items()},
        "feature_id": one.feature_id,
    }
    if one.score is not None:
        values["score"] = repr(float(one.score))
    return "".join(
        f"<attribute name={xml_attribute(key)}>{xml_text(str(value))}</attribute>"
        for key, value in values.items()
        if value is not None
    )


def _tag(one: LabelledObject) -> list[str]:
    return [f'<tag label={xml_attribute(one.class_name)} source="manual">{_attributes(one)}</tag>\n']


def _shapes(one: LabelledObject, number: int, image: LabelledImage, losses: Losses) -> list[str]:
    if has_holes(one.outline):
        losses.count("objects with holes became masks of whole pixels (CVAT has no polygons with holes)")
        return [_mask(one, burn([one.outline], [1], image.height, image.width) == 1)]
    parts = polygon_parts(one.outline)
    return [_shape(one, part, number if len(parts) > 1 else 0) for part in parts]


def _shape(one: LabelledObject, part: shapely.Polygon, group: int) -> str:
    if is_box(part):
        sides = " ".join(
            f'{side}="{float(value)!r}"'
            for side, value in zip(("xtl", "ytl", "xbr", "ybr"), part.bounds, strict=True)
        )
        return f"<box {_head(one, group)} {sides}>{_attributes(one)}</box>\n"
    points = ";".join(f"{float(col)!r},{float(row)!r}" for col, row in open_ring(part))
    return f'<polygon {_head(one, group)} points="{points}">{_attributes(one)}</polygon>\n'


def _mask(one: LabelledObject, full: npt.NDArray[np.bool_]) -> str:
    rows, cols = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
    cut = full[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] if len(rows) else np.zeros((1, 1), np.bool_)
    top, left = (int(rows[0]), int(cols[0])) if len(rows) else (0, 0)
    size = f'left="{left}" top="{top}" width="{cut.shape[1]}" height="{cut.shape[0]}"'
    return f'<mask {_head(one)} rle="{", ".join(map(str, run_lengths(cut.ravel())))}" {size}>{_attributes(one)}</mask>\n'


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
            holds=Capabilities(
                shape="polygons", holes="pixels", parts="yes", scores=True, attributes=True, bands=False
            ),
            label_files=("annotations.xml",),
            write_images=write_cvat,
            image_kind="png",
            single_file="annotations.xml",
            default_suffix=".xml",
        ),
    ),
)

"""Label Studio: a list of tasks with annotations and predictions, and the labelling configuration.

Coordinates are percent of the image. Regions with the ids `NAME~1`, `NAME~2` ... are parts of one object;
objects with a score are predictions, from which annotators start. Images are named as local files of the tool
(`/data/local-files/?d=images/NAME`), with the folder of the export as document root.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree.ElementTree import Element, indent

import numpy as np
import shapely
from shapely.affinity import rotate, scale

from ...core.arraytypes import BoolArray, Float64Array
from ...core.classes import ClassSet
from ...core.geometries import polygons_in
from ...core.imagelabels import CoveredImage
from ...core.pixelpolygons import polygonize
from ...errors import LabelError
from ...io.rasterize import burn
from ...io.xmltree import element, to_xml
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..marks import without_whole_images
from ..records import PixelObject, Records, image_path, pixel_records
from .annotations import (
    Annotations,
    LabelledImage,
    LabelledObject,
    Losses,
    objects_that_count,
    without_extras,
)
from .bitmask import png_mask
from .brush import brush_code, brush_mask
from .labelfile import LabelFile
from .labelformat import ANNOTATION_TOOL, LabelFormat, Recognition, WrittenFormat
from .outlineforms import (
    check_coordinates,
    edges_polygon,
    has_holes,
    is_box,
    joined,
    open_ring,
    ring_polygon,
)
from .parts import joined_parts
from .safefile import checked_list, checked_score, image_size, one_line, put, read_json

_LOCAL_FILES = "/data/local-files/?d="
_PART_ID = re.compile(r"(.+)~\d+")
_UPLOADED_NAME = re.compile(r"[0-9a-f]{8}-(.+)")
_CHOICES = "choices"
# The kinds of regions with an area, each alone and with its labels ("RectangleLabels").
_SHAPE_OF_KIND = {
    "rectangle": "rectangle",
    "rectanglelabels": "rectangle",
    "polygon": "polygon",
    "polygonlabels": "polygon",
    "ellipse": "ellipse",
    "ellipselabels": "ellipse",
    "brush": "brush",
    "brushlabels": "brush",
    "bitmask": "bitmask",
    "bitmasklabels": "bitmask",
    _CHOICES: _CHOICES,
}
# Results that are no regions and no classes.
_NO_REGIONS = frozenset(
    {"relation", "textarea", "rating", "number", "pairwise", "datetime", "ranker", "labels"}
)
_OUR_IDS = "eo-"  # before the id of an object that was exported by us
_MODEL = "eo_dl"

Region = dict[str, Any]
"""One result of an annotation: a shape, or the classes of the whole image."""


# Reading


def read_label_studio(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Regions of the last annotation of each task that was not cancelled, else of its last prediction.

    A region may have its label in another result with the same id. Regions of kinds that are not read
    (points, vectors) are counted, and so are classes of whole images beside regions.

    Raises:
        LabelError: A file is malformed; names the task and the region.
    """
    covered: dict[str, CoveredImage] = {}
    regions_of: dict[str, tuple[_Task, list[Region]]] = {}
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for path in paths:
        for number, item in enumerate(checked_list(read_json(path), "tasks", path), start=1):
            task = _Task(item, f"task {item.get('id', number)}", path)
            image = task.image()
            regions = task.regions(counts)
            if regions is None:
                continue
            if image in covered:
                raise LabelError(
                    f"{path}: {task.name} has the image {image!r}, as one before it; delete one of them"
                )
            task.check_one_image(regions)
            covered[image] = CoveredImage(image, task.size_px(regions))
            regions_of[image] = (task, regions)
            left_out.update(_unread_kinds(regions))
    notes = [f"{number} {what}" for what, number in counts.items()]
    objects = []
    for image, (task, regions) in regions_of.items():
        objects += task.objects(regions, image)
    objects, dropped = without_whole_images(objects, "choices", notes)
    if left_out:
        kinds = ", ".join(f"{number} {kind}" for kind, number in left_out.items())
        notes.append(
            f"regions of kinds that are not read are left out: {kinds}; read are rectangles, polygons, "
            "ellipses, brush strokes and bitmasks"
        )
    dropped |= {f"{kind}, not read": number for kind, number in left_out.items()}
    return pixel_records(source, objects, list(covered.values()), notes, class_field="label", dropped=dropped)


def _unread_kinds(regions: Sequence[Region]) -> list[str]:
    """The kind of each region that is not read."""
    kinds = [str(region.get("type"))[:40] for region in regions]
    return [kind for kind in kinds if kind not in _SHAPE_OF_KIND and kind not in _NO_REGIONS]


@dataclass(frozen=True)
class _Task:
    """One image with its annotations and predictions."""

    item: Mapping[str, object]
    name: str
    path: Path

    @property
    def data(self) -> Mapping[str, object]:
        """What the annotator sees."""
        data = self.item.get("data")
        return data if isinstance(data, dict) else {}

    def image(self) -> str:
        """The path of the image: in the field `image`, else the only text in the data."""
        texts = [value for value in self.data.values() if isinstance(value, str)]
        text = self.data.get("image", texts[0] if len(texts) == 1 else None)
        if not isinstance(text, str):
            return image_path(text, str(self.path), self.name)
        parts = urlsplit(text)
        location = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
        path = PurePosixPath(image_path(location, str(self.path), self.name))
        # The tool puts eight digits in front of the names of uploaded files.
        uploaded = _UPLOADED_NAME.fullmatch(path.name) if "upload" in path.parts else None
        return str(path.with_name(uploaded[1]) if uploaded else path)

    def regions(self, counts: Counter[str]) -> list[Region] | None:
        """The regions to read; None for a task without annotation and prediction. Choices are counted."""
        annotations = self._list("annotations" if "annotations" in self.item else "completions")
        finished = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
        predictions = self._list("predictions")
        if len(finished) > 1:
            counts["tasks have several annotations: the last one is taken"] += 1
        if finished and predictions:
            counts["tasks have predictions beside their annotation: these are not read"] += 1
        if finished:
            return self._result(finished[-1])
        if predictions:
            counts["tasks have no annotation: their predictions are taken"] += 1
            return self._result(predictions[-1])
        counts["tasks without annotation or prediction are not labelled and left out"] += 1
        return None

    def _list(self, key: str) -> list[Region]:
        return checked_list(self.item.get(key, []), f"{key} ({self.name})", self.path)

    def _result(self, annotation: Region) -> list[Region]:
        return checked_list(annotation.get("result"), f"result ({self.name})", self.path)

    def check_one_image(self, regions: Sequence[Region]) -> None:
        """Raise `LabelError` where regions belong to several images of the task, or to a turned one."""
        drawn = [one for one in regions if one.get("type") in _SHAPE_OF_KIND]
        names = {str(one.get("to_name")) for one in drawn}
        pages = {one.get("item_index") or 0 for one in drawn}
        if len(names) > 1 or len(pages) > 1:
            raise LabelError(
                f"{self.path}: {self.name}: its regions belong to several images; make a task of each image"
            )
        turned = [one for one in drawn if one.get("image_rotation") and one.get("type") != _CHOICES]
        if turned:
            degrees = str(turned[0]["image_rotation"])[:10]
            raise LabelError(
                f"{self.path}: {self.name}: regions were drawn on the image turned by {degrees} degrees, so "
                "their place on the stored image is not known; turn it back in Label Studio and export again"
            )

    def size_px(self, regions: Sequence[Region]) -> tuple[int, int] | None:
        """(width, height) of the image, by its regions or its data. Raises `LabelError` where they differ."""
        stated = [image_size(one.get("original_width"), one.get("original_height")) for one in regions]
        sizes = dict.fromkeys(size for size in stated if size is not None)
        if len(sizes) > 1:
            (width, height), (other_width, other_height), *_ = sizes
            raise LabelError(
                f"{self.path}: {self.name}: its regions say two sizes of the image, {width}x{height} and "
                f"{other_width}x{other_height}; correct them"
            )
        if sizes:
            return next(iter(sizes))
        return image_size(self.data.get("width"), self.data.get("height"))

    def objects(self, regions: Sequence[Region], image: str) -> list[PixelObject]:
        """The objects of an image; a region with several labels gives one object for each."""
        objects: list[PixelObject] = []
        groups: list[str | None] = []
        labels_of = _labels_by_id(regions)
        for number, region in enumerate(regions, start=1):
            if region.get("type") not in _SHAPE_OF_KIND:
                continue  # counted by the caller
            key = str(region.get("id", number))[:80]
            try:
                outline, labels = _outline(region), _labels(region, labels_of)
                score = checked_score(region.get("score"))
            except (ValueError, TypeError, KeyError) as cause:
                raise LabelError(
                    f"{self.path}: {self.name}, region {key}: {one_line(cause)}; correct or delete it"
                ) from cause
            part = _PART_ID.fullmatch(key)
            group = None if part is None else part[1]
            for label in labels:
                objects.append(
                    PixelObject(
                        image=image,
                        outline=outline,
                        value=value_text(label),
                        feature_id=f"{image}#{key}",
                        score=score,
                        attributes=_feature_id(key, group),
                        whole_image=region.get("type") == _CHOICES,
                    )
                )
                groups.append(group)
        return joined_parts(objects, groups)


def _feature_id(key: str, group: str | None) -> dict[str, object]:
    """The id of an object that was exported by us, as an attribute; the tool's own ids are not kept."""
    if group is None and not key.startswith(_OUR_IDS):
        return {}
    return {"feature_id": (group or key).removeprefix(_OUR_IDS)}


def _labels_by_id(regions: Sequence[Region]) -> dict[str, list[object]]:
    """The labels that stand in results of their own, by the id of their region."""
    labels: dict[str, list[object]] = {}
    for region in regions:
        value = region.get("value")
        names = value.get("labels") if isinstance(value, dict) else None
        if region.get("type") == "labels" and isinstance(names, list):
            labels.setdefault(str(region.get("id")), []).extend(names)
    return labels


def _labels(region: Region, labels_of: Mapping[str, list[object]]) -> list[object]:
    """The classes of a region; one without a label has no class."""
    value, kind = region["value"], str(region.get("type"))
    labels = value.get(kind, value.get("labels"))
    if labels is None and kind in _SHAPE_OF_KIND.values() and kind != _CHOICES:
        return labels_of.get(str(region.get("id"))) or [None]
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"it has no label ({str(labels)[:40]})")
    return labels


def _outline(region: Region) -> shapely.Geometry:
    """The outline of a region in pixels."""
    value, kind = region.get("value"), _SHAPE_OF_KIND[str(region.get("type"))]
    if not isinstance(value, dict):
        raise ValueError("it has no value")
    size = image_size(region.get("original_width"), region.get("original_height"))
    if size is None:
        raise ValueError("the size of its image is missing or not two whole numbers")
    width, height = size
    if kind == _CHOICES:
        return shapely.box(0, 0, width, height)
    if kind == "brush":
        return _painted(brush_mask(value.get("rle"), width, height))
    if kind == "bitmask":
        return _painted(png_mask(value.get("imageDataURL"), width, height))
    percent = np.array([width, height]) / 100.0  # pixels per percent
    if kind == "polygon":
        return ring_polygon(np.asarray(value["points"], np.float64).reshape(-1, 2) * percent)
    if kind == "ellipse":
        return _ellipse(value, percent)
    return _rectangle(value, percent)


def _painted(mask: BoolArray) -> shapely.Geometry:
    polygons, _ = polygonize(mask.astype(np.uint8), mask)
    return joined(list(polygons))


def _ellipse(value: Region, percent: Float64Array) -> shapely.Geometry:
    x, y, radius_x, radius_y = (float(value[key]) for key in ("x", "y", "radiusX", "radiusY"))
    check_coordinates([x, y, radius_x, radius_y])
    col, row = x * percent[0], y * percent[1]
    circle = shapely.Point(col, row).buffer(1.0)
    ellipse = scale(circle, radius_x * percent[0], radius_y * percent[1])
    return _turned(ellipse, value, (col, row))


def _rectangle(value: Region, percent: Float64Array) -> shapely.Geometry:
    x, y, wide, high = (float(value[key]) for key in ("x", "y", "width", "height"))
    col, row = x * percent[0], y * percent[1]
    box = edges_polygon(col, row, (x + wide) * percent[0], (y + high) * percent[1])
    return _turned(box, value, (col, row))  # about its corner, as the tool turns


def _turned(outline: shapely.Geometry, value: Region, origin: tuple[float, float]) -> shapely.Geometry:
    degrees = float(value.get("rotation") or 0)
    return rotate(outline, degrees, origin=origin) if degrees else outline


# Writing


def write_label_studio(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `tasks.json` to import, and `labelling_config.xml` to set up the project.

    Outlines with holes become brush strokes of whole pixels.
    """
    tasks = [_task(image, annotations.whole_images, losses) for image in annotations.images]
    put(folder, "tasks.json", json.dumps(tasks, indent=1, allow_nan=False, ensure_ascii=False))
    config = labelling_config(annotations.classes, annotations.whole_images)
    put(folder, "labelling_config.xml", config)


def labelling_config(classes: ClassSet, whole_images: bool = False) -> str:
    """The labelling interface of the project, to whose names the regions refer."""
    image = {"name": "image", "value": "$image"}
    if whole_images:
        choices = [element("Choice", {"value": info.name}) for info in classes.foreground]
        attributes = {"name": "class", "toName": "image", "choice": "multiple", "showInLine": "true"}
        controls = [element("Choices", attributes, choices)]
    else:
        image |= {"zoom": "true", "zoomControl": "true"}
        controls = [
            _shape_control("RectangleLabels", "box", classes),
            _shape_control("PolygonLabels", "outline", classes),
            _shape_control("BrushLabels", "brush", classes),
        ]
    view = element("View", children=[element("Image", image), *controls])
    indent(view)
    return f"{to_xml(view)}\n"


def _shape_control(tag: str, name: str, classes: ClassSet) -> Element:
    labels = [element("Label", {"value": info.name, "background": info.color}) for info in classes.foreground]
    return element(tag, {"name": name, "toName": "image"}, labels)


def _task(image: LabelledImage, whole_images: bool, losses: Losses) -> dict[str, object]:
    objects = without_extras(objects_that_count(image, losses), losses, scores=True)
    drawn = [labelled for labelled in objects if labelled.score is None]
    scores = [labelled.score for labelled in objects if labelled.score is not None]
    task: dict[str, object] = {
        "data": {
            "image": _LOCAL_FILES + quote(f"images/{image.name}"),
            "split": image.split,
            "width": image.width,
            "height": image.height,
        },
        "annotations": [],
    }
    if drawn or not scores:
        task["annotations"] = [{"result": _results(drawn, image, whole_images, losses)}]
    if scores:
        predicted = [labelled for labelled in objects if labelled.score is not None]
        task["predictions"] = [
            {
                "model_version": _MODEL,
                "score": float(sum(scores)) / len(scores),
                "result": _results(predicted, image, whole_images, losses),
            }
        ]
    return task


def _results(
    objects: Sequence[LabelledObject], image: LabelledImage, whole_images: bool, losses: Losses
) -> list[Region]:
    if whole_images:
        names = list(dict.fromkeys(labelled.class_name for labelled in objects))
        return [{**_region("class", "choices", image), "value": {"choices": names}}] if names else []
    results: list[Region] = []
    for labelled in objects:
        results += _regions(labelled, image, losses)
    return results


def _regions(labelled: LabelledObject, image: LabelledImage, losses: Losses) -> list[Region]:
    """The regions of an object, one per part."""
    shapes = _shapes(labelled.outline, image, losses)
    score: Region = {} if labelled.score is None else {"score": float(labelled.score)}
    regions = []
    for number, shape in enumerate(shapes, start=1):
        part = f"~{number}" if len(shapes) > 1 else ""
        regions.append(
            {
                **_region(shape.control, shape.kind, image),
                "id": f"{_OUR_IDS}{labelled.feature_id}{part}",
                **score,
                "value": {**shape.value, shape.kind: [labelled.class_name]},
            }
        )
    return regions


def _region(control: str, kind: str, image: LabelledImage) -> Region:
    return {
        "from_name": control,
        "to_name": "image",
        "type": kind,
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
    }


@dataclass(frozen=True)
class _Shape:
    """A part of an object: by which control it is drawn, its kind, and its geometry."""

    control: str
    kind: str
    value: Region


def _shapes(outline: shapely.Geometry, image: LabelledImage, losses: Losses) -> list[_Shape]:
    if has_holes(outline):
        losses.count(
            "objects with holes became brush strokes of whole pixels "
            "(Label Studio has no polygons with holes)"
        )
        mask = burn([outline], [1], image.height, image.width) == 1
        return [_Shape("brush", "brushlabels", {"format": "rle", "rle": brush_code(mask)})]
    percent = 100.0 / np.array([image.width, image.height])  # percent per pixel
    shapes = []
    for part in polygons_in(outline):
        if is_box(part):
            x, y = (float(value) for value in np.array(part.bounds[:2]) * percent)
            x1, y1 = (float(value) for value in np.array(part.bounds[2:]) * percent)
            box = {"x": x, "y": y, "width": x1 - x, "height": y1 - y, "rotation": 0}
            shapes.append(_Shape("box", "rectanglelabels", box))
        else:
            points = (open_ring(part) * percent).tolist()
            shapes.append(_Shape("outline", "polygonlabels", {"points": points, "closed": True}))
    return shapes


_TASK_KEYS = {"data", "annotations", "predictions", "completions"}


def _is_label_studio(file: LabelFile) -> bool:
    return file.json.outer == "[" and not _TASK_KEYS.isdisjoint(file.json.members)


FORMAT = LabelFormat(
    name="labelstudio",
    title="Label Studio",
    recognition=Recognition(
        suffixes=frozenset({".json"}),
        content=_is_label_studio,
        hint="a list of tasks",
    ),
    read_records=read_label_studio,
    written=(
        WrittenFormat(
            name="labelstudio",
            title="Label Studio",
            holds=replace(ANNOTATION_TOOL, attributes=False),
            label_files=("tasks.json",),
            write_images=write_label_studio,
            image_kind="png",
            single_file="tasks.json",
            predictions=True,
        ),
    ),
)

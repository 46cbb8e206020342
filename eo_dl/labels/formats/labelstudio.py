"""Label Studio: a list of tasks with their annotations and, for objects with a score, predictions to start
from; and the labelling config.

Coordinates are percent of the image. Regions whose ids are `NAME~1`, `NAME~2` ... are parts of one object.
Images are named as the tool's local files (`/data/local-files/?d=images/NAME`, with the folder of the export
as document root).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np
import shapely
from shapely.affinity import rotate, scale

from ...core.classes import ClassSet
from ...errors import LabelError
from ...io.rasterize import burn, polygonize
from ..classnames import value_text
from ..labeloptions import LabelOptions
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .annotations import Annotations, LabelledImage, LabelledObject, Losses, usable, without_extras
from .brush import brush_code, brush_mask
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat
from .outlineforms import edges_polygon, has_holes, is_box, joined, open_ring, polygon_parts, ring_polygon
from .parts import joined_parts
from .safefile import checked_list, put, read_json, xml_attribute

_LOCAL = "/data/local-files/?d="
_PART = re.compile(r"(.+)~\d+")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
_KINDS = {"rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "choices"}
_MODEL = "eo_dl"

Task = Mapping[str, object]
Region = dict[str, Any]


# Reading


def read_label_studio(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """The last annotation of each task that was not skipped, else its predictions. Raises `LabelError` naming
    task and region.
    """
    objects: list[PixelObject] = []
    covered: dict[str, ImageRecord] = {}
    counts = {"several": 0, "beside": 0, "predicted": 0, "skipped": 0}
    for path in paths:
        for number, task in enumerate(checked_list(read_json(path), "tasks", path), start=1):
            what = f"task {task.get('id', number)}"
            name = _image(task, path, what)
            regions = _regions(task, path, what, counts)
            if regions is None:
                continue
            if name in covered:
                raise LabelError(
                    f"{path}: {what} is of the image {name!r}, as one before it; delete one of them"
                )
            covered[name] = ImageRecord(name, _size(task, regions))
            objects += _objects(regions, name, path, what)
    told = {
        "several": "tasks have several annotations: the last one is taken",
        "beside": "tasks have predictions beside their annotation: these are not read",
        "predicted": "tasks have no annotation: their predictions are taken",
        "skipped": "tasks without annotation or prediction are not labelled and left out",
    }
    return pixel_records(
        source,
        objects,
        list(covered.values()),
        [f"{counts[key]} {text}" for key, text in told.items() if counts[key]],
        class_field="label",
    )


def _image(task: Task, path: Path, what: str) -> str:
    """The file name of a task's image: of the field `image`, else of the only text in its data."""
    data = task.get("data")
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    text = data.get("image", texts[0] if len(texts) == 1 else None) if isinstance(data, dict) else None
    if isinstance(text, str):
        parts = urlsplit(text)
        found = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
        name = image_name(found, str(path), what)
        uploaded = _UPLOADED.fullmatch(name) if "upload" in PurePosixPath(found).parts else None
        return uploaded[1] if uploaded else name
    return image_name(text, str(path), what)


def _regions(task: Task, path: Path, what: str, counts: dict[str, int]) -> list[Region] | None:
    """The regions that count; None for a task that nobody worked on."""
    annotations = [
        one
        for one in checked_list(
            task.get("annotations", task.get("completions", [])), f"annotations ({what})", path
        )
        if not one.get("was_cancelled")
    ]
    counts["several"] += len(annotations) > 1
    counts["beside"] += bool(annotations and task.get("predictions"))
    if annotations:
        return checked_list(annotations[-1].get("result"), f"result ({what})", path)
    predictions = checked_list(task.get("predictions", []), f"predictions ({what})", path)
    counts["predicted" if predictions else "skipped"] += 1
    return checked_list(predictions[-1].get("result"), f"result ({what})", path) if predictions else None


def _size(task: Task, regions: Sequence[Region]) -> tuple[int, int] | None:
    data = task.get("data")
    for found in (*regions, data if isinstance(data, dict) else {}):
        width, height = (
            found.get("original_width", found.get("width")),
            found.get("original_height", found.get("height")),
        )
        if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
            return width, height
    return None


def _objects(regions: Sequence[Region], image: str, path: Path, what: str) -> list[PixelObject]:
    found: list[PixelObject] = []
    groups: list[str | None] = []
    for number, region in enumerate(regions, start=1):
        if region.get("type") not in _KINDS:
            continue  # relations, texts: no areas
        key = str(region.get("id", number))[:80]
        try:
            outline, labels = _outline(region), _labels(region)
            score = region.get("score")
            if score is not None and (
                isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score)
            ):
                raise ValueError(f"its score is {str(score)[:40]!r}")
        except (ValueError, TypeError, KeyError) as cause:
            raise LabelError(
                f"{path}: {what}, region {key}: {' '.join(str(cause).split())[:120]}; correct or delete it"
            ) from cause
        part = _PART.fullmatch(key)
        for label in labels:
            attributes = (
                {}
                if part is None and not key.startswith("eo-")
                else {"feature_id": (part[1] if part else key).removeprefix("eo-")}
            )
            found.append(
                PixelObject(
                    image, outline, value_text(label), f"{image}#{key}", score=score, attributes=attributes
                )
            )
            groups.append(part[1] if part else None)
    return joined_parts(found, groups)


def _labels(region: Region) -> list[object]:
    value = region.get("value")
    assert isinstance(value, dict)
    labels = value.get(str(region.get("type")), value.get("labels"))
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"it has no label ({str(labels)[:40]})")
    return labels


def _outline(region: Region) -> shapely.Geometry:
    value, kind = region.get("value"), region.get("type")
    width, height = region.get("original_width"), region.get("original_height")
    if not isinstance(value, dict):
        raise ValueError("it has no value")
    if not isinstance(width, int) or not isinstance(height, int) or width <= 0 or height <= 0:
        raise ValueError(f"the size of its image is {width}x{height}")
    if kind == "choices":
        return shapely.box(0, 0, width, height)
    if kind == "brushlabels":
        mask = brush_mask(value.get("rle"), width, height)
        return joined(list(polygonize(mask.astype(np.uint8), mask)[0]))
    percent = np.array([width, height]) / 100.0
    if kind == "polygonlabels":
        return ring_polygon(np.asarray(value["points"], np.float64).reshape(-1, 2) * percent)
    turn = float(value.get("rotation") or 0)
    x, y = (float(value[key]) for key in ("x", "y"))
    if kind == "ellipselabels":
        across, down = (float(value[key]) for key in ("radiusX", "radiusY"))
        edges_polygon(x - across, y - down, x + across, y + down)
        found = scale(
            shapely.Point(x * percent[0], y * percent[1]).buffer(1.0), across * percent[0], down * percent[1]
        )
        return rotate(found, turn, origin=(x * percent[0], y * percent[1])) if turn else found
    wide, high = (float(value[key]) for key in ("width", "height"))
    col, row = x * percent[0], y * percent[1]
    box = edges_polygon(col, row, (x + wide) * percent[0], (y + high) * percent[1])
    return rotate(box, turn, origin=(col, row)) if turn else box  # about the corner, as the tool turns


# Writing


def write_label_studio(found: Annotations, folder: Path, losses: Losses) -> None:
    """`tasks.json` to import and `labelling_config.xml` to set up the project with. Outlines with holes
    become brush strokes.
    """
    tasks = [_task(image, found.whole_images, losses) for image in found.images]
    put(folder, "tasks.json", json.dumps(tasks, indent=1, allow_nan=False, ensure_ascii=False))
    put(folder, "labelling_config.xml", labelling_config(found.classes, found.whole_images))


def labelling_config(classes: ClassSet, whole_images: bool = False) -> str:
    """The project's labelling interface, whose names the regions refer to."""
    if whole_images:
        choices = "".join(f"    <Choice value={xml_attribute(info.name)}/>\n" for info in classes.foreground)
        return f'<View>\n  <Image name="image" value="$image"/>\n  <Choices name="class" toName="image" choice="multiple" showInLine="true">\n{choices}  </Choices>\n</View>\n'
    labels = "".join(
        f'    <Label value={xml_attribute(info.name)} background="{info.color}"/>\n'
        for info in classes.foreground
    )
    tools = (("RectangleLabels", "box"), ("PolygonLabels", "outline"), ("BrushLabels", "brush"))
    controls = "".join(f'  <{tag} name="{name}" toName="image">\n{labels}  </{tag}>\n' for tag, name in tools)
    return (
        f'<View>\n  <Image name="image" value="$image" zoom="true" zoomControl="true"/>\n{controls}</View>\n'
    )


def _task(image: LabelledImage, whole: bool, losses: Losses) -> dict[str, object]:
    objects = without_extras(usable(image, losses), losses, scores=True)
    sure = [one for one in objects if one.score is None]
    found = [one for one in objects if one.score is not None]
    task: dict[str, object] = {
        "data": {
            "image": _LOCAL + quote(f"images/{image.name}"),
            "split": image.split,
            "width": image.width,
            "height": image.height,
        },
        "annotations": [{"result": _results(sure, image, whole, losses)}] if sure or not found else [],
    }
    if found:
        score = sum(float(one.score or 0) for one in found) / len(found)
        task["predictions"] = [
            {"model_version": _MODEL, "score": score, "result": _results(found, image, whole, losses)}
        ]
    return task


def _results(
    objects: Sequence[LabelledObject], image: LabelledImage, whole: bool, losses: Losses
) -> list[dict[str, object]]:
    if whole:
        names = list(dict.fromkeys(one.class_name for one in objects))
        return [{**_region("class", "choices", image), "value": {"choices": names}}] if names else []
    found = []
    for one in objects:
        extras: dict[str, object] = {} if one.score is None else {"score": float(one.score)}
        for number, (name, kind, value) in enumerate(values := _values(one, image, losses), start=1):
            key = f"eo-{one.feature_id}" + (f"~{number}" if len(values) > 1 else "")
            found.append(
                {
                    **_region(name, kind, image),
                    "id": key,
                    **extras,
                    "value": {**value, kind: [one.class_name]},
                }
            )
    return found


def _region(name: str, kind: str, image: LabelledImage) -> dict[str, object]:
    return {
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
    }


def _values(
    one: LabelledObject, image: LabelledImage, losses: Losses
) -> list[tuple[str, str, dict[str, object]]]:
    """(control, type, value) of each part of an object."""
    if has_holes(one.outline):
        losses.count(
            "objects with holes became brush strokes of whole pixels (Label Studio has no polygons with holes)"
        )
        mask = burn([one.outline], [1], image.height, image.width) == 1
        return [("brush", "brushlabels", {"format": "rle", "rle": brush_code(mask)})]
    percent = 100.0 / np.array([image.width, image.height])
    found: list[tuple[str, str, dict[str, object]]] = []
    for part in polygon_parts(one.outline):
        if is_box(part):
            (x, y), (x1, y1) = np.array(part.bounds[:2]) * percent, np.array(part.bounds[2:]) * percent
            found.append(
                (
                    "box",
                    "rectanglelabels",
                    {
                        "x": float(x),
                        "y": float(y),
                        "width": float(x1 - x),
                        "height": float(y1 - y),
                        "rotation": 0,
                    },
                )
            )
        else:
            found.append(
                ("outline", "polygonlabels", {"points": (open_ring(part) * percent).tolist(), "closed": True})
            )
    return found


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
            holds=Capabilities(shape="polygons", holes="pixels", parts="yes", scores=True, bands=False),
            label_files=("tasks.json",),
            write_images=write_label_studio,
            image_kind="png",
            single_file="tasks.json",
            predictions=True,
        ),
    ),
)

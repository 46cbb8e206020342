"""Every format that is written: what it can carry, where its images lie, and its writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import ConfigError
from .boxcsv import write_box_csv
from .classfiles import write_image_csv
from .coco import write_coco
from .cvat import write_cvat
from .dota import write_dota
from .labelme import write_labelme
from .labelstudio import write_label_studio
from .maskfiles import write_masks, write_voc_masks
from .record import Annotations, Losses
from .voc import write_voc
from .yolo import write_yolo_boxes, write_yolo_corners, write_yolo_polygons

Shape = Literal["boxes", "turned boxes", "polygons", "pixels", "classes"]
Writer = Callable[[Annotations, Path, Losses], None]


@dataclass(frozen=True)
class FormatInfo:
    """What a format can carry. `holes`, `parts`: "yes" (exactly), "pixels" (as masks of whole pixels) or "no".

    `read_as`: the name by which `read_labels` knows it. `single`: the one file of it, where it is one. `images`: the folder of its images, with {split}
    where each split has its own. `pictures`: its tools show PNG and JPEG only. `bands`: images may have any number of bands.
    """

    name: str
    title: str
    read_as: str
    shape: Shape
    holes: str
    parts: str
    scores: bool
    attributes: bool
    ignore: bool
    bands: bool
    images: str
    writer: Writer
    single: str | None = None
    pictures: bool = False


_ALL = (
    FormatInfo("coco", "COCO", "coco", "polygons", "pixels", "yes", True, True, True, True, "images", write_coco, "annotations.json"),
    FormatInfo("yolo", "YOLO detect", "yolo", "boxes", "no", "no", False, False, False, True, "images/{split}", write_yolo_boxes),
    FormatInfo("yolo-seg", "YOLO segment", "yolo", "polygons", "no", "no", False, False, False, True, "images/{split}", write_yolo_polygons),
    FormatInfo("yolo-obb", "YOLO OBB", "yolo", "turned boxes", "no", "no", False, False, False, True, "images/{split}", write_yolo_corners),
    FormatInfo("voc", "Pascal VOC", "voc", "boxes", "no", "no", False, False, True, True, "JPEGImages", write_voc),
    FormatInfo("voc-masks", "Pascal VOC masks", "mask", "pixels", "pixels", "pixels", False, False, True, True, "JPEGImages", write_voc_masks),
    FormatInfo(
        "labelstudio", "Label Studio", "labelstudio", "polygons", "pixels", "yes", True, False, False, False, "images", write_label_studio, "tasks.json", True
    ),
    FormatInfo("cvat", "CVAT for images 1.1", "cvat", "polygons", "pixels", "yes", True, True, False, False, "images", write_cvat, "annotations.xml", True),
    FormatInfo("labelme", "LabelMe", "labelme", "polygons", "pixels", "yes", True, True, False, False, "", write_labelme, None, True),
    FormatInfo("dota", "DOTA", "dota", "turned boxes", "no", "no", False, False, True, True, "{split}/images", write_dota),
    FormatInfo("csv", "CSV of boxes", "csv", "boxes", "no", "no", True, True, False, True, "images", write_box_csv, "labels.csv"),
    FormatInfo("masks", "Mask rasters", "mask", "pixels", "pixels", "pixels", False, False, True, True, "images", write_masks),
    FormatInfo("image-csv", "CSV of file and class", "csv", "classes", "no", "no", False, False, False, True, "images", write_image_csv, "labels.csv"),
)
PIXEL_FORMATS: Mapping[str, FormatInfo] = {info.name: info for info in _ALL}
"""Formats in pixels of images, by name."""

FOLDERS, MAP_FORMATS = "folders", {"gpkg": ".gpkg", "geojson": ".geojson", "fgb": ".fgb", "parquet": ".parquet"}
FORMATS = (*PIXEL_FORMATS, FOLDERS, *MAP_FORMATS)
"""Everything that `labels export` and `labels convert` write."""


def known_format(name: str) -> str:
    """The name of a format as it was given. Raises `ConfigError` for one that is not written."""
    if name not in FORMATS:
        raise ConfigError(f"--format {name!r}: is not written; choose one of {', '.join(FORMATS)}")
    return name

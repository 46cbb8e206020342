"""Every format that is written: what it can carry, where its images lie, and its writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...core.classes import ClassSet
from ...errors import ConfigError
from .annotations import Annotations, Losses
from .boxcsv import write_box_csv
from .classfiles import folder_name, write_image_csv
from .coco import write_coco
from .cvat import write_cvat
from .dota import dota_name, write_dota
from .labelme import write_labelme
from .labelstudio import write_label_studio
from .maskfiles import write_masks, write_voc_masks
from .voc import write_voc
from .yolo import write_yolo_boxes, write_yolo_corners, write_yolo_polygons

Shape = Literal["boxes", "turned boxes", "polygons", "pixels", "classes"]
Writer = Callable[[Annotations, Path, Losses], None]


@dataclass(frozen=True)
class FormatInfo:
    """What a format can carry. `holes`, `parts`: "yes" (exactly), "pixels" (as masks of whole pixels) or
    "no".

    `read_as`: the name by which `read_labels` knows it. `single`: the one file of it, where it is one.
    `images`: the folder of its images, with {split} where each split has its own. `pictures`: its tools show
    PNG and JPEG only. `bands`: images may have any number of bands. `found_at`: where its label files lie in
    a folder, as patterns. `written_name`: what a class is called in it.
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
    found_at: tuple[str, ...]
    single: str | None = None
    pictures: bool = False
    written_name: Callable[[str], str] = str


_ALL = (
    FormatInfo(
        "coco",
        "COCO",
        "coco",
        "polygons",
        "pixels",
        "yes",
        True,
        True,
        True,
        True,
        "images",
        write_coco,
        ("annotations.json", "annotations/instances_*.json"),
        "annotations.json",
    ),
    FormatInfo(
        "yolo",
        "YOLO detect",
        "yolo",
        "boxes",
        "no",
        "no",
        False,
        False,
        False,
        True,
        "images/{split}",
        write_yolo_boxes,
        ("data.yaml",),
    ),
    FormatInfo(
        "yolo-seg",
        "YOLO segment",
        "yolo",
        "polygons",
        "no",
        "no",
        False,
        False,
        False,
        True,
        "images/{split}",
        write_yolo_polygons,
        ("data.yaml",),
    ),
    FormatInfo(
        "yolo-obb",
        "YOLO OBB",
        "yolo",
        "turned boxes",
        "no",
        "no",
        False,
        False,
        False,
        True,
        "images/{split}",
        write_yolo_corners,
        ("data.yaml",),
    ),
    FormatInfo(
        "voc",
        "Pascal VOC",
        "voc",
        "boxes",
        "no",
        "no",
        False,
        False,
        True,
        True,
        "JPEGImages",
        write_voc,
        ("Annotations",),
    ),
    FormatInfo(
        "voc-masks",
        "Pascal VOC masks",
        "mask",
        "pixels",
        "pixels",
        "pixels",
        False,
        False,
        True,
        True,
        "JPEGImages",
        write_voc_masks,
        ("SegmentationClass",),
    ),
    FormatInfo(
        "labelstudio",
        "Label Studio",
        "labelstudio",
        "polygons",
        "pixels",
        "yes",
        True,
        False,
        False,
        False,
        "images",
        write_label_studio,
        ("tasks.json",),
        "tasks.json",
        True,
    ),
    FormatInfo(
        "cvat",
        "CVAT for images 1.1",
        "cvat",
        "polygons",
        "pixels",
        "yes",
        True,
        True,
        False,
        False,
        "images",
        write_cvat,
        ("annotations.xml",),
        "annotations.xml",
        True,
    ),
    FormatInfo(
        "labelme",
        "LabelMe",
        "labelme",
        "polygons",
        "pixels",
        "yes",
        True,
        True,
        False,
        False,
        "",
        write_labelme,
        (".",),
        None,
        True,
    ),
    FormatInfo(
        "dota",
        "DOTA",
        "dota",
        "turned boxes",
        "no",
        "no",
        False,
        False,
        True,
        True,
        "{split}/images",
        write_dota,
        ("labelTxt", "*/labelTxt"),
        written_name=dota_name,
    ),
    FormatInfo(
        "csv",
        "CSV of boxes",
        "csv",
        "boxes",
        "no",
        "no",
        True,
        True,
        False,
        True,
        "images",
        write_box_csv,
        ("labels.csv",),
        "labels.csv",
    ),
    FormatInfo(
        "masks",
        "Mask rasters",
        "mask",
        "pixels",
        "pixels",
        "pixels",
        False,
        False,
        True,
        True,
        "images",
        write_masks,
        ("masks",),
    ),
    FormatInfo(
        "image-csv",
        "CSV of file and class",
        "csv",
        "classes",
        "no",
        "no",
        False,
        False,
        False,
        True,
        "images",
        write_image_csv,
        ("labels.csv",),
        "labels.csv",
    ),
)
PIXEL_FORMATS: Mapping[str, FormatInfo] = {info.name: info for info in _ALL}
"""Formats in pixels of images, by name."""

FOLDERS, MAP_FORMATS = (
    "folders",
    {"gpkg": ".gpkg", "geojson": ".geojson", "fgb": ".fgb", "parquet": ".parquet"},
)
FORMATS = (*PIXEL_FORMATS, FOLDERS, *MAP_FORMATS)
"""Everything that `labels export` and `labels convert` write."""


def label_places(name: str, folder: Path, splits: Sequence[str]) -> tuple[str, ...]:
    """Where the labels of a format lie in a folder that was written in it, relative to it: files, or folders
    of files.
    """
    if name == FOLDERS:
        return tuple(split for split in splits if (folder / split).is_dir()) or (".",)
    patterns = (f"labels{MAP_FORMATS[name]}",) if name in MAP_FORMATS else PIXEL_FORMATS[name].found_at
    return tuple(
        sorted(
            path.relative_to(folder).as_posix()
            for pattern in patterns
            for path in ([folder] if pattern == "." else folder.glob(pattern))
            if path.exists()
        )
    )


def read_as(name: str) -> str:
    """By which name `read_labels` knows a format."""
    return "vector" if name in MAP_FORMATS else name if name == FOLDERS else PIXEL_FORMATS[name].read_as


def own_names(name: str, classes: ClassSet) -> dict[str, str]:
    """Names of classes as a format changed them, with their own; those that two classes would share are left
    out.
    """
    change = (
        folder_name if name == FOLDERS else PIXEL_FORMATS[name].written_name if name in PIXEL_FORMATS else str
    )
    found: dict[str, list[str]] = {}
    for info in classes:
        found.setdefault(change(info.name), []).append(info.name)
    return {written: names[0] for written, names in found.items() if len(names) == 1 and names[0] != written}


def known_format(name: str) -> str:
    """The name of a format as it was given. Raises `ConfigError` for one that is not written."""
    if name not in FORMATS:
        raise ConfigError(f"--format {name!r}: is not written; choose one of {', '.join(FORMATS)}")
    return name

"""Formats of labels: one module per format, which ends with its `FORMAT`.

To add a format, write its module and add its line to `FORMAT_NAMES`; a test compares the names with those of
the module. This list is apart from the modules so that the choices of the command line need no heavy import;
`formatlist` loads them.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple


class FormatNames(NamedTuple):
    """The module of a format and the names by which users call it."""

    module: str
    reads: str
    writes: tuple[str, ...]


FORMAT_NAMES = (
    FormatNames("coco", reads="coco", writes=("coco",)),
    FormatNames("yolo", reads="yolo", writes=("yolo", "yolo-seg", "yolo-obb")),
    FormatNames("voc", reads="voc", writes=("voc",)),
    FormatNames("maskfiles", reads="masks", writes=("masks", "voc-masks")),
    FormatNames("labelstudio", reads="labelstudio", writes=("labelstudio",)),
    FormatNames("cvat", reads="cvat", writes=("cvat",)),
    FormatNames("labelme", reads="labelme", writes=("labelme",)),
    FormatNames("dota", reads="dota", writes=("dota",)),
    FormatNames("boxcsv", reads="csv", writes=("csv",)),
    FormatNames("imagecsv", reads="image-csv", writes=("image-csv",)),
    FormatNames("classfolders", reads="folders", writes=("folders",)),
    FormatNames("mapfile", reads="vector", writes=("gpkg", "geojson", "fgb", "parquet")),
)

READ_FORMATS = tuple(names.reads for names in FORMAT_NAMES)
"""Names of all formats that are read."""

WRITTEN_FORMATS = tuple(chain.from_iterable(names.writes for names in FORMAT_NAMES))
"""Names of all formats that are written."""

"""`import_labels`: labels that were corrected in another tool, back on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import LabelError
from ..io.scene import open_scene
from .converting import check_target, write_labels
from .formats.record import Losses
from .imageindex import find_index, read_index
from .objects import annotations_of
from .pixelset import label_set_of
from .placing import place_labels
from .read import read_labels
from .sources import Format
from .written import WrittenLabels


def import_labels(
    source: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    index: str | Path | None = None,
    format: Format | None = None,
    classes: Sequence[str] | str | Path | None = None,
    join: bool = True,
    overwrite: bool = False,
) -> WrittenLabels:
    """Labels of exported images, in map coordinates, written to `out` (.gpkg, .geojson, .fgb, .parquet; in pixels of scenes without CRS: .json, COCO).

    `index`: the eo_dl_index.json of the export (default: beside or above the labels). `format`: of the labels, where their content does not say it.
    `join`: pieces of one object that several images show become one. A GeoPackage also has the layer `annotated`: the ground of the images that came back.

    Raises `LabelError`, naming file and record; `OutputExistsError`.

    >>> import_labels("cvat/annotations.xml", out="labels.gpkg")  # doctest: +SKIP
    """
    target = Path(out)
    written_as = check_target(target, None, overwrite)
    found = read_index(index if index is not None else find_index(source))
    labels = read_labels(source, format=format, classes=classes, sizes_px=found.sizes_px)
    if labels.crs is not None:
        raise LabelError(f"{labels.source}: is in map coordinates already, so no index is needed; convert it with labels convert")
    losses = Losses()
    if labels.masks:
        labels = replace(label_set_of(annotations_of(labels, [], losses)), notes=(*labels.notes, *losses.notes))
    if labels.whole_images:
        raise LabelError(f"{labels.source}: holds labels of whole images, which have no outlines; give it to tile as it is")
    placed = place_labels(labels, found, join=join)
    scenes = [open_scene(path) for path in dict.fromkeys(one.scene_path for one in found.images if one.scene_path) if Path(path).is_file()]
    notes = write_labels(placed, target, written_as, scenes, overwrite)
    return WrittenLabels(target, placed, (*placed.notes, *notes))

"""`read_labels`: annotations of any format as one `LabelSet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.labelset import LabelSet
from ..errors import LabelError
from ..io.vectorlayers import layer_length
from .classnames import ClassRequest, parse_classes
from .formats.boxcsv import read_csv
from .formats.coco import read_coco
from .formats.cvat import read_cvat
from .formats.dota import read_dota
from .formats.labelme import read_labelme
from .formats.labelstudio import read_label_studio
from .formats.voc import read_voc
from .formats.vocclasses import labelmap_spec
from .formats.yolo import Sizes, read_yolo
from .labelsources import Format, Sources, find_sources
from .projectlayout import ANNOTATED, is_project
from .raster.maskset import read_masks
from .records import Records, Unlabelled, label_set
from .vector.vectorlabels import VectorOptions, read_areas, read_vectors
from .wholeimages import is_image_csv, read_folders, read_image_csv


def read_labels(
    source: str | Path | Sequence[str | Path],
    *,
    class_field: str | None = None,
    layer: str | None = None,
    where: str | None = None,
    crs: str | None = None,
    buffer_m: float | None = None,
    annotated: str | Path | None = None,
    classes: Sequence[str] | str | Path | None = None,
    unlabelled: Unlabelled = "background",
    voc_origin: int | None = None,
    format: Format | None = None,
    sizes_px: Sizes | None = None,
    attributes: bool = False,
) -> LabelSet:
    """Labels of a file, a folder, a pattern in quotes, or a list of these; `notes` of the result tell what
    was repaired, dropped or guessed.

    Formats, found by content: vectors (GPKG, GeoJSON, Shapefile, FlatGeobuf, GeoParquet), label rasters of
    ids or colours, Pascal VOC, COCO, YOLO, DOTA, Label Studio, CVAT, LabelMe, CSV boxes, and labels of whole
    images: a CSV of file and class (several with `;` or `|` between), or ROOT/CLASS/NAME.jpg. `layer`, `crs`
    (in place of the file's), `where` ("FIELD=VALUE|VALUE", a list matches by any element), `buffer_m` (points
    and lines become areas of this radius on the ground) and `class_field` are for vectors; the class field is
    guessed where only one can be it, "none" makes all features one class, "file" takes the name of the file.

    Of a labelling project (`labels start`) the layer `labels` is read, and `annotated`, where something is
    drawn in it, is where labels are complete.

    `classes`: names in order ("water,woods"), values to merge or name ("building=1|2", "Road=#6EC1E4"),
    values to ignore ("-9"); "*" is all others. `annotated`: polygons inside which labels are complete.
    `unlabelled`: what ground without a label is; "ignore" leaves it out of training and scores. `voc_origin`:
    number of the first pixel in VOC boxes (None: 1, unless a coordinate is 0). `sizes_px`: (width, height) of
    images by name, for YOLO files whose images do not lie beside them. `attributes`: carry further fields and
    scores of vectors along.

    Raises `LabelError` with one line.

    >>> labels = read_labels("trees.gpkg", class_field="species")  # doctest: +SKIP
    """
    if unlabelled not in ("background", "ignore"):
        raise LabelError(
            f"labels: unlabelled ground is 'background' or 'ignore', found {unlabelled!r}; choose one with --unlabelled"
        )
    spec = parse_classes(classes)
    found = find_sources(source, format)
    options = VectorOptions(class_field, layer, crs, buffer_m, where, attributes)
    _refuse_useless(options, found)
    if found.format == "mask":
        labels = read_masks(found.paths, spec or _labelmap(found), unlabelled, found.name)
    else:
        labels = label_set(
            _one_class_by_name(read_records(found, options, voc_origin, sizes_px), spec), spec, unlabelled
        )
    labels = replace(labels, notes=(*found.notes, *labels.notes))
    if (
        annotated is None
        and found.format == "vector"
        and len(found.paths) == 1
        and is_project(found.paths[0], layer)
    ):
        return _with_drawn_areas(labels, Path(found.paths[0]), unlabelled)
    return labels if annotated is None else _with_annotated(labels, Path(annotated), unlabelled)


_PLAIN: dict[str, Callable[[Sequence[Path], str], Records]] = {
    "coco": read_coco,
    "dota": read_dota,
    "labelstudio": read_label_studio,
    "cvat": read_cvat,
    "labelme": read_labelme,
    "folders": read_folders,
}


def _labelmap(found: Sources) -> ClassRequest | None:
    """The classes of a Pascal VOC data set, of whose masks the colours are named beside them."""
    path = Path(found.paths[0]).parent.parent / "labelmap.txt"
    return labelmap_spec(path) if path.is_file() else None


def read_records(
    found: Sources, options: VectorOptions, voc_origin: int | None = None, sizes_px: Sizes | None = None
) -> Records:
    """Annotations as a format gives them, before anything is repaired, dropped or named. Raises `LabelError`."""
    paths = [Path(path) for path in found.paths]
    if found.format in _PLAIN:
        return _PLAIN[found.format](paths, found.name)
    if found.format == "yolo":
        return read_yolo(paths, found.name, sizes_px)
    if found.format == "voc":
        return read_voc(paths, found.name, voc_origin)
    if found.format == "csv":
        return (
            read_image_csv(paths, found.name, options.class_field)
            if is_image_csv(paths[0])
            else read_csv(paths, found.name)
        )
    return read_vectors(paths, options, found.name)


def _one_class_by_name(records: Records, spec: ClassRequest | None) -> Records:
    """Where nothing tells classes apart, a single name given for them is theirs."""
    if (
        records.class_field is not None
        or spec is None
        or not spec.bare
        or len(spec.names) != 1
        or len(set(records.values)) != 1
    ):
        return records
    return replace(records, values=spec.names * len(records.values))


def _refuse_useless(options: VectorOptions, found: Sources) -> None:
    """An option that has no meaning for a format is a misunderstanding, not something to pass over."""
    if found.format == "vector":
        return
    flags = {
        "--layer": options.layer,
        "--where": options.where,
        "--label-crs": options.crs,
        "--buffer-m": options.buffer_m,
        "--class-field": options.class_field,
    }
    columns = (
        ("--class-field",)
        if found.format == "csv" and all(is_image_csv(Path(path)) for path in found.paths)
        else ()
    )
    given = [flag for flag, value in flags.items() if value is not None and flag not in columns]
    if given:
        raise LabelError(
            f"{found.name}: {', '.join(given)} is for vector labels, these are of the format {found.format}; leave it out"
        )


def _with_drawn_areas(labels: LabelSet, path: Path, unlabelled: Unlabelled) -> LabelSet:
    """The annotated ground of a labelling project, where some is drawn."""
    if layer_length(path, ANNOTATED):
        return _with_annotated(labels, path, unlabelled)
    return labels.with_notes(
        f"nothing is drawn in the layer '{ANNOTATED}': the labels are taken as complete everywhere"
    )


def _with_annotated(labels: LabelSet, path: Path, unlabelled: Unlabelled) -> LabelSet:
    """The ground of `path` as annotated; with `unlabelled="ignore"` features alone already are."""
    if labels.crs is None and not labels.masks:
        raise LabelError(
            f"{path}: areas in map coordinates do not fit labels in pixels ({labels.source}); give them to tile, which knows the scenes"
        )
    if labels.crs is None:
        areas, crs, notes = read_areas(path)
        return replace(labels, crs=crs, annotated=areas, notes=(*labels.notes, *notes))
    areas, _, notes = read_areas(path, labels.crs)
    inside = np.asarray(labels.annotated if unlabelled == "ignore" else areas, dtype=object)
    return replace(
        labels,
        annotated=inside,
        notes=(*labels.notes, f"labels are complete in {len(areas)} areas of {path.name}", *notes),
    )

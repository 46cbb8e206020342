"""`read_labels`: annotations of any format as one `LabelSet`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.labelset import LabelSet
from ..errors import LabelError
from ..io.vectorlayers import layer_length
from .classnames import ClassRequest, parse_classes
from .formats.labelformat import VECTOR_OPTIONS
from .labelsources import Sources, find_sources
from .projectlayout import ANNOTATED, is_project
from .readoptions import ReadOptions, Sizes
from .records import Records, Unlabelled, label_set
from .vector.vectorlabels import read_areas


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
    format: str | None = None,
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
    sources = find_sources(source, format)
    options = ReadOptions(
        class_field=class_field,
        layer=layer,
        where=where,
        crs=crs,
        buffer_m=buffer_m,
        attributes=attributes,
        voc_origin=voc_origin,
        sizes_px=sizes_px,
    )
    _refuse_useless(options, sources)
    if sources.format.read_rasters is not None:
        labels = sources.format.read_rasters(sources.paths, sources.name, spec, unlabelled)
    else:
        records = _one_class_by_name(read_records(sources, options), spec)
        labels = label_set(records, spec, unlabelled)
    labels = replace(labels, notes=(*sources.notes, *labels.notes))
    if annotated is not None:
        return _with_annotated(labels, Path(annotated), unlabelled)
    if sources.format.vector and len(sources.paths) == 1 and is_project(sources.paths[0], layer):
        return _with_drawn_areas(labels, Path(sources.paths[0]), unlabelled)
    return labels


def read_records(sources: Sources, options: ReadOptions) -> Records:
    """Annotations as their format has them, before anything is repaired, dropped or named.

    Raises:
        LabelError: A file is malformed.
        ValueError: The format is one of rasters, which have no objects.
    """
    reader = sources.format.read_records
    if reader is None:
        raise ValueError(f"{sources.name}: label rasters have no objects")
    return reader([Path(path) for path in sources.paths], sources.name, options)


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


def _refuse_useless(options: ReadOptions, sources: Sources) -> None:
    """An option that has no meaning for a format is a misunderstanding, so it is not ignored."""
    for name in VECTOR_OPTIONS:
        if getattr(options, name) is not None and name not in sources.format.options:
            raise LabelError(
                f"{sources.name}: `{name}` does not apply to labels of the format {sources.format.name}; leave it out"
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

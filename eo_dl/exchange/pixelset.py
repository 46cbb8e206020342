"""Annotations of images as a label set in pixels, as if they had been read from a file."""

from __future__ import annotations

import numpy as np
import shapely

from ..core.arraytypes import GeometryArray
from ..core.labelset import LabelSet
from ..labels.classnames import ClassRequest
from ..labels.formats.annotations import Annotations
from ..labels.records import ImageRecord, PixelObject, label_set, pixel_records


def label_set_of(found: Annotations) -> LabelSet:
    """The objects of all images, with the class ids of `found`. Raises `LabelError` where there are none."""
    objects = [
        PixelObject(
            image.name,
            one.outline,
            one.class_name or None,
            f"{image.stem}#{one.feature_id}",
            one.ignore,
            one.score,
            {**one.attributes, "feature_id": one.feature_id},
        )
        for image in found.images
        for one in image.objects
    ]
    covered = [ImageRecord(image.name, (image.width, image.height)) for image in found.images]
    names = found.classes.foreground
    labels = label_set(
        pixel_records(found.source, objects, covered),
        ClassRequest(tuple(i.name for i in names), {i.name: i.name for i in names}, False),
        "background",
    )
    table = np.arange(256)
    for info in labels.classes:
        table[info.id] = next(one.id for one in found.classes if one.name == info.name)
    annotated = _annotated(found)
    return LabelSet(
        classes=found.classes,
        geometries=labels.geometries,
        class_ids=table[labels.class_ids],
        crs=None,
        source=labels.source,
        feature_ids=labels.feature_ids,
        images=labels.images,
        ignore=labels.ignore,
        annotated=None if annotated is None else annotated[0],
        annotated_images=None if annotated is None else annotated[1],
        image_names=labels.image_names,
        image_sizes_px=labels.image_sizes_px,
        notes=tuple(note for note in labels.notes if "nothing is labelled" not in note),
        scores=labels.scores,
        attributes=labels.attributes,
    )


def _annotated(found: Annotations) -> tuple[GeometryArray, GeometryArray] | None:
    """The ground on which objects are complete, and the image of each part; None where that is everywhere."""
    if all(image.annotated is None for image in found.images):
        return None
    parts = [
        (part, image.name)
        for image in found.images
        for part in shapely.get_parts(
            shapely.box(0, 0, image.width, image.height) if image.annotated is None else image.annotated
        )
        if part.geom_type == "Polygon" and part.area > 0
    ]
    areas, names = np.empty(len(parts), dtype=object), np.empty(len(parts), dtype=object)
    areas[:], names[:] = [part for part, _ in parts], [name for _, name in parts]
    return areas, names

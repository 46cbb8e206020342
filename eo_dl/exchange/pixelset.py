"""Annotations of images as a label set in pixels, as if they had been read from a file."""

from __future__ import annotations

import numpy as np
import shapely

from ..core.arraytypes import GeometryArray, ObjectArray
from ..core.geometries import polygons_in
from ..core.labelset import LabelSet
from ..labels.classnames import ClassRequest
from ..labels.formats.annotations import Annotations, LabelledImage, LabelledObject
from ..labels.records import ImageRecord, PixelObject, label_set, pixel_records


def label_set_of(annotations: Annotations) -> LabelSet:
    """The objects of all images as a label set with the class ids of `annotations`.

    Raises:
        LabelError: There are no objects.
    """
    objects: list[PixelObject] = []
    for image in annotations.images:
        objects += [_pixel_object(image, labelled) for labelled in image.objects]
    covered = [ImageRecord(image.name, (image.width, image.height)) for image in annotations.images]
    names = tuple(info.name for info in annotations.classes.foreground)
    request = ClassRequest(names, {name: name for name in names}, False)
    labels = label_set(pixel_records(annotations.source, objects, covered), request, "background")
    id_of = {info.name: info.id for info in annotations.classes}
    new_ids = np.arange(256)
    for info in labels.classes:
        new_ids[info.id] = id_of[info.name]
    annotated, annotated_images = _annotated(annotations)
    return LabelSet(
        classes=annotations.classes,
        geometries=labels.geometries,
        class_ids=new_ids[labels.class_ids],
        crs=None,
        source=labels.source,
        feature_ids=labels.feature_ids,
        images=labels.images,
        ignore=labels.ignore,
        annotated=annotated,
        annotated_images=annotated_images,
        image_names=labels.image_names,
        image_sizes_px=labels.image_sizes_px,
        # A class without objects in the exported images is nothing to report.
        notes=tuple(note for note in labels.notes if "nothing is labelled" not in note),
        scores=labels.scores,
        attributes=labels.attributes,
    )


def _pixel_object(image: LabelledImage, labelled: LabelledObject) -> PixelObject:
    return PixelObject(
        image=image.name,
        outline=labelled.outline,
        value=labelled.class_name or None,
        feature_id=f"{image.stem}#{labelled.feature_id}",
        ignore=labelled.ignore,
        score=labelled.score,
        attributes={**labelled.attributes, "feature_id": labelled.feature_id},
    )


def _annotated(annotations: Annotations) -> tuple[GeometryArray | None, ObjectArray | None]:
    """The polygons in which objects are complete, and the image of each; None if that is everywhere."""
    if all(image.annotated is None for image in annotations.images):
        return None, None
    polygons: list[shapely.Polygon] = []
    names: list[str] = []
    for image in annotations.images:
        area = shapely.box(0, 0, image.width, image.height) if image.annotated is None else image.annotated
        parts = polygons_in(area)
        polygons += list(parts)
        names += [image.name] * len(parts)
    return np.array(polygons, dtype=object), np.array(names, dtype=object)

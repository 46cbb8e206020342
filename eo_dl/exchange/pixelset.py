"""Annotations of images as a label set in pixels, as if they had been read from a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely

from ..core.geometries import polygons_in
from ..core.imagelabels import CoveredImage, ImageLabels
from ..core.labeloutlines import ImageOutlines
from ..labels.classrequest import ClassRequest
from ..labels.formats.annotations import Annotations, LabelledImage, LabelledObject
from ..labels.records import PixelObject, clean_features, pixel_records


def label_set_of(annotations: Annotations) -> ImageLabels:
    """The objects of all images as a label set with the class ids of `annotations`.

    Raises:
        LabelError: There are no objects.
    """
    objects: list[PixelObject] = []
    for image in annotations.images:
        objects += [_pixel_object(image, labelled) for labelled in image.objects]
    covered = [CoveredImage(image.name, (image.width, image.height)) for image in annotations.images]
    names = tuple(info.name for info in annotations.classes.foreground)
    request = ClassRequest(names, {name: name for name in names}, False)
    clean = clean_features(pixel_records(annotations.source, objects, covered), request)
    id_of = {info.name: info.id for info in annotations.classes}
    new_ids = np.arange(256)
    for info in clean.classes:
        new_ids[info.id] = id_of[info.name]
    return ImageLabels(
        annotations.classes,
        replace(clean.features, class_ids=new_ids[clean.features.class_ids]),
        annotations.source,
        covered=tuple(covered),
        areas=_areas(annotations),
        # A class without objects in the exported images is nothing to report.
        notes=tuple(note for note in clean.notes if "nothing is labelled" not in note),
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


def _areas(annotations: Annotations) -> ImageOutlines | None:
    """The polygons in which objects are complete; None if that is everywhere."""
    if all(image.annotated is None for image in annotations.images):
        return None
    polygons: list[shapely.Polygon] = []
    names: list[str] = []
    for image in annotations.images:
        area = shapely.box(0, 0, image.width, image.height) if image.annotated is None else image.annotated
        parts = polygons_in(area)
        polygons += list(parts)
        names += [image.name] * len(parts)
    return ImageOutlines(np.array(polygons, dtype=object), np.array(names, dtype=object))

"""Labels of whole images: what the formats that have them share."""

from __future__ import annotations

from .annotations import LabelledImage, Losses, objects_that_count, without_extras


def classes_of_image(image: LabelledImage, losses: Losses) -> list[str]:
    """The classes of the objects of an image, each once, in their order."""
    objects = without_extras(objects_that_count(image, losses), losses)
    return list(dict.fromkeys(labelled.class_name for labelled in objects))

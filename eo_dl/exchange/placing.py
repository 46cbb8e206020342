"""Labels of exported images, back on the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.classes import ClassInfo, ClassSet, default_color
from ..core.geometries import polygons_in, reproject
from ..core.imagenames import stem_of
from ..core.labelset import LabelSet
from ..errors import LabelError
from ..io.scene import Scene
from ..labels.formats.annotations import Losses
from ..labels.formats.formatlist import written_formats
from ..labels.geometry import named
from .imageindex import ImageIndex, IndexedImage
from .imageobjects import annotations_of
from .joining import join_pieces
from .pixelset import label_set_of


def place_labels(labels: LabelSet, index: ImageIndex, *, join: bool = True) -> LabelSet:
    """Labels in pixels of exported images, brought to the map.

    Labels of whole images become the frames of their images.

    Args:
        labels: Labels in pixels of images.
        index: Where the images lie.
        join: Join the pieces of an object that several images show.

    Returns:
        The labels in the CRS of their scenes; in the first one if there are several, and in pixels of the
        scenes if they have none. `annotated` is the ground of the images that the labels cover, or the part
        of it in which they say that they are complete.

    Raises:
        LabelError: An image is not in the index, or some scenes have a CRS and others have none.
    """
    assert labels.images is not None
    owner = _owners(labels.image_names, index, labels.source)
    image_of = [owner[str(name)] for name in labels.images]
    covered_images = dict.fromkeys(owner.values())  # in order, each once
    covered = list(covered_images)
    notes = list(labels.notes)
    missing = [image.name for image in index.images if image not in covered_images]
    if missing:
        notes.append(
            f"{len(missing)} of {len(index.images)} exported images are not in the labels, "
            f"so their ground is not annotated: {named(missing)}"
        )
    labels = _with_classes_of(index, labels, notes)
    if labels.whole_images:
        frames = np.array([_frame(image) for image in image_of], dtype=object)
        labels = replace(labels, geometries=frames, whole_images=False)
    elif join and len(labels) and not index.whole_images:
        labels, image_of = join_pieces(labels, image_of, covered, index.shape, notes)
    crs = covered[0].grid.crs
    geometries = labels.geometries.copy()
    for position, image in enumerate(image_of):
        geometries[position] = _on_map(geometries[position], image, crs, labels.source)
    crs_count = len({image.grid.crs for image in covered})
    if crs_count > 1:
        name = "pixels" if crs is None else crs.name
        notes.append(f"the scenes have {crs_count} CRS: all labels are transformed to {name}")
    splits = np.array([image.split for image in image_of], dtype=object)
    return replace(
        labels,
        geometries=geometries,
        crs=crs,
        images=np.array([image.scene for image in image_of], dtype=object),
        image_names=tuple(dict.fromkeys(image.scene for image in covered)) if crs is None else (),
        image_sizes_px=(),
        annotated=None if crs is None else _annotated(labels, owner, crs),
        annotated_images=None,
        attributes={**labels.attributes, "split": splits},
        notes=tuple(notes),
    )


def place_map_labels(labels: LabelSet, index: ImageIndex) -> LabelSet:
    """Labels of exported images that are in map coordinates already, in the CRS of their scenes.

    Returns:
        The labels; `annotated` is where they say that they are complete, else the ground of the images.

    Raises:
        LabelError: The scenes have no CRS.
    """
    assert labels.crs is not None
    notes = list(labels.notes)
    labels = _with_classes_of(index, labels, notes)
    crs = index.images[0].grid.crs
    if crs is None:
        raise LabelError(
            f"{labels.source}: the labels are in map coordinates, but the exported images have no CRS; "
            "georeference their scenes and export them again"
        )
    if labels.annotated is None:
        annotated = _merged([_on_map(_frame(image), image, crs, labels.source) for image in index.images])
    else:
        annotated = _in_crs(labels.annotated, labels, crs)
    return replace(
        labels,
        geometries=_in_crs(labels.geometries, labels, crs),
        crs=crs,
        annotated=annotated,
        notes=tuple(notes),
    )


def _in_crs(outlines: GeometryArray, labels: LabelSet, crs: CRS) -> GeometryArray:
    """Outlines in the CRS of labels, brought to another one."""
    assert labels.crs is not None
    return reproject(outlines, labels.crs, crs, labels.source)


def _annotated(labels: LabelSet, owner: Mapping[str, IndexedImage], crs: CRS) -> GeometryArray:
    """The ground on which labels are complete: their images, or the areas that the labels name in them."""
    if labels.annotated is None or labels.annotated_images is None:
        images = dict.fromkeys(owner.values())
        return _merged([_on_map(_frame(image), image, crs, labels.source) for image in images])
    areas = zip(labels.annotated, labels.annotated_images, strict=True)
    return _merged([_on_map(area, owner[str(name)], crs, labels.source) for area, name in areas])


def _merged(areas: Sequence[shapely.Geometry]) -> GeometryArray:
    """(N,) the polygons that areas cover together."""
    return polygons_in(shapely.union_all(np.array(areas, dtype=object)))


def _frame(image: IndexedImage) -> shapely.Geometry:
    return shapely.box(0, 0, image.grid.width, image.grid.height)


def _owners(names: Sequence[str], index: ImageIndex, source: str) -> dict[str, IndexedImage]:
    """The exported image of each name: with the same name, else with the same stem."""
    by_name = {image.name: image for image in index.images}
    by_stem = {image.stem: image for image in index.images}
    owner: dict[str, IndexedImage] = {}
    unknown: list[str] = []
    for name in names:
        image = by_name.get(name) or by_stem.get(stem_of(name))
        if image is None:
            unknown.append(name)
        else:
            owner[name] = image
    if unknown:
        raise LabelError(
            f"{source}: {len(unknown)} of {len(names)} images are not in the index ({named(unknown)}); "
            "name the index that was exported with them with `index`"
        )
    return owner


def _with_classes_of(index: ImageIndex, labels: LabelSet, notes: list[str]) -> LabelSet:
    """Labels with the class ids of an index; classes that it does not have get new ids."""
    id_of = {info.name: info.id for info in index.classes}
    names = _exported_names(index, labels.classes)
    new = [name for class_id, name in names.items() if name not in id_of and class_id != 0]
    unused_ids = iter(sorted(set(range(1, 255)).difference(id_of.values())))
    added: list[ClassInfo] = []
    for name in new:
        id_of[name] = next(unused_ids)
        added.append(ClassInfo(id_of[name], name, default_color(id_of[name])))
    if new:
        notes.append(f"{len(new)} classes were not exported and are new: {named(new)}")
    new_ids = np.arange(256)
    for class_id, name in names.items():
        new_ids[class_id] = id_of.get(name, class_id)
    classes = ClassSet((*index.classes, *added))
    return replace(labels, classes=classes, class_ids=new_ids[labels.class_ids])


def _exported_names(index: ImageIndex, classes: ClassSet) -> dict[int, str]:
    """The name of each class as it was exported; formats may spell it in another way."""
    written = written_formats().get(index.format)
    originals = {} if written is None else written.original_names(index.classes)
    exported = {info.name for info in index.classes}
    return {
        info.id: info.name if info.name in exported else originals.get(info.name, info.name)
        for info in classes
    }


def _on_map(outline: shapely.Geometry, image: IndexedImage, crs: CRS | None, source: str) -> shapely.Geometry:
    """An outline in pixels of an image, in a CRS; in pixels of its scene if that has none."""
    outlines = image.grid.geometries_to_map(np.array([outline], dtype=object))
    image_crs = image.grid.crs
    if (image_crs is None) != (crs is None):
        raise LabelError(
            f"{source}: some of its scenes have a CRS and others have none; import them separately"
        )
    if image_crs is None or crs is None:
        return outlines[0]
    return reproject(outlines, image_crs, crs, source)[0]


def place_on_scenes(labels: LabelSet, scenes: Sequence[Scene]) -> LabelSet:
    """Labels in pixels of scenes, in the CRS of the scenes.

    Args:
        labels: Labels in pixels, or label rasters.
        scenes: Their images.

    Raises:
        LabelError: There are no scenes, an image is not among them, or one has no CRS.
    """
    if not scenes:
        raise LabelError(
            f"{labels.source}: the labels are in pixels of images; "
            "name the images with `images` to place them"
        )
    if labels.masks:
        labels = label_set_of(annotations_of(labels, [], Losses()))
    without_crs = [scene.name for scene in scenes if scene.native.crs is None]
    if without_crs:
        raise LabelError(
            f"{labels.source}: {named(without_crs)} has no CRS, so its labels cannot be placed on the map; "
            "georeference it, or set `format` to one in pixels"
        )
    images = tuple(IndexedImage(scene.name, scene.native, scene.name, scene.path, "none") for scene in scenes)
    placed = place_labels(labels, ImageIndex(images, labels.classes, format=""), join=False)
    attributes = {name: values for name, values in placed.attributes.items() if name != "split"}
    return replace(placed, attributes=attributes)

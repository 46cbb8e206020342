"""Labels of exported images back on the ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.classes import ClassInfo, ClassSet, default_color
from ..core.geometries import reproject
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
    """Labels in pixels of exported images, in the CRS of their scenes; of scenes without CRS, in their
    pixels, `images` naming the scene.

    Scenes of several CRS come in the first one. `annotated` is the ground of the images that the labels
    cover, or what the labels say of it. `join`: pieces of one object in neighbouring images become one.
    Labels of whole images become the frames of their images. Raises `LabelError` for images that the index
    does not have.
    """
    assert labels.images is not None
    owner = _owners(labels.image_names, index, labels.source)
    image_of = [owner[str(name)] for name in labels.images]
    covered = list(dict.fromkeys(owner.values()))
    notes = list(labels.notes)
    missing = [one.name for one in index.images if one not in owner.values()]
    if missing:
        notes.append(
            f"{len(missing)} of {len(index.images)} exported images are not in the labels, so nothing is known of them: {named(missing)}"
        )
    labels = _with_classes(labels, index, notes)
    if labels.whole_images:
        labels = replace(
            labels, geometries=np.array([_frame(one) for one in image_of], dtype=object), whole_images=False
        )
    elif join and len(labels) and not index.whole_images:
        labels, image_of = join_pieces(labels, image_of, covered, index.shape, notes)
    crs = covered[0].grid.crs
    geometries = labels.geometries.copy()
    for place, outline in enumerate(geometries):
        geometries[place] = _on_ground(outline, image_of[place], crs, labels.source)
    others = len({one.grid.crs for one in covered}) - 1
    if others:
        notes.append(
            f"scenes have {others + 1} CRS: everything is brought to {crs.name if crs is not None else 'pixels'}"
        )
    return replace(
        labels,
        geometries=geometries,
        crs=crs,
        images=np.array([one.scene for one in image_of], dtype=object),
        image_names=tuple(dict.fromkeys(one.scene for one in covered)) if crs is None else (),
        image_sizes_px=(),
        annotated=None if crs is None else _annotated(labels, owner, crs),
        annotated_images=None,
        attributes={**labels.attributes, "split": np.array([one.split for one in image_of], dtype=object)},
        notes=tuple(notes),
    )


def place_map_labels(labels: LabelSet, index: ImageIndex) -> LabelSet:
    """Labels in map coordinates of exported images, in the CRS of their scenes. `annotated` is what the
    labels say, else the ground of the images.
    """
    assert labels.crs is not None
    notes = list(labels.notes)
    labels = _with_classes(labels, index, notes)
    crs = index.images[0].grid.crs
    if crs is None:
        raise LabelError(
            f"{labels.source}: is in map coordinates, but the exported images have no CRS; georeference their scenes and export them again"
        )

    def there(outlines: GeometryArray) -> GeometryArray:
        return reproject(outlines, labels.crs, crs, labels.source)  # type: ignore[arg-type]

    frames = np.array(
        [_on_ground(_frame(one), one, crs, labels.source) for one in index.images], dtype=object
    )
    annotated = (
        np.array(list(shapely.get_parts(shapely.union_all(frames))), dtype=object)
        if labels.annotated is None
        else there(labels.annotated)
    )
    return replace(
        labels, geometries=there(labels.geometries), crs=crs, annotated=annotated, notes=tuple(notes)
    )


def _annotated(labels: LabelSet, owner: Mapping[str, IndexedImage], crs: CRS) -> GeometryArray:
    """The ground on which labels are complete, in map coordinates: the images, or what of them the labels
    say.
    """
    if labels.annotated is None or labels.annotated_images is None:
        frames = [_on_ground(_frame(one), one, crs, labels.source) for one in dict.fromkeys(owner.values())]
    else:
        frames = [
            _on_ground(area, owner[str(name)], crs, labels.source)
            for area, name in zip(labels.annotated, labels.annotated_images, strict=True)
        ]
    return np.array(
        [part for part in shapely.get_parts(shapely.union_all(frames)) if part.geom_type == "Polygon"],
        dtype=object,
    )


def _frame(image: IndexedImage) -> shapely.Geometry:
    return shapely.box(0, 0, image.grid.width, image.grid.height)


def _owners(names: Sequence[str], index: ImageIndex, source: str) -> dict[str, IndexedImage]:
    by_name = {one.name: one for one in index.images}
    by_stem = {one.stem: one for one in index.images}
    found = {name: by_name.get(name) or by_stem.get(stem_of(name)) for name in names}
    unknown = [name for name, one in found.items() if one is None]
    if unknown:
        raise LabelError(
            f"{source}: {len(unknown)} of {len(found)} images are not in the index ({named(unknown)}); give the index that was exported with them (--index)"
        )
    return {name: one for name, one in found.items() if one is not None}


def _with_classes(labels: LabelSet, index: ImageIndex, notes: list[str]) -> LabelSet:
    """The same with the class ids of the index; classes that it does not have get new ids."""
    ids = {info.name: info.id for info in index.classes}
    written = written_formats().get(index.format)
    own = {} if written is None else written.original_names(index.classes)
    told = {
        info.id: info.name if info.name in ids else own.get(info.name, info.name) for info in labels.classes
    }
    free = iter(sorted(set(range(1, 255)) - set(ids.values())))
    new = [name for class_id, name in told.items() if name not in ids and class_id != 0]
    for name in new:
        ids[name] = next(free)
    if new:
        notes.append(f"{len(new)} classes were not exported and are new: {named(new)}")
    table = np.arange(256)
    for class_id, name in told.items():
        table[class_id] = ids.get(name, class_id)
    added = tuple(ClassInfo(ids[name], name, default_color(ids[name])) for name in new)
    return replace(labels, classes=ClassSet((*index.classes, *added)), class_ids=table[labels.class_ids])


def _on_ground(
    outline: shapely.Geometry, image: IndexedImage, crs: CRS | None, source: str
) -> shapely.Geometry:
    found = image.grid.geometries_to_map(np.array([outline], dtype=object))
    if image.grid.crs is None or crs is None:
        if image.grid.crs is not crs:
            raise LabelError(f"{source}: some of its scenes have a CRS and some have none; import them apart")
        return found[0]
    return reproject(found, image.grid.crs, crs, source)[0]


def place_on_scenes(labels: LabelSet, scenes: Sequence[Scene]) -> LabelSet:
    """Labels in pixels of scenes, in their CRS. Raises `LabelError` for images that are not among the scenes,
    or have no CRS.
    """
    if not scenes:
        raise LabelError(
            f"{labels.source}: is in pixels of images, and their place on the ground is needed; name the images with --images"
        )
    if labels.masks:
        labels = label_set_of(annotations_of(labels, [], Losses()))
    without = [scene.name for scene in scenes if scene.native.crs is None]
    if without:
        raise LabelError(
            f"{labels.source}: {named(without)} has no CRS, so its labels have no place on the ground; georeference it, or choose a pixel --format"
        )
    images = tuple(IndexedImage(scene.name, scene.native, scene.name, scene.path, "none") for scene in scenes)
    placed = place_labels(labels, ImageIndex(images, labels.classes, ""), join=False)
    return replace(
        placed, attributes={name: values for name, values in placed.attributes.items() if name != "split"}
    )

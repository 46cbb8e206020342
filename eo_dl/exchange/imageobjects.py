"""A label set as objects of images, as formats in pixels write them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from ..core.arraytypes import GeometryArray, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.imagenames import stem_of
from ..core.labelset import LabelSet, PixelLabels
from ..core.window import Window
from ..errors import LabelError
from ..io.rasterize import polygonize
from ..io.scene import Scene
from ..labels.formats.annotations import Annotations, LabelledImage, LabelledObject, Losses
from ..labels.geometry import polygonal_part
from ..labels.raster.masks import read_mask
from ..labels.raster.maskvalues import open_mask

_SMALLEST_PX2 = 1e-9
_MAX_MASK_PX = 2**28


def objects_of(
    labels: LabelSet, placed: PixelLabels, width: int, height: int, losses: Losses
) -> tuple[LabelledObject, ...]:
    """The objects of an image, cut at its edges.

    Args:
        labels: The label set.
        placed: Its features in the pixels of the image.
        width: Number of columns of the image.
        height: Number of rows of the image.
        losses: Counts what is cut.
    """
    names = {info.id: info.name for info in labels.classes}
    objects = []
    for position, outline in enumerate(_cut(placed.geometries, width, height, losses)):
        if outline is not None:
            class_id = int(placed.class_ids[position])
            ignore = bool(placed.ignore[position]) or class_id == IGNORE_ID
            index = int(placed.index[position])
            objects.append(_object(labels, index, outline, names.get(class_id, ""), ignore))
    return tuple(objects)


def _object(
    labels: LabelSet, index: int, outline: shapely.Geometry, class_name: str, ignore: bool
) -> LabelledObject:
    """Feature `index` of a label set, with its score and attributes."""
    attributes = {name: values[index] for name, values in labels.attributes.items()}
    original_id = attributes.pop("feature_id", None)  # of an object that was exported before
    score = np.nan if labels.scores is None else float(labels.scores[index])
    return LabelledObject(
        outline=outline,
        class_name=class_name,
        feature_id=str(labels.feature_ids[index] if original_id is None else original_id),
        score=None if np.isnan(score) else score,
        attributes={name: value for name, value in attributes.items() if value is not None},
        ignore=ignore,
    )


def _cut(outlines: GeometryArray, width: int, height: int, losses: Losses) -> list[shapely.Geometry | None]:
    """Outlines without what lies outside an image; None if nothing is left."""
    bounds = shapely.bounds(outlines).reshape(-1, 4)
    begins_inside = (bounds[:, 0] >= 0) & (bounds[:, 1] >= 0)
    ends_inside = (bounds[:, 2] <= width) & (bounds[:, 3] <= height)
    frame = shapely.box(0, 0, width, height)
    cut: list[shapely.Geometry | None] = list(outlines)
    for position in np.flatnonzero(~(begins_inside & ends_inside)):
        part = polygonal_part(shapely.intersection(outlines[position], frame))
        cut[position] = part if part.area > _SMALLEST_PX2 else None
        losses.count("objects are cut at the edges of their images", int(cut[position] is not None))
    return cut


def mask_objects(mask: UInt8Array, classes: ClassSet, stem: str) -> tuple[LabelledObject, ...]:
    """Patches of connected pixels of one class as objects.

    Args:
        mask: (H, W) class ids.
        classes: The classes; the background makes no objects.
        stem: Begins the ids of the objects.
    """
    polygons, class_ids = polygonize(mask, np.isin(mask, [info.id for info in classes.foreground]))
    names = {info.id: info.name for info in classes}
    return tuple(
        LabelledObject(outline, names[int(class_id)], f"{stem}_{number}")
        for number, (outline, class_id) in enumerate(zip(polygons, class_ids, strict=True))
    )


def annotations_of(labels: LabelSet, scenes: Sequence[Scene], losses: Losses) -> Annotations:
    """All images of a label set with their objects.

    Args:
        labels: Labels in map coordinates, of images, of whole images, or rasters.
        scenes: The images. Labels in map coordinates and of whole images need them; others use those that are
            among them.
        losses: Counts what is cut or approximated.

    Raises:
        LabelError: Scenes are missing, or the size of an image is not known.
    """
    if labels.masks:
        images = [_mask_image(labels, number, losses) for number in range(len(labels.masks))]
    elif labels.crs is not None or labels.whole_images:
        if not scenes:
            kind = "in map coordinates" if labels.crs is not None else "of whole images"
            raise LabelError(f"{labels.source}: the labels are {kind}; name their images with `images`")
        images = [_scene_image(labels, scene, losses) for scene in scenes]
    else:
        images = [_named_image(labels, number, scenes, losses) for number in range(len(labels.image_names))]
    return Annotations(labels.classes, tuple(images), labels.source, labels.whole_images)


def _scene_image(labels: LabelSet, scene: Scene, losses: Losses) -> LabelledImage:
    grid = scene.native
    placed = labels.for_grid(grid, scene.place, grid)
    return LabelledImage(
        name=labels.covered_images.exact(scene.place) or scene.name,
        width=grid.width,
        height=grid.height,
        objects=objects_of(labels, placed, grid.width, grid.height, losses),
        bands=len(scene.bands),
        grid=grid,
        annotated=placed.annotated,
    )


def _named_image(labels: LabelSet, number: int, scenes: Sequence[Scene], losses: Losses) -> LabelledImage:
    """The `number`-th image that the labels name; by its scene if there is one, else by its known size."""
    name = labels.image_names[number]
    same_name = [scene for scene in scenes if scene.name == name]
    same_stem = [scene for scene in scenes if scene.stem == stem_of(name)]
    for scene in (*same_name, *same_stem):
        return _scene_image(labels, scene, losses)
    size = labels.image_sizes_px[number] if labels.image_sizes_px else None
    if size is None:
        raise LabelError(
            f"{labels.source}: does not contain the size of {name}, which the output needs; "
            "name the images with `images`"
        )
    index = labels._of_image(name)
    ignore = np.zeros(len(index), np.bool_) if labels.ignore is None else labels.ignore[index]
    placed = PixelLabels(
        classes=labels.classes,
        geometries=labels.geometries[index],
        class_ids=labels.class_ids[index],
        ignore=ignore,
        index=index,
    )
    width, height = size
    return LabelledImage(name, width, height, objects_of(labels, placed, width, height, losses))


def _mask_image(labels: LabelSet, number: int, losses: Losses) -> LabelledImage:
    """The `number`-th label raster as an image of patches."""
    mask = labels.masks[number]
    scene = open_mask(mask.path)
    grid = scene.native
    if grid.width * grid.height > _MAX_MASK_PX:
        raise LabelError(
            f"{mask.path}: has {grid.width}x{grid.height} px, too many to be read at once; "
            "cut it into tiles, e.g. with gdal_retile.py"
        )

    def read_ids() -> UInt8Array:
        return read_mask(mask, scene, Window(0, 0, grid.width, grid.height))

    ids = read_ids()
    objects = mask_objects(ids, labels.classes, scene.stem)
    losses.count("objects are patches of connected pixels of a label raster", len(objects))
    return LabelledImage(
        name=scene.name,
        width=grid.width,
        height=grid.height,
        objects=objects,
        grid=grid,
        annotated=_known_ground(ids),
        mask=read_ids,
    )


def _known_ground(ids: UInt8Array) -> shapely.Geometry | None:
    """Where (H, W) class ids are not 255, in pixels; None: everywhere."""
    known = ids != IGNORE_ID
    if known.all():
        return None
    polygons, _ = polygonize(known.astype(np.uint8), known)
    return shapely.MultiPolygon(list(polygons))

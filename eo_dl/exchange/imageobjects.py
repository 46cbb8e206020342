"""A label set as objects of images, for formats in pixels; and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from ..core.arraytypes import GeometryArray
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

_LEAST_PX2 = 1e-9
_MAX_MASK_PX = 2**28


def objects_of(
    labels: LabelSet, found: PixelLabels, width: int, height: int, losses: Losses
) -> tuple[LabelledObject, ...]:
    """The labels of an image, cut at its edges; what is cut is counted."""
    names = {info.id: info.name for info in labels.classes}
    outlines = _cut(found.geometries, width, height, losses)
    kept = []
    for place, outline in enumerate(outlines):
        if outline is None:
            continue
        index = int(found.index[place])
        score = (
            None if labels.scores is None or np.isnan(labels.scores[index]) else float(labels.scores[index])
        )
        attributes = {
            name: values[index]
            for name, values in labels.attributes.items()
            if name != "feature_id" and values[index] is not None
        }
        feature = (
            labels.attributes["feature_id"][index]
            if "feature_id" in labels.attributes
            else labels.feature_ids[index]
        )
        class_id = int(found.class_ids[place])
        kept.append(
            LabelledObject(
                outline,
                names.get(class_id, ""),
                str(feature),
                score,
                attributes,
                bool(found.ignore[place]) or class_id == IGNORE_ID,
            )
        )
    return tuple(kept)


def _cut(outlines: GeometryArray, width: int, height: int, losses: Losses) -> list[shapely.Geometry | None]:
    """Outlines inside an image as they are, others without what sticks out; None for those of which nothing
    is left.
    """
    bounds = shapely.bounds(outlines).reshape(-1, 4)
    inside = (bounds[:, :2] >= 0).all(axis=1) & (bounds[:, 2] <= width) & (bounds[:, 3] <= height)
    frame = shapely.box(0, 0, width, height)
    found: list[shapely.Geometry | None] = list(outlines)
    for place in np.flatnonzero(~inside):
        part = polygonal_part(shapely.intersection(outlines[place], frame))
        found[place] = part if part.area > _LEAST_PX2 else None
    losses.count(
        "objects are cut at the edges of their images",
        sum(one is not None for one in np.array(found, dtype=object)[~inside]),
    )
    return found


def mask_objects(mask: npt.NDArray[np.uint8], classes: ClassSet, stem: str) -> tuple[LabelledObject, ...]:
    """Connected pixels of one class of an (H, W) mask of ids as objects."""
    polygons, values = polygonize(mask, np.isin(mask, [info.id for info in classes.foreground]))
    names = {info.id: info.name for info in classes}
    return tuple(
        LabelledObject(outline, names[int(value)], f"{stem}_{place}")
        for place, (outline, value) in enumerate(zip(polygons, values, strict=True))
    )


def annotations_of(labels: LabelSet, scenes: Sequence[Scene], losses: Losses) -> Annotations:
    """All images of a label set with their objects. Labels in map coordinates need the scenes on which they
    lie.

    Raises `LabelError` where scenes are missing, or the size of an image is not known.
    """
    if labels.masks:
        images = tuple(_mask_image(labels, place, losses) for place in range(len(labels.masks)))
    elif labels.crs is not None or labels.whole_images:
        if not scenes:
            what = "in map coordinates" if labels.crs is not None else "of whole images"
            raise LabelError(
                f"{labels.source}: is {what}, and the images on which its objects lie are needed; name them with --images"
            )
        images = tuple(_scene_image(labels, scene, losses) for scene in scenes)
    else:
        images = tuple(
            _named_image(labels, place, scenes, losses) for place in range(len(labels.image_names))
        )
    return Annotations(labels.classes, images, labels.source, labels.whole_images)


def _scene_image(labels: LabelSet, scene: Scene, losses: Losses) -> LabelledImage:
    grid = scene.native
    found = labels.for_grid(grid, scene.place, grid)
    objects = objects_of(labels, found, grid.width, grid.height, losses)
    return LabelledImage(
        labels.covered_images.exact(scene.place) or scene.name,
        grid.width,
        grid.height,
        objects,
        len(scene.bands),
        grid=grid,
        annotated=found.annotated,
    )


def _named_image(labels: LabelSet, place: int, scenes: Sequence[Scene], losses: Losses) -> LabelledImage:
    name = labels.image_names[place]
    stem = stem_of(name)
    scene = next((one for one in scenes if one.name == name), None) or next(
        (one for one in scenes if one.stem == stem), None
    )
    if scene is not None:
        return _scene_image(labels, scene, losses)
    size = labels.image_sizes_px[place] if labels.image_sizes_px else None
    if size is None:
        raise LabelError(
            f"{labels.source}: does not say the size of {name}, which the new format needs; name the images with --images"
        )
    own = labels._of_image(name)
    found = PixelLabels(
        labels.classes,
        labels.geometries[own],
        labels.class_ids[own],
        labels.ignore[own] if labels.ignore is not None else np.zeros(len(own), np.bool_),
        own,
    )
    return LabelledImage(name, *size, objects_of(labels, found, *size, losses))


def _mask_image(labels: LabelSet, place: int, losses: Losses) -> LabelledImage:
    mask = labels.masks[place]
    scene = open_mask(mask.path)
    grid = scene.native
    if grid.width * grid.height > _MAX_MASK_PX:
        raise LabelError(
            f"{mask.path}: is of {grid.width}x{grid.height} px, too large to be read at once; cut it, e.g. gdal_retile.py"
        )

    def read() -> npt.NDArray[np.uint8]:
        return read_mask(mask, scene, Window(0, 0, grid.width, grid.height))

    ids = read()
    objects = mask_objects(ids, labels.classes, scene.stem)
    losses.count("objects are patches of connected pixels of a label raster", len(objects))
    return LabelledImage(
        scene.name, grid.width, grid.height, objects, grid=grid, annotated=_known_ground(ids), mask=read
    )


def _known_ground(ids: npt.NDArray[np.uint8]) -> shapely.Geometry | None:
    """Where (H, W) class ids say something, in pixels; None: everywhere."""
    known = ids != IGNORE_ID
    if known.all():
        return None
    return shapely.MultiPolygon(list(polygonize(known.astype(np.uint8), known)[0]))

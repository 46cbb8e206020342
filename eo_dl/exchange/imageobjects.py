"""A label set as objects of images, as formats in pixels write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from affine import Affine

from ..core.arraytypes import GeometryArray, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.features import LabelRows
from ..core.imagelabels import CoveredImage, ImageLabels, WholeImageLabels
from ..core.imagenames import stem_of
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.pixelgrid import PixelGrid
from ..core.pixellabels import PixelLabels
from ..core.pixelpolygons import polygonize
from ..core.rasterlabels import LabelRaster, RasterLabels
from ..core.window import Window
from ..errors import LabelError
from ..io.scene import Scene
from ..labels.cleaning import polygonal_part
from ..labels.datum import shift_note
from ..labels.formats.annotations import Annotations, LabelledImage, LabelledObject, Losses
from ..labels.imagecoverage import check_frames
from ..labels.raster.masks import read_mask
from ..labels.raster.maskvalues import open_mask

_SMALLEST_PX2 = 1e-9
_MAX_MASK_PX = 2**28


def objects_of(
    rows: LabelRows, placed: PixelLabels, width: int, height: int, losses: Losses
) -> tuple[LabelledObject, ...]:
    """The objects of an image, cut at its edges.

    Args:
        rows: All labels of the set, with their scores and attributes.
        placed: Those of the image, in its pixels.
        width: Number of columns of the image.
        height: Number of rows of the image.
        losses: Counts what is cut.
    """
    names = {info.id: info.name for info in placed.classes}
    objects = []
    for position, outline in enumerate(_cut(placed.geometries, width, height, losses)):
        if outline is not None:
            class_id = int(placed.class_ids[position])
            ignore = bool(placed.ignore[position]) or class_id == IGNORE_ID
            index = int(placed.index[position])
            objects.append(_object(rows, index, outline, names.get(class_id, ""), ignore))
    return tuple(objects)


def _object(
    rows: LabelRows, index: int, outline: shapely.Geometry, class_name: str, ignore: bool
) -> LabelledObject:
    """Label `index` of a set, with its score and attributes."""
    attributes = {name: values[index] for name, values in rows.attributes.items()}
    original_id = attributes.pop("feature_id", None)  # of an object that was exported before
    score = np.nan if rows.scores is None else float(rows.scores[index])
    return LabelledObject(
        outline=outline,
        class_name=class_name,
        feature_id=str(rows.feature_ids[index] if original_id is None else original_id),
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
    match labels:
        case RasterLabels():
            images = [_raster_image(raster, labels.classes, losses) for raster in labels.rasters]
        case ImageLabels():
            check_frames(labels, scenes)
            scene_of = _scenes_by_stem(labels, scenes)
            images = [_named_image(labels, image, scene_of, losses) for image in labels.covered]
        case WholeImageLabels():
            _require_scenes(labels.source, "of whole images", scenes)
            images = [_scene_image(labels, labels.rows, scene, losses) for scene in scenes]
        case MapLabels():
            _require_scenes(labels.source, "in map coordinates", scenes)
            images = [_scene_image(labels, labels.features, scene, losses) for scene in scenes]
        case _:
            raise TypeError(f"{labels.source}: unknown kind of labels {type(labels).__name__}")
    return Annotations(labels.classes, tuple(images), labels.source, isinstance(labels, WholeImageLabels))


def _require_scenes(source: str, kind: str, scenes: Sequence[Scene]) -> None:
    if not scenes:
        raise LabelError(f"{source}: the labels are {kind}; name their images with `images`")


def _scene_image(labels: LabelSet, rows: LabelRows, scene: Scene, losses: Losses) -> LabelledImage:
    grid = scene.native
    if isinstance(labels, MapLabels):
        shift_note(labels.crs, scene, labels.source, labels.accept_shift_m)
    placed = labels.for_grid(grid, scene.place, grid)
    name = scene.name
    if isinstance(labels, ImageLabels | WholeImageLabels):
        name = labels.covered_names.exact(scene.place) or scene.name
    return LabelledImage(
        name=name,
        width=grid.width,
        height=grid.height,
        objects=objects_of(rows, placed, grid.width, grid.height, losses),
        bands=len(scene.bands),
        grid=grid,
        annotated=placed.annotated,
    )


def _scenes_by_stem(labels: ImageLabels, scenes: Sequence[Scene]) -> dict[str, Scene]:
    """The scene of each image that labels name, by the stem of its name; an exact name goes before a stem."""
    found: dict[str, Scene] = {}
    exact: dict[str, Scene] = {}
    for scene in scenes:
        stem, name = labels.covered_names.by_stem(scene.place), labels.covered_names.exact(scene.place)
        if stem is not None:
            found.setdefault(stem, scene)
        if name is not None:
            exact[stem_of(name)] = scene
    return found | exact


def _named_image(
    labels: ImageLabels, image: CoveredImage, scene_of: Mapping[str, Scene], losses: Losses
) -> LabelledImage:
    """An image that the labels name; by its scene if there is one, else by its known size."""
    scene = scene_of.get(stem_of(image.name))
    if scene is not None:
        return _scene_image(labels, labels.features, scene, losses)
    if image.size_px is None:
        raise LabelError(
            f"{labels.source}: does not contain the size of {image.name}, which the output needs; "
            "name the images with `images`"
        )
    width, height = image.size_px
    placed = labels.for_grid(PixelGrid(None, Affine.identity(), height, width), image.name)
    objects = objects_of(labels.features, placed, width, height, losses)
    return LabelledImage(image.name, width, height, objects, annotated=placed.annotated)


def _raster_image(raster: LabelRaster, classes: ClassSet, losses: Losses) -> LabelledImage:
    """A label raster as an image of patches."""
    scene = open_mask(raster.path)
    grid = scene.native
    if grid.width * grid.height > _MAX_MASK_PX:
        raise LabelError(
            f"{raster.path}: has {grid.width}x{grid.height} px, too many to be read at once; "
            "cut it into tiles, e.g. with gdal_retile.py"
        )

    def read_ids() -> UInt8Array:
        return read_mask(raster, scene, Window(0, 0, grid.width, grid.height))

    ids = read_ids()
    objects = mask_objects(ids, classes, scene.stem)
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

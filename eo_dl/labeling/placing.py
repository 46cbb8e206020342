"""Labels of exported images back on the ground, and the pieces that images cut an object into joined again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import CRS

from ..core.classes import ClassInfo, ClassSet, default_color
from ..core.labelset import GeometryArray, LabelSet, reproject
from ..core.pixelgrid import PixelGrid
from ..errors import LabelError
from ..io.scene import Scene
from .formats.outlines import is_box
from .formats.record import Losses
from .geometry import named
from .imageindex import ImageIndex, IndexedImage
from .objects import annotations_of
from .pixelset import label_set_of

_EDGE_PX = 1e-3
_GRID_PX = 1e-7
_SAME_SHARE = 0.5
_WHOLE_PX = 1e-3

Index = npt.NDArray[np.int64]


def place_labels(labels: LabelSet, index: ImageIndex, *, join: bool = True) -> LabelSet:
    """Labels in pixels of exported images, in the CRS of their scenes; of scenes without CRS, in their pixels, `images` naming the scene.

    Scenes of several CRS come in the first one. `annotated` are the images that the labels cover. `join`: pieces of one object in neighbouring images become one.
    Raises `LabelError` for images that the index does not have.
    """
    assert labels.images is not None
    owner = _owners(labels.image_names, index, labels.source)
    image_of = [owner[str(name)] for name in labels.images]
    notes = list(labels.notes)
    missing = [one.name for one in index.images if one not in owner.values()]
    if missing:
        notes.append(f"{len(missing)} of {len(index.images)} exported images are not in the labels, so nothing is known of them: {named(missing)}")
    labels = _with_classes(labels, index.classes, notes)
    if join and len(labels):
        labels, image_of = _joined(labels, image_of, notes)
    covered = list(dict.fromkeys(owner.values()))
    crs = covered[0].grid.crs
    geometries = labels.geometries.copy()
    for place, outline in enumerate(geometries):
        geometries[place] = _on_ground(np.array([outline], dtype=object), image_of[place], crs, labels.source)[0]
    frames = [_on_ground(np.array([shapely.box(0, 0, one.grid.width, one.grid.height)], dtype=object), one, crs, labels.source)[0] for one in covered]
    scenes = np.array([one.scene for one in image_of], dtype=object)
    others = len({one.grid.crs for one in covered}) - 1
    if others:
        notes.append(f"scenes have {others + 1} CRS: everything is brought to {crs.name if crs is not None else 'pixels'}")
    return replace(
        labels,
        geometries=geometries,
        crs=crs,
        images=scenes,
        image_names=tuple(dict.fromkeys(one.scene for one in covered)) if crs is None else (),
        image_sizes_px=(),
        annotated=None if crs is None else np.array(list(shapely.get_parts(shapely.union_all(frames))), dtype=object),
        annotated_images=None,
        attributes={**labels.attributes, "split": np.array([one.split for one in image_of], dtype=object)},
        notes=tuple(notes),
    )


def _owners(names: Sequence[str], index: ImageIndex, source: str) -> dict[str, IndexedImage]:
    by_name = {one.name: one for one in index.images}
    by_stem = {one.stem: one for one in index.images}
    found = {name: by_name.get(name) or by_stem.get(name.rsplit(".", 1)[0]) for name in names}
    unknown = [name for name, one in found.items() if one is None]
    if unknown:
        raise LabelError(
            f"{source}: {len(unknown)} of {len(found)} images are not in the index ({named(unknown)}); give the index that was exported with them (--index)"
        )
    return {name: one for name, one in found.items() if one is not None}


def _with_classes(labels: LabelSet, classes: ClassSet, notes: list[str]) -> LabelSet:
    """The same with the class ids of the index; classes that it does not have get new ids."""
    ids = {info.name: info.id for info in classes}
    free = iter(sorted(set(range(1, 255)) - set(ids.values())))
    new = [info for info in labels.classes if info.name not in ids and info.id != 0]
    for info in new:
        ids[info.name] = next(free)
    if new:
        notes.append(f"{len(new)} classes were not exported and are new: {named([info.name for info in new])}")
    table = np.arange(256)
    for info in labels.classes:
        table[info.id] = ids.get(info.name, info.id)
    added = tuple(ClassInfo(ids[info.name], info.name, default_color(ids[info.name])) for info in new)
    return replace(labels, classes=ClassSet((*classes, *added)), class_ids=table[labels.class_ids])


def _on_ground(outlines: GeometryArray, image: IndexedImage, crs: CRS | None, source: str) -> GeometryArray:
    found = image.grid.geometries_to_map(outlines)
    if image.grid.crs is None or crs is None:
        if image.grid.crs is not crs:
            raise LabelError(f"{source}: some of its scenes have a CRS and some have none; import them apart")
        return found
    return found if image.grid.crs == crs else reproject(found, image.grid.crs, crs, source)


# Pieces


def _joined(labels: LabelSet, image_of: list[IndexedImage], notes: list[str]) -> tuple[LabelSet, list[IndexedImage]]:
    """Pieces of one object as one, in the pixels of the image of the first piece."""
    shifts = _shifts(image_of)
    moved = np.array(
        [shapely.transform(g, lambda xy, s=s: np.add(xy, s)) if s is not None else None for g, s in zip(labels.geometries, shifts, strict=True)], dtype=object
    )
    groups = _groups(labels, image_of, moved, shifts)
    if len(groups) == len(labels):
        return labels, image_of
    geometries = labels.geometries.copy()
    for members in (members for members in groups if len(members) > 1):
        first = members[0]
        shift = shifts[first]
        assert shift is not None
        geometries[first] = shapely.transform(_union([moved[i] for i in members]), lambda xy, s=shift: np.subtract(xy, s))
    kept = np.array([members[0] for members in groups], np.int64)
    pieces = sum(len(members) for members in groups if len(members) > 1)
    notes.append(f"{pieces} pieces that several images have of an object were joined to {sum(len(m) > 1 for m in groups)}")
    return _take(labels, geometries, kept), [image_of[int(i)] for i in kept]


def _take(labels: LabelSet, geometries: GeometryArray, kept: Index) -> LabelSet:
    return replace(
        labels,
        geometries=geometries[kept],
        class_ids=labels.class_ids[kept],
        feature_ids=labels.feature_ids[kept],
        images=None if labels.images is None else labels.images[kept],
        ignore=None if labels.ignore is None else labels.ignore[kept],
        files=None,
        annotated=None,
        annotated_images=None,
        scores=None if labels.scores is None else labels.scores[kept],
        attributes={name: values[kept] for name, values in labels.attributes.items()},
    )


def _shifts(image_of: Sequence[IndexedImage]) -> list[tuple[int, int] | None]:
    """Whole pixels from each image to the first one of its scene; None where they lie otherwise."""
    first: dict[str, PixelGrid] = {}
    known: dict[str, tuple[int, int] | None] = {}
    for one in image_of:
        if one.name not in known:
            known[one.name] = _shift(first.setdefault(one.scene_path or one.scene, one.grid), one.grid)
    return [known[one.name] for one in image_of]


def _shift(first: PixelGrid, other: PixelGrid) -> tuple[int, int] | None:
    between = Affine(*tuple(first.inverse @ other.transform)[:6])
    col, row = round(between.c), round(between.f)
    off = np.abs(np.array(tuple(between)[:6]) - (1, 0, col, 0, 1, row)) * (other.width, other.height, 1, other.width, other.height, 1)
    return (col, row) if float(off.max()) < _WHOLE_PX and first.crs == other.crs else None


def _groups(labels: LabelSet, image_of: Sequence[IndexedImage], moved: GeometryArray, shifts: Sequence[tuple[int, int] | None]) -> list[list[int]]:
    """Places of pieces of one object, in order of the first."""
    parent = list(range(len(labels)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    sizes = [(one.grid.width, one.grid.height) for one in image_of]
    edge = [place for place, (g, size) in enumerate(zip(labels.geometries, sizes, strict=True)) if moved[place] is not None and _near_edge(g, *size)]
    frames = {one.name: s for one, s in zip(image_of, shifts, strict=True)}
    inner = [p for p in range(len(labels)) if moved[p] is not None]
    tree = shapely.STRtree([moved[p] for p in inner])
    for place in edge:
        for other in (inner[int(i)] for i in tree.query(shapely.box(*_widened(moved[place].bounds)), predicate="intersects")):
            same = image_of[place].scene_path == image_of[other].scene_path and image_of[place].name != image_of[other].name
            if (
                same
                and labels.class_ids[place] == labels.class_ids[other]
                and root(place) != root(other)
                and _one_object(labels, image_of, moved, frames, place, other)
            ):
                low, high = sorted((root(place), root(other)))
                parent[high] = low
    groups: dict[int, list[int]] = {}
    for place in range(len(labels)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _near_edge(outline: shapely.Geometry, width: int, height: int) -> bool:
    col0, row0, col1, row1 = outline.bounds
    return bool(min(col0, row0) <= _EDGE_PX or col1 >= width - _EDGE_PX or row1 >= height - _EDGE_PX)


def _widened(bounds: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return bounds[0] - _EDGE_PX, bounds[1] - _EDGE_PX, bounds[2] + _EDGE_PX, bounds[3] + _EDGE_PX


def _one_object(
    labels: LabelSet, image_of: Sequence[IndexedImage], moved: GeometryArray, frames: dict[str, tuple[int, int] | None], first: int, second: int
) -> bool:
    """By what both say of where they come from; else they have to share an edge, or be alike on the ground that both images show."""
    ids = labels.attributes.get("feature_id")
    if ids is not None and ids[first] is not None and ids[second] is not None:
        return bool(ids[first] == ids[second])
    common = shapely.intersection(_frame(image_of[first], frames), _frame(image_of[second], frames))
    if common.area > 0:
        one, two = shapely.intersection(moved[first], common), shapely.intersection(moved[second], common)
        together = shapely.union(one, two).area
        return bool(together > 0 and shapely.intersection(one, two).area > _SAME_SHARE * together)
    shared = shapely.intersection(shapely.buffer(moved[first], _EDGE_PX, join_style="mitre"), moved[second])
    return bool(shared.length / 2 > _SAME_SHARE)


def _frame(image: IndexedImage, frames: dict[str, tuple[int, int] | None]) -> shapely.Geometry:
    col, row = frames[image.name] or (0, 0)
    return shapely.box(col, row, col + image.grid.width, row + image.grid.height)


def _union(pieces: Sequence[shapely.Geometry]) -> shapely.Geometry:
    """Boxes make a box, since a detector's box was cut; outlines are merged."""
    if all(is_box(piece) for piece in pieces):
        return shapely.box(*shapely.total_bounds(np.array(pieces, dtype=object)))
    return shapely.union_all(np.array(pieces, dtype=object), grid_size=_GRID_PX)


def place_on_scenes(labels: LabelSet, scenes: Sequence[Scene]) -> LabelSet:
    """Labels in pixels of scenes, in their CRS. Raises `LabelError` for images that are not among the scenes, or have no CRS."""
    if not scenes:
        raise LabelError(f"{labels.source}: is in pixels of images, and their place on the ground is needed; name the images with --images")
    if labels.masks:
        labels = label_set_of(annotations_of(labels, [], Losses()))
    without = [scene.name for scene in scenes if scene.native.crs is None]
    if without:
        raise LabelError(
            f"{labels.source}: {named(without)} has no CRS, so its labels have no place on the ground; georeference it, or choose a pixel --format"
        )
    images = tuple(IndexedImage(scene.name, scene.native, scene.name, scene.path, "none") for scene in scenes)
    placed = place_labels(labels, ImageIndex(images, labels.classes, ""), join=False)
    return replace(placed, attributes={name: values for name, values in placed.attributes.items() if name != "split"})

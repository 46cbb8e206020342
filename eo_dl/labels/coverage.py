"""Whether labels and scenes belong together: what fits by name, by place, and what is left over, counted; no
overlap at all is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.geometries import reproject
from ..core.imagenames import stem_of
from ..core.labelset import LabelSet
from ..errors import LabelError
from ..io.scene import Scene
from .geometry import named
from .pairing import best_named
from .raster.maskfit import match_masks

Flags = npt.NDArray[np.bool_]

_LISTED_SCENES = 12


def match_labels(labels: LabelSet, scenes: Sequence[Scene]) -> LabelSet:
    """The labels as they belong to these scenes, with notes on what is used and what is not.

    Several label files in map coordinates, of which any is named like a scene, belong each to the scene of
    its name (one place on several dates); others belong to the ground on which they lie. Raises `LabelError`
    where nothing fits.
    """
    if labels.masks:
        return labels.with_notes(*match_masks(labels, scenes))
    if labels.crs is None:
        notes = _match_images(labels, scenes)
        return (_framed(labels, scenes) if labels.whole_images else labels).with_notes(*notes)
    bound, notes = _bound(labels, scenes)
    return bound.with_notes(*notes, *_match_ground(bound, labels.crs, scenes))


def check_overlap(labels: LabelSet, scenes: Sequence[Scene]) -> tuple[str, ...]:
    """What `match_labels` has to say. Raises `LabelError` where nothing fits."""
    return match_labels(labels, scenes).notes[len(labels.notes) :]


# By name


def _bound(labels: LabelSet, scenes: Sequence[Scene]) -> tuple[LabelSet, list[str]]:
    """Features of several files bound to the scenes that their files are named after."""
    if labels.files is None or labels.images is not None:
        return labels, []
    scene_of: dict[str, str] = {}
    for scene in scenes:
        place = best_named(scene.path, labels.file_names, "label file")
        if place is None:
            continue
        file = labels.file_names[place]
        if file in scene_of:
            raise LabelError(
                f"{file}: is named like two scenes, {scene_of[file]} and {scene.name}; give each scene its own label file, or one for all"
            )
        scene_of[file] = scene.name
    if not scene_of:
        return labels, [
            f"{len(labels.file_names)} label files are used by the ground they lie on, since none is named like a scene"
        ]
    _check_names(labels, scenes)
    notes = [
        f"{len(scene_of)} of {len(labels.file_names)} label files belong to the scenes of their names, and to no other"
    ]
    left = [Path(file).name for file in labels.file_names if file not in scene_of]
    if left:
        notes.append(f"{_are(len(left), 'label file')} not used, being named like no scene: {named(left)}")
    kept = np.array([file in scene_of for file in labels.files], np.bool_)
    images = np.array([scene_of[file] for file in labels.files[kept]], dtype=object)
    return _some(labels, kept, images, tuple(scene_of.values())), notes


def _some(labels: LabelSet, kept: Flags, images: GeometryArray, image_names: tuple[str, ...]) -> LabelSet:
    """The features of `kept`, each for its image."""
    own = labels.annotated is labels.geometries
    return replace(
        labels,
        geometries=labels.geometries[kept],
        class_ids=labels.class_ids[kept],
        feature_ids=labels.feature_ids[kept],
        ignore=None if labels.ignore is None else labels.ignore[kept],
        files=None if labels.files is None else labels.files[kept],
        annotated=labels.geometries[kept] if own else labels.annotated,
        annotated_images=images if own else labels.annotated_images,
        scores=None if labels.scores is None else labels.scores[kept],
        attributes={name: values[kept] for name, values in labels.attributes.items()},
        images=images,
        image_names=image_names,
    )


def _framed(labels: LabelSet, scenes: Sequence[Scene]) -> LabelSet:
    """Labels of whole images with the outlines of these images, now that they are known; those of other
    images left out.
    """
    kept = np.zeros(len(labels), np.bool_)
    outlines = labels.geometries.copy()
    for scene in scenes:
        found = labels.for_grid(scene.native, scene.place)
        outlines[found.index], kept[found.index] = found.geometries, True
    assert labels.images is not None
    whole = replace(labels, geometries=outlines, whole_images=False)
    return _some(whole, kept, labels.images[kept], labels.image_names)


def _match_images(labels: LabelSet, scenes: Sequence[Scene]) -> list[str]:
    """Labels in pixels: images are found by name."""
    covered = [scene for scene in scenes if labels.covers(scene.place)]
    _check_names(labels, covered)
    if not covered:
        raise LabelError(
            f"{labels.source}: none of {len(labels.image_names)} labelled images ({named(labels.image_names)}) is among the scenes "
            f"({named([scene.name for scene in scenes])}); names must be the same but for the suffix"
        )
    notes = []
    without = [scene.name for scene in scenes if not labels.covers(scene.place)]
    if without:
        notes.append(
            f"{len(without)} of {len(scenes)} scenes have no labels and are not used as background: {named(without)}"
        )
    exact, stems = _names_of(labels, covered)
    left = [name for name in labels.image_names if name not in exact and stem_of(name) not in stems]
    if left:
        notes.append(
            f"{len(left)} of {len(labels.image_names)} labelled images are not among the scenes: {named(left)}"
        )
    return [*notes, *_sizes(labels, covered), *_outside_images(labels, covered)]


def _check_names(labels: LabelSet, scenes: Sequence[Scene]) -> None:
    """Raises `LabelError` where two scenes are one image of the labels."""
    known = labels.covered_images
    called = Counter(known.exact(scene.place) or known.by_stem(scene.place) or scene.name for scene in scenes)
    name, times = called.most_common(1)[0] if called else ("", 0)
    if times > 1:
        raise LabelError(
            f"{labels.source}: labels belong to scenes by name, and two scenes are called {name}; tile the scenes of one folder at a time"
        )


def _names_of(labels: LabelSet, scenes: Sequence[Scene]) -> tuple[set[str | None], set[str | None]]:
    """What labels call these scenes: with the file's suffix, and without."""
    known = labels.covered_images
    return {known.exact(scene.place) for scene in scenes}, {known.by_stem(scene.place) for scene in scenes}


def _sizes(labels: LabelSet, covered: Sequence[Scene]) -> list[str]:
    """Remarks on images whose size is not what the labels say. Raises `LabelError` where none is."""
    said = dict(zip(map(stem_of, labels.image_names), labels.image_sizes_px, strict=False))
    called = {scene: labels.covered_images.by_stem(scene.place) or "" for scene in covered}
    sized = [(scene, said[stem]) for scene, stem in called.items() if said.get(stem) is not None]
    wrong = [(s, size) for s, size in sized if size is not None and size != (s.native.width, s.native.height)]
    if not wrong:
        return []
    scene, size = wrong[0]
    assert size is not None
    told = (
        f"{scene.name} is {scene.native.width}x{scene.native.height} px, its labels say {size[0]}x{size[1]}"
    )
    if len(wrong) == len(sized) and len(covered) == len(sized):
        raise LabelError(
            f"{labels.source}: was made for images of another size ({told}); give the images that were labelled"
        )
    return [f"{_are(len(wrong), 'image')} of another size than the labels say: {told}"]


def _outside_images(labels: LabelSet, covered: Sequence[Scene]) -> list[str]:
    assert labels.images is not None
    used = np.zeros(len(labels), np.bool_)
    for scene in covered:
        used[labels.for_grid(scene.native, scene.place).index] = True
    stems = _names_of(labels, covered)[1]
    outside = np.array([stem_of(str(image)) in stems for image in labels.images], np.bool_) & ~used
    if not used.any():
        raise LabelError(
            f"{labels.source}: none of {len(labels)} objects lies in its image; check that names and sizes belong together"
        )
    return (
        [
            f"{_lie(int(outside.sum()), len(labels), 'object')} wholly outside their images: {named(labels.feature_ids[outside])}"
        ]
        if outside.any()
        else []
    )


# By place


def _match_ground(labels: LabelSet, crs: CRS, scenes: Sequence[Scene]) -> list[str]:
    """Labels in map coordinates: what lies on which scene."""
    hits = _hits(labels, labels.geometries, labels.images, crs, scenes)
    if not any(len(index) for index in hits):
        raise LabelError(_no_overlap(labels, crs, scenes))
    used = np.zeros(len(labels), np.bool_)
    for index in hits:
        used[index] = True
    notes = []
    if not used.all():
        notes.append(
            f"{_lie(int((~used).sum()), len(labels), 'label')} outside the scenes: {named(labels.feature_ids[~used])}"
        )
    if 1 < len(scenes) <= _LISTED_SCENES:
        notes.append(
            "labels on each scene: "
            + ", ".join(f"{scene.name} {len(index)}" for scene, index in zip(scenes, hits, strict=True))
        )
    else:
        empty = [scene.name for scene, index in zip(scenes, hits, strict=True) if not len(index)]
        notes += (
            [f"{len(empty)} of {len(scenes)} scenes have no label on them: {named(empty)}"] if empty else []
        )
    return [*notes, *_match_annotated(labels, crs, scenes)]


def _match_annotated(labels: LabelSet, crs: CRS, scenes: Sequence[Scene]) -> list[str]:
    areas = labels.annotated
    if areas is None or areas is labels.geometries:
        return []
    hits = _hits(labels, areas, labels.annotated_images, crs, scenes)
    inside = np.unique(np.concatenate(hits))
    if not len(inside):
        raise LabelError(
            f"{labels.source}: none of {len(areas)} annotated areas lies on a scene; check the file `annotated`"
        )
    notes = (
        [f"{_lie(len(areas) - len(inside), len(areas), 'annotated area')} outside the scenes"]
        if len(inside) < len(areas)
        else []
    )
    near, _ = shapely.STRtree(areas).query(labels.geometries, predicate="intersects")
    apart = np.ones(len(labels), np.bool_)
    apart[near] = False
    return notes + (
        [f"{_lie(int(apart.sum()), len(labels), 'label')} outside the annotated areas and do not count"]
        if apart.any()
        else []
    )


def _hits(
    labels: LabelSet,
    geometries: GeometryArray,
    images: GeometryArray | None,
    crs: CRS,
    scenes: Sequence[Scene],
) -> list[npt.NDArray[np.int64]]:
    """For each scene the places of the geometries that touch it; every CRS is gone to once."""
    trees: dict[str, shapely.STRtree] = {}
    found = []
    for scene in scenes:
        if scene.grid.crs is None:
            labels.for_grid(scene.grid, scene.place)  # raises, saying what to do
            continue
        key = scene.grid.crs.to_wkt()
        if key not in trees:
            trees[key] = shapely.STRtree(reproject(geometries, crs, scene.grid.crs, labels.source))
        index = np.sort(trees[key].query(scene.grid.footprint(), predicate="intersects")).astype(np.int64)
        found.append(index if images is None else index[images[index] == scene.name])
    return found


def _no_overlap(labels: LabelSet, crs: CRS, scenes: Sequence[Scene]) -> str:
    west, south, east, north = _lonlat(labels.geometries, crs, labels.source)
    grounds = [
        _lonlat(np.array([scene.grid.footprint()], dtype=object), scene.grid.crs, scene.path)
        for scene in scenes
        if scene.grid.crs is not None
    ]
    boxes = np.array(grounds)
    ground = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    text = f"{labels.source}: no label lies on the scenes; labels are at {_extent((west, south, east, north))}, scenes at {_extent(ground)}"
    if _swapped_overlap(labels, crs, scenes):
        return f"{text}; with x and y swapped they would overlap: exchange the coordinates of the labels, e.g. ogr2ogr -swap_xy OUT.gpkg IN"
    return f"{text}; check the CRS of the labels ({crs.name}), and correct it with `label_crs`"


def _lonlat(geometries: GeometryArray, crs: CRS | None, source: str) -> tuple[float, float, float, float]:
    assert crs is not None
    corners = np.array([shapely.box(*shapely.total_bounds(geometries))], dtype=object)
    moved = reproject(corners, crs, CRS.from_epsg(4326), source)
    west, south, east, north = (float(value) for value in shapely.total_bounds(moved))
    return west, south, east, north


def _extent(bounds: Sequence[float]) -> str:
    west, south, east, north = bounds
    return f"longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to {north:.4f}"


def _swapped_overlap(labels: LabelSet, crs: CRS, scenes: Sequence[Scene]) -> bool:
    swapped = np.asarray(shapely.transform(labels.geometries, lambda xy: xy[:, ::-1]), dtype=object).reshape(
        -1
    )
    try:
        return any(len(index) for index in _hits(labels, swapped, labels.images, crs, scenes))
    except LabelError:
        return False  # swapped coordinates need not have a place


def _are(count: int, what: str) -> str:
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"


def _lie(count: int, total: int, what: str) -> str:
    return f"{count} of {total} {what}s lie{'s' * (count == 1)}"

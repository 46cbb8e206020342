"""`match_labels`: which labels belong to which scenes, and what is left over.

Labels of images and label rasters are matched by name, labels in map coordinates by the ground they lie on.
Everything that is not used is counted in notes; no match at all is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray
from ..core.geometries import reproject
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.rasterlabels import RasterLabels
from ..core.wording import count_lies, count_of, listed
from ..errors import LabelError
from ..io.scene import Scene
from .datum import shift_note
from .imagecoverage import check_frames, image_notes, object_notes, refuse_same_names
from .pairing import best_named
from .placement import PlacedLabels
from .plausibility import report_on_pixels
from .raster.maskfit import raster_notes

_LISTED_SCENES = 12
_WHOLE = 1 - 1e-6  # the share of a label that lies on scenes, less rounding
_LONLAT = CRS.from_epsg(4326)


@dataclass(frozen=True)
class MatchedLabels:
    """Labels and scenes that belong together."""

    labels: LabelSet
    """The labels, with notes on what is used and what is not; features bound to their scenes by name, labels
    of whole images as frames."""

    placed: tuple[PlacedLabels, ...]
    """The labels of each scene in its pixels, in the order of the scenes."""

    @classmethod
    def of(cls, labels: LabelSet, scenes: Sequence[Scene]) -> MatchedLabels:
        """Place labels on scenes. Raises `LabelError` as `PlacedLabels.of` does."""
        return cls(labels, tuple(PlacedLabels.of(labels, scene) for scene in scenes))

    def with_notes(self, *notes: str) -> MatchedLabels:
        """The same with further notes."""
        return replace(self, labels=self.labels.with_notes(*notes))

    def with_report(self) -> MatchedLabels:
        """The same with what the scenes show of the labels, in their report."""
        labels = self.labels
        if not isinstance(labels, MapLabels | ImageLabels):
            return self
        parts = [placed.labels for placed in self.placed]
        report = report_on_pixels(labels.report, parts, labels.features, labels.classes)
        scenes_px = sum(placed.scene.grid.width * placed.scene.grid.height for placed in self.placed)
        covered_px = sum(float(_areas_on_scene(placed).sum()) for placed in self.placed)
        report = replace(report, share=covered_px / scenes_px)
        return replace(self, labels=replace(labels, report=report))

    @property
    def used(self) -> BoolArray:
        """(N,) True for labels that touch any scene."""
        used = np.zeros(len(self.labels), np.bool_)
        for placed in self.placed:
            used[placed.labels.index] = True
        return used


def match_labels(labels: LabelSet, scenes: Sequence[Scene]) -> MatchedLabels:
    """The labels of each scene, with notes on what is used and what is not.

    If any of several label files in map coordinates is named like a scene, each belongs to the scene of its
    name (one place on several dates); otherwise all belong to the ground they lie on.

    Args:
        labels: The label set.
        scenes: The scenes.

    Returns:
        The labels, placed on each scene once.

    Raises:
        LabelError: No label fits any scene, or two scenes or rasters fit where one should.
    """
    match labels:
        case RasterLabels():
            matched = MatchedLabels.of(labels, scenes)
            return matched.with_notes(*raster_notes(labels, matched.placed))
        case WholeImageLabels():
            notes = image_notes(labels, scenes)
            frames = {scene.place: scene.native for scene in scenes}
            return MatchedLabels.of(labels.framed(frames), scenes).with_notes(*notes)
        case ImageLabels():
            notes = image_notes(labels, scenes)
            notes += check_frames(labels, scenes)
            matched = MatchedLabels.of(labels, scenes)
            notes += object_notes(labels, scenes, matched.used)
            return matched.with_notes(*notes).with_report()
        case MapLabels():
            bound = _bound_to_scenes(labels, scenes)
            matched = MatchedLabels.of(bound, scenes)
            notes = _ground_notes(bound, matched, scenes) + _area_notes(bound, scenes)
            shifts = [shift_note(bound.crs, scene, bound.source, bound.accept_shift_m) for scene in scenes]
            notes += dict.fromkeys(note for note in shifts if note is not None)
            return matched.with_notes(*notes).with_report()
        case _:
            raise TypeError(f"{labels.source}: unknown kind of labels {type(labels).__name__}")


# Label files that are named like scenes


def extent_note(labels: LabelSet) -> list[str]:
    """A note that labels are taken as complete, where nothing says on which ground they are.

    Args:
        labels: The labels; of rasters and of whole images every pixel is stated.
    """
    if not isinstance(labels, MapLabels | ImageLabels) or labels.areas is not None or labels.only_features:
        return []
    return [
        "the labels are taken as complete, so that ground without one is background; say where they are "
        "complete with `annotated`, or leave other ground out with `unlabelled=ignore`"
    ]


def _bound_to_scenes(labels: MapLabels, scenes: Sequence[Scene]) -> MapLabels:
    """Features of several files, bound to the scenes that their files are named after."""
    files = labels.features.files
    if files is None or labels.features.images is not None:
        return labels
    scene_of_file = _scenes_of_files(labels, scenes)
    if not scene_of_file:
        return labels.with_notes(
            f"{len(labels.file_names)} label files are used by the ground they lie on, since none is named "
            "like a scene"
        )
    refuse_same_names(labels.source, [scene.name for scene in scenes])
    features = labels.features.take(np.array([file in scene_of_file for file in files], np.bool_))
    images = [scene_of_file[file] for file in files if file in scene_of_file]
    unused = [Path(file).name for file in labels.file_names if file not in scene_of_file]
    notes = [
        f"{len(scene_of_file)} of {len(labels.file_names)} label files belong to the scenes of their names, "
        "and to no other"
    ]
    if unused:
        notes.append(f"{count_of(len(unused), 'label file')} not used, named like no scene: {listed(unused)}")
    return replace(
        labels,
        features=replace(features, images=np.array(images, dtype=object)),
        image_names=tuple(scene_of_file.values()),
        notes=(*labels.notes, *notes),
    )


def _scenes_of_files(labels: MapLabels, scenes: Sequence[Scene]) -> dict[str, str]:
    """Label file -> name of the scene that it is named after, in the order of the scenes."""
    scene_of_file: dict[str, str] = {}
    for scene in scenes:
        number = best_named(scene.path, labels.file_names, "label file")
        if number is None:
            continue
        file = labels.file_names[number]
        if file in scene_of_file:
            raise LabelError(
                f"{file}: is named like two scenes, {scene_of_file[file]} and {scene.name}; give each scene "
                "its own label file, or one for all"
            )
        scene_of_file[file] = scene.name
    return scene_of_file


# Ground


def _ground_notes(labels: MapLabels, matched: MatchedLabels, scenes: Sequence[Scene]) -> list[str]:
    """Notes on labels outside the scenes and on scenes without labels. Raises `LabelError` where all are."""
    used = matched.used
    if not used.any():
        raise LabelError(_no_overlap(labels, scenes))
    notes = []
    if not used.all():
        outside = listed(labels.features.feature_ids[~used])
        notes.append(f"{count_lies(int((~used).sum()), len(labels), 'label')} outside the scenes: {outside}")
    notes += _partial_note(labels, matched)
    if 1 < len(scenes) <= _LISTED_SCENES:
        counts = [f"{placed.scene.name} {len(placed.labels)}" for placed in matched.placed]
        notes.append(f"labels on each scene: {', '.join(counts)}")
        return notes
    empty = [placed.scene.name for placed in matched.placed if not len(placed.labels)]
    if empty:
        notes.append(f"{len(empty)} of {len(scenes)} scenes have no label on them: {listed(empty)}")
    return notes


def _partial_note(labels: MapLabels, matched: MatchedLabels) -> list[str]:
    """A note on labels of which only a part lies on the scenes. Labels that meet a scene in a single pixel
    are probably those of another place.
    """
    inside = np.zeros(len(labels), np.float64)
    for placed in matched.placed:
        areas, on_scene = shapely.area(placed.labels.geometries), _areas_on_scene(placed)
        inside[placed.labels.index] += np.divide(on_scene, areas, out=np.ones(len(areas)), where=areas > 0)
    used = matched.used
    partial = used & (inside < _WHOLE)
    if not partial.any():
        return []
    return [
        f"{count_lies(int(partial.sum()), int(used.sum()), 'label')} partly outside the scenes: "
        f"{inside[partial].mean():.2%} of them on average is inside"
    ]


def _areas_on_scene(placed: PlacedLabels) -> Float64Array:
    """(N,) the area of each label on its scene, in pixels."""
    geometries = placed.labels.geometries
    areas = np.asarray(shapely.area(geometries), np.float64)
    frame = shapely.box(0, 0, placed.scene.grid.width, placed.scene.grid.height)
    cut = ~shapely.contains_properly(frame, geometries)
    areas[cut] = shapely.area(shapely.intersection(geometries[cut], frame))
    return areas


def _area_notes(labels: MapLabels, scenes: Sequence[Scene]) -> list[str]:
    """Notes on areas outside the scenes, and labels outside the areas. Raises `LabelError` where all are."""
    if labels.areas is None or labels.only_features:
        return []
    areas = labels.areas.geometries
    on_scenes = np.zeros(len(areas), np.bool_)
    for scene in scenes:
        on_scenes[labels.areas.on_grid(scene.grid, scene.place)[0]] = True
    if not on_scenes.any():
        raise LabelError(
            f"{labels.source}: none of {len(areas)} annotated areas lies on a scene; check the file given as "
            "`annotated`"
        )
    notes = []
    if not on_scenes.all():
        notes.append(
            f"{count_lies(int((~on_scenes).sum()), len(areas), 'annotated area')} outside the scenes"
        )
    outside = np.ones(len(labels), np.bool_)
    outside[shapely.STRtree(areas).query(labels.features.geometries, predicate="intersects")[0]] = False
    if outside.any():
        count = count_lies(int(outside.sum()), len(labels), "label")
        notes.append(f"{count} outside the annotated areas and do not count")
    return notes


def _no_overlap(labels: MapLabels, scenes: Sequence[Scene]) -> str:
    """Why no label lies on the scenes, as far as their extents tell."""
    label_extent = _lonlat_bounds(labels.features.geometries, labels.crs, labels.source)
    scene_bounds = []
    for scene in scenes:
        if scene.grid.crs is not None:
            footprint = np.array([scene.grid.footprint()], dtype=object)
            scene_bounds.append(_lonlat_bounds(footprint, scene.grid.crs, scene.path))
    bounds = np.array(scene_bounds)
    scene_extent = np.concatenate([bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)])
    text = (
        f"{labels.source}: no label lies on the scenes; labels are at {_extent(label_extent)}, scenes at "
        f"{_extent(scene_extent)}"
    )
    if _overlaps_swapped(labels, scenes):
        return (
            f"{text}; with x and y swapped they would overlap: exchange the coordinates of the labels, e.g. "
            "ogr2ogr -swap_xy OUT.gpkg IN"
        )
    return f"{text}; check the CRS of the labels ({labels.crs.name}), and correct it with `label_crs`"


def _lonlat_bounds(geometries: GeometryArray, crs: CRS, source: str) -> Float64Array:
    """(4,) west, south, east, north of geometries, from the corners of their extent."""
    extent = np.array([shapely.box(*shapely.total_bounds(geometries))], dtype=object)
    return np.asarray(shapely.total_bounds(reproject(extent, crs, _LONLAT, source)), np.float64)


def _extent(bounds: Float64Array) -> str:
    west, south, east, north = bounds
    return f"longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to {north:.4f}"


def _overlaps_swapped(labels: MapLabels, scenes: Sequence[Scene]) -> bool:
    swapped = shapely.transform(labels.features.geometries, lambda xy: xy[:, ::-1])
    outlines = replace(labels.outlines, geometries=swapped)
    try:
        return any(len(outlines.on_grid(scene.grid, scene.place)[0]) for scene in scenes)
    except LabelError:
        return False  # swapped coordinates may be outside the CRS

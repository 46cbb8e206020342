"""Objects and the scenes under them: too small, outside the scene, on pixels that were not measured, outside
annotated ground.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from ...core.arraytypes import BoolArray, Float64Array
from ...core.geometries import shifted
from ...core.labelset import FeatureLabels
from ...core.pixellabels import PixelLabels
from ...core.window import Window
from ...io.rasterize import burn
from ...io.scene import Scene, SceneReader
from .finding import Finding, Severity

LEAST_PX = 3.0
"""Objects narrower than this are mixed pixels."""

_OUTSIDE_SHARE = 0.02  # of an object beyond the scene, from which it is reported
_NODATA_SHARE = 0.1
_UNANNOTATED_SHARE = 0.1
_WHOLE = 0.999
_BLOCK_PX = 1024
_SLACK_PX = 1.0  # outlines are drawn to the edge of the image, give or take


def check_on_scene(labels: FeatureLabels, scene: Scene) -> Iterator[Finding]:
    """Everything about the objects that touch one scene."""
    in_scene = labels.for_grid(scene.native, scene.place)
    yield from _too_small(labels, in_scene, scene)
    yield from _outside_scene(labels, in_scene, scene)
    yield from _over_nodata(labels, in_scene, scene)


def check_used(labels: FeatureLabels, used: BoolArray) -> Iterator[Finding]:
    """Objects that lie on no scene. (If none lies on any, `check_labels` reports that as one finding.)

    Args:
        labels: The labels.
        used: (N,) True for objects that touch a scene.
    """
    for index in np.flatnonzero(~used).tolist():
        image = None
        if labels.crs is None and labels.features.images is not None:
            image = str(labels.features.images[index])
        text = "lies on none of the scenes and is not used; add the scene it belongs to, or delete it"
        yield _about(labels, index, "outside scene", "warning", text, image=image)


def check_annotated(labels: FeatureLabels) -> Iterator[Finding]:
    """Objects outside the ground on which labels are complete."""
    if labels.areas is None or labels.crs is None or not len(labels.areas.geometries):
        return
    ground = shapely.union_all(shapely.make_valid(labels.areas.geometries))
    shapely.prepare(ground)
    for index in np.flatnonzero(~shapely.contains(ground, labels.features.geometries)).tolist():
        geometry = labels.features.geometries[index]
        share = 1 - shapely.area(shapely.intersection(geometry, ground)) / shapely.area(geometry)
        if share <= _UNANNOTATED_SHARE:
            continue
        severity: Severity = "note"
        what = f"{share:.0%} of it lies"
        if share > _WHOLE:
            severity, what = "warning", "lies"
        text = f"{what} outside the annotated area and does not count; extend the area, or delete the object"
        yield _about(labels, index, "outside annotated", severity, text)


def _about(
    labels: FeatureLabels, index: int, kind: str, severity: Severity, text: str, image: str | None = None
) -> Finding:
    """A finding about one object, in the frame of the labels."""
    names = [info.name for info in labels.classes if info.id == labels.features.class_ids[index]]
    return Finding(
        kind,
        severity,
        text,
        feature_ids=(str(labels.features.feature_ids[index]),),
        class_name=names[0] if names else "",
        geometry=labels.features.geometries[index],
        image=image,
    )


def _about_scene(
    scene: Scene, labels: FeatureLabels, index: int, kind: str, severity: Severity, *, text: str
) -> Finding:
    """A finding about one object of a scene; labels without a CRS lie in its pixels."""
    image = scene.name if labels.crs is None else None
    return _about(labels, index, kind, severity, text, image=image)


def _too_small(labels: FeatureLabels, in_scene: PixelLabels, scene: Scene) -> Iterator[Finding]:
    bounds = in_scene.bounds
    width, height = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    areas = shapely.area(in_scene.geometries)
    small = (np.minimum(width, height) < LEAST_PX) | (areas < LEAST_PX**2)
    for index in np.flatnonzero(small).tolist():
        text = (
            f"{width[index]:.1f}x{height[index]:.1f} px ({areas[index]:.1f} px²) in {scene.name}: under "
            f"{LEAST_PX:g} px there are only mixed pixels, no shape; delete it, or use a finer scene"
        )
        yield _about_scene(scene, labels, int(in_scene.index[index]), "too small", "warning", text=text)


def _outside_scene(labels: FeatureLabels, in_scene: PixelLabels, scene: Scene) -> Iterator[Finding]:
    last_col, last_row = scene.native.width + _SLACK_PX, scene.native.height + _SLACK_PX
    frame = shapely.box(-_SLACK_PX, -_SLACK_PX, last_col, last_row)
    for index in np.flatnonzero(~shapely.contains(frame, in_scene.geometries)).tolist():
        geometry = in_scene.geometries[index]
        area = shapely.area(geometry)
        if area <= 0:
            continue
        share = 1 - shapely.area(shapely.intersection(geometry, frame)) / area
        if share > _OUTSIDE_SHARE:
            text = f"{share:.0%} of it lies outside {scene.name} and is not used"
            yield _about_scene(scene, labels, int(in_scene.index[index]), "outside scene", "note", text=text)


def _over_nodata(labels: FeatureLabels, in_scene: PixelLabels, scene: Scene) -> Iterator[Finding]:
    pixels, invalid = _pixels_below(in_scene, scene)
    share = np.divide(invalid, pixels, out=np.zeros(len(pixels)), where=pixels > 0)
    for index in np.flatnonzero(share >= _NODATA_SHARE).tolist():
        text = (
            f"{share[index]:.0%} of its pixels in {scene.name} were not measured (nodata); clip it to what "
            "is visible, or delete it"
        )
        yield _about_scene(scene, labels, int(in_scene.index[index]), "over nodata", "warning", text=text)


def _pixels_below(in_scene: PixelLabels, scene: Scene) -> tuple[Float64Array, Float64Array]:
    """(N,) pixels of each object, and how many of them were not measured. Where objects overlap, pixels
    belong to the later one.
    """
    pixels, invalid = np.zeros(len(in_scene)), np.zeros(len(in_scene))
    tree = shapely.STRtree(in_scene.geometries)
    with SceneReader(scene.resized(scene.native.height, scene.native.width)) as reader:
        for window in blocks_of(scene, _BLOCK_PX):
            outline = shapely.box(*window.box)
            near = np.sort(tree.query(outline, predicate="intersects"))
            if not len(near):
                continue
            geometries, valid = in_scene.geometries[near], reader.read_valid(window)
            if valid.all():  # the usual case, and much faster
                pixels[near] += shapely.area(shapely.intersection(geometries, outline))
                continue
            in_block = shifted(geometries, -window.col, -window.row)
            numbers = np.arange(1, len(near) + 1)
            burnt = burn(in_block, numbers, window.height, window.width, dtype="int32")
            pixels[near] += np.bincount(burnt.ravel(), minlength=len(near) + 1)[1:]
            invalid[near] += np.bincount(burnt[~valid], minlength=len(near) + 1)[1:]
    return pixels, invalid


def blocks_of(scene: Scene, side_px: int) -> Iterator[Window]:
    """Square windows that together are a scene, in pixels of its file."""
    height, width = scene.native.height, scene.native.width
    for row in range(0, height, side_px):
        for col in range(0, width, side_px):
            yield Window(col, row, min(side_px, width - col), min(side_px, height - row))

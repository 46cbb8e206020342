"""Objects and the scenes under them: too small, beside the scene, on pixels that were not measured, outside
annotated ground.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import shapely

from ...core.geometries import shifted
from ...core.labelset import LabelSet, PixelLabels
from ...core.window import Window
from ...io.rasterize import burn
from ...io.scene import Scene, SceneReader
from .finding import Finding

LEAST_PX = 3.0
_STICKS_OUT = 0.02
_NODATA_SHARE = 0.1
_PARTLY_OUT = 0.1
_BLOCK_PX = 1024
_SLACK_PX = 1.0  # outlines are drawn to the edge of the image, give or take

FloatArray = npt.NDArray[np.float64]


def check_on_scene(labels: LabelSet, scene: Scene) -> Iterator[Finding]:
    """Everything about the objects that touch one scene."""
    found = labels.for_grid(scene.native, scene.place)
    yield from _sizes(labels, found, scene)
    yield from _edges(labels, found, scene)
    yield from _nodata(labels, found, scene)


def _finding(
    labels: LabelSet, found: PixelLabels, place: int, scene: Scene, kind: str, severity: str, text: str
) -> Finding:
    """A finding about one object, at its place in the labels' own frame."""
    index = int(found.index[place])
    class_id = int(labels.class_ids[index])
    name = next((info.name for info in labels.classes if info.id == class_id), "")
    image = None if labels.crs is not None else scene.name
    return Finding(
        kind,
        "warning" if severity == "warning" else "note",
        text,
        (str(labels.feature_ids[index]),),
        name,
        labels.geometries[index],
        image,
    )


def _sizes(labels: LabelSet, found: PixelLabels, scene: Scene) -> Iterator[Finding]:
    bounds = found.bounds
    width, height = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    areas = shapely.area(found.geometries)
    for place in np.flatnonzero((np.minimum(width, height) < LEAST_PX) | (areas < LEAST_PX**2)):
        text = f"{width[place]:.1f}x{height[place]:.1f} px ({areas[place]:.1f} px²) in {scene.name}: under {LEAST_PX:g} px it is mixed pixels and no shape; delete it, or use a finer scene"
        yield _finding(labels, found, int(place), scene, "too small", "warning", text)


def _edges(labels: LabelSet, found: PixelLabels, scene: Scene) -> Iterator[Finding]:
    frame = shapely.box(
        -_SLACK_PX, -_SLACK_PX, scene.native.width + _SLACK_PX, scene.native.height + _SLACK_PX
    )
    crossing = (
        np.flatnonzero(~shapely.contains(frame, found.geometries)) if len(found) else np.empty(0, np.int64)
    )
    for place in crossing:
        area = shapely.area(found.geometries[place])
        share = (
            1 - shapely.area(shapely.intersection(found.geometries[place], frame)) / area if area > 0 else 0.0
        )
        if share > _STICKS_OUT:
            yield _finding(
                labels,
                found,
                int(place),
                scene,
                "outside scene",
                "note",
                f"{share:.0%} of it sticks out of {scene.name} and is not used there",
            )


def check_used(labels: LabelSet, scenes: list[Scene]) -> Iterator[Finding]:
    """Objects that lie on no scene. (Where none lies on any, that is one finding of `check_labels`.)"""
    used = np.zeros(len(labels), np.bool_)
    for scene in scenes:
        used[labels.for_grid(scene.native, scene.place).index] = True
    names = {info.id: info.name for info in labels.classes}
    for place in np.flatnonzero(~used):
        image = None if labels.crs is not None or labels.images is None else str(labels.images[place])
        text = "lies on none of the scenes and is not used; give the scene it belongs to, or delete it"
        name = names.get(int(labels.class_ids[place]), "")
        yield Finding(
            "outside scene",
            "warning",
            text,
            (str(labels.feature_ids[place]),),
            name,
            labels.geometries[place],
            image,
        )


def _nodata(labels: LabelSet, found: PixelLabels, scene: Scene) -> Iterator[Finding]:
    counts, invalid = _pixels_below(found, scene)
    share = np.divide(invalid, counts, out=np.zeros(len(counts)), where=counts > 0)
    for place in np.flatnonzero(share >= _NODATA_SHARE):
        text = f"{share[place]:.0%} of its pixels in {scene.name} were not measured (nodata); cut it to what is seen, or delete it"
        yield _finding(labels, found, int(place), scene, "over nodata", "warning", text)


def _pixels_below(found: PixelLabels, scene: Scene) -> tuple[FloatArray, FloatArray]:
    """(N,) pixels of each object, and how many of them were not measured; an object on another counts for
    both only where it is on top.
    """
    counts, invalid = np.zeros(len(found)), np.zeros(len(found))
    own = scene.resized(scene.native.height, scene.native.width)
    tree = shapely.STRtree(found.geometries)
    with SceneReader(own) as reader:
        for row in range(0, own.grid.height, _BLOCK_PX):
            for col in range(0, own.grid.width, _BLOCK_PX):
                window = Window(
                    col, row, min(_BLOCK_PX, own.grid.width - col), min(_BLOCK_PX, own.grid.height - row)
                )
                near = np.sort(tree.query(shapely.box(*window.box), predicate="intersects"))
                if not len(near):
                    continue
                valid = reader.read_valid(window)
                if valid.all():
                    counts[near] += shapely.area(
                        shapely.intersection(found.geometries[near], shapely.box(*window.box))
                    )
                    continue
                moved = shifted(found.geometries[near], -window.col, -window.row)
                places = burn(moved, np.arange(1, len(near) + 1), window.height, window.width, dtype="int32")
                counts[near] += np.bincount(places.ravel(), minlength=len(near) + 1)[1:]
                invalid[near] += np.bincount(places[~valid], minlength=len(near) + 1)[1:]
    return counts, invalid


def check_annotated(labels: LabelSet) -> Iterator[Finding]:
    """Objects outside the ground on which labels are complete, in the labels' own frame."""
    areas = labels.annotated
    if areas is None or areas is labels.geometries or labels.crs is None or not len(areas):
        return
    ground = shapely.union_all(shapely.make_valid(areas))
    shapely.prepare(ground)
    names = {info.id: info.name for info in labels.classes}
    for place in np.flatnonzero(~shapely.contains(ground, labels.geometries)):
        geometry = labels.geometries[place]
        share = 1 - shapely.area(shapely.intersection(geometry, ground)) / shapely.area(geometry)
        if share <= _PARTLY_OUT:
            continue
        whole = share > 0.999
        text = f"{'lies' if whole else f'{share:.0%} of it lies'} outside 'annotated' and does not count; extend the area, or delete the object"
        name = names.get(int(labels.class_ids[place]), "")
        yield Finding(
            "outside annotated",
            "warning" if whole else "note",
            text,
            (str(labels.feature_ids[place]),),
            name,
            geometry,
        )

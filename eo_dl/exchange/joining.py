"""`join_pieces`: the pieces of an object that several images show become one object again.

Pieces with the same `feature_id` in images that touch are one object. For pieces without an id, geometry
decides: where images overlap, both must show the same; where they only meet, both pieces must reach the
common edge at the same place. An image has one box per object, so a box has one partner in another image, the
one that fits best; an outline may have several, as its other side may be in pieces.

All geometry is in pixels of the scene, those of the first image of a scene: images are cut from scenes at
whole pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import shapely
from affine import Affine

from ..core.arraytypes import GeometryArray
from ..core.features import Features
from ..core.geometries import shifted
from ..core.pixelgrid import PixelGrid
from ..labels.formats.labelformat import Shape
from ..labels.formats.outlineforms import is_box
from .imageindex import IndexedImage

_EDGE_PX = 1e-3  # pieces that come this near to an edge reach it
_GRID_PX = 1e-7  # outlines are merged on a grid of this size, so that edges which should meet do
_WHOLE_PX = 1e-3  # shifts this near to whole pixels are whole
_SHORTEST_PX = 0.01  # of an edge that two pieces reach
_SAME_SHARE = 0.5
_INSIDE_SHARE = 0.9

Shift = tuple[int, int]
"""Columns and rows from an image to the first one of its scene."""


def join_pieces(
    features: Features,
    image_of: Sequence[IndexedImage],
    covered: Sequence[IndexedImage],
    shape: Shape,
    notes: list[str],
) -> tuple[Features, list[IndexedImage]]:
    """The pieces of each object as one feature.

    Args:
        features: Features in pixels of images.
        image_of: The image of each feature.
        covered: All images, those without objects too.
        shape: What the format of the labels holds. Pieces of boxes become boxes; masks and polygons may show
            one object as several pieces in one image.
        notes: Gets a line on what was joined, and on what images say differently.

    Returns:
        The features, in pixels of the image of the first piece of each object; and these images.
    """
    pieces = _Pieces(features, tuple(image_of), tuple(covered), shape)
    groups = _groups(pieces)
    notes += _differences(pieces, groups)
    joined = [group for group in groups if len(group) > 1]
    if not joined:
        return features, list(image_of)
    geometries = features.geometries.copy()
    scores = None if features.scores is None else features.scores.copy()
    for group in joined:
        first = group[0]
        geometries[first] = _shifted_back(_united(pieces, group), pieces.shifts[first])
        if scores is not None and not np.isnan(scores[group]).all():
            scores[first] = np.nanmax(scores[group])
    notes.append(
        f"{sum(map(len, joined))} pieces that several images show were joined to {len(joined)} objects"
    )
    kept = np.array([group[0] for group in groups], np.int64)
    united = replace(features, geometries=geometries, scores=scores, files=None)
    return united.take(kept), [image_of[index] for index in kept.tolist()]


def _scene_of(image: IndexedImage) -> str:
    return image.scene_path or image.scene


@dataclass(frozen=True)
class _Pieces:
    """Features of images, in the pixels of their scene, so that they can be compared."""

    features: Features
    image_of: tuple[IndexedImage, ...]
    """The image of each feature."""
    covered: tuple[IndexedImage, ...]
    """All images."""
    shape: Shape
    """What the format holds."""

    @cached_property
    def scenes(self) -> list[str]:
        """The scene of each piece."""
        return [_scene_of(image) for image in self.image_of]

    @cached_property
    def shifts(self) -> list[Shift | None]:
        """The shift of each piece; None if its image does not lie on the pixels of the scene."""
        return [self._shift_of_image[image.name] for image in self.image_of]

    @cached_property
    def _shift_of_image(self) -> dict[str, Shift | None]:
        first: dict[str, PixelGrid] = {}
        shifts: dict[str, Shift | None] = {}
        for image in self.covered:
            grid = first.setdefault(_scene_of(image), image.grid)
            shifts[image.name] = _shift_between(grid, image.grid)
        return shifts

    @cached_property
    def outlines(self) -> GeometryArray:
        """The outline of each piece; None if its image does not lie on the pixels of the scene."""
        outlines = zip(self.features.geometries, self.shifts, strict=True)
        return np.array([_shifted(outline, shift) for outline, shift in outlines], dtype=object)

    @cached_property
    def frames(self) -> GeometryArray:
        """The frame of the image of each piece."""
        return np.array([self._frame_of_image[image.name] for image in self.image_of], dtype=object)

    @cached_property
    def _frame_of_image(self) -> dict[str, shapely.Geometry | None]:
        frames: dict[str, shapely.Geometry | None] = {}
        for image in self.covered:
            frame = shapely.box(0, 0, image.grid.width, image.grid.height)
            frames[image.name] = _shifted(frame, self._shift_of_image[image.name])
        return frames

    def shown(self, scene: str, ground: shapely.Geometry) -> shapely.Geometry:
        """What any image shows of some ground of a scene."""
        frames, tree = self._frames_of_scene[scene]
        near = frames[tree.query(ground, predicate="intersects")]
        return shapely.intersection(ground, shapely.union_all(near))

    @cached_property
    def _frames_of_scene(self) -> dict[str, tuple[GeometryArray, shapely.STRtree]]:
        frames: dict[str, list[shapely.Geometry]] = {}
        for image in self.covered:
            frame = self._frame_of_image[image.name]
            if frame is not None:
                frames.setdefault(_scene_of(image), []).append(frame)
        arrays = {scene: np.array(shapes, dtype=object) for scene, shapes in frames.items()}
        return {scene: (array, shapely.STRtree(array)) for scene, array in arrays.items()}

    @cached_property
    def ids(self) -> list[str | None]:
        """The id of each piece; None if it has none, or shares it with a piece of its image, as copies do."""
        values = self.features.attributes.get("feature_id")
        if values is None:
            return [None] * len(self.image_of)
        ids = [None if value is None else str(value).strip() or None for value in values]
        seen: set[tuple[str, str]] = set()
        copied: set[str] = set()
        for image, feature_id in zip(self.image_of, ids, strict=True):
            if feature_id is not None:
                if (image.name, feature_id) in seen:
                    copied.add(feature_id)
                seen.add((image.name, feature_id))
        return [None if feature_id in copied else feature_id for feature_id in ids]

    def neighbours(self) -> Iterator[tuple[int, int]]:
        """Pairs of pieces that may be one object.

        They are of two images of one scene whose frames touch, and touch each other or have the same id.
        """
        placed = [index for index, shift in enumerate(self.shifts) if shift is not None]
        pairs = self._touching(placed) | self._with_same_id(placed)
        for first, second in sorted(pairs):
            if self.scenes[first] != self.scenes[second] or self.image_of[first] == self.image_of[second]:
                continue
            if shapely.intersects(self.frames[first], self.frames[second]):
                yield first, second

    def _touching(self, placed: Sequence[int]) -> set[tuple[int, int]]:
        boxes = [shapely.box(*_widened(self.outlines[index].bounds)) for index in placed]
        pairs = shapely.STRtree(boxes).query(boxes, predicate="intersects").T
        return {(placed[int(first)], placed[int(second)]) for first, second in pairs if first < second}

    def _with_same_id(self, placed: Sequence[int]) -> set[tuple[int, int]]:
        by_id: dict[tuple[str, str], list[int]] = {}
        for index in placed:
            feature_id = self.ids[index]
            if feature_id is not None:
                by_id.setdefault((self.scenes[index], feature_id), []).append(index)
        pairs: set[tuple[int, int]] = set()
        for members in by_id.values():
            pairs.update(combinations(members, 2))
        return pairs


def _groups(pieces: _Pieces) -> list[list[int]]:
    """The pieces of each object, by their first piece: sets that are united pair by pair."""
    parent = list(range(len(pieces.image_of)))

    def root_of(index: int) -> int:
        """The first piece of the set, with shorter ways to it for the next search."""
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for first, second in _pairs(pieces):
        low, high = sorted((root_of(first), root_of(second)))
        parent[high] = low
    groups: dict[int, list[int]] = {}
    for index in range(len(parent)):
        groups.setdefault(root_of(index), []).append(index)
    return list(groups.values())


def _pairs(pieces: _Pieces) -> Iterator[tuple[int, int]]:
    """Pairs of pieces that are one object."""
    candidates: list[tuple[float, int, int]] = []  # pairs of which a piece can have one only
    for first, second in pieces.neighbours():
        if pieces.features.class_ids[first] != pieces.features.class_ids[second]:
            continue
        if pieces.ids[first] is not None and pieces.ids[second] is not None:
            if pieces.ids[first] == pieces.ids[second]:
                yield first, second
            continue
        common = shapely.intersection(pieces.frames[first], pieces.frames[second])
        if common.area > 0:
            same_share, inside_share = _overlap(pieces, first, second, common)
            if same_share > _SAME_SHARE:
                candidates.append((same_share, first, second))
            elif inside_share > _INSIDE_SHARE and pieces.shape in ("polygons", "pixels"):
                yield first, second  # a part of an object that the other image shows whole
            continue
        met_share = _meeting(pieces, first, second, common)
        if met_share > 0 and pieces.shape == "boxes":
            candidates.append((met_share, first, second))
        elif met_share > 0:
            yield first, second
    yield from _best(pieces, candidates)


def _overlap(pieces: _Pieces, first: int, second: int, common: shapely.Geometry) -> tuple[float, float]:
    """How much two pieces agree on the ground that both images show.

    Returns:
        The area that both show as a share of that which either shows, and of that which the smaller one
        shows.
    """
    parts = [shapely.intersection(pieces.outlines[index], common) for index in (first, second)]
    smaller = min(part.area for part in parts)
    if smaller <= 0:
        return 0.0, 0.0
    shared = shapely.intersection(*parts).area
    return shared / shapely.union(*parts).area, shared / smaller


def _meeting(pieces: _Pieces, first: int, second: int, edge: shapely.Geometry) -> float:
    """How much of the common edge that either piece reaches both reach, 0 to 1.

    0 if they reach it at different places.
    """
    sections = []
    for index in (first, second):
        widened = shapely.buffer(pieces.outlines[index], _EDGE_PX, join_style="mitre")
        sections.append(shapely.intersection(widened, edge))
    shorter = min(section.length for section in sections)
    both = float(shapely.intersection(*sections).length)
    if shorter <= _SHORTEST_PX or both <= _SAME_SHARE * shorter:
        return 0.0
    return both / float(shapely.union_all(sections).length)


def _best(pieces: _Pieces, candidates: list[tuple[float, int, int]]) -> Iterator[tuple[int, int]]:
    """The candidates that agree most: a piece has at most one partner in another image."""
    taken: set[tuple[int, str]] = set()
    for _, first, second in sorted(candidates, key=lambda pair: (-pair[0], pair[1], pair[2])):
        ends = {(first, pieces.image_of[second].name), (second, pieces.image_of[first].name)}
        if taken.isdisjoint(ends):
            taken |= ends
            yield first, second


def _united(pieces: _Pieces, group: Sequence[int]) -> shapely.Geometry:
    """The outline of an object: a piece that is whole, the box that was cut, or all pieces merged."""
    outlines = np.array([pieces.outlines[index] for index in group], dtype=object)
    merged = shapely.union_all(outlines, grid_size=_GRID_PX)
    around = shapely.box(*shapely.total_bounds(outlines))
    if pieces.shape == "boxes":
        return around
    tolerance = _GRID_PX * merged.length
    for outline in outlines:
        if shapely.symmetric_difference(outline, merged).area <= tolerance:
            return outline
    if all(is_box(outline) for outline in outlines):
        shown = pieces.shown(pieces.scenes[group[0]], around)
        if shapely.symmetric_difference(shown, merged).area <= tolerance:
            return around  # of a box, what no image shows is missing
    return merged


def _differences(pieces: _Pieces, groups: Sequence[Sequence[int]]) -> list[str]:
    """Notes on what images say differently about one object."""
    notes = []
    class_ids: dict[tuple[str, str], set[int]] = {}
    for scene, feature_id, class_id in zip(pieces.scenes, pieces.ids, pieces.features.class_ids, strict=True):
        if feature_id is not None:
            class_ids.setdefault((scene, feature_id), set()).add(int(class_id))
    split = sum(len(ids) > 1 for ids in class_ids.values())
    if split:
        notes.append(f"{split} objects have different classes in different images: their pieces stay apart")
    columns = [values for name, values in pieces.features.attributes.items() if name != "feature_id"]
    differing = sum(_any_differs(columns, group) for group in groups if len(group) > 1)
    if differing:
        notes.append(
            f"{differing} objects have different attributes in different images: the first ones are kept"
        )
    return notes


def _any_differs(columns: Sequence[GeometryArray], group: Sequence[int]) -> bool:
    """Whether any column has several values in a group."""
    return any(len({str(values[index]) for index in group}) > 1 for values in columns)


def _shifted(outline: shapely.Geometry, shift: Shift | None) -> shapely.Geometry | None:
    """From pixels of an image to pixels of the scene."""
    return None if shift is None else shifted(outline, *shift)


def _shifted_back(outline: shapely.Geometry, shift: Shift | None) -> shapely.Geometry:
    """From pixels of the scene to pixels of an image."""
    assert shift is not None  # only placed pieces are joined
    cols, rows = shift
    return shifted(outline, -cols, -rows)


def _shift_between(first: PixelGrid, other: PixelGrid) -> Shift | None:
    """The shift from one grid to another; None if there is more than whole pixels between them."""
    if first.crs != other.crs:
        return None
    between = Affine(*tuple(first.inverse @ other.transform)[:6])
    cols, rows = round(between.c), round(between.f)
    # How far each coefficient moves the farthest pixel.
    reach = (other.width, other.height, 1, other.width, other.height, 1)
    distances_px = np.abs(np.array(tuple(between)[:6]) - (1, 0, cols, 0, 1, rows)) * reach
    return (cols, rows) if float(distances_px.max()) < _WHOLE_PX else None


def _widened(bounds: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return bounds[0] - _EDGE_PX, bounds[1] - _EDGE_PX, bounds[2] + _EDGE_PX, bounds[3] + _EDGE_PX

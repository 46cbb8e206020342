"""Pieces that neighbouring images hold of one object, joined again.

Who says the same `feature_id` in images that touch is one object. Of others, that say nothing, geometry
decides: where images overlap, both have to show the same; where they only meet, both pieces have to reach the
common edge at the same place. An image has one box of an object, so a box has one partner in another image,
the one that fits best; an outline may have several, as its other side may be in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine

from ..core.arraytypes import GeometryArray
from ..core.geometries import shifted
from ..core.labelset import LabelSet
from ..core.pixelgrid import PixelGrid
from ..labels.formats.labelformat import Shape
from ..labels.formats.outlineforms import is_box
from .imageindex import IndexedImage

_EDGE_PX = 1e-3
_GRID_PX = 1e-7
_SAME_SHARE = 0.5
_INSIDE_SHARE = 0.9
_LEAST_PX = 0.01
_WHOLE_PX = 1e-3

Index = npt.NDArray[np.int64]
Shift = tuple[int, int]


def join_pieces(
    labels: LabelSet,
    image_of: Sequence[IndexedImage],
    covered: Sequence[IndexedImage],
    shape: Shape,
    notes: list[str],
) -> tuple[LabelSet, list[IndexedImage]]:
    """Labels in pixels of their images with pieces of one object as one, in the pixels of the image of the
    first piece; what was joined goes to `notes`.

    `image_of`: the image of each piece, `covered` all images, those without objects too. `shape` as in
    `Capabilities`: "boxes" are joined to boxes; "pixels" and polygons without parts may be several pieces in
    one image.
    """
    pieces = _Pieces(labels, tuple(image_of), tuple(covered), shape)
    groups = _groups(pieces)
    notes += _remarks(pieces, groups)
    if len(groups) == len(labels):
        return labels, list(image_of)
    geometries = labels.geometries.copy()
    scores = None if labels.scores is None else labels.scores.copy()
    for members in (members for members in groups if len(members) > 1):
        first = members[0]
        geometries[first] = _moved(_united(pieces, members), pieces.shifts[first], -1)
        if scores is not None and not np.isnan(scores[members]).all():
            scores[first] = np.nanmax(scores[members])
    kept = np.array([members[0] for members in groups], np.int64)
    together = sum(len(members) for members in groups if len(members) > 1)
    notes.append(
        f"{together} pieces that several images have of an object were joined to {sum(len(m) > 1 for m in groups)}"
    )
    return _take(replace(labels, scores=scores), geometries, kept), [image_of[int(i)] for i in kept]


def _take(labels: LabelSet, geometries: GeometryArray, kept: Index) -> LabelSet:
    return replace(
        labels,
        geometries=geometries[kept],
        class_ids=labels.class_ids[kept],
        feature_ids=labels.feature_ids[kept],
        images=None if labels.images is None else labels.images[kept],
        ignore=None if labels.ignore is None else labels.ignore[kept],
        files=None,
        scores=None if labels.scores is None else labels.scores[kept],
        attributes={name: values[kept] for name, values in labels.attributes.items()},
    )


@dataclass(frozen=True)
class _Pieces:
    """Labels in their images, and both in the pixels of the first image of their scene, so that pieces can be
    compared.
    """

    labels: LabelSet
    image_of: tuple[IndexedImage, ...]
    covered: tuple[IndexedImage, ...]
    shape: Shape

    @cached_property
    def shifts(self) -> list[Shift | None]:
        """Whole pixels from each piece's image to the first one of its scene; None where it lies otherwise."""
        return [self._shift_of[one.name] for one in self.image_of]

    @cached_property
    def _shift_of(self) -> dict[str, Shift | None]:
        first: dict[str, PixelGrid] = {}
        return {
            one.name: _shift(first.setdefault(one.scene_path or one.scene, one.grid), one.grid)
            for one in self.covered
        }

    @cached_property
    def outlines(self) -> GeometryArray:
        """In pixels of the scene; None where an image does not lie on whole pixels."""
        return np.array(
            [_moved(g, s, 1) for g, s in zip(self.labels.geometries, self.shifts, strict=True)], dtype=object
        )

    @cached_property
    def frames(self) -> GeometryArray:
        """Of each piece the frame of its image, in pixels of the scene."""
        return np.array([self._frame_of[one.name] for one in self.image_of], dtype=object)

    @cached_property
    def _frame_of(self) -> dict[str, shapely.Geometry | None]:
        return {
            one.name: _moved(shapely.box(0, 0, one.grid.width, one.grid.height), self._shift_of[one.name], 1)
            for one in self.covered
        }

    def shown(self, scene: IndexedImage, ground: shapely.Geometry) -> shapely.Geometry:
        """What of some ground of a scene any image shows, in pixels of the scene."""
        frames, tree = self._frames_by_scene[scene.scene_path or scene.scene]
        return shapely.intersection(
            ground, shapely.union_all(frames[tree.query(ground, predicate="intersects")])
        )

    @cached_property
    def _frames_by_scene(self) -> dict[str, tuple[GeometryArray, shapely.STRtree]]:
        found: dict[str, list[shapely.Geometry]] = {}
        for one in self.covered:
            if self._frame_of[one.name] is not None:
                found.setdefault(one.scene_path or one.scene, []).append(self._frame_of[one.name])
        arrays = {scene: np.array(frames, dtype=object) for scene, frames in found.items()}
        return {scene: (frames, shapely.STRtree(frames)) for scene, frames in arrays.items()}

    @cached_property
    def ids(self) -> list[str | None]:
        """What each piece says of where it comes from; None where it says nothing, or where two of one image
        say the same, as copies do.
        """
        said = self.labels.attributes.get("feature_id")
        texts = [
            None if said is None or said[place] is None else str(said[place]).strip() or None
            for place in range(len(self.image_of))
        ]
        seen: set[tuple[str, str]] = set()
        copied: set[str] = set()
        for one, text in zip(self.image_of, texts, strict=True):
            if text is not None:
                copied |= {text} if (one.name, text) in seen else set()
                seen.add((one.name, text))
        return [None if text in copied else text for text in texts]

    def neighbours(self) -> Iterator[tuple[int, int]]:
        """Pairs of pieces of two images of one scene whose frames touch, and that touch each other or say the
        same id.
        """
        there = [place for place, shift in enumerate(self.shifts) if shift is not None]
        scenes = [one.scene_path or one.scene for one in self.image_of]
        boxes = [shapely.box(*_widened(self.outlines[place].bounds)) for place in there]
        first, second = shapely.STRtree(boxes).query(boxes, predicate="intersects")
        pairs = {(there[int(a)], there[int(b)]) for a, b in zip(first, second, strict=True) if a < b}
        by_id: dict[tuple[str, str], list[int]] = {}
        for place in there:
            if (key := self.ids[place]) is not None:
                by_id.setdefault((scenes[place], key), []).append(place)
        pairs |= {(a, b) for places in by_id.values() for n, a in enumerate(places) for b in places[n + 1 :]}
        for a, b in sorted(pairs):
            if (
                scenes[a] == scenes[b]
                and self.image_of[a].name != self.image_of[b].name
                and shapely.intersects(self.frames[a], self.frames[b])
            ):
                yield a, b


def _groups(pieces: _Pieces) -> list[list[int]]:
    """Places of pieces of one object, in order of the first."""
    parent = list(range(len(pieces.image_of)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for one, two in _pairs(pieces):
        low, high = sorted((root(one), root(two)))
        parent[high] = low
    groups: dict[int, list[int]] = {}
    for place in range(len(parent)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _pairs(pieces: _Pieces) -> Iterator[tuple[int, int]]:
    """Pieces that are of one object."""
    alike: list[tuple[float, int, int]] = []
    for one, two in pieces.neighbours():
        if pieces.labels.class_ids[one] != pieces.labels.class_ids[two]:
            continue
        if pieces.ids[one] is not None and pieces.ids[two] is not None:
            if pieces.ids[one] == pieces.ids[two]:
                yield one, two
            continue
        common = shapely.intersection(pieces.frames[one], pieces.frames[two])
        if common.area > 0:
            share, inside = _alike(pieces, one, two, common)
            if share > _SAME_SHARE:
                alike.append((share, one, two))
            elif inside > _INSIDE_SHARE and pieces.shape in ("polygons", "pixels"):
                yield one, two  # a part of an object that the other image shows whole
        elif (share := _meeting(pieces, one, two, common)) > 0:
            if pieces.shape == "boxes":
                alike.append((share, one, two))
            else:
                yield one, two
    yield from _best(pieces, alike)


def _alike(pieces: _Pieces, one: int, two: int, common: shapely.Geometry) -> tuple[float, float]:
    """How much of what the two show together both show (0 to 1), and of the smaller one, on the ground that
    both images have.
    """
    first, second = (
        shapely.intersection(pieces.outlines[one], common),
        shapely.intersection(pieces.outlines[two], common),
    )
    shared, together, smaller = (
        shapely.intersection(first, second).area,
        shapely.union(first, second).area,
        min(first.area, second.area),
    )
    return (shared / together, shared / smaller) if smaller > 0 else (0.0, 0.0)


def _meeting(pieces: _Pieces, one: int, two: int, edge: shapely.Geometry) -> float:
    """How much of the edge between their images that either reaches both reach (0 to 1); 0 where that is not
    the same place.
    """
    sections = [
        shapely.intersection(shapely.buffer(pieces.outlines[place], _EDGE_PX, join_style="mitre"), edge)
        for place in (one, two)
    ]
    shorter, both = min(section.length for section in sections), float(shapely.intersection(*sections).length)
    return (
        both / shapely.union_all(sections).length
        if shorter > _LEAST_PX and both > _SAME_SHARE * shorter
        else 0.0
    )


def _best(pieces: _Pieces, alike: list[tuple[float, int, int]]) -> Iterator[tuple[int, int]]:
    """Of pieces that are alike those that are most: a piece has one partner in another image."""
    taken: set[tuple[int, str]] = set()
    for _, one, two in sorted(alike, key=lambda found: (-found[0], found[1], found[2])):
        ends = {(one, pieces.image_of[two].name), (two, pieces.image_of[one].name)}
        if not ends & taken:
            taken |= ends
            yield one, two


def _united(pieces: _Pieces, members: Sequence[int]) -> shapely.Geometry:
    """One outline of several pieces: the one that is whole, a box where boxes were cut, else all merged."""
    outlines = [pieces.outlines[place] for place in members]
    merged = shapely.union_all(np.array(outlines, dtype=object), grid_size=_GRID_PX)
    around = shapely.box(*shapely.total_bounds(np.array(outlines, dtype=object)))
    if pieces.shape == "boxes":
        return around
    whole = next(
        (
            one
            for one in outlines
            if shapely.symmetric_difference(one, merged).area <= _GRID_PX * merged.length
        ),
        None,
    )
    if whole is not None:
        return whole
    if all(is_box(one) for one in outlines):
        shown = pieces.shown(pieces.image_of[members[0]], around)
        return (
            around if shapely.symmetric_difference(shown, merged).area <= _GRID_PX * merged.length else merged
        )
    return merged


def _remarks(pieces: _Pieces, groups: Sequence[Sequence[int]]) -> list[str]:
    """What neighbouring images say differently of one object."""
    classes: dict[tuple[str, str], set[int]] = {}
    for one, key, class_id in zip(pieces.image_of, pieces.ids, pieces.labels.class_ids, strict=True):
        if key is not None:
            classes.setdefault((one.scene_path or one.scene, key), set()).add(int(class_id))
    parted = sum(len(found) > 1 for found in classes.values())
    notes = (
        [f"{parted} objects have another class in one image than in another: their pieces stay apart"]
        if parted
        else []
    )
    several = [members for members in groups if len(members) > 1]
    columns = [values for name, values in pieces.labels.attributes.items() if name != "feature_id"]
    differing = sum(
        any(len({str(values[place]) for place in members}) > 1 for values in columns) for members in several
    )
    return notes + (
        [
            f"{differing} objects have other attributes in one image than in another: those of the first are kept"
        ]
        if differing
        else []
    )


def _moved(outline: shapely.Geometry, shift: Shift | None, sign: int) -> shapely.Geometry | None:
    return None if shift is None else shifted(outline, sign * shift[0], sign * shift[1])


def _shift(first: PixelGrid, other: PixelGrid) -> Shift | None:
    between = Affine(*tuple(first.inverse @ other.transform)[:6])
    col, row = round(between.c), round(between.f)
    off = np.abs(np.array(tuple(between)[:6]) - (1, 0, col, 0, 1, row)) * (
        other.width,
        other.height,
        1,
        other.width,
        other.height,
        1,
    )
    return (col, row) if float(off.max()) < _WHOLE_PX and first.crs == other.crs else None


def _widened(bounds: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    return bounds[0] - _EDGE_PX, bounds[1] - _EDGE_PX, bounds[2] + _EDGE_PX, bounds[3] + _EDGE_PX

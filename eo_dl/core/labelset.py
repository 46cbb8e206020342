"""`LabelSet`: annotations with their classes, and the ground on which they are complete.

One value for every format and any number of scenes. `for_grid` brings it into the pixels of one scene
(`PixelLabels`), `PixelLabels.within` into those of one chip: from there on nobody thinks about CRS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import CRS

from ..errors import LabelError
from .arraytypes import GeometryArray
from .classes import ClassSet
from .geometries import reproject, shifted
from .htmlcard import card, grid_table
from .imagenames import ImageNames, stem_of
from .pixelgrid import PixelGrid, map_coordinates
from .window import Window


@dataclass(frozen=True)
class MaskLabels:
    """Raster labels: one mask file, on the grid of the scene of the same name or place.

    `values` maps a stored value (int) or colour ("#rrggbb") to a class id; stored values not in it are an
    error when met. `ignore_values` are not looked at. `band_ids`: where the raster holds probabilities in
    place of classes, the class id of each of its bands.
    """

    path: str
    values: dict[int | str, int]
    ignore_values: tuple[int | str, ...] = ()
    band_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class LabelSet:
    """Features (N) with class ids, and the area in which they are complete.

    `geometries`: 2-D shapely polygons (or multipolygons), valid and not empty, in map coordinates of `crs`,
    or in pixels (col, row) of the image named in `images` where `crs` is None; with a CRS, `images` (where
    given) says which scene each belongs to, as for one place on several dates. `feature_ids`: how the source
    calls each (for messages). `ignore`: objects that count neither way. `negatives`: areas that somebody took
    for an object and somebody else rejected. `annotated`: polygons in the same frame (None: everywhere);
    `annotated_images` names their image where the frame is pixels. Images are called by file name, or by the
    end of their path where folders hold several of one name. `image_names`: images that labels by image
    cover, with or without objects: others have nothing annotated; `image_sizes_px`: (width, height) of each
    as the labels say, where they do. `files`: the label file of each feature where there are several,
    `file_names` all of them. `masks`: raster labels, in place of features. `whole_images`: every feature
    stands for the whole of its image, whatever the size of that (its geometry is a placeholder until the
    images are known); an image may have several. `scores` (N,) float64 how sure whoever made them was (NaN:
    not said), `attributes` further fields by name, (N,) each: carried along, never looked at. `notes`: what
    reading did, counted ("3 geometries repaired").
    """

    classes: ClassSet
    geometries: GeometryArray
    class_ids: npt.NDArray[np.int64]
    crs: CRS | None
    source: str
    feature_ids: npt.NDArray[np.object_]
    images: npt.NDArray[np.object_] | None = None
    ignore: npt.NDArray[np.bool_] | None = None
    negatives: GeometryArray | None = None
    annotated: GeometryArray | None = None
    annotated_images: npt.NDArray[np.object_] | None = None
    image_names: tuple[str, ...] = ()
    image_sizes_px: tuple[tuple[int, int] | None, ...] = ()
    files: npt.NDArray[np.object_] | None = None
    file_names: tuple[str, ...] = ()
    masks: tuple[MaskLabels, ...] = ()
    whole_images: bool = False
    class_field: str | None = None
    notes: tuple[str, ...] = ()
    scores: npt.NDArray[np.float64] | None = None
    attributes: Mapping[str, GeometryArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.geometries)
        columns = {
            name: getattr(self, name)
            for name in ("class_ids", "feature_ids", "images", "ignore", "files", "scores")
        }
        for name, value in {**columns, **self.attributes}.items():
            if value is not None and len(value) != count:
                raise ValueError(f"labels need {name} for each of {count} features, found {len(value)}")
        if self.crs is None and count and self.images is None:
            raise ValueError("labels without a CRS need the image of each feature")

    def __len__(self) -> int:
        return len(self.geometries)

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            ("mask rasters", len(self.masks)) if self.masks else ("features", len(self)),
            ("CRS", self.crs.name if self.crs else "none: pixels of an image"),
            ("class field", self.class_field or "none"),
            ("annotated", "everywhere" if self.annotated is None else f"{len(self.annotated)} areas"),
        ]
        counts = [
            (info.id, info.name, info.color, int((self.class_ids == info.id).sum())) for info in self.classes
        ]
        return card(Path(self.source).name, rows) + grid_table(("id", "class", "color", "features"), counts)

    def with_notes(self, *notes: str) -> LabelSet:
        """The same with further remarks."""
        return replace(self, notes=(*self.notes, *notes))

    def for_grid(self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None) -> PixelLabels:
        """The features that touch a scene's grid, in its pixels.

        `image_name` is the scene's path or file name, by which `images` are matched (`ImageNames`: full name,
        else stem). `native` is the grid of the file, where `grid` is a resampled one: pixel formats count its
        pixels. Raises `LabelError` where labels are in map coordinates and the grid has no CRS.
        """
        own = self._of_image(image_name)
        geometries = self._outlines(own, grid, native)
        annotated = self.annotated
        if not self.covers(image_name):
            annotated = np.empty(0, dtype=object)
        elif annotated is not None:
            mine = annotated[_same_image(self.annotated_images, image_name, len(annotated))]
            annotated = (
                np.full(len(mine), _frame(grid), dtype=object)
                if self.whole_images
                else self._to_pixels(mine, grid, native)
            )
        touching = np.asarray(shapely.intersects(geometries, _frame(grid)), np.bool_)
        index = own[touching]
        return PixelLabels(
            self.classes,
            geometries[touching],
            self.class_ids[index],
            self.ignore[index] if self.ignore is not None else np.zeros(len(index), np.bool_),
            index,
            None
            if annotated is None
            else shapely.union_all(shapely.make_valid(annotated))
            if len(annotated)
            else shapely.Polygon(),
        )

    def _outlines(
        self, index: npt.NDArray[np.int64], grid: PixelGrid, native: PixelGrid | None
    ) -> GeometryArray:
        """Some of the features in pixels of a scene; those of whole images are its frame."""
        if self.whole_images:
            return np.full(len(index), _frame(grid), dtype=object)
        return self._to_pixels(self.geometries[index], grid, native)

    def _of_image(self, image_name: str) -> npt.NDArray[np.int64]:
        """Places of the features of an image: all, where they are not bound to images; else by full name,
        else by stem.
        """
        if self.images is None:
            return np.arange(len(self), dtype=np.int64)
        by_name, by_stem = self._by_image
        name, stem = self._image_index.exact(image_name), self._image_index.by_stem(image_name)
        return (
            by_name[name]
            if name is not None
            else by_stem[stem]
            if stem is not None
            else np.empty(0, np.int64)
        )

    @cached_property
    def _by_image(self) -> tuple[dict[str, npt.NDArray[np.int64]], dict[str, npt.NDArray[np.int64]]]:
        """Places of the features by image name and by stem: with thousands of images nobody looks through all
        for each.
        """
        assert self.images is not None
        return _places([str(name) for name in self.images]), _places(
            [stem_of(str(name)) for name in self.images]
        )

    @cached_property
    def _image_index(self) -> ImageNames:
        return ImageNames(map(str, self.images if self.images is not None else ()))

    @cached_property
    def covered_images(self) -> ImageNames:
        """`image_names`, to look them up."""
        return ImageNames(self.image_names)

    def covers(self, image_name: str) -> bool:
        """True where the labels say something about an image (its path or file name): always, unless they are
        listed by image and it is not among them.
        """
        return not self.image_names or image_name in self.covered_images

    def _to_pixels(
        self, geometries: GeometryArray, grid: PixelGrid, native: PixelGrid | None
    ) -> GeometryArray:
        if self.crs is None:
            if native is None or (native.height, native.width) == (grid.height, grid.width):
                return geometries
            return map_coordinates(
                geometries, Affine.scale(grid.width / native.width, grid.height / native.height)
            )
        if grid.crs is None:
            raise LabelError(
                f"{self.source}: labels are in map coordinates ({self.crs.name}), but the scene has no CRS; georeference the scene or give labels in pixels (masks, VOC, COCO)"
            )
        return grid.geometries_to_pixel(reproject(geometries, self.crs, grid.crs, self.source))


@dataclass(frozen=True)
class PixelLabels:
    """Labels in the pixels of one scene or one chip.

    `geometries` (N,) in pixel coordinates (they may stick out), `class_ids`, `ignore` (N,), `index` (N,)
    their place in the label set, `annotated` the ground on which they are complete (None: everywhere), `mask`
    (H, W) uint8 class ids with 255 = ignore where labels come as a raster (only in a chip's frame); `soft`
    (K, H, W) float32 the probabilities of `classes` in their order where it holds probabilities (0 where
    `mask`, then their likeliest class, is 255). `valid` (H, W): the chip's measured pixels, where somebody
    knows that not all are.
    """

    classes: ClassSet
    geometries: GeometryArray
    class_ids: npt.NDArray[np.int64]
    ignore: npt.NDArray[np.bool_]
    index: npt.NDArray[np.int64]
    annotated: shapely.Geometry | None = None
    mask: npt.NDArray[np.uint8] | None = field(default=None, repr=False)
    soft: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    valid: npt.NDArray[np.bool_] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.geometries)

    @cached_property
    def bounds(self) -> npt.NDArray[np.float64]:
        """(N, 4) boxes (col0, row0, col1, row1)."""
        return np.asarray(shapely.bounds(self.geometries), np.float64).reshape(-1, 4)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometries)

    def take(self, index: npt.NDArray[np.integer]) -> PixelLabels:
        """Some of the features."""
        return replace(
            self,
            geometries=self.geometries[index],
            class_ids=self.class_ids[index],
            ignore=self.ignore[index],
            index=self.index[index],
        )

    def within(self, window: Window) -> PixelLabels:
        """The features that share area with a window, in its pixels, in their old order; geometries are not
        cut.
        """
        frame = shapely.box(*window.box)
        hits = np.sort(self._tree.query(frame, predicate="intersects"))
        bounds = self.bounds[hits]
        sure = (bounds[:, :2] > (window.col, window.row)).all(axis=1) & (
            bounds[:, 2:] < (window.col1, window.row1)
        ).all(axis=1)
        sure |= ~sure & (
            shapely.area(shapely.intersection(np.where(sure, None, self.geometries[hits]), frame)) > 0
        )
        hits = hits[sure]
        part = self.take(hits)
        moved = shifted(part.geometries, -window.col, -window.row)
        annotated = None
        if self.annotated is not None:
            annotated = shifted(shapely.intersection(self.annotated, frame), -window.col, -window.row)
        return replace(part, geometries=moved, annotated=annotated)


def _same_image(images: npt.NDArray[np.object_] | None, image_name: str, count: int) -> npt.NDArray[np.bool_]:
    if images is None:
        return np.ones(count, np.bool_)
    names = ImageNames(map(str, images))
    name, stem = names.exact(image_name), names.by_stem(image_name)
    return np.array(
        [one == name if name is not None else stem_of(one) == stem for one in map(str, images)], np.bool_
    ).reshape(count)


def _places(names: list[str]) -> dict[str, npt.NDArray[np.int64]]:
    """For each name where it occurs."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return {name: np.array(places, np.int64) for name, places in found.items()}


def _frame(grid: PixelGrid) -> shapely.Geometry:
    return shapely.box(0, 0, grid.width, grid.height)

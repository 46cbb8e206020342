"""`PlacedLabels`: the labels of one scene, in its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.labeloutlines import NOWHERE
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.pixellabels import PixelLabels
from ..core.rasterlabels import LabelRaster, RasterLabels
from ..io.discover import is_remote, own_path
from ..io.scene import Scene
from .datum import shift_note
from .imagecoverage import check_frames
from .raster.rasterchoice import raster_of


@dataclass(frozen=True)
class PlacedLabels:
    """The labels of one scene, in its pixels: what `match_labels` counts and chips are cut from."""

    scene: Scene
    """The scene."""

    labels: PixelLabels
    """The features that touch it and the annotated ground, in pixels of its working grid."""

    raster: LabelRaster | None = None
    """Its label raster; None: labels are features, or none of the rasters belongs to the scene."""

    rejected: PixelLabels | None = None
    """Proposed objects that a reviewer rejected, in the same pixels; None: none."""

    @classmethod
    def of(cls, labels: LabelSet, scene: Scene) -> PlacedLabels:
        """Put labels on a scene.

        Args:
            labels: The label set.
            scene: The scene.

        Raises:
            LabelError: Labels are in map coordinates and the scene has no CRS, in pixels of an image of
                another size or position, or several label rasters fit.
        """
        check_frames(labels, [scene])
        if isinstance(labels, MapLabels):
            shift_note(labels.crs, scene, labels.source, labels.accept_shift_m)
        in_pixels = labels.for_grid(scene.grid, scene.place, scene.native)
        if isinstance(labels, RasterLabels):
            raster = raster_of(labels, scene)
            # Nothing is known about a scene without a raster while others have one.
            return cls(scene, in_pixels if raster else replace(in_pixels, annotated=NOWHERE), raster)
        if isinstance(labels, MapLabels) and labels.rejected is not None:
            rejected = labels.rejected_on(scene.grid, scene.place)
            return cls(scene, in_pixels, rejected=rejected if len(rejected) else None)
        return cls(scene, in_pixels)

    def with_own_paths(self) -> PlacedLabels:
        """The same with paths that do not depend on the folder in which a process runs."""
        raster = None if self.raster is None else _with_own_path(self.raster)
        return replace(self, scene=self.scene.with_own_path(), raster=raster)


def with_own_paths(labels: LabelSet) -> LabelSet:
    """Labels whose label rasters, if it has any, are found from any folder."""
    if not isinstance(labels, RasterLabels):
        return labels
    return replace(labels, rasters=tuple(_with_own_path(raster) for raster in labels.rasters))


def _with_own_path(raster: LabelRaster) -> LabelRaster:
    return raster if is_remote(raster.path) else replace(raster, path=str(own_path(raster.path)))

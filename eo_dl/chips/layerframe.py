"""`LayerFrame`: the coordinates in which layers over several scenes lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.geometries import reproject
from ..core.pixelgrid import PixelGrid, map_coordinates
from ..io.scene import Scene

_GAP_PX = 32  # between images laid side by side
_LONLAT = CRS.from_epsg(4326)


@dataclass(frozen=True)
class LayerFrame:
    """The frame of the layers of a chip set or a queue.

    The CRS of the scenes if they share one, else longitude and latitude. Images without a CRS have no
    position: they are laid side by side in pixels, with rows downwards.
    """

    crs: CRS | None
    """The CRS of the layers; None: pixels."""

    side_by_side: tuple[Affine, ...]
    """For each scene the transform from pixels of its file to the layer; empty if the layers have a CRS."""

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> LayerFrame:
        """The frame for these scenes."""
        all_crs = list(dict.fromkeys(scene.native.crs for scene in scenes))
        if None not in all_crs:
            return cls(all_crs[0] if len(all_crs) == 1 else _LONLAT, ())
        starts = np.cumsum([0, *(scene.native.width + _GAP_PX for scene in scenes)])
        return cls(None, tuple(Affine(1, 0, float(start), 0, -1, 0) for start in starts[:-1]))

    def to_layer(
        self, geometries: GeometryArray, grid: PixelGrid, native: PixelGrid, scene_index: int
    ) -> GeometryArray:
        """Bring geometries from pixels of a scene into the layer.

        Args:
            geometries: (N,) geometries in pixels of `grid`.
            grid: The grid that they lie on.
            native: The grid of the scene's file, of the same extent.
            scene_index: Index of the scene.
        """
        if self.crs is not None:
            return reproject(grid.geometries_to_map(geometries), grid.required_crs, self.crs, "chips")
        to_file = Affine.scale(native.width / grid.width, native.height / grid.height)
        transform = self.side_by_side[scene_index] @ to_file
        return map_coordinates(geometries, Affine(*tuple(transform)[:6]))

    def to_native(self, geometries: GeometryArray, native: PixelGrid, scene_index: int) -> GeometryArray:
        """Bring geometries of the layer into pixels of a scene's file.

        Args:
            geometries: (N,) geometries of the layer.
            native: The grid of the scene's file.
            scene_index: Index of the scene.
        """
        if self.crs is not None:
            on_map = reproject(geometries, self.crs, native.required_crs, "chips.gpkg")
            return native.geometries_to_pixel(on_map)
        transform = ~self.side_by_side[scene_index]
        return map_coordinates(geometries, Affine(*tuple(transform)[:6]))

"""Where predicted objects are, in pixels of their scene."""

from __future__ import annotations

import shapely

from ...core.arraytypes import Float64Array
from ...core.boxes import centres
from ...core.geometries import reproject
from ...core.pixelgrid import PixelGrid
from ..objectwise import read_found
from ..predictionfiles import Part


def object_centres(part: Part, grid: PixelGrid) -> Float64Array:
    """(N, 2) col and row of the centres of the boxes around predicted objects.

    Args:
        part: The file of the objects.
        grid: Grid of their scene.

    Raises:
        LabelError: The file cannot be read, or holds other geometries than polygons.
    """
    found = read_found(part, only_class="object")
    outlines = found.outlines
    if found.crs is not None and grid.crs is not None:
        outlines = grid.geometries_to_pixel(reproject(outlines, found.crs, grid.crs, str(part.path)))
    return centres(shapely.bounds(outlines).reshape(-1, 4))

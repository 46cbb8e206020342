"""A class map without small areas and holes, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import shapely

from ..core.arraytypes import Float64Array, Int64Array, UInt8Array
from ..core.pixelgrid import PixelGrid
from .cleanup import Cleanup
from .regions import RegionMap, RowStrips, clean_regions, find_regions


@dataclass(frozen=True)
class CleaningCounts:
    """How many areas of a map cleaning changed."""

    sieved: int = 0
    """Areas that took the class of their largest neighbour."""
    filled: int = 0
    """Holes that took the class around them."""
    left_out: int = 0
    """Areas below the least area."""

    def notes(self) -> tuple[str, ...]:
        """What was changed, in words."""
        counts = {
            "areas below `sieve_px` that took the class of their neighbour": self.sieved,
            "holes below `fill_holes_m2` that were filled": self.filled,
            "areas below `min_area_m2` that were left out": self.left_out,
        }
        return tuple(f"{text}: {count}" for text, count in counts.items() if count)

    def tags(self) -> dict[str, str]:
        """The counts as tags of an output."""
        return {
            "sieved": str(self.sieved),
            "filled_holes": str(self.filled),
            "left_out_smaller_than_min_area": str(self.left_out),
        }


def cleaned_rows(
    strips: RowStrips, grid: PixelGrid, cleanup: Cleanup, has_background: bool
) -> tuple[RowStrips, CleaningCounts]:
    """A class map without small areas and holes.

    Args:
        strips: The map; read here once, and again with every reading of the result.
        grid: Its grid.
        cleanup: What is small.
        has_background: Whether the id 0 is the background, which small areas become.

    Returns:
        The map, itself if nothing is to be changed, and what was changed.

    Raises:
        ConfigError: An area in square metres is set for a map without CRS.
    """
    if not cleanup.changes_pixels:
        return strips, CleaningCounts()
    found = find_regions(strips, row_areas_m2(grid))
    cleaned = clean_regions(
        found.regions,
        sieve_px=cleanup.sieve_px,
        fill_holes_m2=cleanup.fill_holes_m2,
        min_area_m2=cleanup.min_area_m2,
        has_background=has_background,
    )
    counts = CleaningCounts(cleaned.sieved, cleaned.filled, cleaned.left_out)
    return partial(_rows, found, strips, cleaned.values), counts


def _rows(found: RegionMap, strips: RowStrips, values: Int64Array) -> Iterator[tuple[int, UInt8Array]]:
    return found.rows(strips, values)


def row_areas_m2(grid: PixelGrid) -> Float64Array:
    """(H,) area on the ground of the pixel in the middle of each row."""
    rows, col = np.arange(grid.height), grid.width / 2
    pixels = np.asarray(shapely.box(col - 0.5, rows, col + 0.5, rows + 1), dtype=object)
    return grid.areas_m2(grid.geometries_to_map(pixels))

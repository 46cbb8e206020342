"""`DerivedPixels`: bands that are made from others on reading, with the context that they need.

They are made on the grid that is read: what a network sees of a resampled scene is the slope of the resampled
heights, in training and prediction alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float64Array
from ..core.bands import Band
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from .derived.recipes import parse_recipe


class DerivedPixels:
    """Makes the bands of a scene from those that its files have.

    Args:
        bands: The bands of the scene, of which some are derived.
        base: The bands that are read, among them all inputs.
        grid: The grid on which both are.
    """

    def __init__(self, bands: Sequence[Band], base: Sequence[Band], grid: PixelGrid) -> None:
        self._bands, self._base, self._grid = tuple(bands), tuple(base), grid
        self._place = {band.number: index for index, band in enumerate(base)}
        self._recipes = {}
        for band in bands:
            if band.derived is not None:
                self._recipes[band.number] = parse_recipe(band.derived.text)
        contexts = [recipe.context_px(grid) for recipe in self._recipes.values()]
        self.context_px = max(contexts, default=0)
        """Pixels around a window that must be read with it."""

    def make(
        self, pixels: AnyArray, found: BoolArray, window: Window, inside: Window, dtype: str
    ) -> tuple[AnyArray, BoolArray]:
        """The bands of a window, and where they are known.

        Args:
            pixels: (B, h, w) stored values of the base in `window`.
            found: (B, h, w) True where they were measured.
            window: What was read: `inside` with context, as far as the grid goes.
            inside: The window that is wanted.
            dtype: Data type of the result, which holds all bands.

        Returns:
            (C, H, W) pixels and (C, H, W) True where they are known.
        """
        wanted = inside.relative_to(window).slices
        shape = len(self._bands), inside.height, inside.width
        made: AnyArray = np.zeros(shape, dtype)
        known: BoolArray = np.zeros(shape, np.bool_)
        physical: dict[int, Float64Array] = {}
        for index, band in enumerate(self._bands):
            if band.derived is None:
                place = self._place[band.number]
                made[index], known[index] = pixels[place][wanted], found[place][wanted]
                continue
            recipe = self._recipes[band.number]
            near = _near(inside, recipe.context_px(self._grid), window)
            part = near.relative_to(window).slices
            planes = {}
            for name, source in zip(recipe.inputs, band.derived.inputs, strict=True):
                place = self._place[source.number]
                if place not in physical:
                    physical[place] = _physical(pixels[place], found[place], source)
                planes[name] = physical[place][part]
            values = recipe.values(planes, self._grid)[inside.relative_to(near).slices]
            known[index] = np.isfinite(values)
            made[index] = np.where(known[index], values, 0.0)
        return made, known


def _near(inside: Window, context_px: int, window: Window) -> Window:
    """A window with the context that one band needs, as far as it was read."""
    return inside.buffered(context_px).clipped_to(window)


def base_bands(bands: Sequence[Band]) -> tuple[Band, ...]:
    """The bands that have to be read for these: those of the file, and the inputs of the others."""
    needed: dict[int, Band] = {}
    for band in bands:
        if band.derived is None:
            needed.setdefault(band.number, band)
    for band in bands:
        for source in band.derived.inputs if band.derived is not None else ():
            needed.setdefault(source.number, source)
    return tuple(needed.values())


def _physical(plane: AnyArray, found: BoolArray, band: Band) -> Float64Array:
    values = plane.astype(np.float64) * band.scale + band.offset
    return np.where(found, values, np.nan)

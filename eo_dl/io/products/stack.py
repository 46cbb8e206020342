"""Several rasters as one scene: their bands side by side on the grid of the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import shapely

from ...core.bands import Band, BandSet, canonical_name
from ...core.geometries import reproject
from ...core.imagenames import stem_of
from ...core.pixelgrid import PixelGrid
from ...errors import LabelError, SceneError
from ..discover import is_remote, own_path
from ..sceneaddress import own_address
from ..scenefile import Cover, SceneFile, ScenePart

STACK = "stack"
"""In place of a GDAL driver, for a scene of several rasters."""
_NO_NAMES = {"gray", "palette"}
_OUTLINE_POINTS = 64


@dataclass(frozen=True)
class Layer:
    """One raster, or a product of several, that becomes part of a scene."""

    file: SceneFile
    """What it says about itself."""
    name: str = ""
    """What its bands are called after in place of its file name: the only one, and those without names."""
    on_request: bool = False
    """Its bands are used only where they are named."""
    categories: bool = False
    """Values are categories, of which no mean is taken."""

    @property
    def stem(self) -> str:
        """What its bands are called after."""
        path = self.file.path.split("?")[0] if is_remote(self.file.path) else self.file.path
        return canonical_name(self.name or stem_of(PurePosixPath(path.replace("\\", "/")).name)) or "raster"


def as_stack(file: SceneFile, own_nodata: bool = True) -> SceneFile:
    """A raster in the form of a scene of several, with the same bands and grid; a stack as it is."""
    if file.parts:
        return file
    numbered = tuple((band.number, band) for band in (*file.bands, *file.on_request))
    part = ScenePart(file, numbered, nearest=file.categorical, own_nodata=own_nodata)
    return replace(
        file,
        bands=BandSet(tuple(_without_nodata(band) for band in file.bands)),
        on_request=tuple(_without_nodata(band) for band in file.on_request),
        overviews=(),
        alpha=(),
        masked=True,
        parts=(part,),
    )


def _without_nodata(band: Band) -> Band:
    """The part knows the nodata value; on the grid of the scene, its mask says where a band was measured."""
    return replace(band, nodata=None)


def stacked(address: str, layers: Sequence[Layer], base: int = 0) -> SceneFile:
    """One scene of several rasters, on the grid of one of them.

    A band keeps its name; where two have one name, and where a band has none, the name of the file comes
    before it ("dsm_band_1" is "dsm" if it is the only band).

    Args:
        address: What the scene is called.
        layers: The rasters, at least one, in the order of their bands.
        base: The place of the raster that gives the grid.

    Raises:
        SceneError: Only some of them lie on a map, or one lies elsewhere.
        BandError: Two bands have one name all the same.
    """
    first = layers[base].file
    for layer in layers:
        _check_ground(address, first, layer.file)
    names = _names(layers)
    parts: list[ScenePart] = []
    bands: list[Band] = []
    on_request: list[Band] = []
    covers: list[Cover] = []
    for place, layer in enumerate(layers):
        file = as_stack(layer.file)
        covers += file.covers
        new_number: dict[int, int] = {}
        for band in (*file.bands, *file.on_request):
            number = len(bands) + len(on_request) + 1
            new_number[band.number] = number
            named = replace(band, number=number, name=names[place, band.number], named=True)
            asked = layer.on_request or band in file.on_request
            (on_request if asked else bands).append(named)
        for part in file.parts:
            numbered = tuple((new_number[number], band) for number, band in part.bands)
            nearest = part.nearest or layer.categories
            parts.append(replace(part, bands=numbered, nearest=nearest))
    offered = next((layer.file.offered_mask for layer in layers if layer.file.offered_mask), "")
    if not bands:
        raise SceneError(f"{address}: holds no band of measurements; is it complete?")
    return replace(
        as_stack(first),
        path=address,
        driver=STACK,
        bands=BandSet(tuple(bands)),
        on_request=tuple(on_request),
        color_table=None,
        lossy=None,
        notes=tuple(_notes(layers, first)),
        states=tuple(state for layer in layers for state in layer.file.states),
        parts=tuple(parts),
        covers=tuple(covers),
        offered_mask=offered,
    )


def with_own_paths(file: SceneFile) -> SceneFile:
    """A scene whose paths, those of its rasters too, do not depend on the folder of the process."""
    return replace(
        file,
        path=own_address(file.path),
        parts=tuple(replace(part, file=_with_own_path(part.file)) for part in file.parts),
        covers=tuple(replace(cover, file=_with_own_path(cover.file)) for cover in file.covers),
        states=tuple(replace(state, path=str(own_path(state.path))) for state in file.states),
    )


def _with_own_path(file: SceneFile) -> SceneFile:
    return file if is_remote(file.path) else replace(file, path=str(own_path(file.path)))


def _names(layers: Sequence[Layer]) -> dict[tuple[int, int], str]:
    """The name of each band by the place of its layer and its number there."""
    own: dict[tuple[int, int], str] = {}
    for place, layer in enumerate(layers):
        for band in layer.file.selectable:
            own[place, band.number] = _own_name(layer, band)
    times = Counter(own.values())
    for (place, number), name in own.items():
        if times[name] > 1:
            own[place, number] = f"{layers[place].stem}_{name}"
    return own


def _own_name(layer: Layer, band: Band) -> str:
    """The name of a band in its file; of the file where the band has none, or its name was stated."""
    alone = len(layer.file.bands) == 1
    has_name = band.named and band.name not in _NO_NAMES
    if alone and (layer.name or not has_name):
        return layer.stem
    return band.name if has_name else f"{layer.stem}_{band.number}"


def _notes(layers: Sequence[Layer], first: SceneFile) -> list[str]:
    notes = []
    for layer in layers:
        name = PurePosixPath(layer.file.path).name
        notes += [f"{name}: {note}" for note in layer.file.notes]
        if layer.file is not first and layer.file.grid != first.grid:
            notes.append(
                f"{name} ({_grid_text(layer.file.grid)}) is brought to the grid of "
                f"{PurePosixPath(first.path).name} ({_grid_text(first.grid)}) on reading"
            )
    return notes


def _grid_text(grid: PixelGrid) -> str:
    gsd_m = grid.gsd_m
    if gsd_m is None or grid.crs is None:
        return f"{grid.width}x{grid.height} px"
    return f"{gsd_m:.4g} m GSD, {grid.crs.to_string() if grid.crs.to_epsg() else grid.crs.name}"


def _check_ground(address: str, first: SceneFile, other: SceneFile) -> None:
    if (first.grid.crs is None) != (other.grid.crs is None):
        without = first if first.grid.crs is None else other
        raise SceneError(
            f"{address}: {without.path} has no CRS, so it is not known where it lies beside the others; "
            "georeference it, e.g. gdal_translate -a_srs EPSG:32633 -a_ullr ..."
        )
    if first.grid.crs is None:
        if (first.grid.height, first.grid.width) != (other.grid.height, other.grid.width):
            raise SceneError(
                f"{address}: without a CRS all images need one size, but {first.path} has "
                f"{first.grid.width}x{first.grid.height} px and {other.path} {other.grid.width}x"
                f"{other.grid.height} px; georeference them"
            )
        return
    if first is not other and not overlaps(first.grid, other.grid):
        raise SceneError(
            f"{address}: {other.path} does not overlap {first.path}; name rasters of one ground, and check "
            "their CRS"
        )


def overlaps(first: PixelGrid, other: PixelGrid) -> bool:
    """True if two grids on the map share ground."""
    outlines = []
    for grid in (first, other):
        outline = shapely.segmentize(grid.footprint(), max(grid.footprint().length / _OUTLINE_POINTS, 1e-9))
        outlines.append(np.array([outline], dtype=object))
    try:
        moved = reproject(outlines[1], other.required_crs, first.required_crs, "the raster")
    except LabelError:  # a corner lies where the other CRS is not defined
        return False
    return bool(shapely.intersects(moved[0], outlines[0][0]))

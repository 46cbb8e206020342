"""A folder with one file per band (B02.tif, B03.tif, ...) as one scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...core.bands import BandSet, canonical_name
from ...core.spectral import common_name, sensor_of
from ...errors import SceneError
from ..discover import RASTER_SUFFIXES
from ..scenefile import SceneFile, describe
from .kinds import band_file_names
from .stack import Layer, stacked

_ON_REQUEST = {"scl", "qa_pixel", "pan"}
_CATEGORIES = {"scl", "qa_pixel"}


def band_files(address: str, trust_vrt: bool) -> SceneFile:
    """The scene of a folder whose rasters are one band each, on the grid of the finest.

    Args:
        address: The folder.
        trust_vrt: Let a VRT name files outside its own folder.

    Raises:
        SceneError: A raster holds several bands, or cannot be opened.
    """
    folder = Path(address)
    names = [path.name for path in folder.iterdir() if path.suffix.lower() in RASTER_SUFFIXES]
    found = band_file_names(names)
    sensor = sensor_of(list(found))
    layers, sizes = [], []
    for band, name in found.items():
        file = describe(str(folder / name), nodata=None, crs=None, trust_vrt=trust_vrt)
        if len(file.bands) != 1:
            raise SceneError(
                f"{address}: its files are called like one band each, but {name} has {len(file.bands)}; name "
                "the files that you mean"
            )
        own = canonical_name(band)
        named = replace(
            file.bands[0],
            name=common_name(own, sensor) if sensor else own,
            named=True,
            sensor_band=f"{sensor}:{band.upper()}" if sensor else "",
        )
        asked = own in _ON_REQUEST
        layers.append(
            Layer(replace(file, bands=BandSet((named,))), on_request=asked, categories=own in _CATEGORIES)
        )
        sizes.append((asked, file.grid.gsd_m or 0.0))
    finest = sizes.index(min(sizes))
    scene = stacked(address, layers, finest)
    note = f"its {len(layers)} files are the bands of one scene: {', '.join(found.values())}"
    return replace(scene, notes=(note, *scene.notes))

"""What tests make: rasters, vector layers, labels in pixels, the smallest networks; and the check of a
refused command.

Import it as `from tests.making import ...` (pytest puts the root of the repository on the path). A test that
needs something special makes it itself; what two files need lives here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.pixellabels import PixelLabels
from eo_dl.inference.prediction import Prediction
from eo_dl.io.atomic import atomic_file, write_bytes
from eo_dl.io.rasterwriter import encode_geotiff

CRS = "EPSG:32633"
NORTH_UP = Affine(1, 0, 500_000, 0, -1, 5_200_000)
"""One metre per pixel, where a test's scene usually lies."""

TINY_NETWORKS: dict[str, dict[str, object]] = {
    "segmentation": {"backbone": "test_resnet", "decoder_channels": [32, 16, 16, 16, 16]},
    "detection": {
        "backbone": "test_resnet",
        "pyramid_channels": 32,
        "head_channels": 64,
        "proposals": 100,
        "detections": 20,
    },
    "localization": {"backbone": "test_resnet", "map_channels": 32, "head_channels": 32, "dropout": 0.0},
}
"""Options of the smallest networks that still learn; a task's defaults are too slow for tests."""
TINY_NETWORKS["regression"] = TINY_NETWORKS["segmentation"]
TINY_NETWORKS["instances"] = TINY_NETWORKS["detection"] | {"mask_channels": 32, "mask_layers": 2}


def tiny_network(task: str) -> dict[str, object]:
    """`task_options` of a small network for any task, also for one added later."""
    return dict(TINY_NETWORKS.get(task, {"backbone": "test_resnet"}))


def write_raster(
    path: Path,
    pixels: npt.NDArray[np.generic],
    *,
    crs: str | None = CRS,
    transform: Affine = NORTH_UP,
    nodata: float | None = None,
    names: Sequence[str] = (),
    block_px: int | None = None,
    scales: Sequence[float] = (),
) -> Path:
    """Write pixels, (C, H, W) or (H, W), as a GeoTIFF; without a CRS it has no georeference at all.

    Args:
        path: The file.
        pixels: Values in the type that the file gets.
        crs: Any text that rasterio takes; None for a plain image.
        transform: From pixels to map coordinates (ignored without a CRS).
        nodata: The nodata value of all bands.
        names: Band descriptions, from the first band on.
        block_px: Side of a block, for a tiled file; None for strips.
        scales: Scale factors of all bands.

    Returns:
        The path.
    """
    bands = pixels[None] if pixels.ndim == 2 else pixels
    profile: dict[str, object] = {
        "driver": "GTiff",
        "count": bands.shape[0],
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": bands.dtype.name,
        "nodata": nodata,
        "photometric": "minisblack",
    }
    if crs is not None:
        profile |= {"crs": crs, "transform": transform}
    if block_px is not None:
        profile |= {"tiled": True, "blockxsize": block_px, "blockysize": block_px}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # plain images are meant
        file = rasterio.open(path, "w", **profile)
    with file:
        file.write(bands)
        for number, name in enumerate(names, start=1):
            file.set_band_description(number, name)
        if scales:
            file.scales = tuple(scales)
    return path


def noise(
    bands: int, height: int, width: int, *, seed: int = 0, low: int = 1, high: int = 200, dtype: str = "uint8"
) -> npt.NDArray[np.generic]:
    """Random whole numbers (bands, height, width) from `low` to `high - 1`; never 0 by default."""
    return np.random.default_rng(seed).integers(low, high, (bands, height, width)).astype(dtype)


def square(col: float, row: float, side: float = 10, transform: Affine = NORTH_UP) -> shapely.Polygon:
    """A square by its upper left pixel and its side in pixels, in map coordinates of a scene."""
    return rectangle(col, row, col + side, row + side, transform)


def rectangle(
    col0: float, row0: float, col1: float, row1: float, transform: Affine = NORTH_UP
) -> shapely.Polygon:
    """A rectangle by two of its corners in pixels, in map coordinates of a scene that is not rotated."""
    x0, y0 = transform @ (col0, row0)
    x1, y1 = transform @ (col1, row1)
    return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def write_polygons(
    path: Path,
    geometries: Sequence[shapely.Geometry | None],
    *,
    crs: str | None = CRS,
    layer: str | None = None,
    **fields: Sequence[object],
) -> Path:
    """Write geometries and their attributes as a vector layer, as any other program would."""
    frame = geopandas.GeoDataFrame(dict(fields), geometry=list(geometries), crs=crs)
    frame.to_file(path, layer=layer)
    return path


def add_features(
    path: Path, layer: str, geometries: Sequence[shapely.Geometry], **fields: Sequence[object]
) -> None:
    """Add features to a layer of a file, as drawing in QGIS does."""
    frame = geopandas.GeoDataFrame(dict(fields), geometry=list(geometries), crs=CRS)
    pyogrio.write_dataframe(frame, path, layer=layer, append=True, promote_to_multi=True)


def answer(path: Path, layer: str = "sample", **fields: Iterable[object]) -> None:
    """Fill in fields of a layer of a GeoPackage, as an interpreter does in QGIS; the other layers stay."""
    frame = pyogrio.read_dataframe(path, layer=layer)
    frame = frame.assign(**{name: list(values) for name, values in fields.items()})
    pyogrio.write_dataframe(frame, path, layer=layer, layer_options={"GEOMETRY_NAME": "geom"})


def pixel_labels(
    classes: ClassSet,
    *features: tuple[shapely.Geometry, int, bool],
    annotated: shapely.Geometry | None = None,
    mask: npt.NDArray[np.uint8] | None = None,
) -> PixelLabels:
    """Labels of one chip from (geometry in pixels, class id, whether it is ignored)."""
    return PixelLabels(
        classes=classes,
        geometries=np.array([geometry for geometry, _, _ in features], dtype=object),
        class_ids=np.array([class_id for _, class_id, _ in features], np.int64),
        ignore=np.array([ignored for _, _, ignored in features], np.bool_),
        index=np.arange(len(features)),
        annotated=annotated,
        mask=mask,
    )


@dataclass(frozen=True)
class CommandOutput:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stderr that are not empty."""
        return [line for line in self.err.splitlines() if line.strip()]

    @property
    def result(self) -> dict[str, Any]:
        """The JSON on stdout."""
        values: dict[str, Any] = json.loads(self.out)
        return values


def refused(output: CommandOutput, *words: str, out: Path | None = None) -> None:
    """Assert that a command refused bad input.

    That is: exit code 2, one error line at the end that holds all the words, nothing on stdout, and nothing
    written at `out`.
    """
    assert output.code == 2, output.err
    assert output.out == ""
    assert "Traceback" not in output.err
    errors = [line for line in output.lines if line.startswith("error: ")]
    assert len(errors) == 1, output.err
    assert output.lines[-1] == errors[0]
    for word in words:
        assert word in errors[0], errors[0]
    if out is not None:
        assert not out.exists()
        assert not list(out.parent.glob(f".{out.stem}*"))


def write_geotiff(
    path: str | Path, pixels: npt.NDArray[Any], grid: PixelGrid, *, overwrite: bool = False, **facts: Any
) -> None:
    """A small GeoTIFF as the library encodes it (C, H, W); `facts` are those of `encode_geotiff`."""
    data = encode_geotiff(pixels, grid, **facts)
    with atomic_file(path, overwrite=overwrite) as temporary:
        write_bytes(temporary, data)


def notes_of(prediction: Prediction) -> tuple[str, ...]:
    """The notes of a prediction, without the one that a model without quantiles always gives."""
    return tuple(note for note in prediction.notes if "keeps no distribution" not in note)

"""What a prediction wrote, as values of other packages and as pictures: GeoDataFrame, DataArray, axes, web
map.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.arraytypes import UInt8Array
from ..core.classes import IGNORE_ID, ClassSet, rgb_of
from ..core.display import png
from ..core.extras import needs_extra
from ..core.htmlcard import inline_png
from ..core.plotting import figure_png, new_figure
from ..errors import ConfigError, SceneError
from ..io.classmap import QUANTA
from ..io.quicklook import quicklook, reduced_size
from ..io.scene import Scene, SceneReader, open_scene

if TYPE_CHECKING:
    import folium
    import geopandas
    import xarray
    from matplotlib.axes import Axes

_LONGEST_PX = 700
_WEB_PX = 1024
_WEB_MERCATOR, _LONLAT = "EPSG:3857", "EPSG:4326"
_MOST_LEGEND_ENTRIES = 20


def features(path: Path) -> geopandas.GeoDataFrame:
    """The features of a vector output. Raises `LabelError` where they cannot be read."""
    from ..io.vectorlayers import read_layer  # lazy: loads pandas, which rasters do not need

    return read_layer(path)


def class_array(path: Path, classes: ClassSet) -> xarray.DataArray:
    """A class map as an array (y, x) of class ids with the centres of its pixels, as rioxarray knows them.

    Args:
        path: The map.
        classes: Its classes, which become the attribute "classes".

    Raises:
        MissingExtraError: xarray is not installed.
    """
    pixels, scene = _whole(path)
    names = {str(info.id): info.name for info in classes}
    return _data_array(pixels[0], scene, "class", {"classes": names, "_FillValue": IGNORE_ID})


def probability_array(path: Path, classes: ClassSet) -> xarray.DataArray:
    """A raster of probabilities as an array (class, y, x) from 0 to 1; NaN where nothing was predicted.

    Args:
        path: The raster.
        classes: Its classes, in the order of its bands.

    Raises:
        MissingExtraError: xarray is not installed.
    """
    pixels, scene = _whole(path)
    values = np.where(pixels == IGNORE_ID, np.float32(np.nan), pixels.astype(np.float32) / np.float32(QUANTA))
    array = _data_array(values, scene, "probability", {})
    return array.assign_coords({"class": list(classes.names)})


def _whole(path: Path) -> tuple[npt.NDArray[np.generic], Scene]:
    scene = open_scene(path, nodata="none")
    with SceneReader(scene) as reader:
        return reader.read(scene.grid.window).pixels, scene


def _data_array(
    values: npt.NDArray[Any], scene: Scene, name: str, attributes: dict[str, object]
) -> xarray.DataArray:
    with needs_extra("an xarray"):
        import xarray  # lazy: an extra

    grid = scene.grid
    xs, _ = grid.to_map(np.arange(grid.width) + 0.5, np.full(grid.width, 0.5))
    _, ys = grid.to_map(np.full(grid.height, 0.5), np.arange(grid.height) + 0.5)
    dims = ("y", "x") if values.ndim == 2 else ("class", "y", "x")
    array = xarray.DataArray(values, dims=dims, coords={"y": ys, "x": xs}, name=name, attrs=attributes)
    if grid.crs is None:
        return array
    geotransform = " ".join(repr(float(value)) for value in grid.transform.to_gdal())
    reference = {"crs_wkt": grid.crs.to_wkt(), "spatial_ref": grid.crs.to_wkt(), "GeoTransform": geotransform}
    return array.assign_coords(spatial_ref=xarray.DataArray(0, attrs=reference))


# Pictures


def class_picture(path: Path, classes: ClassSet, longest_px: int = _LONGEST_PX) -> UInt8Array:
    """A class map in its colours (H, W, 4), reduced by taking single pixels; transparent where nothing was
    predicted.
    """
    source = open_scene(path, nodata="none")
    height, width = reduced_size(source, longest_px)
    rows = ((np.arange(height) + 0.5) * source.grid.height / height).astype(np.int64)
    cols = ((np.arange(width) + 0.5) * source.grid.width / width).astype(np.int64)
    ids = np.empty((height, width), np.uint8)
    with SceneReader(source) as reader:
        for place, row in enumerate(rows.tolist()):
            ids[place] = reader.read_rows(row, row + 1)[0][0, 0, cols]
    return colored(ids, classes)


def colored(ids: UInt8Array, classes: ClassSet) -> UInt8Array:
    """(H, W, 4) class ids in their colours; other values are transparent."""
    table = np.zeros((256, 4), np.uint8)
    for info in classes:
        table[info.id] = (*rgb_of(info.color), 255)
    return np.asarray(table[ids], np.uint8)


def draw(path: Path, classes: ClassSet, scene: str, axes: Axes | None) -> Axes:
    """Draw an output in map coordinates: a class map in its colours, or features over the scene.

    Args:
        path: The output.
        classes: Its classes.
        scene: Path of its scene, shown below features where it can be opened.
        axes: Where to draw; None: a new figure.

    Returns:
        The axes; `axes.figure` is the figure.
    """
    from matplotlib.patches import Patch  # lazy: half a second

    if axes is None:
        axes = new_figure(8, 7, dpi=100, layout="constrained").subplots()
    if path.suffix.lower() in (".tif", ".tiff"):
        axes.imshow(class_picture(path, classes), extent=_extent(open_scene(path)), interpolation="nearest")
    else:
        frame = features(path)
        below = _opened(scene)
        if below is not None and (frame.crs is None) == (below.grid.crs is None):
            small = below.resized(*reduced_size(below, _LONGEST_PX))
            axes.imshow(quicklook(small), extent=_extent(below))
            frame = frame if frame.crs is None else frame.to_crs(below.grid.crs)
        for info in classes:
            one = frame[frame["class_id"] == info.id] if "class_id" in frame else frame
            if len(one):
                one.boundary.plot(ax=axes, color=info.color, linewidth=1)
    axes.set_aspect("equal")
    patches = [Patch(color=info.color, label=info.name) for info in classes][:_MOST_LEGEND_ENTRIES]
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.set_title(path.name)
    return axes


def picture(path: Path, classes: ClassSet, scene: str) -> bytes:
    """An output as a small PNG."""
    if path.suffix.lower() in (".tif", ".tiff"):
        return png(class_picture(path, classes, 360))
    figure = new_figure(4.5, 4, dpi=80, layout="constrained")
    draw(path, classes, scene, figure.subplots())
    return figure_png(figure)


def _extent(scene: Scene) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a scene, as imshow wants them; those of its pixels if it has no CRS."""
    grid = scene.grid
    if grid.crs is None:
        return 0.0, float(grid.width), float(grid.height), 0.0
    west, south, east, north = grid.footprint().bounds
    return west, east, south, north


def _opened(scene: str) -> Scene | None:
    if not scene:
        return None
    try:
        return open_scene(scene)
    except SceneError:
        return None  # a prediction outlives its scene


# Web maps


def web_map(path: Path, classes: ClassSet) -> folium.Map:
    """An output on a web map, whose background tiles come from OpenStreetMap when it is shown.

    Args:
        path: The output; it needs a CRS.
        classes: Its classes.

    Raises:
        MissingExtraError: folium is not installed.
        ConfigError: The output has no CRS.
    """
    with needs_extra("a web map"):
        import folium  # lazy: an extra

    if path.suffix.lower() in (".tif", ".tiff"):
        colors, bounds = _on_web_grid(path, classes)
        shown = folium.Map()
        folium.raster_layers.ImageOverlay(
            f"{inline_png(png(colors))}", bounds=bounds, opacity=0.75, name=path.name
        ).add_to(shown)
        shown.fit_bounds(bounds)
    else:
        frame = features(path)
        _need_crs(path, frame.crs is not None)
        frame = frame.to_crs(_LONLAT)
        color_of = {info.id: info.color for info in classes}
        shown = folium.Map()
        names = [name for name in ("class_name", "score") if name in frame]
        folium.GeoJson(
            frame[[*names, *(["class_id"] if "class_id" in frame else []), frame.geometry.name]].to_json(),
            style_function=lambda item: {
                "color": color_of.get(item["properties"].get("class_id"), "#9e9e9e"),
                "weight": 2,
                "fillOpacity": 0.2,
            },
            tooltip=folium.GeoJsonTooltip(names) if names else None,
            name=path.name,
        ).add_to(shown)
        west, south, east, north = (float(value) for value in frame.total_bounds)
        if math.isfinite(west):
            shown.fit_bounds([[south, west], [north, east]])
    folium.LayerControl().add_to(shown)
    return shown


def _on_web_grid(path: Path, classes: ClassSet) -> tuple[UInt8Array, list[list[float]]]:
    """A class map in its colours on a grid of Web Mercator, and its corners in latitude and longitude."""
    from pyproj import Transformer
    from rasterio.crs import CRS
    from rasterio.transform import array_bounds
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    source = open_scene(path, nodata="none")
    _need_crs(path, source.grid.crs is not None)
    assert source.grid.crs is not None
    height, width = reduced_size(source, _WEB_PX)
    grid = source.grid.resized(height, width)
    image = class_picture(path, classes, _WEB_PX)
    crs = CRS.from_wkt(source.grid.crs.to_wkt())
    transform, cols, rows = calculate_default_transform(
        crs, _WEB_MERCATOR, width, height, *grid.footprint().bounds
    )
    out = np.zeros((4, rows, cols), np.uint8)
    reproject(
        np.ascontiguousarray(image.transpose(2, 0, 1)),
        out,
        src_transform=grid.transform,
        src_crs=crs,
        dst_transform=transform,
        dst_crs=_WEB_MERCATOR,
        resampling=Resampling.nearest,
    )
    west, south, east, north = array_bounds(rows, cols, transform)
    to_lonlat = Transformer.from_crs(_WEB_MERCATOR, _LONLAT, always_xy=True)
    (west, east), (south, north) = to_lonlat.transform([west, east], [south, north])
    return np.ascontiguousarray(out.transpose(1, 2, 0)), [[south, west], [north, east]]


def _need_crs(path: Path, has_crs: bool) -> None:
    if not has_crs:
        raise ConfigError(f"{path}: has no CRS, so it has no place on a web map; plot() draws it")

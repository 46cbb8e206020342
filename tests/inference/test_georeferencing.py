"""From labels to predicted polygons, everything lies where independent arithmetic says, on every kind of
grid.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from eo_dl.bundle import Bundle
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.classes import ClassSet
from eo_dl.inference.predict import predict
from eo_dl.labels.reading import read_labels
from eo_dl.tasks import load_task
from tests.making import write_polygons

Make = Callable[..., Bundle]
Write = Callable[..., Path]

# name: (EPSG, a, b, c, d, e, f) with x = a col + b row + c and y = d col + e row + f
GRIDS: dict[str, tuple[int, tuple[float, float, float, float, float, float]]] = {
    "north-up": (32633, (0.5, 0.0, 500000.0, 0.0, -0.5, 5200000.0)),
    "south-up": (32633, (2.0, 0.0, 400000.0, 0.0, 2.0, 5000000.0)),
    "rotated": (32633, (0.6, 0.35, 600000.3, 0.35, -0.6, 5100000.7)),
    "sub-pixel origin": (32633, (10.0, 0.0, 499980.123456, 0.0, -10.0, 4000020.654321)),
    "degrees": (4326, (9e-5, 0.0, 12.34567, 0.0, -6e-5, 47.7)),
    "web mercator": (3857, (0.149, 0.0, 9500000.0, 0.0, -0.149, 3200000.0)),
    "polar": (3413, (25.0, 0.0, -1000000.0, 0.0, -25.0, 500000.0)),
}
# Rectangles (col0, row0, col1, row1), apart from each other by more than a pixel, all over a scene of 100 x
# 90 px.
BOXES = [
    (3, 4, 10, 9),
    (20, 2, 27, 12),
    (40, 30, 46, 41),
    (70, 60, 80, 67),
    (10, 70, 18, 79),
    (88, 3, 97, 10),
    (60, 10, 66, 20),
    (85, 80, 95, 88),
    (5, 40, 12, 47),
]
WIDTH, HEIGHT = 100, 90


def place(coefficients: tuple[float, ...], col: float, row: float) -> tuple[float, float]:
    """Map coordinates of a pixel corner, written out."""
    a, b, c, d, e, f = coefficients
    return a * col + b * row + c, d * col + e * row + f


def pixel(coefficients: tuple[float, ...], x: float, y: float) -> tuple[float, float]:
    """The inverse, by Cramer's rule."""
    a, b, c, d, e, f = coefficients
    det = a * e - b * d
    return (e * (x - c) - b * (y - f)) / det, (a * (y - f) - d * (x - c)) / det


def rectangle(coefficients: tuple[float, ...], box: tuple[int, int, int, int]) -> shapely.Polygon:
    col0, row0, col1, row1 = box
    return shapely.Polygon(
        [place(coefficients, c, r) for c, r in [(col0, row0), (col1, row0), (col1, row1), (col0, row1)]]
    )


def pixels_of(coefficients: tuple[float, ...], geometry: shapely.Geometry) -> np.ndarray:
    return np.array([pixel(coefficients, x, y) for x, y in shapely.get_coordinates(geometry)])


def boxes_of(coefficients: tuple[float, ...], frame: gpd.GeoDataFrame) -> np.ndarray:
    """(N, 4) pixel boxes of geometries, sorted."""
    found = [
        np.concatenate([p.min(axis=0), p.max(axis=0)])
        for p in (pixels_of(coefficients, g) for g in frame.geometry)
    ]
    return np.array(sorted(map(tuple, found)))


@pytest.fixture(params=[*GRIDS, "pixel is point"])
def ground(
    request: pytest.FixtureRequest, tmp_path: Path, write_scene: Write
) -> tuple[Path, Path, tuple[float, ...], int]:
    """A scene whose rectangles hold 1 and the rest 7, its labels drawn by arithmetic, its coefficients and
    its CRS.
    """
    epsg, coefficients = GRIDS.get(request.param, GRIDS["sub-pixel origin"])
    pixels = np.full((HEIGHT, WIDTH), 7, np.uint8)
    for col0, row0, col1, row1 in BOXES:
        pixels[row0:row1, col0:col1] = 1
    scene = write_scene(tmp_path / "scene.tif", pixels, crs=f"EPSG:{epsg}", transform=Affine(*coefficients))
    if request.param == "pixel is point":
        with rasterio.open(scene, "r+") as file:
            file.update_tags(AREA_OR_POINT="Point")
        # GDAL moves the tie point by half a pixel when it reads; what it gives is the truth
        with rasterio.open(scene) as file:
            coefficients = tuple(file.transform)[:6]
    labels = write_polygons(
        tmp_path / "labels.gpkg",
        [rectangle(coefficients, box) for box in BOXES],
        crs=f"EPSG:{epsg}",
        kind=["roof"] * len(BOXES),
    )
    return scene, labels, coefficients, epsg


def test_chips_masks_and_boxes_lie_where_they_should(
    ground: tuple[Path, Path, tuple[float, ...], int], tmp_path: Path
) -> None:
    scene, labels, coefficients, _ = ground
    chips = tile(scene, read_labels(labels), out=tmp_path / "chips", size_px=30, split=Split((1, 0, 0)))
    footprints = gpd.read_file(tmp_path / "chips" / "chips.gpkg", layer="chips").sort_values("chip_id")
    codecs = {
        name: load_task(name).make_codec(
            chips.classes.with_background() if name == "segmentation" else chips.classes,
            load_task(name).config.model_validate({}),
        )
        for name in ("segmentation", "detection")
    }
    assert len(chips.records) == len(footprints) == 12
    for record, outline in zip(
        sorted(chips.records, key=lambda r: r.chip_id), footprints.geometry, strict=True
    ):
        window = record.window
        corners = pixels_of(coefficients, outline)
        assert np.abs(corners.min(axis=0) - (window.col, window.row)).max() < 1e-6
        assert np.abs(corners.max(axis=0) - (window.col1, window.row1)).max() < 1e-6
        part = chips.labels_of(record.scene_index).within(window)
        truth = np.zeros((HEIGHT, WIDTH), np.uint8)
        for col0, row0, col1, row1 in BOXES:
            truth[row0:row1, col0:col1] = 1
        mask = codecs["segmentation"].encode(part, 30, 30).mask
        assert mask is not None
        np.testing.assert_array_equal(mask, truth[window.row : window.row1, window.col : window.col1])
        inside = [
            (b[0] - window.col, b[1] - window.row, b[2] - window.col, b[3] - window.row)
            for b in BOXES
            if window.col <= b[0] and b[2] <= window.col1 and window.row <= b[1] and b[3] <= window.row1
        ]
        boxes = codecs["detection"].encode(part, 30, 30).boxes
        assert boxes is not None
        for box in inside:
            assert np.abs(boxes - np.array(box)).max(axis=1).min() < 1e-4, "float32 boxes in chip pixels"


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_predicted_polygons_lie_where_they_should(
    task: str,
    ground: tuple[Path, Path, tuple[float, ...], int],
    tmp_path: Path,
    make_bundle: Make,
    use_engine: Callable,
    engines: dict,
) -> None:
    scene, _, coefficients, epsg = ground
    known = ClassSet.of_names(["roof"])
    classes = (
        ClassSet((*known.classes, type(known.classes[0])(7, "ground", "#dddddd")))
        if task == "segmentation"
        else known
    )
    bundle = make_bundle(task, classes=classes, chip_px=32, margin_px=8)
    use_engine(engines["echo" if task == "segmentation" else "blobs"], bundle)
    predict(bundle, scene, out=tmp_path / "found.gpkg")
    found = gpd.read_file(tmp_path / "found.gpkg", layer=gpd.list_layers(tmp_path / "found.gpkg")["name"][0])
    assert found.crs.to_epsg() == epsg
    found = found[found["class_name"] == "roof"]
    boxes = boxes_of(coefficients, found)
    assert len(boxes) == len(BOXES)
    assert np.abs(boxes - np.array(sorted(BOXES))).max() < 1e-6

"""Objects are found once, where they are, and also by a run that was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from eo_dl.bundle import Bundle
from eo_dl.core.chipgrid import ChipGrid
from eo_dl.core.classes import ClassSet
from eo_dl.errors import Cancelled, ConfigError
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.io.vectorlayers import read_layer
from eo_dl.networks.compute import Compute
from eo_dl.postprocessing.cleanup import Cleanup
from tests.making import notes_of

Make = Callable[..., Bundle]
Write = Callable[..., Path]


def picture(height: int, width: int, boxes: list[tuple[int, int, int, int, int]]) -> np.ndarray:
    """Boxes (row0, col0, row1, col1, class id) on empty ground."""
    drawn = np.zeros((height, width), np.int16)
    for row0, col0, row1, col1, class_id in boxes:
        drawn[row0:row1, col0:col1] = class_id
    return drawn


def scattered(height: int, width: int, seed: int = 4) -> list[tuple[int, int, int, int, int]]:
    """One box in each 10 px cell, at most 7 px a side, none touching another."""
    rng = np.random.default_rng(seed)
    cells = [(row, col) for row in range(0, height - 9, 10) for col in range(0, width - 9, 10)]
    corners, sizes, ids = (
        rng.integers(0, 3, (len(cells), 2)),
        rng.integers(2, 7, (len(cells), 2)),
        rng.integers(1, 4, len(cells)),
    )
    return [
        (row + a, col + b, row + a + h, col + b + w, int(k))
        for (row, col), (a, b), (h, w), k in zip(cells, corners, sizes, ids, strict=True)
    ]


CLASSES = ClassSet.of_names(["tree", "car", "house"])


def found(path: Path) -> list[tuple[float, ...]]:
    """(row0, col0, row1, col1, class id) in pixels of 1 m from the scene's corner."""
    frame = read_layer(path)
    bounds = frame.geometry.bounds.to_numpy()
    return sorted(
        (5200000 - maxy, minx - 500000, 5200000 - miny, maxx - 500000, float(k))
        for (minx, miny, maxx, maxy), k in zip(bounds, frame["class_id"], strict=True)
    )


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
@pytest.mark.parametrize(("height", "width"), [(150, 130), (33, 41), (20, 20)])
def test_every_object_is_kept_once_where_it_is(
    suffix: str,
    height: int,
    width: int,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8)
    use_engine(engines["blobs"], bundle)
    boxes = scattered(height, width)
    result = predict(
        bundle,
        write_scene(tmp_path / "scene.tif", picture(height, width, boxes)),
        out=tmp_path / f"objects{suffix}",
    )
    frame = read_layer(result.path)
    assert result.count == len(frame) == len(boxes)
    if suffix == ".gpkg":
        assert found(result.path) == sorted(boxes)
    assert (
        set(frame["class_name"]) <= set(CLASSES.names)
        and not frame["reviewed"].any()
        and (frame["score"] == 0.9).all()
    )
    assert np.allclose(frame["area_m2"], frame.geometry.area, rtol=2e-3)


def test_an_object_larger_than_the_overlap_is_joined(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8)
    use_engine(engines["blobs"], bundle)
    result = predict(
        bundle,
        write_scene(tmp_path / "scene.tif", picture(90, 90, [(20, 5, 26, 80, 2)])),
        out=tmp_path / "o.gpkg",
    )
    assert found(result.path) == [(20, 5, 26, 80, 2)] and notes_of(result) == (
        "objects joined from parts seen in neighbouring chips: 1",
    )


def test_an_object_that_two_chips_detect_is_kept_once_and_the_duplicate_is_counted(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    """Its centre lies within a pixel of a keep window's edge, so both chips take it for their own."""
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8)
    use_engine(engines["blobs"], bundle)
    edge = ChipGrid(90, 90, 32, 8).col_edges[1]
    box = (edge - 3, 6, edge + 2, 10, 1)
    result = predict(
        bundle, write_scene(tmp_path / "scene.tif", picture(90, 90, [box])), out=tmp_path / "o.gpkg"
    )
    assert found(result.path) == [box]
    assert notes_of(result) == ("duplicates removed (the same object detected in neighbouring chips): 1",)


def test_a_stopped_run_goes_on_to_the_same_objects(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8)
    engine = use_engine(engines["blobs"], bundle)
    scene = write_scene(tmp_path / "scene.tif", picture(150, 130, [*scattered(150, 130), (40, 2, 140, 5, 1)]))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = predict(bundle, scene, out=tmp_path / "a" / "o.gpkg", compute=Compute(batch_size=2))
    engine.batches.clear()

    def stop(done: int, total: int, what: str) -> None:
        if done > total * 0.6:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        predict(bundle, scene, out=tmp_path / "b" / "o.gpkg", compute=Compute(batch_size=2), on_progress=stop)
    again = predict(bundle, scene, out=tmp_path / "b" / "o.gpkg", compute=Compute(batch_size=2))
    assert again.kept > 0 and again.path.read_bytes() == whole.path.read_bytes()
    assert [path.name for path in again.path.parent.iterdir()] == ["o.gpkg"]


def test_objects_on_ground_that_was_not_measured_or_asked_for_are_left_out_and_counted(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8)
    use_engine(engines["blobs"], bundle)
    drawn = picture(
        60, 60, [(10, 10, 15, 15, 1), (30, 30, 37, 37, 2), (50, 50, 55, 55, 3), (44, 20, 52, 24, 1)]
    )
    drawn[32:35, 32:35] = -1
    aoi = tmp_path / "aoi.parquet"
    geopandas.GeoDataFrame(
        geometry=[shapely.box(500000, 5200000 - 45, 500045, 5200000)], crs="EPSG:32633"
    ).to_parquet(aoi)
    result = predict(
        bundle, write_scene(tmp_path / "scene.tif", drawn, nodata=-1), out=tmp_path / "o.gpkg", aoi=aoi
    )
    assert found(result.path) == [(10, 10, 15, 15, 1)]
    assert notes_of(result) == ("objects left out because their centre lies on nodata: 1",)


def test_a_copy_twice_as_fine_gives_the_same_places(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8, gsd_m=1.0)
    use_engine(engines["blobs"], bundle)
    boxes = scattered(80, 70)
    fine = np.kron(picture(80, 70, boxes), np.ones((2, 2), np.int16))
    result = predict(bundle, write_scene(tmp_path / "fine.tif", fine, gsd_m=0.5), out=tmp_path / "o.gpkg")
    assert np.abs(np.array(found(result.path)) - np.array(sorted(boxes))).max() < 1 and result.count == len(
        boxes
    )


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_without_a_place_objects_lie_in_pixels(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8)
    use_engine(engines["blobs"], bundle)
    scene = write_scene(tmp_path / "scene.tif", picture(40, 50, [(3, 7, 9, 20, 1)]), crs=None)
    result = predict(bundle, scene, out=tmp_path / "o.parquet")
    frame = geopandas.read_parquet(result.path)
    assert frame.geometry.iloc[0].bounds == (7, 3, 20, 9) and frame["area_m2"].tolist() == [78.0]


def test_the_score_threshold_is_the_bundles_unless_given(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8, thresholds={"score": 0.95})
    use_engine(engines["blobs"], bundle)
    scene = write_scene(tmp_path / "scene.tif", picture(40, 50, [(3, 7, 9, 20, 1)]))
    assert predict(bundle, scene, out=tmp_path / "none.gpkg").count == 0
    assert len(read_layer(tmp_path / "none.gpkg")) == 0
    assert predict(bundle, scene, out=tmp_path / "some.gpkg", cleanup=Cleanup(min_score=0.5)).count == 1


def test_a_box_inside_another_is_left_out_as_the_model_says_unless_told_otherwise(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    drawn = picture(40, 50, [(5, 5, 30, 30, 1)])
    drawn[8:27, 8:27] = 0
    drawn[14:20, 14:20] = 1  # its box lies inside that of the ring
    scene = write_scene(tmp_path / "scene.tif", drawn)
    for decided, count in (({"iou": 0.5, "inside": 0.75}, 1), ({"iou": 0.5}, 2), ({}, 2)):
        bundle = make_bundle("detection", classes=CLASSES, margin_px=8, thresholds={"score": 0.5, **decided})
        use_engine(engines["blobs"], bundle)
        assert predict(bundle, scene, out=tmp_path / "o.gpkg", overwrite=True).count == count, decided
        for most, told in ((1.0, 2), (0.75, 1)):
            options = ChipOptions(max_inside=most)
            overruled = predict(bundle, scene, out=tmp_path / "o.gpkg", chip_options=options, overwrite=True)
            assert overruled.count == told


@pytest.mark.parametrize(
    ("out", "probabilities", "says"),
    [("o.tif", False, ".gpkg, .geojson"), ("o.gpkg", True, "omit `probabilities`")],
)
def test_objects_are_no_raster(
    out: str,
    probabilities: bool,
    says: str,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle = make_bundle("detection", classes=CLASSES, margin_px=8)
    use_engine(engines["blobs"], bundle)
    with pytest.raises(ConfigError, match=says):
        predict(
            bundle,
            write_scene(tmp_path / "scene.tif", picture(40, 50, [])),
            out=tmp_path / out,
            extras=MapExtras(probabilities=probabilities),
        )


def test_a_class_map_as_polygons_is_that_of_the_raster(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    drawn = picture(100, 90, [(5, 5, 60, 70, 1), (20, 20, 50, 40, 2), (70, 10, 95, 80, 3)])
    drawn[80:85, 20:30] = -1
    result = predict(
        bundle, write_scene(tmp_path / "scene.tif", drawn, nodata=-1), out=tmp_path / "map.geojson"
    )
    features = json.loads(result.path.read_text())["features"]
    assert (
        sorted(f["properties"]["class_id"] for f in features) == [1, 2, 3]
        and result.kind == "polygons"
        and result.count == 3
    )
    frame = read_layer(result.path).to_crs(32633)
    areas = dict(zip(frame["class_id"], frame.geometry.area, strict=True))
    assert [round(areas[k]) for k in (1, 2, 3)] == [55 * 65 - 600, 600, 25 * 70 - 50]
    assert frame["score"].isna().all()

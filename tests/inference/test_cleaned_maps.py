"""`predict` with a `Cleanup`: raster and polygons are one map, however the run was cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely

from eo_dl.bundle import Bundle
from eo_dl.core.classes import ClassSet
from eo_dl.errors import Cancelled, ConfigError
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.io.classmap import open_class_map
from eo_dl.io.vectorlayers import read_layer
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.vectorize import vectorize

PROBABILITIES = MapExtras(probabilities=True)
Make = Callable[..., Bundle]
Write = Callable[..., Path]
TIDY = Cleanup(sieve_px=3, fill_holes_m2=9, min_area_m2=12)


def drawn() -> npt.NDArray[np.uint8]:
    """Two fields, one with a hole and a speck, a lone speck and a small field."""
    labels = np.zeros((70, 61), np.uint8)
    labels[5:30, 5:40] = 1
    labels[10:12, 10:13] = 0
    labels[20, 20:22] = 2
    labels[40:60, 20:50] = 2
    labels[2, 50] = 3
    labels[64:67, 2:5] = 1
    return labels


def tidied() -> npt.NDArray[np.uint8]:
    labels = np.zeros((70, 61), np.uint8)
    labels[5:30, 5:40] = 1
    labels[40:60, 20:50] = 2
    return labels


def ids_of(path: Path) -> npt.NDArray[np.uint8]:
    return np.concatenate([ids for _, ids in open_class_map(path).row_strips()])


@pytest.fixture
def bundle(make_bundle: Make, use_engine: Callable, engines: dict) -> Bundle:
    made = make_bundle()
    use_engine(engines["echo"], made)
    return made


def test_raster_and_polygons_are_the_same_clean_map(
    tmp_path: Path, bundle: Bundle, write_scene: Write
) -> None:
    scene = write_scene(tmp_path / "scene.tif", drawn())
    raster = predict(bundle, scene, out=tmp_path / "map.tif", extras=PROBABILITIES, cleanup=TIDY)
    assert np.array_equal(ids_of(raster.path), tidied())
    assert {
        "areas below `min_area_m2` that were left out: 1",
        "holes below `fill_holes_m2` that were filled: 1",
    } <= {*raster.notes}
    polygons = predict(bundle, scene, out=tmp_path / "map.gpkg", cleanup=TIDY)
    assert polygons.count == 2 and {total.name: total.count for total in polygons.totals} == {
        "c1": 1,
        "c2": 1,
    }
    for suffix in (".geojson", ".fgb"):
        assert predict(bundle, scene, out=tmp_path / f"map{suffix}", cleanup=TIDY).totals == polygons.totals
    by_class = {total.name: total.area_m2 for total in raster.totals}
    for total in polygons.totals:
        assert by_class[total.name] == pytest.approx(total.area_m2, rel=1e-4)
    traced = read_layer(
        vectorize(
            predict(bundle, scene, out=tmp_path / "raw.tif").path, out=tmp_path / "v.gpkg", cleanup=TIDY
        )
    )
    assert shapely.equals(traced.geometry.values, read_layer(polygons.path).geometry.values).all()


def test_a_stopped_run_and_shards_give_the_bytes_of_one_run(
    tmp_path: Path, bundle: Bundle, write_scene: Write
) -> None:
    scene = write_scene(tmp_path / "scene.tif", drawn())

    def stop(done: int, total: int, what: str) -> None:
        if done > 4:
            raise KeyboardInterrupt

    for name in ("map.tif", "map.gpkg"):
        whole = predict(bundle, scene, out=tmp_path / name, cleanup=TIDY).path
        (tmp_path / "again").mkdir(exist_ok=True)
        out = tmp_path / "again" / name
        with pytest.raises(Cancelled, match="finished parts are kept"):
            predict(bundle, scene, out=out, cleanup=TIDY, on_progress=stop)
        continued = predict(bundle, scene, out=out, cleanup=TIDY)
        assert continued.kept and out.read_bytes() == whole.read_bytes()
        (tmp_path / "shards").mkdir(exist_ok=True)
        out = tmp_path / "shards" / name
        for shard in ("2/2", "1/2"):
            predict_shard(bundle, scene, shard=shard, out=out, cleanup=TIDY)
        assert assemble_shards(bundle, scene, out=out, cleanup=TIDY).path.read_bytes() == whole.read_bytes()


def test_objects_below_the_least_area_are_left_out_and_said(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=ClassSet.of_names(["a", "b"]), margin_px=8)
    use_engine(engines["blobs"], bundle)
    pixels = np.zeros((40, 50), np.uint8)
    pixels[5:12, 5:12] = 1
    pixels[20:22, 20:23] = 2
    scene = write_scene(tmp_path / "scene.tif", pixels)
    cleanup = Cleanup(min_area_m2=10, sieve_px=4, smooth_px=1)
    found = predict(bundle, scene, out=tmp_path / "o.gpkg", cleanup=cleanup)
    assert found.count == 1 and read_layer(found.path).geometry.iloc[0].area == pytest.approx(49)
    said = " ".join(found.notes)
    assert "left out: 1" in said and "`sieve_px` is for class maps" in said and "boxes" in said
    json.dumps(found.values())


def test_square_metres_need_a_place(tmp_path: Path, bundle: Bundle, write_scene: Write) -> None:
    scene = write_scene(tmp_path / "scene.tif", drawn(), crs=None)
    with pytest.raises(ConfigError, match="areas in square metres are unknown; leave `fill_holes_m2` out"):
        predict(bundle, scene, out=tmp_path / "map.tif", cleanup=Cleanup(fill_holes_m2=3))
    result = predict(bundle, scene, out=tmp_path / "map.tif", cleanup=Cleanup(sieve_px=3))
    assert ids_of(result.path)[2, 50] == 0


def test_values_out_of_range_are_refused() -> None:
    for values in ({"min_score": 1.5}, {"sieve_px": -1}, {"smooth_px": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(values))):
            Cleanup(**values)

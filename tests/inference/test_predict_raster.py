"""A network that returns its input, run through the whole of predict, gives the raster back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from scipy import ndimage

from eo_dl.bundle import Bundle
from eo_dl.core.classes import ClassSet
from eo_dl.errors import BandError, Cancelled, ConfigError, InputError, OutputExistsError, SceneError
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.io.scene import open_scene
from eo_dl.networks.compute import Compute
from tests.making import notes_of

PROBABILITIES = MapExtras(probabilities=True)

Make = Callable[..., Bundle]
Write = Callable[..., Path]


def classes_of(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 6, (height, width)).astype(np.uint8)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as found:
        return found.read()


@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (7, 3), (31, 32), (33, 32), (64, 61), (101, 97), (24, 211), (211, 24), (128, 128)],
)
def test_the_identity_gives_the_raster_back(
    height: int,
    width: int,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle, truth = make_bundle(), classes_of(height, width)
    use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "scene.tif", truth, block_px=16)
    result = predict(bundle, scene, out=tmp_path / "map.tif")
    with rasterio.open(result.path) as found, rasterio.open(scene) as source:
        assert np.array_equal(found.read(1), truth)
        assert (found.crs, found.transform, found.shape, found.nodata) == (
            source.crs,
            source.transform,
            source.shape,
            255,
        )
        assert found.tags()["model_sha256"] == bundle.hash
    assert result.chips + result.skipped == len(list(range(result.chips + result.skipped)))


@pytest.mark.parametrize(("chip", "margin", "batch"), [(16, 0, 1), (16, 7, 3), (33, 5, 2), (256, 30, 4)])
def test_chip_margin_and_batch_do_not_matter(
    chip: int,
    margin: int,
    batch: int,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle, truth = make_bundle(chip_px=chip, margin_px=margin), classes_of(83, 71)
    use_engine(engines["echo"], bundle)
    result = predict(
        bundle,
        write_scene(tmp_path / "scene.tif", truth),
        out=tmp_path / "map.tif",
        compute=Compute(batch_size=batch),
    )
    assert np.array_equal(read(result.path)[0], truth)


@pytest.mark.parametrize(
    "transform",
    [
        Affine(2, 0, 5e5, 0, 2, 5.2e6),
        Affine(1.2, 0.5, 5e5, 0.5, -1.2, 5.2e6),
        Affine(1, 0, 5e5 + 0.37, 0, -1, 5.2e6 - 0.11),
    ],
)
def test_odd_grids_are_kept(
    transform: Affine,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle, truth = make_bundle(), classes_of(40, 50)
    use_engine(engines["echo"], bundle)
    result = predict(
        bundle, write_scene(tmp_path / "scene.tif", truth, transform=transform), out=tmp_path / "map.tif"
    )
    with rasterio.open(result.path) as found:
        assert np.array_equal(found.read(1), truth) and found.transform == transform


def test_probabilities_come_back_to_the_quantum(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(classes=ClassSet.of_names(["water"], background=True))
    use_engine(engines["certainty"], bundle)
    truth = np.random.default_rng(5).random((61, 45)).astype(np.float32)
    truth[3:9, 4:7] = np.nan
    scene = write_scene(tmp_path / "scene.tif", truth)
    result = predict(bundle, scene, out=tmp_path / "map.tif", extras=PROBABILITIES)
    plain = predict(bundle, scene, out=tmp_path / "plain.tif")
    assert np.array_equal(read(result.path), read(plain.path))
    assert result.paths == (tmp_path / "map.tif", tmp_path / "map_prob.tif")
    with rasterio.open(tmp_path / "map_prob.tif") as found:
        stored, measured = found.read(), np.isfinite(truth)
        assert found.descriptions == ("background", "water") and found.nodata == 255
        assert (stored[:, ~measured] == 255).all()
        assert abs(stored[1] * found.scales[1] - truth)[measured].max() <= 0.5 / 254 + 1e-6
        assert abs(stored[:, measured].astype(int).sum(axis=0) - 254).max() <= 1


def test_ground_that_was_not_measured_stays_unknown_and_is_not_computed(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle, truth = make_bundle(), classes_of(128, 128)
    engine = use_engine(engines["echo"], bundle)
    stored = truth.astype(np.int16)
    stored[:, 40:] = -1
    stored[5, 7] = -1
    result = predict(
        bundle,
        write_scene(tmp_path / "scene.tif", stored, nodata=-1),
        out=tmp_path / "map.tif",
        compute=Compute(batch_size=1),
    )
    assert np.array_equal(read(result.path)[0], np.where(stored == -1, 255, truth))
    assert result.skipped > 0 and len(engine.batches) == result.chips < 36


def test_the_same_batches_are_run_whatever_is_skipped(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle, truth = make_bundle(), classes_of(32, 32 + 8 * 24).astype(np.int16)
    engine = use_engine(engines["echo"], bundle)
    truth[:, :20] = -1
    predict(
        bundle,
        write_scene(tmp_path / "scene.tif", truth, nodata=-1),
        out=tmp_path / "map.tif",
        compute=Compute(batch_size=8),
    )
    assert engine.batches == [5, 4]


def test_only_the_aoi_is_predicted(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle, truth = make_bundle(), classes_of(100, 90)
    use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "scene.tif", truth)
    aoi = tmp_path / "aoi.geojson"
    polygons = [
        shapely.box(5, 5, 30, 20),
        shapely.box(60.3, 60.1, 80.7, 62.3),
        shapely.box(70.2, 61, 72.7, 90.9),
    ]
    _write_geojson(aoi, polygons, rasterio.open(scene))
    result = predict(bundle, scene, out=tmp_path / "map.tif", aoi=aoi)
    rows, cols = np.mgrid[:100, :90] + 0.5
    inside = shapely.contains_xy(shapely.union_all(polygons), cols, rows)
    found = read(result.path)[0]
    assert np.array_equal(found[inside], truth[inside])
    assert (found != 255).sum() == inside.sum() and result.skipped > 0


def _write_geojson(path: Path, polygons: list[shapely.Polygon], scene: rasterio.DatasetReader) -> None:
    from pyproj import Transformer

    to_lonlat = Transformer.from_crs(scene.crs.to_wkt(), "EPSG:4326", always_xy=True)
    with scene:
        features = []
        for polygon in polygons:
            moved = shapely.transform(
                shapely.segmentize(polygon, 1),
                lambda xy: np.column_stack(to_lonlat.transform(*(scene.transform @ xy.T))),
            )
            features.append(
                {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(moved)}
            )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


class Stop:
    """Raises at the n-th word of progress."""

    def __init__(self, after: int, error: BaseException) -> None:
        self.left, self.error = after, error

    def __call__(self, done: int, total: int, what: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error


@pytest.mark.parametrize("after", [0, 1, 9, 20, 29])
@pytest.mark.parametrize("suffix", [".tif", ".gpkg"])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    after: int,
    suffix: str,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle, truth = make_bundle(), (classes_of(150, 110) > 3).astype(np.uint8)
    engine = use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "scene.tif", truth, block_px=32)
    whole = predict(
        bundle,
        scene,
        out=_folder(tmp_path / "a") / f"map{suffix}",
        extras=PROBABILITIES,
        compute=Compute(batch_size=1),
    )
    ran = len(engine.batches)
    out = _folder(tmp_path / "b") / f"map{suffix}"
    with pytest.raises(Cancelled, match=r"run the same command to continue|nothing was kept"):
        predict(
            bundle,
            scene,
            out=out,
            extras=PROBABILITIES,
            compute=Compute(batch_size=1),
            on_progress=Stop(after, KeyboardInterrupt()),
        )
    assert not out.exists()
    engine.batches.clear()
    again = predict(bundle, scene, out=out, extras=PROBABILITIES, compute=Compute(batch_size=1))
    assert [path.read_bytes() for path in again.paths] == [path.read_bytes() for path in whole.paths]
    assert again.kept + again.chips == whole.chips == ran and len(engine.batches) == ran - again.kept
    assert (again.kept > 0) == (after > 8) and sorted(p.name for p in out.parent.iterdir()) == sorted(
        p.name for p in whole.path.parent.iterdir()
    )


class Killed(BaseException):
    """Ends a run at once, as a kill does."""


@pytest.mark.parametrize("suffix", [".tif", ".gpkg"])
def test_a_run_killed_between_probabilities_and_map_goes_on(
    suffix: str,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, truth = make_bundle(), (classes_of(150, 110) > 3).astype(np.uint8)
    engine = use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "scene.tif", truth, block_px=32)
    whole = predict(bundle, scene, out=_folder(tmp_path / "a") / f"map{suffix}", extras=PROBABILITIES)
    out = _folder(tmp_path / "b") / f"map{suffix}"

    def renamed(temporary: Path, target: Path) -> None:
        if target == out:
            raise Killed
        temporary.replace(target)

    with monkeypatch.context() as patched:
        patched.setattr("eo_dl.io.atomic._replace", renamed)
        with pytest.raises(Killed):
            predict(bundle, scene, out=out, extras=PROBABILITIES)
    finished = out.with_name("map_prob.tif")
    assert finished.exists() and not out.exists()
    engine.batches.clear()
    again = predict(bundle, scene, out=out, extras=PROBABILITIES)
    assert not engine.batches and [p.read_bytes() for p in again.paths] == [
        p.read_bytes() for p in whole.paths
    ]
    assert sorted(p.name for p in out.parent.iterdir()) == sorted(p.name for p in whole.path.parent.iterdir())
    out.unlink()
    with pytest.raises(OutputExistsError, match=r"map_prob\.tif: exists already"):
        predict(bundle, scene, out=out, extras=PROBABILITIES)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_without_resume_nothing_is_kept(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "scene.tif", classes_of(150, 110))
    with pytest.raises(Cancelled, match="nothing was kept"):
        predict(
            bundle, scene, out=tmp_path / "map.tif", resume=False, on_progress=Stop(9, KeyboardInterrupt())
        )
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_bands_are_found_by_name_and_refused_without(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    names = ("red", "green", "nir")
    bundle = make_bundle(bands=names)
    use_engine(engines["echo"], bundle)
    pixels = np.stack([classes_of(50, 60, seed) for seed in range(3)]).astype(np.int16)
    plain = predict(bundle, write_scene(tmp_path / "plain.tif", pixels, names=names), out=tmp_path / "a.tif")
    shuffled = write_scene(tmp_path / "shuffled.tif", pixels[[2, 0, 1]], names=("nir", "Red", "GREEN"))
    assert np.array_equal(read(predict(bundle, shuffled, out=tmp_path / "b.tif").path), read(plain.path))
    unnamed = write_scene(tmp_path / "unnamed.tif", np.concatenate([pixels[[2, 0, 1]], pixels[:1]]), names=())
    with pytest.raises(BandError, match=r"`bands=.red=1,green=2,nir=3.`"):
        predict(bundle, unnamed, out=tmp_path / "c.tif")
    for said in ("2,3,1", ["red=2", "green=3", "nir=1"]):
        assert np.array_equal(
            read(
                predict(bundle, open_scene(unnamed, bands=said), out=tmp_path / "c.tif", overwrite=True).path
            ),
            read(plain.path),
        )
    with pytest.raises(BandError, match="the model needs 3"):
        predict(bundle, open_scene(unnamed, bands="1,2"), out=tmp_path / "d.tif")
    assert not (tmp_path / "d.tif").exists()


def test_values_in_other_units_stop_and_name_the_parameter(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(mean=0.2, std=0.1)
    use_engine(engines["echo"], bundle)
    stored = np.random.default_rng(2).integers(500, 4000, (40, 40)).astype(np.uint16)
    with pytest.raises(InputError, match=r"other units .* `scale=0.0001` "):
        predict(bundle, write_scene(tmp_path / "raw.tif", stored), out=tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()
    scaled = open_scene(tmp_path / "raw.tif", scale=0.0001)
    assert notes_of(predict(bundle, scaled, out=tmp_path / "map.tif")) == ()
    tagged = write_scene(tmp_path / "tagged.tif", stored, scales=(0.0001,))
    assert notes_of(predict(bundle, tagged, out=tmp_path / "map2.tif")) == ()
    kept = open_scene(tmp_path / "raw.tif", scale=1.0)
    assert "unlike" in predict(bundle, kept, out=tmp_path / "map3.tif").notes[0]
    with pytest.raises(InputError, match="other units"):
        predict(make_bundle(mean=2000, std=900), tagged, out=tmp_path / "map4.tif")


def test_a_scene_of_another_resolution_is_resampled_and_the_map_lies_on_its_grid(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(gsd_m=1.0)
    use_engine(engines["echo"], bundle)
    truth = np.kron(classes_of(30, 25), np.ones((4, 4), np.uint8))
    same = predict(bundle, write_scene(tmp_path / "one.tif", truth, gsd_m=1.05), out=tmp_path / "one_map.tif")
    assert notes_of(same) == ()
    fine = predict(
        bundle,
        write_scene(tmp_path / "fine.tif", np.kron(truth, np.ones((2, 2), np.uint8)), gsd_m=0.5),
        out=tmp_path / "fine_map.tif",
    )
    assert "resampled" in fine.notes[0]
    assert np.array_equal(read(fine.path)[0], np.kron(truth, np.ones((2, 2), np.uint8)))
    with rasterio.open(fine.path) as found, rasterio.open(tmp_path / "fine.tif") as source:
        assert (found.transform, found.shape) == (source.transform, source.shape)
    kept = predict(bundle, tmp_path / "fine.tif", out=tmp_path / "kept_map.tif", keep_gsd=True)
    assert "not resampled" in kept.notes[0]


def test_resampled_maps_know_the_own_mask_the_aoi_and_how_to_go_on(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(gsd_m=2.0)
    use_engine(engines["echo"], bundle)
    stored = np.kron(classes_of(60, 40), np.ones((3, 3), np.uint8)).astype(np.int16)
    stored[10:17, 20:33] = -1
    scene = write_scene(tmp_path / "scene.tif", stored, nodata=-1, gsd_m=0.7)
    whole = predict(bundle, scene, out=tmp_path / "whole.tif")
    found = read(whole.path)[0]
    # A working pixel that is mostly unmeasured has no class, so up to one of them (2.9 own pixels) is lost
    # beside a hole.
    assert (found[stored == -1] == 255).all()
    assert not (found == 255)[~ndimage.binary_dilation(stored == -1, iterations=3)].any()
    out = tmp_path / "again.tif"
    with pytest.raises(Cancelled):
        predict(bundle, scene, out=out, on_progress=Stop(3, KeyboardInterrupt()))
    again = predict(bundle, scene, out=out)
    assert again.kept > 0 and np.array_equal(read(again.path)[0], found)
    aoi = tmp_path / "aoi.geojson"
    _write_geojson(aoi, [shapely.box(7, 9, 55, 41)], rasterio.open(scene))
    part = read(predict(bundle, scene, out=tmp_path / "part.tif", aoi=aoi).path)[0]
    expected = np.full_like(found, 255)
    expected[9:41, 7:55] = found[9:41, 7:55]
    assert np.array_equal(part, expected)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_image_without_a_place_works_at_its_pixels(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle, truth = make_bundle(gsd_m=0.5), classes_of(40, 40)
    use_engine(engines["echo"], bundle)
    result = predict(bundle, write_scene(tmp_path / "scene.tif", truth, crs=None), out=tmp_path / "map.tif")
    assert "no CRS" in " ".join(result.notes)
    with rasterio.open(result.path) as found:
        assert np.array_equal(found.read(1), truth) and found.crs is None


def test_a_scene_without_any_valid_pixel_is_refused(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "empty.tif", np.full((700, 700), -1, np.int16), nodata=-1)
    with pytest.raises(SceneError, match="has no valid pixel"):
        predict(bundle, scene, out=tmp_path / "map.tif")
    clouds = write_scene(tmp_path / "clouds.tif", np.full((700, 700), 1, np.int16))
    with pytest.raises(SceneError, match=r"`mask=.*clouds.tif in 1` leaves no pixel that is measured"):
        predict(bundle, open_scene(clouds, mask=f"{clouds} in 1"), out=tmp_path / "map.tif")
    stored = np.full((700, 700), -1, np.int16)
    stored[333, 444] = 3
    result = predict(bundle, write_scene(tmp_path / "lone.tif", stored, nodata=-1), out=tmp_path / "map.tif")
    assert np.argwhere(read(result.path)[0] != 255).tolist() == [[333, 444]]


@pytest.mark.parametrize(
    ("out", "error", "says"),
    [
        ("map.shp", ConfigError, ".tif, .gpkg"),
        ("map", ConfigError, "suffix"),
        ("scene.tif", OutputExistsError, "is an input"),
        ("there.tif", OutputExistsError, "overwrite=True"),
        ("missing/map.tif", InputError, "does not exist"),
    ],
)
def test_outputs_that_cannot_be_are_refused_before_any_work(
    out: str,
    error: type[Exception],
    says: str,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle = make_bundle()
    engine = use_engine(engines["echo"], bundle)
    scene = write_scene(tmp_path / "scene.tif", classes_of(20, 20))
    (tmp_path / "there.tif").write_text("old")
    with pytest.raises(error, match=says):
        predict(bundle, scene, out=tmp_path / out, overwrite=out == "scene.tif")
    assert (
        engine.batches == []
        and (tmp_path / "there.tif").read_text() == "old"
        and np.array_equal(read(scene)[0], classes_of(20, 20))
    )


def test_a_truncated_scene_leaves_no_map(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    scene = write_scene(
        tmp_path / "scene.tif", np.random.default_rng(0).integers(0, 6, (900, 900)).astype(np.uint8)
    )
    opened = open_scene(scene)
    scene.write_bytes(scene.read_bytes()[: scene.stat().st_size // 2])
    with pytest.raises(SceneError, match=r"scene\.tif"):
        predict(bundle, opened, out=tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_several_scenes_go_into_a_folder(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    scenes = [
        write_scene(tmp_path / f"{name}.tif", classes_of(30, 40, seed)) for seed, name in enumerate("ab")
    ]
    result = predict(bundle, scenes, out=tmp_path / "maps")
    assert [path.name for path in result.paths] == ["a.tif", "b.tif"]
    assert all(
        np.array_equal(read(path)[0], classes_of(30, 40, seed)) for seed, path in enumerate(result.paths)
    )
    assert not list((tmp_path / "maps").glob(".*"))
    assert predict(bundle, scenes[0], out=f"{tmp_path}/more/").paths == (tmp_path / "more" / "a.tif",)
    with pytest.raises(InputError, match="they are images of one ground"):
        predict(bundle, scenes, out=tmp_path / "both.tif")
    with pytest.raises(InputError, match="would be one file"):
        predict(bundle, [scenes[0], scenes[0]], out=tmp_path / "maps2")


def test_a_stopped_run_over_several_scenes_goes_on(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    engine = use_engine(engines["echo"], bundle)
    scenes = [
        write_scene(tmp_path / f"{name}.tif", classes_of(60, 70, seed)) for seed, name in enumerate("abc")
    ]
    first: list[int] = []

    def stop(done: int, total: int, what: str) -> None:
        first.append(done)
        if first.count(0) == 2 and done:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled):
        predict(bundle, scenes, out=tmp_path / "maps", on_progress=stop)
    assert sorted(path.name for path in (tmp_path / "maps").glob("*.tif")) == ["a.tif"]
    before, ran = (tmp_path / "maps" / "a.tif").stat().st_mtime_ns, len(engine.batches)
    with pytest.raises(OutputExistsError):
        predict(bundle, scenes, out=tmp_path / "maps", chip_options=ChipOptions(margin_px=3))
    result = predict(bundle, scenes, out=tmp_path / "maps")
    assert (tmp_path / "maps" / "a.tif").stat().st_mtime_ns == before and len(engine.batches) > ran
    assert all(
        np.array_equal(read(path)[0], classes_of(60, 70, seed)) for seed, path in enumerate(result.paths)
    )
    with pytest.raises(OutputExistsError):
        predict(bundle, scenes, out=tmp_path / "maps")


def test_a_prediction_shows_itself(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    result = predict(
        bundle, write_scene(tmp_path / "scene.tif", classes_of(20, 20)), out=tmp_path / "map.tif"
    )
    assert "map.tif" in result._repr_html_() and json.dumps(result.values())


def test_predict_loads_none_of_the_training_packages() -> None:
    code = (
        "import sys, eo_dl.inference.predict; print([m for m in ('torch', 'lightning', 'torchgeo', "
        "'albumentations', 'torchmetrics') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", [40, 101])
def test_a_missing_band_is_shown_to_the_network_as_the_mean_and_its_share_is_said(
    size: int,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    """By the rule of the model; the first band, which the engine repeats, is missing on the right."""
    bundle = make_bundle(bands=("d1", "d2", "d3"), mean=2.0, valid="any")
    engine = use_engine(engines["echo"], bundle)
    stored = np.stack([classes_of(size, size), classes_of(size, size, 2), classes_of(size, size, 3)]) + 2
    stored = stored.astype(np.int16)
    stored[0, :, 30:] = -1
    stored[:, 5:9, 3:7] = -1
    scene = write_scene(tmp_path / "scene.tif", stored, nodata=-1, names=("d1", "d2", "d3"))
    result = predict(bundle, scene, out=tmp_path / "map.tif")
    wanted = np.where(stored[0] == -1, 0, stored[0] - 2)
    wanted[5:9, 3:7] = 255
    assert engine.batches and np.array_equal(read(result.path)[0], wanted)
    (line,) = [note for note in result.notes if "filled with the mean" in note]
    assert "d1 (" in line
    with rasterio.open(result.path) as found:
        assert found.tags()["valid"] == "any"
    strict = predict(bundle, open_scene(scene, valid="all"), out=tmp_path / "all.tif")
    assert np.array_equal(read(strict.path)[0] == 255, (stored == -1).any(axis=0))
    assert any("'all', as stated; the model was trained with 'any'" in note for note in strict.notes)


def test_a_rule_that_costs_much_ground_is_a_warning_with_band_and_option(
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bundle = make_bundle(bands=("d1", "d2"))
    use_engine(engines["echo"], bundle)
    stored = np.stack([classes_of(60, 60), classes_of(60, 60, 2)]).astype(np.float32)
    stored[1, :, 12:] = np.nan
    scene = write_scene(tmp_path / "scene.tif", stored, names=("d1", "d2"))
    result = predict(bundle, scene, out=tmp_path / "map.tif")
    assert (read(result.path)[0] == 255).mean() == 0.8
    assert "80% of its measured ground does not count" in caplog.text and "d2 (100%)" in caplog.text
    assert "`valid=any`" in caplog.text
    with rasterio.open(result.path) as found:
        assert "valid" not in found.tags()

"""From scenes and labels to a chip set on disk, and back."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from pyproj import CRS, Transformer

from eo_dl.chips.chipset import ChipSet, open_chip_set
from eo_dl.chips.manifest import read_manifest, sampling_of
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.chips.truth import SceneTruth
from eo_dl.chips.writing import read_written
from eo_dl.core import geometries
from eo_dl.core.gridwindow import GridWindow
from eo_dl.core.window import Window
from eo_dl.errors import (
    BandError,
    Cancelled,
    ChipSetError,
    ConfigError,
    InputError,
    LabelError,
    OutputExistsError,
)
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.io.vectorlayers import read_layer
from eo_dl.labels.reading import read_labels
from tests.making import square, write_polygons, write_raster

from .conftest import NORTH_UP, UTM, squares

Writer = Callable[..., Path]


@pytest.fixture
def chips(write_scene: Writer, write_labels: Writer, tmp_path: Path) -> ChipSet:
    return tile(
        write_scene("scene.tif", nodata=0),
        read_labels(write_labels("labels.gpkg"), class_field="kind"),
        out=tmp_path / "chips",
        size_px=16,
    )


def _digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def _sql(folder: Path, *commands: str) -> None:
    with sqlite3.connect(folder / "chips.gpkg") as database:
        # QGIS brings the functions that a GeoPackage's triggers call; plain sqlite3 does not.
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        for command in commands:
            database.execute(command)
    database.close()


# What is in it


def test_same_seed_same_bytes_whatever_the_threads(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    scene, labels = write_scene("scene.tif"), read_labels(write_labels("labels.gpkg"), class_field="kind")
    runs = []
    for workers in (1, 4):
        tile(
            scene,
            labels,
            out=tmp_path / "chips",
            size_px=16,
            seed=3,
            write_chips=True,
            workers=workers,
            overwrite=True,
            sampling=Sampling("random", count=50),
        )
        runs.append(_digest(tmp_path / "chips"))
    assert runs[0] == runs[1]
    assert {"chips.json", "chips.gpkg", "contact_sheet.png"} < set(runs[0])
    other = tile(
        scene,
        labels,
        out=tmp_path / "other",
        size_px=16,
        seed=4,
        sampling=Sampling("random", count=50),
    )
    assert other.content_hash != open_chip_set(tmp_path / "chips").content_hash


def test_it_opens_as_it_was_made(chips: ChipSet) -> None:
    again = open_chip_set(chips.path)
    assert (
        again.records == chips.records
        and again.statistics == chips.statistics
        and again.content_hash == chips.content_hash
    )
    assert again.notes == chips.notes and not any("edited" in note for note in again.notes)
    assert not [p for p in chips.path.parent.iterdir() if "part" in p.name]


def test_the_layers_are_where_the_chips_are(chips: ChipSet) -> None:
    table = gpd.read_file(chips.path / "chips.gpkg", layer="chips")
    assert table.crs == chips.scenes[0].grid.crs
    for outline, record in zip(table.geometry, chips.records, strict=True):
        assert shapely.equals_exact(
            shapely.normalize(outline), shapely.normalize(chips.scenes[0].grid.footprint(record.window)), 1e-6
        )
    assert set(table["split"]) <= {"train", "val", "test", "none"}
    for one, other in combinations(["train", "val", "test"], 2):
        assert (
            table[table["split"] == one]
            .union_all()
            .intersection(table[table["split"] == other].union_all())
            .area
            == 0
        )
    labels = gpd.read_file(chips.path / "chips.gpkg", layer="labels")
    assert set(labels["class_name"]) == {"house", "shed"} and len(labels) == len(chips.labels)
    with sqlite3.connect(chips.path / "chips.gpkg") as database:
        styled = dict(
            database.execute(
                "SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault = 1"
            ).fetchall()
        )
    database.close()
    assert set(styled) == {"chips", "labels", "annotated"} and 'attr="split"' in styled["chips"]


def test_numbers_of_a_chip_are_those_of_its_pixels(chips: ChipSet) -> None:
    """Shares and counts against a plain burn of the polygons and a loop over boxes."""
    with rasterio.open(chips.scenes[0].path) as dataset:
        everything = rasterio.features.rasterize(
            [
                (g, int(c))
                for g, c in zip(
                    chips.labels.features.geometries, chips.labels.features.class_ids, strict=True
                )
            ],
            out_shape=dataset.shape,
            transform=dataset.transform,
            dtype="uint8",
        )
    boxes = chips.labels_of(0).bounds
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    for record in chips.records:
        part = everything[record.window.slices]
        assert record.class_shares == {int(i): pytest.approx((part == i).mean()) for i in np.unique(part)}
        inside = (centres >= [record.window.col, record.window.row]) & (
            centres < [record.window.col1, record.window.row1]
        )
        assert sum(record.object_counts.values()) == inside.all(axis=1).sum()
    assert sum(sum(r.object_counts.values()) for r in chips.records) == len(chips.labels), (
        "each object is counted once in a grid"
    )


def test_statistics_are_over_valid_train_pixels_in_physical_units(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 96, 160))
    pixels[:, :20, :50] = 0
    scene = write_scene("scene.tif", pixels=pixels, nodata=0, scale=0.0001)
    chips = tile(
        scene, read_labels(write_labels("l.gpkg"), class_field="kind"), out=tmp_path / "c", size_px=16
    )
    part = np.concatenate(
        [
            pixels[:, r.window.row : r.window.row1, r.window.col : r.window.col1].reshape(3, -1)
            for r in chips.split("train")
        ],
        axis=1,
    )
    part = part[:, (part != 0).all(axis=0)] * 0.0001
    for band, s in zip(part, chips.statistics, strict=True):
        assert s.count == band.size
        assert (s.mean, s.std, s.minimum, s.maximum) == pytest.approx(
            (band.mean(), band.std(), band.min(), band.max())
        )
        assert (s.p02, s.p98) == pytest.approx(tuple(np.percentile(band, (2, 98))), rel=1e-4)
    assert all(r.valid_share >= 0.5 for r in chips.records)
    assert any("left out: less than 50%" in note for note in chips.notes)


def test_written_chips_are_the_pixels_that_reading_gives(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(1, 5000, (3, 96, 160))
    pixels[:, 40:50, 30:90] = 0
    scene, labels = (
        write_scene("scene.tif", pixels=pixels, nodata=0),
        read_labels(write_labels("l.gpkg"), class_field="kind"),
    )
    chips = tile(
        scene,
        labels,
        out=tmp_path / "c",
        size_px=16,
        write_chips=True,
        sampling=Sampling(overlap_px=4, keep_empty=0.5),
    )
    with SceneReader(chips.scenes[0]) as reader:
        for record in chips.records:
            assert record.file is not None
            found, valid = read_written(chips.path / record.file, 3)
            chip = reader.read(record.window)
            assert np.array_equal(found, chip.pixels) and np.array_equal(valid, chip.valid)
            with rasterio.open(chips.path / "masks" / Path(record.file).name) as mask:
                assert mask.nodata == 255 and tuple(mask.transform) == pytest.approx(
                    tuple(chip.grid.transform)
                )
                shares = {int(i): (mask.read(1) == i).mean() for i in np.unique(mask.read(1)) if i != 255}
            assert shares == {i: pytest.approx(share) for i, share in record.class_shares.items()}
    assert (
        len(list((chips.path / "images").iterdir()))
        == len(list((chips.path / "masks").iterdir()))
        == len(chips.records)
    )


def test_a_striped_scene_is_written_by_itself(
    write_labels: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "striped.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=96,
        width=800,
        count=1,
        dtype="uint8",
        crs="EPSG:32633",
        transform=NORTH_UP,
        blockysize=8,
    ) as dataset:
        dataset.write(np.random.default_rng(0).integers(1, 255, (1, 96, 800), dtype=np.uint8))
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    assert tile(path, labels, out=tmp_path / "small", size_px=32).records[0].file is None, (
        "fits the block cache"
    )
    monkeypatch.setattr("eo_dl.chips.writing._CACHE_BYTES", 1000)
    chips = tile(path, labels, out=tmp_path / "large", size_px=32)
    assert chips.records[0].file is not None
    assert any("would decode 25 times as much" in note for note in chips.notes)
    assert tile(path, labels, out=tmp_path / "told", size_px=32, write_chips=False).records[0].file is None


# Edited by a person


def test_edited_splits_and_keep_flags_are_obeyed(chips: ChipSet) -> None:
    train, gone = chips.split("train")[0], chips.split("train")[1]
    _sql(
        chips.path,
        f"UPDATE chips SET split = 'none' WHERE chip_id = '{train.chip_id}'",
        f"UPDATE chips SET keep = 0 WHERE chip_id = '{gone.chip_id}'",
    )
    edited = open_chip_set(chips.path)
    left = {record.chip_id for record in edited.split("train")}
    assert left == {r.chip_id for r in chips.split("train")} - {train.chip_id, gone.chip_id}
    assert any("edited" in note for note in edited.notes) and edited.content_hash != chips.content_hash
    _sql(chips.path, f"DELETE FROM chips WHERE chip_id = '{train.chip_id}'")
    assert len(open_chip_set(chips.path).records) == len(chips.records) - 1


def test_edited_labels_are_obeyed(chips: ChipSet) -> None:
    _sql(chips.path, "UPDATE labels SET class_name = 'shed'")
    assert set(open_chip_set(chips.path).labels.features.class_ids) == {2}
    _sql(chips.path, "UPDATE labels SET class_name = 'castle' WHERE fid = 1")
    with pytest.raises(ChipSetError, match="castle"):
        open_chip_set(chips.path)


def test_edits_that_make_splits_share_ground_are_refused(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    chips = tile(
        write_scene("scene.tif"),
        labels,
        out=tmp_path / "c",
        size_px=32,
        sampling=Sampling(overlap_px=16),
    )
    inner = next(
        a
        for a in chips.split("train")
        for b in chips.split("train")
        if a != b and a.window.intersection(b.window)
    )
    _sql(chips.path, f"UPDATE chips SET split = 'test' WHERE chip_id = '{inner.chip_id}'")
    with pytest.raises(ChipSetError, match=f"share ground, .*{inner.chip_id}"):
        open_chip_set(chips.path)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (
            "UPDATE chips SET split = 'validation' WHERE fid = 1",
            "unknown split 'validation'; choose one of train, val, test, none",
        ),
        ("UPDATE chips SET col = 100000 WHERE fid = 1", "outside its scene"),
        ("UPDATE chips SET width = 8 WHERE fid = 1", "another size"),
        ("UPDATE chips SET chip_id = 'x' WHERE fid IN (1, 2)", "twice"),
        ("UPDATE chips SET class_shares = 'x' WHERE fid = 1", "beyond `split` and `keep`"),
        ("DELETE FROM chips", "empty"),
    ],
)
def test_edits_that_make_no_sense_are_named(chips: ChipSet, command: str, word: str) -> None:
    _sql(chips.path, command)
    with pytest.raises(ChipSetError, match=word):
        open_chip_set(chips.path)


def test_a_scene_that_moved_or_changed_is_named(chips: ChipSet, tmp_path: Path, write_scene: Writer) -> None:
    scene = Path(chips.scenes[0].path)
    (tmp_path / "moved").mkdir()
    whole = shutil.copytree(chips.path, tmp_path / "moved" / "chips")
    scene.rename(tmp_path / "moved" / "scene.tif")
    assert open_chip_set(whole).scenes[0].path == str((tmp_path / "moved" / "scene.tif").resolve()), (
        "a project folder moves as a whole"
    )
    with pytest.raises(ChipSetError, match=r"scene\.tif is missing; restore it"):
        open_chip_set(chips.path)
    write_scene("scene.tif", seed=1)
    with pytest.raises(ChipSetError, match="not the file that was tiled"):
        open_chip_set(chips.path)


@pytest.mark.parametrize("name", ["chips.json", "chips.gpkg"])
def test_a_folder_without_its_parts_is_no_chip_set(chips: ChipSet, name: str) -> None:
    (chips.path / name).unlink()
    with pytest.raises(ChipSetError, match=f"has no {name}"):
        open_chip_set(chips.path)


def test_a_manifest_that_is_none_or_newer_is_refused(chips: ChipSet) -> None:
    manifest = chips.path / "chips.json"
    found = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**found, "format_version": 99}))
    with pytest.raises(ChipSetError, match="format 99"):
        open_chip_set(chips.path)
    manifest.write_text(json.dumps({k: v for k, v in found.items() if k != "scenes"}))
    with pytest.raises(ChipSetError, match="edited by hand"):
        open_chip_set(chips.path)
    manifest.write_text("{")
    with pytest.raises(ChipSetError, match="not readable JSON"):
        open_chip_set(chips.path)
    with pytest.raises(ChipSetError, match="is not a folder"):
        open_chip_set(chips.path / "nowhere")


# Ways of asking


def test_folds_put_every_chip_into_test_once(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    chips = tile(write_scene("scene.tif"), labels, out=tmp_path / "c", size_px=16, split=Split(folds=4))
    tested = [record.chip_id for fold in range(4) for record in chips.for_fold(fold).split("test")]
    assert sorted(tested) == sorted(record.chip_id for record in chips.records)
    assert all(not any(chips.for_fold(fold).shared_ground.values()) for fold in range(4))
    assert chips.for_fold(0).records == chips.records
    with pytest.raises(ConfigError, match="folds are 0 to 3"):
        chips.for_fold(4)
    assert [{r.fold for r in chips.with_val_fold(fold).split("val")} for fold in range(4)] == [
        {0},
        {1},
        {2},
        {3},
    ]
    with pytest.raises(ConfigError, match="0 to 3"):
        chips.with_val_fold(4)


def test_two_folds_validate_each_other(write_scene: Writer, write_labels: Writer, tmp_path: Path) -> None:
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    chips = tile(write_scene("scene.tif"), labels, out=tmp_path / "c", size_px=16, split=Split(folds=2))
    first, second = chips.with_val_fold(0), chips.with_val_fold(1)
    assert first.split("test") == second.split("test") == ()
    assert {r.chip_id for r in first.split("val")} == {r.chip_id for r in second.split("train")}
    assert not any(first.shared_ground.values())


def test_two_dates_go_to_one_split_and_scenes_can_be_split(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    dates = [write_scene("a.tif"), write_scene("b.tif", seed=1)]
    chips = tile(dates, labels, out=tmp_path / "dates", size_px=16)
    of = {(r.scene_index, r.window): r.split for r in chips.records}
    assert all(of[0, window] == of[1, window] for _, window in of)
    with pytest.raises(ConfigError, match="1 block of ground"):
        tile(dates, labels, out=tmp_path / "scenes", size_px=16, split=Split(by="scene"))
    third = NORTH_UP @ NORTH_UP.translation(10_000, 0)
    far = [
        write_scene(f"{i}.tif", 48, 48, transform=third @ NORTH_UP.translation(200 * i, 0)) for i in range(6)
    ]
    apart = read_labels(
        write_labels(
            "f.gpkg",
            [p for i in range(6) for p in squares(3, 3, 16, 6, third @ NORTH_UP.translation(200 * i, 0))],
        ),
        class_field="kind",
    )
    chips = tile(far, apart, out=tmp_path / "far", size_px=16, split=Split((0.5, 0.25, 0.25), by="scene"))
    assert all(len({r.split for r in chips.records if r.scene_index == i}) == 1 for i in range(6))


def test_only_annotated_ground_counts_and_only_the_aoi_is_sampled(
    write_scene: Writer, write_labels: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def area(name: str, *windows: Window) -> Path:
        grid = open_scene(tmp_path / "scene.tif").grid
        return write_polygons(tmp_path / name, [grid.footprint(window) for window in windows], crs=UTM)

    scene, labels = write_scene("scene.tif"), read_labels(write_labels("l.gpkg"), class_field="kind")
    annotated = area("annotated.gpkg", Window(0, 0, 120, 40), Window(0, 56, 104, 40))
    chips = tile(scene, labels, out=tmp_path / "c", size_px=16, annotated=annotated)
    known = np.zeros((96, 160), bool)
    known[:40, :120] = known[56:, :104] = True
    for record in chips.records:
        assert sum(record.class_shares.values()) == pytest.approx(known[record.window.slices].mean())
        assert known[record.window.slices].any()
    again = open_chip_set(chips.path)
    assert again.labels_of(0).annotated is not None and again.content_hash == chips.content_hash
    both = tile(
        scene,
        labels,
        out=tmp_path / "d",
        size_px=16,
        annotated=annotated,
        sampling=Sampling(aoi=area("aoi.gpkg", Window(0, 0, 80, 96))),
    )
    assert {r.window for r in both.records} == {r.window for r in chips.records if r.window.col < 80}
    # `retrain` cuts the scenes again with the sampling that the manifest records
    monkeypatch.chdir(tmp_path)
    beside = tile(
        scene, labels, out=tmp_path / "e", size_px=16, annotated=annotated, sampling=Sampling(aoi="aoi.gpkg")
    )
    assert sampling_of(read_manifest(beside.path)) == Sampling(aoi=str((tmp_path / "aoi.gpkg").resolve()))


def test_objects_and_balanced_sampling_add_some_empty_ground(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    labels = read_labels(write_labels("l.gpkg", squares(6, 4, 16, 6)), class_field="kind")
    scene = write_scene("scene.tif", 128, 256)
    for sampling in ("objects", "balanced"):
        chips = tile(
            scene,
            labels,
            out=tmp_path / sampling,
            size_px=24,
            sampling=Sampling(sampling, count=40),
        )
        assert 0 < sum(record.empty for record in chips.records) <= 10


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (
            {"count": 4},
            "`count`: does not apply to sampling by grid; omit it, or choose one of random, objects",
        ),
        ({"add_empty": 0.2}, "`add_empty`: does not apply to sampling by grid"),
        ({"method": "objects", "keep_empty": 0.2}, "`keep_empty`: .* one of grid, random as `sampling`"),
        ({"method": "random", "overlap_px": 8}, "`overlap_px`: does not apply to sampling by random"),
        ({"method": "luck"}, "`sampling`: expected one of grid, random, objects, single, balanced"),
        ({"min_valid": 2.0}, "`min_valid`: expected a share from 0 to 1, found 2"),
        ({"overlap_px": -1}, "`overlap_px`: expected 0 or more"),
    ],
)
def test_a_method_of_sampling_refuses_the_options_of_others(options: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ConfigError, match=refusal):
        Sampling(**options)


def test_keep_empty_leaves_chips_in_the_index_but_not_in_the_splits(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    labels = read_labels(write_labels("l.gpkg", squares(6, 4, 16, 6)), class_field="kind")
    chips = tile(
        write_scene("scene.tif", 128, 256),
        labels,
        out=tmp_path / "c",
        size_px=16,
        sampling=Sampling(keep_empty=0.25),
    )
    empty = [record for record in chips.records if record.empty]
    assert sum(record.keep for record in empty) == round(0.25 * len(empty))
    assert all(record.keep for record in chips.records if not record.empty)
    assert not any(r.empty and not r.keep for name in ("train", "val", "test") for r in chips.split(name))


def test_scenes_of_other_bands_crs_and_gsd_come_together(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    from pyproj import Transformer

    first = write_scene("a.tif", seed=1)
    x, y = Transformer.from_crs(32633, 32632, always_xy=True).transform(402_000, 5_300_000)
    second = write_scene(
        "b.tif",
        192,
        320,
        crs="EPSG:32632",
        transform=NORTH_UP.translation(x, y) @ NORTH_UP.scale(5, -5),
        bands=("nir", "pan", "green", "red"),
    )
    there = [shapely.transform(p, lambda xy: xy - (-2_000, 100_000)) for p in squares(10, 6, 16, 6)]
    labels = read_labels(write_labels("l.gpkg", squares(10, 6, 16, 6) + there), class_field="kind")
    chips = tile([first, second], labels, out=tmp_path / "c", size_px=16, gsd_m=10)
    assert chips.bands.names == ("red", "green", "nir") == chips.scenes[1].bands.names
    assert [band.number for band in chips.scenes[1].bands] == [4, 3, 1]
    assert (chips.scenes[1].grid.height, chips.scenes[1].grid.width) == (96, 160)
    assert {r.scene_index for r in chips.records} == {0, 1} and {
        r.scene_index for r in chips.split("train")
    } == {0, 1}
    assert gpd.read_file(chips.path / "chips.gpkg", layer="chips").crs.to_epsg() == 4326
    again = open_chip_set(chips.path)
    assert again.scenes == chips.scenes and again.content_hash == chips.content_hash


def test_plain_images_with_masks_and_with_boxes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(5):
        Image.fromarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)).save(
            tmp_path / "images" / f"i{number}.png"
        )
        Image.fromarray((rng.random((64, 96)) < 0.3).astype(np.uint8) * 2).save(
            tmp_path / "masks" / f"i{number}.png"
        )
    images = sorted((tmp_path / "images").iterdir())
    chips = tile(
        images, read_labels(tmp_path / "masks"), out=tmp_path / "c", size_px=32, split=Split((0.6, 0.2, 0.2))
    )
    assert chips.area_unit == "px2" and chips.gsd_m is None
    for record in chips.records[:5]:
        truth = np.array(Image.open(tmp_path / "masks" / images[record.scene_index].name))[
            record.window.slices
        ]
        assert sum(share for class_id, share in record.class_shares.items() if class_id) == pytest.approx(
            (truth == 2).mean()
        )
    assert open_chip_set(chips.path).content_hash == chips.content_hash
    coco = {
        "images": [
            {"id": n, "file_name": path.name, "width": 96, "height": 64} for n, path in enumerate(images)
        ],
        "categories": [{"id": 7, "name": "tree"}],
        "annotations": [
            {
                "id": 10 * n + k,
                "image_id": n,
                "category_id": 7,
                "bbox": [5.25 + 20 * k, 8.5, 10, 12.125],
                "area": 1,
                "iscrowd": 0,
            }
            for n in range(5)
            for k in range(4)
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    boxed = tile(
        images,
        read_labels(tmp_path / "boxes.json"),
        out=tmp_path / "d",
        size_px=32,
        split=Split((0.6, 0.2, 0.2)),
    )
    assert sum(sum(r.object_counts.values()) for r in boxed.records) == 20
    assert sorted(boxed.labels_of(3).bounds.tolist()) == [
        [5.25 + 20 * k, 8.5, 15.25 + 20 * k, 20.625] for k in range(4)
    ]
    outlines = gpd.read_file(boxed.path / "chips.gpkg", layer="chips")
    assert outlines.geometry.union_all().area == pytest.approx(5 * 64 * 96), "images lie side by side"


def test_linked_scenes_and_masks_keep_the_names_of_their_links(tmp_path: Path) -> None:
    """Folders of many data sets hold files of the same names; a link gives each a name of its own, by which
    labels and maps are found.
    """
    for name in ("one", "two"):
        for kind, value in (("images", 90), ("masks", int(name == "two"))):
            (tmp_path / name / kind).mkdir(parents=True)
            picture = np.full((32, 64), value, np.uint8)
            Image.fromarray(picture).save(tmp_path / name / kind / "part.png")
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{name}_part.png").symlink_to(tmp_path / name / kind / "part.png")
    scenes = [tmp_path / "images" / f"{name}_part.png" for name in ("one", "two")]
    tile(
        scenes,
        read_labels(tmp_path / "masks", classes=["wood"]),
        out=tmp_path / "chips",
        size_px=32,
        split=Split((0.5, 0.0, 0.5), by="scene"),
    )
    again = open_chip_set(tmp_path / "chips")
    assert [scene.stem for scene in again.scenes] == ["one_part", "two_part"]
    assert [record.class_shares for record in again.records] == [{0: 1.0}] * 2 + [{1: 1.0}] * 2
    truth = {
        again.scenes[r.scene_index].stem: SceneTruth.of(again.labels, again.scenes[r.scene_index])
        .chip(r.window)
        .mask
        for r in again.records
    }
    assert {name: int(mask.max()) for name, mask in truth.items() if mask is not None} == {
        "one_part": 0,
        "two_part": 1,
    }


def test_boxes_in_pixels_of_a_georeferenced_scene_come_back_exactly(
    write_scene: Writer, tmp_path: Path
) -> None:
    scene = write_scene("scene.tif", 96, 160)
    boxes = [[3.5 + 16 * (i % 9), 4.25 + 16 * (i // 9), 7.125, 6] for i in range(45)]
    coco = {
        "images": [{"id": 1, "file_name": "scene.tif", "width": 160, "height": 96}],
        "categories": [{"id": 1, "name": "tree"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}
            for i, box in enumerate(boxes)
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    chips = tile(scene, read_labels(tmp_path / "boxes.json"), out=tmp_path / "c", size_px=16)
    expected = np.array([[c, r, c + w, r + h] for c, r, w, h in boxes])
    assert np.abs(chips.labels_of(0).bounds - expected).max() < 1e-6
    assert gpd.read_file(chips.path / "chips.gpkg", layer="labels").crs.to_epsg() == 32633
    assert chips.gsd_m is not None
    coarse = tile(
        scene, read_labels(tmp_path / "boxes.json"), out=tmp_path / "d", size_px=12, gsd_m=chips.gsd_m * 2
    )
    factor = coarse.scenes[0].grid.width / 160
    assert np.abs(coarse.labels_of(0).bounds[:, [0, 2]] - expected[:, [0, 2]] * factor).max() < 1e-6


def test_a_scene_smaller_than_a_chip_is_padded(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    chips = tile(
        write_scene("scene.tif", 12, 30),
        labels,
        out=tmp_path / "c",
        size_px=32,
        write_chips=True,
        split=Split((1, 0, 0)),
    )
    record = chips.records[0]
    assert record.window == GridWindow(
        0, 0, 32, 32, chips.scenes[0].grid
    ) and record.valid_share == pytest.approx(360 / 1024, abs=1e-6)
    assert sum(record.class_shares.values()) == pytest.approx(360 / 1024)
    assert gpd.read_file(chips.path / "chips.gpkg", layer="chips").area[0] == pytest.approx(360 * 100)


def test_progress_is_told_and_stops_the_work(
    write_scene: Writer, write_labels: Writer, tmp_path: Path
) -> None:
    scene, labels = write_scene("scene.tif"), read_labels(write_labels("l.gpkg"), class_field="kind")
    told: list[tuple[int, int, str]] = []
    tile(scene, labels, out=tmp_path / "c", size_px=16, on_progress=lambda *what: told.append(what))
    assert told[-1] == (60, 60, "chips") and [t[0] for t in told] == sorted(t[0] for t in told)

    def stop(done: int, total: int, what: str) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        tile(scene, labels, out=tmp_path / "d", size_px=16, on_progress=stop)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("d")]


# Bad input


def test_bad_input_is_one_line(write_scene: Writer, write_labels: Writer, tmp_path: Path) -> None:
    scene, labels = write_scene("scene.tif"), read_labels(write_labels("l.gpkg"), class_field="kind")
    bare = write_scene("bare.tif", crs=None)
    empty = write_scene("empty.tif", pixels=np.zeros((3, 96, 160)), nodata=0)
    rgb = write_scene("rgb.tif", bands=("red", "green", "blue"))
    far = read_labels(
        write_labels("far.gpkg", [shapely.transform(p, lambda xy: xy + 1e5) for p in squares(3, 3, 16, 6)]),
        class_field="kind",
    )
    cases: list[tuple[type[InputError], str, dict[str, object]]] = [
        (LabelError, r"bare\.tif.*has no CRS|no CRS", {"scenes": bare}),
        (LabelError, "far.gpkg", {"labels": far}),
        (LabelError, r"empty\.tif: no chip has 50% measured pixels", {"scenes": empty}),
        (
            BandError,
            r"rgb\.tif: lacks band nir of scene\.tif; it has red, green, blue",
            {"scenes": [scene, rgb]},
        ),
        (InputError, "occurs twice", {"scenes": [scene, scene]}),
        (InputError, "`scenes`: expected at least one raster", {"scenes": []}),
        (ConfigError, "8 to 8192 px a side, found 4", {"size_px": 4}),
        (ConfigError, "given in pixels and in metres", {"size_px": 16, "size_m": 160.0}),
        (ConfigError, "less than the 16 px of a chip", {"sampling": Sampling(overlap_px=16)}),
        (ConfigError, "smaller than a chip", {"split": Split(block_m=50.0)}),
        (ConfigError, "too few for 3 splits", {"size_px": 96}),
    ]
    for kind, pattern, options in cases:
        with pytest.raises(kind, match=pattern) as caught:
            tile(**{"scenes": scene, "labels": labels, "size_px": 16, "out": tmp_path / "out", **options})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.part*"))


def test_what_exists_is_not_overwritten_unasked(chips: ChipSet, tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        tile(chips.scenes[0], chips.labels, out=chips.path, size_px=16)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(OutputExistsError, match=r"holds no chips\.json"):
        tile(chips.scenes[0], chips.labels, out=pictures, size_px=16, overwrite=True)
    assert (pictures / "holiday.jpg").exists()
    assert len(tile(chips.scenes[0], chips.labels, out=chips.path, size_px=32, overwrite=True).records) == 15


def test_metres_need_one_ground_size(write_scene: Writer, write_labels: Writer, tmp_path: Path) -> None:
    labels = read_labels(write_labels("l.gpkg"), class_field="kind")
    first, second = write_scene("a.tif"), write_scene("b.tif", transform=NORTH_UP @ NORTH_UP.scale(2, 2))
    assert tile(first, labels, out=tmp_path / "c", size_m=160).chip_px == 16
    with pytest.raises(ConfigError, match=r"different number of pixels in each scene .* add `gsd_m`"):
        tile([first, second], labels, out=tmp_path / "d", size_m=160)
    assert tile([first, second], labels, out=tmp_path / "e", size_m=320, gsd_m=20).chip_px == 16


def test_labels_are_reprojected_once_for_all_scenes_of_a_crs(
    write_scene: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Matching labels with scenes, sampling and cutting chips share one placement."""
    shapes = gpd.GeoSeries(squares(6, 4, 24, 8), crs=UTM).to_crs(4326)
    write_polygons(tmp_path / "l.gpkg", shapes, crs="EPSG:4326", kind=["roof"] * len(shapes))
    reprojected = []

    class Counted:
        @staticmethod
        def from_crs(source: CRS, target: CRS, always_xy: bool) -> Transformer:
            reprojected.append(f"{source.to_epsg()} to {target.to_epsg()}")
            return Transformer.from_crs(source, target, always_xy=always_xy)

    monkeypatch.setattr(geometries, "Transformer", Counted)
    east = NORTH_UP @ Affine.translation(160, 0)
    scenes = [write_scene("west.tif"), write_scene("east.tif", transform=east)]
    tile(scenes, tmp_path / "l.gpkg", out=tmp_path / "chips", size_px=16, sampling=Sampling("objects"))
    assert reprojected == ["4326 to 32633"]


def test_labels_off_the_scenes_are_not_copied(write_scene: Writer, tmp_path: Path) -> None:
    inside, across, outside = (
        square(col, row, transform=NORTH_UP) for col, row in ((10, 10), (-5, 40), (5000, 40))
    )
    write_polygons(tmp_path / "l.gpkg", [outside, inside, across], kind=["c", "a", "b"])
    chips = tile(write_scene("scene.tif"), tmp_path / "l.gpkg", out=tmp_path / "chips", size_px=16)
    assert len(read_layer(tmp_path / "chips" / "chips.gpkg", layer="labels")) == 2
    opened = open_chip_set(chips.path)
    assert opened.classes.names == ("a", "b", "c")
    assert opened.labels.class_counts() == {"a": 1, "b": 1, "c": 0}
    placed = opened.labels.for_grid(opened.scenes[0].grid, opened.scenes[0].place)
    assert shapely.normalize(placed.geometries[0]).equals(shapely.box(10, 10, 20, 20))


def test_a_usual_fill_value_without_a_tag_is_said(write_labels: Writer, tmp_path: Path) -> None:
    labels = read_labels(write_labels("labels.gpkg"), class_field="kind")
    for name, dtype, fill, said in (
        ("a", np.float32, -9999, "holds -9999"),
        ("b", np.float32, np.finfo(np.float32).min, "holds -3.40282e+38"),
        ("c", np.int16, -32768, "holds -32768"),
        ("d", np.int16, -20, ""),
    ):
        pixels = np.random.default_rng(0).integers(1, 99, (2, 64, 64)).astype(dtype)
        pixels[:, :, 50:] = fill
        scene = write_raster(tmp_path / f"{name}.tif", pixels, transform=NORTH_UP)
        chips = tile(scene, labels, out=tmp_path / name, size_px=16)
        gaps = [note for note in chips.notes if "without a nodata tag" in note]
        assert len(gaps) == (2 if said else 0) and all(said in note and "`nodata=" in note for note in gaps)


def test_the_report_of_labels_is_in_the_manifest(chips: ChipSet) -> None:
    report = read_manifest(chips.path)["labels"]["report"]
    assert report == chips.label_report == chips.summary().values["label_report"]
    assert report["read"] == len(chips.labels) and report["line"].startswith("labels: ")


def test_a_near_infrared_tagged_as_alpha_is_read_again_as_it_was(
    write_labels: Writer, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(1, 99, (4, 64, 64)).astype(np.uint8)
    pixels[3] = 255
    pixels[3, :20] = 0
    path = tmp_path / "rgbn.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=64,
        width=64,
        count=4,
        dtype="uint8",
        photometric="RGB",
        alpha="yes",
        crs="EPSG:32633",
        transform=NORTH_UP,
    ) as file:
        file.write(pixels)
    labels = read_labels(write_labels("labels.gpkg"), class_field="kind")
    made = tile(open_scene(path, bands="red=1,nir=4"), labels, out=tmp_path / "chips", size_px=16)
    opened = open_chip_set(made.path)
    assert opened.content_hash == made.content_hash and not opened.scenes[0].file.alpha
    assert {record.valid_share for record in opened.records} == {1.0}

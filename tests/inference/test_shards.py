"""Shards, predicted in any order and put together, are the very files of one run."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.bundle import Bundle
from eo_dl.core.chipgrid import ChipGrid
from eo_dl.core.classes import ClassSet
from eo_dl.errors import Cancelled, ConfigError, InputError, OutputExistsError, WriteError
from eo_dl.inference import rowpieces
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.inference.prediction import Prediction
from eo_dl.inference.rowpieces import rows_folder
from eo_dl.inference.shardcuts import Shard, cut
from eo_dl.inference.shards import ShardResult, assemble_shards, predict_shard
from eo_dl.networks.compute import Compute
from tests.making import notes_of

Make = Callable[..., Bundle]
Write = Callable[..., Path]


@dataclass(frozen=True)
class Town:
    """One scene, its model and its map."""

    bundle: Bundle
    engine: Any
    scene: Path
    out: Path

    def shard(self, shard: str, **options: Any) -> ShardResult:
        compute = options.pop("compute", Compute(batch_size=4))
        return predict_shard(self.bundle, self.scene, shard=shard, out=self.out, compute=compute, **options)

    def assemble(self) -> Prediction:
        return assemble_shards(self.bundle, self.scene, out=self.out, compute=Compute(batch_size=4))


WATER = ClassSet.of_names(["water"], background=True)


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder and its subfolders, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def twice(tmp_path: Path) -> tuple[Path, Path]:
    """A folder for one run, and one for shards."""
    folders = tmp_path / "once", tmp_path / "shards"
    for folder in folders:
        folder.mkdir()
    return folders


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=5),
    st.integers(1, 12),
)
def test_shards_partition_the_rows_of_chips(sizes: list[tuple[int, int]], count: int) -> None:
    grids = [ChipGrid(height, width, 32, 4) for height, width in sizes]
    parts = [part for number in range(1, count + 1) for part in cut(grids, Shard(number, count))]
    rows = [(part.scene, row) for part in parts for row in part.rows]
    assert rows == [(scene, row) for scene, grid in enumerate(grids) for row in range(grid.shape[0])]


def test_shards_of_one_scene_differ_by_one_row_at_most() -> None:
    grid = ChipGrid(1000, 100, 32, 4)
    lengths = [sum(len(part.rows) for part in cut([grid], Shard(number, 7))) for number in range(1, 8)]
    assert sum(lengths) == grid.shape[0] and max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("0/4", "from 1"), ("5/4", "from 1"), ("3", "I/N"), ("a/b", "I/N"), ("1/0", "from 1")],
)
def test_what_is_no_shard_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Shard.parse(text)


@pytest.mark.parametrize("name", ["map.tif", "map.gpkg", "map.geojson"])
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("blend", ["clip", "hann"])
def test_class_maps_are_those_of_one_run(
    name: str,
    probabilities: bool,
    blend: str,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle = make_bundle(classes=WATER)
    use_engine(engines["certainty"], bundle)
    pixels = np.kron(np.random.default_rng(1).random((41, 18)), np.ones((4, 4))).astype(np.float32)
    pixels[30:50, 20:60] = np.nan
    scene = write_scene(tmp_path / "scene.tif", pixels, block_px=16)
    once, shards = twice(tmp_path)
    chips = ChipOptions(blend=blend)  # type: ignore[arg-type]  # a parameter of the test
    predict(bundle, scene, out=once / name, extras=MapExtras(probabilities=probabilities), chip_options=chips)
    for number in (3, 1, 2):
        out = shards / name
        shard = f"{number}/3"
        done = predict_shard(
            bundle,
            scene,
            shard=shard,
            out=out,
            extras=MapExtras(probabilities=probabilities),
            chip_options=chips,
        )
        assert done.rows and done.maps == ()
    result = assemble_shards(
        bundle, scene, out=shards / name, extras=MapExtras(probabilities=probabilities), chip_options=chips
    )
    assert files(shards) == files(once)
    assert (
        result.kept == len(ChipGrid(pixels.shape[0], pixels.shape[1], 32, 4))
        and "assembled from shards" in notes_of(result)[0]
    )


def test_a_resampled_scene_in_an_aoi_is_that_of_one_run(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(gsd_m=2.7)
    use_engine(engines["echo"], bundle)
    truth = np.random.default_rng(2).integers(0, 6, (311, 97)).astype(np.uint8)
    scene = write_scene(tmp_path / "scene.tif", truth, block_px=16)
    aoi = tmp_path / "aoi.geojson"
    outline = shapely.box(500010, 5199700, 500080, 5199990)
    crs = '"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}'
    feature = f'{{"type": "Feature", "properties": {{}}, "geometry": {shapely.to_geojson(outline)}}}'
    aoi.write_text(f'{{"type": "FeatureCollection", {crs}, "features": [{feature}]}}')
    once, shards = twice(tmp_path)
    predict(bundle, scene, out=once / "map.tif", aoi=aoi)
    for number in range(1, 5):
        predict_shard(bundle, scene, shard=Shard(number, 4), out=shards / "map.tif", aoi=aoi)
    assemble_shards(bundle, scene, out=shards / "map.tif", aoi=aoi)
    assert files(shards) == files(once)


def test_objects_across_the_borders_of_shards_are_joined_as_in_one_run(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle("detection", classes=ClassSet.of_names(["tree", "car"]), margin_px=8)
    use_engine(engines["blobs"], bundle)
    pixels = np.zeros((170, 60), np.int16)
    pixels[5:150, 10:14] = 1  # longer than a chip and through all shards
    for row in range(3, 165, 9):
        pixels[row : row + 6, 30:36] = 2
    scene = write_scene(tmp_path / "scene.tif", pixels)
    once, shards = twice(tmp_path)
    one_run = predict(bundle, scene, out=once / "objects.gpkg")
    for number in range(1, 5):
        predict_shard(bundle, scene, shard=f"{number}/4", out=shards / "objects.gpkg")
    result = assemble_shards(bundle, scene, out=shards / "objects.gpkg")
    assert files(shards) == files(once)
    assert result.count == one_run.count
    assert [note for note in result.notes if "joined" in note] == list(notes_of(one_run))[:1]


def test_several_scenes_are_cut_through_and_those_in_one_shard_are_written_by_it(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    rng = np.random.default_rng(3)
    scenes = [
        write_scene(tmp_path / f"{name}.tif", rng.integers(0, 6, (height, 50)).astype(np.uint8))
        for name, height in [("a", 60), ("b", 200), ("c", 20), ("d", 40)]
    ]
    once, shards = twice(tmp_path)
    predict(bundle, scenes, out=once)
    written = [
        path.name
        for number in range(1, 4)
        for path in predict_shard(bundle, scenes, shard=f"{number}/3", out=shards).maps
    ]
    assert written == ["a.tif", "c.tif", "d.tif"]
    result = assemble_shards(bundle, scenes, out=shards)
    assert files(shards) == files(once)
    assert [part.path.name for part in result.parts] == ["a.tif", "b.tif", "c.tif", "d.tif"]


@pytest.fixture
def town(make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict, tmp_path: Path) -> Town:
    """A scene of 8 rows of chips, one chip per batch, and the engine that counts them."""
    bundle = make_bundle()
    engine = use_engine(engines["echo"], bundle)
    pixels = np.random.default_rng(4).integers(0, 6, (8 * 24 + 8, 32)).astype(np.uint8)
    return Town(bundle, engine, write_scene(tmp_path / "scene.tif", pixels), tmp_path / "map.tif")


def test_a_repeated_shard_computes_only_what_is_missing(town: Town) -> None:
    town.shard("2/2")
    again = town.shard("2/2")
    assert (again.chips, again.kept_rows, len(town.engine.batches)) == (0, 4, 4)
    sorted(rows_folder(town.out).glob("row_*"))[-1].unlink()
    assert town.shard("2/2").chips == 1
    assert town.shard("2/4").chips == 2  # another number of shards: rows 3 and 4
    assert town.shard("1/2").chips == 2 and len(town.engine.batches) == 9
    town.assemble()


def test_a_stopped_shard_goes_on_where_it_stopped(town: Town) -> None:
    def stop(done: int, total: int, what: str) -> None:
        assert total == 4
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="predicted rows are kept"):
        town.shard("1/2", on_progress=stop)
    assert town.shard("1/2").kept_rows == 3


def test_missing_shards_are_named(town: Town) -> None:
    with pytest.raises(InputError, match="no shard of it was predicted"):
        town.assemble()
    for number in (1, 3):
        town.shard(f"{number}/4")
    with pytest.raises(InputError, match="4 of 8 rows of chips are missing, those of `shard` 2/4, 4/4"):
        town.assemble()
    town.shard("1/8")
    with pytest.raises(InputError, match="4 of 8 rows of chips are missing; predict the shards that are not"):
        town.assemble()
    assert not town.out.exists()


def test_a_damaged_row_is_predicted_again(town: Town) -> None:
    town.shard("1/2")
    town.shard("2/2")
    piece = sorted(rows_folder(town.out).glob("row_*"))[5]
    data = bytearray(piece.read_bytes())
    data[len(data) // 2] ^= 0xFF
    piece.write_bytes(data)
    with pytest.raises(InputError, match="row of chips 6 of 8 is missing or damaged"):
        town.assemble()
    assert town.shard("2/2").chips == 1
    town.assemble()


def test_shards_of_another_prediction_are_refused(town: Town) -> None:
    town.shard("1/2")
    with pytest.raises(ConfigError, match="batch_size 3, there 4"):
        town.shard("2/2", compute=Compute(batch_size=3))
    with pytest.raises(ConfigError, match="margin_px 2, there 4"):
        town.shard("2/2", chip_options=ChipOptions(margin_px=2))
    town.shard("2/2")
    with pytest.raises(ConfigError, match="another prediction"):
        assemble_shards(town.bundle, town.scene, out=town.out, chip_options=ChipOptions(margin_px=2))
    town.scene.write_bytes(town.scene.read_bytes() + b"\0")
    with pytest.raises(ConfigError, match="scene file"):
        town.assemble()


def test_an_existing_map_is_kept_unless_it_may_be_replaced(town: Town) -> None:
    town.out.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="exists already"):
        town.shard("1/1")
    assert town.shard("1/1", overwrite=True).maps == (town.out,)
    assert town.shard("1/1").chips == 0  # its own map is no obstacle
    assert town.assemble().path == town.out
    assert not rows_folder(town.out).exists()
    with pytest.raises(OutputExistsError, match="exists already"):
        town.shard("1/1")


def test_more_shards_than_rows_leave_some_empty(town: Town) -> None:
    done = [town.shard(f"{number}/20") for number in range(1, 21)]
    assert sum(shard.rows for shard in done) == 8
    empty = [shard.notes for shard in done if not shard.rows]
    assert len(empty) == 12 and "fewer rows of chips than shards" in empty[0][0]
    town.assemble()


def test_a_full_disk_is_one_line_and_keeps_what_was_written(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = rowpieces.write_bytes, []

    def full(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 4:  # the job and two rows fit
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(rowpieces, "write_bytes", full)
    with pytest.raises(WriteError, match="No space left on device") as failure:
        town.shard("1/2")
    assert "free some space" in str(failure.value) and "\n" not in str(failure.value)
    monkeypatch.setattr(rowpieces, "write_bytes", write)
    assert town.shard("1/2").kept_rows == 2


def test_a_table_of_images_is_not_cut(make_bundle: Make, write_scene: Write, tmp_path: Path) -> None:
    bundle = make_bundle("classification", classes=ClassSet.of_names(["a", "b"]))
    scene = write_scene(tmp_path / "scene.tif", np.zeros((40, 40), np.uint8))
    with pytest.raises(ConfigError, match="one row per image"):
        predict_shard(bundle, scene, shard="1/2", out=tmp_path / "images.csv")

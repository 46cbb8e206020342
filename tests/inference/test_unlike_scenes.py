"""A scene that shows something else than the model was trained on is named, and refused where it is far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.bundle import Bundle
from eo_dl.core.classes import ClassSet
from eo_dl.errors import InputError
from eo_dl.inference.predict import predict
from eo_dl.inference.scenesample import decoded_share, sample_windows, window_px
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.io.outputtags import UNLIKE_TAG, layer_metadata
from eo_dl.io.scene import open_scene
from eo_dl.modelspec import Provenance

Make = Callable[..., Bundle]
Write = Callable[..., Path]

HEIGHTS = [(0.0, 5.0, 20.0)]


def heights(elevation: float = 0, seed: int = 0) -> np.ndarray:
    """Heights above ground, or above the sea."""
    return (np.random.default_rng(seed).gamma(1.5, 4, (40, 40)) + elevation).astype(np.float32)


@pytest.fixture
def model(make_bundle: Make, use_engine: Callable, engines: dict) -> Bundle:
    bundle = make_bundle(trained_on=HEIGHTS, mean=6.0, std=5.0)
    use_engine(engines["echo"], bundle)
    return bundle


def test_a_scene_like_the_training_is_predicted_without_a_word(
    tmp_path: Path, model: Bundle, write_scene: Write
) -> None:
    result = predict(model, write_scene(tmp_path / "s.tif", heights()), out=tmp_path / "map.tif")
    assert result.notes == ()
    with rasterio.open(result.path) as found:
        assert UNLIKE_TAG not in found.tags()


@pytest.mark.parametrize("name", ["map.tif", "map.gpkg"])
def test_heights_near_the_sea_are_named_in_notes_tags_and_values(
    tmp_path: Path, model: Bundle, write_scene: Write, name: str
) -> None:
    scene = write_scene(tmp_path / "coast.tif", heights(9))
    result = predict(model, scene, out=tmp_path / name)
    (note,) = result.notes
    assert "coast.tif is unlike the training" in note and "gray 9." in note and "0/5/20" in note
    assert result.values()["notes"] == [note]
    if name == "map.tif":
        with rasterio.open(result.path) as found:
            assert found.tags()[UNLIKE_TAG] == note
    else:
        assert layer_metadata(result.path)[UNLIKE_TAG] == note


def test_heights_above_the_sea_are_refused_unless_forced(
    tmp_path: Path, model: Bundle, write_scene: Write
) -> None:
    scene, out = write_scene(tmp_path / "dsm.tif", heights(250)), tmp_path / "map.tif"
    with pytest.raises(InputError, match=r"dsm\.tif: does not show .* gray 250.*0/5/20.* `force`"):
        predict(model, scene, out=out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dsm.tif"]
    forced = predict(model, scene, out=out, force=True)
    assert "as forced" in forced.notes[0] and out.exists()
    with rasterio.open(out) as found:
        assert found.tags()[UNLIKE_TAG] == forced.notes[0]
    stated = predict(model, open_scene(scene, force=True), out=tmp_path / "again.tif")
    assert stated.notes == forced.notes and stated.path.read_bytes() == out.read_bytes()


def test_a_unit_that_is_likely_is_proposed(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(trained_on=[(0.03, 0.12, 0.35)], mean=0.15, std=0.1)
    use_engine(engines["echo"], bundle)
    stored = np.random.default_rng(2).integers(300, 3500, (40, 40)).astype(np.uint16)
    scene = write_scene(tmp_path / "raw.tif", stored)
    with pytest.raises(InputError, match=r"perhaps `scale=0\.0001`"):
        predict(bundle, scene, out=tmp_path / "map.tif")
    result = predict(bundle, open_scene(scene, scale=0.0001), out=tmp_path / "map.tif")
    assert not any("refused" in note or "forced" in note for note in result.notes)


def test_each_of_many_scenes_is_checked_and_the_wrong_one_named(
    tmp_path: Path, model: Bundle, write_scene: Write
) -> None:
    for number, elevation in enumerate((0, 9, 250, 0)):
        write_scene(tmp_path / f"s{number}.tif", heights(elevation, number))
    scenes = [tmp_path / f"s{number}.tif" for number in range(4)]
    with pytest.raises(InputError, match=r"s2\.tif: does not show"):
        predict(model, scenes, out=tmp_path / "maps")
    done = predict(model, scenes, out=tmp_path / "maps", force=True)
    unlike = [note for note in done.notes if "is unlike" in note]
    assert [note.split(":")[0] for note in unlike] == ["s1.tif", "s2.tif"]


def test_models_without_quantiles_say_once_that_values_are_unchecked(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(mean=6.0, std=5.0)
    use_engine(engines["echo"], bundle)
    scenes = [write_scene(tmp_path / f"s{number}.tif", heights(seed=number)) for number in range(3)]
    (note,) = predict(bundle, scenes, out=tmp_path / "maps").notes
    assert "stand_in.eodl keeps no distribution" in note and "unchecked" in note


def test_shards_check_too_and_pass_when_forced(tmp_path: Path, model: Bundle, write_scene: Write) -> None:
    scene, out = write_scene(tmp_path / "dsm.tif", heights(250)), tmp_path / "map.tif"
    with pytest.raises(InputError, match="does not show"):
        predict_shard(model, scene, shard="1/2", out=out)
    for shard in ("1/2", "2/2"):
        predict_shard(model, scene, shard=shard, out=out, force=True)
    with pytest.raises(InputError, match="does not show"):
        assemble_shards(model, scene, out=out)
    result = assemble_shards(model, scene, out=out, force=True)
    once = predict(model, scene, out=tmp_path / "once.tif", force=True)
    assert result.path.read_bytes() == once.path.read_bytes()


def test_images_of_a_table_are_checked_one_by_one(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(
        "classification",
        classes=ClassSet.of_names(["low", "high"]),
        trained_on=HEIGHTS,
        mean=6.0,
        std=5.0,
        margin_px=0,
    )

    engine = use_engine(engines["echo"], bundle)
    engine.run = lambda pixels, *others: {"logits": np.zeros((len(pixels), 2), np.float32)}
    scenes = [write_scene(tmp_path / f"s{n}.tif", heights(e, n)) for n, e in enumerate((0, 250))]
    with pytest.raises(InputError, match=r"s1\.tif: does not show"):
        predict(bundle, scenes, out=tmp_path / "classes.csv")
    done = predict(bundle, scenes, out=tmp_path / "classes.csv", force=True)
    assert [note.split(" ")[0] for note in done.notes] == ["s1.tif"]


@pytest.mark.parametrize("gsd_m", [0.2, 5.0])
def test_resampling_by_a_large_factor_is_refused_unless_forced(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict, gsd_m: float
) -> None:
    """108 m pixels with a model of 0.5 m began 1.3 million chips without a word."""
    bundle = make_bundle(trained_on=HEIGHTS, mean=6.0, std=5.0, gsd_m=1.0)
    use_engine(engines["echo"], bundle)
    scene, out = write_scene(tmp_path / "s.tif", heights(), gsd_m=gsd_m), tmp_path / "map.tif"
    with pytest.raises(InputError, match=r"s\.tif: has .* by a factor of 5 .*px instead of.*`force`"):
        predict(bundle, scene, out=out)
    assert not out.exists()
    kept = predict(bundle, scene, out=tmp_path / "kept.tif", keep_gsd=True)
    assert "not resampled" in kept.notes[0]
    forced = predict(bundle, scene, out=out, force=True)
    assert any("by a factor of 5" in note for note in forced.notes)


def test_a_scene_of_another_season_is_named(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    origin = Provenance(acquired=("2019-06-20", "2021-07-10T10:30:00Z"))
    bundle = make_bundle(trained_on=HEIGHTS, mean=6.0, std=5.0, provenance=origin)
    use_engine(engines["echo"], bundle)
    for name, date, is_named in (("w", "2020:01:13 10:00:00", True), ("s", "2015-08-01", False)):
        scene = write_scene(tmp_path / f"{name}.tif", heights())
        with rasterio.open(scene, "r+") as file:
            file.update_tags(ACQUISITIONDATETIME=date)
        notes = predict(bundle, scene, out=tmp_path / f"{name}_map.tif").notes
        assert [("w.tif was acquired on 2020-01-13" in note) for note in notes] == [True] * is_named


@settings(max_examples=50)
@given(st.integers(1, 2_000), st.sampled_from([1, 2, 4, 8]))
def test_the_sample_takes_bounded_memory(bands: int, itemsize: int) -> None:
    side = window_px(bands * itemsize)
    assert 16 <= side <= 128
    assert side == 16 or 16 * side**2 * bands * itemsize <= 64 * 2**20


@pytest.mark.parametrize(("side", "block_px", "count"), [(1024, 64, 16), (2048, 512, 4), (200, 128, 1)])
def test_the_sample_decodes_few_large_blocks(
    tmp_path: Path, write_scene: Write, side: int, block_px: int, count: int
) -> None:
    """Of a scene of 4 x 4 blocks each block was decoded, which was a second reading of the whole."""
    path = write_scene(tmp_path / "s.tif", np.ones((side, side), np.uint8), block_px=block_px)
    scene = open_scene(path)
    windows = sample_windows(scene)
    assert len(windows) == count
    assert count != 4 or decoded_share(scene, windows) <= 0.25


def test_labels_of_a_map_say_nothing_of_other_maps(tmp_path: Path, model: Bundle, write_scene: Write) -> None:
    """A note is in the tags of its own map only."""
    scenes = [write_scene(tmp_path / f"s{n}.tif", heights(e, n)) for n, e in enumerate((0, 9))]
    done = predict(model, scenes, out=tmp_path / "maps")
    tagged = []
    for part in done.parts:
        with rasterio.open(part.path) as found:
            tagged.append(UNLIKE_TAG in found.tags())
    assert tagged == [False, True]

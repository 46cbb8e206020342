"""`--shard`, `--assemble` and `--dask` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from eo_dl.tasks import load_task
from tests.making import NORTH_UP, write_raster


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """An untrained model and a scene of 3 rows of chips."""
    pytest.importorskip("torch")
    from tests.tinynetworks import BAND_NAMES, tiny_bundle

    tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl")
    pixels = np.random.default_rng(0).normal(size=(4, 150, 60)).astype(np.float32)
    half_metre = NORTH_UP @ Affine.scale(0.5)
    scene = write_raster(tmp_path / "scene.tif", pixels, names=BAND_NAMES, transform=half_metre)
    return [tmp_path / "model.eodl", scene]


def test_shards_are_predicted_and_assembled(eo_dl_cli: Callable, inputs: list[Path], tmp_path: Path) -> None:
    options = ["-o", tmp_path / "map.tif", "--backend", "torch", "--batch-size", "2"]
    once = ["-o", tmp_path / "once.tif", "--backend", "torch", "--batch-size", "2"]
    assert eo_dl_cli("predict", *inputs, *once).code == 0
    assert "shard 2/2 is done" in eo_dl_cli("predict", *inputs, *options, "--shard", "2/2").out
    early = eo_dl_cli("predict", *inputs, *options, "--assemble")
    assert early.code == 2 and "those of --shard 1/2" in early.err
    assert eo_dl_cli("predict", *inputs, *options, "--shard", "1/2").code == 0
    assert eo_dl_cli("predict", *inputs, *options, "--assemble").code == 0
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "once.tif").read_bytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shard", "1/2", "--assemble"], "--shard and --assemble cannot be combined"),
        (["--dask", "local:2", "--shard", "1/2"], "cannot be combined"),
        (["--dask", "local:2", "--no-resume"], "--dask and --no-resume cannot be combined"),
        (["--shard", "7/2"], "--shard 7/2: expected a number from 1"),
        (["--dask", "local:none"], "--dask 'local:none'"),
    ],
)
def test_what_does_not_fit_is_one_line(
    flags: list[str], message: str, eo_dl_cli: Callable, inputs: list[Path], tmp_path: Path
) -> None:
    refused = eo_dl_cli("predict", *inputs, "-o", tmp_path / "map.tif", *flags)
    assert refused.code == 2 and message in refused.err
    assert not (tmp_path / "map.tif").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dask", "local:none"], "--dask 'local:none'"),
        (["--dask", "local:2", "--workers", "2"], "--workers and --dask cannot be combined"),
    ],
)
def test_tile_refuses_what_does_not_fit_in_one_line(
    flags: list[str], message: str, eo_dl_cli: Callable, sample_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    inputs = [sample_data / "train.tif", "--labels", sample_data / "train_labels.gpkg", "--layer", "trees"]
    refused = eo_dl_cli("tile", *inputs, "-o", tmp_path / "chips", *flags)
    assert refused.code == 2 and message in refused.err
    assert not list(tmp_path.iterdir())


def test_many_maps_are_vectorized_into_a_folder(eo_dl_cli: Callable, tmp_path: Path) -> None:
    ids = np.repeat([[[1, 2]]], 8, axis=1).astype(np.uint8)
    maps = [write_raster(tmp_path / f"{name}.tif", ids, transform=NORTH_UP) for name in "ab"]
    done = eo_dl_cli("vectorize", *maps, "-o", tmp_path / "polygons", "--json")
    assert done.code == 0 and done.out.count(".gpkg") == 2
    assert sorted(path.name for path in (tmp_path / "polygons").iterdir()) == ["a.gpkg", "b.gpkg"]
    single = eo_dl_cli("vectorize", maps[0], "-o", tmp_path / "a.gpkg", "--dask", "local:2")
    assert single.code == 2 and "--dask works on several maps; name a folder" in single.err

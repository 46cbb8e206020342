"""A prediction on a Dask cluster gives the very files of one machine, whatever happens to a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from eo_dl.core.daskcluster import run_tasks
from eo_dl.core.progress import silent
from eo_dl.errors import Cancelled, WriteError
from eo_dl.inference.clusterrun import predict_on_cluster
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.inference.rowpieces import rows_folder
from eo_dl.inference.shards import assemble_shards
from eo_dl.tasks import load_task
from tests.inference import clustertasks
from tests.inference.clustertasks import ShardWithAccident
from tests.making import NORTH_UP, write_raster

PROBABILITIES = MapExtras(probabilities=True)

HALF_METRE = NORTH_UP @ Affine.scale(0.5)
NAMES = ("blue", "green", "red", "nir")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network for class maps."""
    pytest.importorskip("torch")
    from tests.tinynetworks import tiny_bundle

    path = tmp_path_factory.mktemp("model") / "model.eodl"
    tiny_bundle(load_task("segmentation"), path)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A scene of 7 rows of chips."""
    pixels = np.random.default_rng(0).normal(size=(4, 340, 100)).astype(np.float32)
    return write_raster(tmp_path / "scene.tif", pixels, names=NAMES, transform=HALF_METRE)


@pytest.mark.slow
def test_a_killed_worker_and_a_repeated_shard_change_nothing(
    mortal_cluster: Any, model: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map.tif"
    whole = predict(model, scene, out=tmp_path / "once.tif", backend="torch")
    shards = [
        ShardWithAccident(model, scene, out, shard, accident)
        for shard, accident in [("1/2", ""), ("2/2", "killed"), ("1/2", "")]
    ]
    kept = run_tasks(mortal_cluster, clustertasks.run, shards, silent, common=None, what="shards")
    assert (tmp_path / "died").exists()
    assert kept[1] == 1  # the second try went on where the first was killed
    assemble_shards(model, scene, out=out)
    assert out.read_bytes() == whole.path.read_bytes()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_rest_is_kept(
    cluster: Any, model: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map.tif"
    full = ShardWithAccident(model, scene, out, "1/2", "full")
    with pytest.raises(WriteError, match="No space left on device") as failure:
        run_tasks(cluster, clustertasks.run, [full], silent, common=None, what="shards")
    assert "\n" not in str(failure.value)
    assert list(rows_folder(out).glob("row_*"))
    assert not list(rows_folder(out).glob(".row_*"))
    again = ShardWithAccident(model, scene, out, "1/2")
    assert run_tasks(cluster, clustertasks.run, [again], silent, common=None, what="shards") == [1]


@pytest.mark.slow
def test_a_stopped_prediction_of_several_scenes_continues_to_the_same_files(
    model: Path, scene: Path, tmp_path: Path
) -> None:
    other = write_raster(
        tmp_path / "other.tif", np.zeros((4, 130, 70), np.float32) + 0.3, names=NAMES, transform=HALF_METRE
    )
    once, maps = tmp_path / "once", tmp_path / "maps"
    once.mkdir()
    maps.mkdir()
    predict(model, [scene, other], out=once, backend="torch", extras=PROBABILITIES)

    def stop(done: int, total: int, what: str) -> None:
        if done == 1:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"out": maps, "backend": "torch", "extras": PROBABILITIES}
    with pytest.raises(Cancelled, match="finished shards are kept"):
        predict_on_cluster(model, [scene, other], cluster="local:1", shards=4, on_progress=stop, **options)
    result = predict_on_cluster(model, [scene, other], cluster="local:1", shards=3, **options)
    assert [part.path.name for part in result.parts] == ["scene.tif", "other.tif"]
    assert {path.name for path in maps.iterdir()} == {path.name for path in once.iterdir()}
    for path in once.iterdir():
        assert (maps / path.name).read_bytes() == path.read_bytes(), path.name

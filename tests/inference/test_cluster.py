"""A prediction on a Dask cluster gives the very files of one machine, whatever happens to a worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from eo_dl.core import extras
from eo_dl.core.progress import silent
from eo_dl.errors import Cancelled, ClusterError, ConfigError, MissingExtraError, WriteError
from eo_dl.inference.clusterrun import predict_on_cluster
from eo_dl.inference.daskcluster import open_cluster, run_tasks
from eo_dl.inference.predict import predict
from eo_dl.inference.rowpieces import rows_folder
from eo_dl.inference.shards import assemble_shards
from eo_dl.tasks import load_task
from tests.inference import clustertasks
from tests.inference.clustertasks import ShardWithAccident
from tests.making import NORTH_UP, write_raster

HALF_METRE = NORTH_UP @ Affine.scale(0.5)
NAMES = ("blue", "green", "red", "nir")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A cluster of two processes."""
    pytest.importorskip("distributed")
    with open_cluster("local:2") as opened:
        yield opened


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


@pytest.mark.parametrize("address", ["local:0", "local", "local:x"])
def test_a_local_cluster_needs_a_number_of_workers(address: str) -> None:
    with pytest.raises(ConfigError, match="local:4"), open_cluster(address):
        pass


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eo_dl.inference.daskcluster._CONNECT_S", 0.1)
    refused = pytest.raises(ClusterError, match="no Dask scheduler answers")
    with refused as failure, open_cluster("tcp://127.0.0.1:9"):
        pass
    assert "\n" not in str(failure.value)


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused = pytest.raises(MissingExtraError, match=r'pip install "eo-dl\[distributed\]"')
    with refused, open_cluster("local:2"):
        pass
    assert extras.EXTRAS["distributed"] == "distributed"


@pytest.mark.slow
def test_results_come_in_the_order_of_the_items_and_progress_counts_tasks(client: Any) -> None:
    seen: list[tuple[int, int, str]] = []
    results = run_tasks(
        client, clustertasks.add_one, range(5), lambda *step: seen.append(step), what="numbers"
    )
    assert results == [1, 2, 3, 4, 5]
    assert seen == [(done, 5, "numbers") for done in range(6)]


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_one_line(client: Any) -> None:
    with pytest.raises(ClusterError, match="died 3 times"):
        run_tasks(client, clustertasks.always_die, [1], silent, what="numbers")
    assert run_tasks(client, clustertasks.add_one, [1], silent, what="numbers") == [2]


@pytest.mark.slow
def test_a_killed_worker_and_a_repeated_shard_change_nothing(
    client: Any, model: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map.tif"
    whole = predict(model, scene, out=tmp_path / "once.tif", backend="torch")
    shards = [
        ShardWithAccident(model, scene, out, shard, accident)
        for shard, accident in [("1/2", ""), ("2/2", "killed"), ("1/2", "")]
    ]
    kept = run_tasks(client, clustertasks.run, shards, silent, what="shards")
    assert (tmp_path / "died").exists()
    assert kept[1] == 1  # the second try went on where the first was killed
    assemble_shards(model, scene, out=out)
    assert out.read_bytes() == whole.path.read_bytes()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_rest_is_kept(
    client: Any, model: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map.tif"
    full = ShardWithAccident(model, scene, out, "1/2", "full")
    with pytest.raises(WriteError, match="No space left on device") as failure:
        run_tasks(client, clustertasks.run, [full], silent, what="shards")
    assert "\n" not in str(failure.value)
    assert list(rows_folder(out).glob("row_*"))
    assert not list(rows_folder(out).glob(".row_*"))
    again = ShardWithAccident(model, scene, out, "1/2")
    assert run_tasks(client, clustertasks.run, [again], silent, what="shards") == [1]


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
    predict(model, [scene, other], out=once, backend="torch", probabilities=True)

    def stop(done: int, total: int, what: str) -> None:
        if done == 1:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"out": maps, "backend": "torch", "probabilities": True}
    with pytest.raises(Cancelled, match="finished shards are kept"):
        predict_on_cluster(model, [scene, other], cluster="local:1", shards=4, on_progress=stop, **options)
    result = predict_on_cluster(model, [scene, other], cluster="local:1", shards=3, **options)
    assert [part.path.name for part in result.parts] == ["scene.tif", "other.tif"]
    assert {path.name for path in maps.iterdir()} == {path.name for path in once.iterdir()}
    for path in once.iterdir():
        assert (maps / path.name).read_bytes() == path.read_bytes(), path.name

"""Tasks on a Dask cluster: each result once and in order, whatever happens to a worker."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from eo_dl.core import extras
from eo_dl.core.daskcluster import check_cluster, open_cluster, run_tasks, tasks_at_once
from eo_dl.core.progress import OnProgress, silent
from eo_dl.errors import Cancelled, ClusterError, ConfigError, MissingExtraError
from tests import clustertasks


@pytest.mark.parametrize("address", ["local:0", "local", "local:x"])
def test_a_local_cluster_needs_a_number_of_workers(address: str) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="local:4"):
        check_cluster(address)
    with pytest.raises(ConfigError, match="local:4"), open_cluster(address):
        pass


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("eo_dl.core.daskcluster._CONNECT_S", 0.1)
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
def test_results_come_in_the_order_of_the_items_and_progress_counts_tasks(cluster: Any) -> None:
    seen: list[tuple[int, int, str]] = []
    results = run_tasks(
        cluster, clustertasks.add, range(5), lambda *step: seen.append(step), common=1, what="numbers"
    )
    assert results == [1, 2, 3, 4, 5]
    assert seen == [(done, 5, "numbers") for done in range(6)]
    assert tasks_at_once(cluster) == 2


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_one_line(mortal_cluster: Any) -> None:
    with pytest.raises(ClusterError, match="died 3 times"):
        run_tasks(mortal_cluster, clustertasks.always_die, [1], silent, common=None, what="numbers")
    assert run_tasks(mortal_cluster, clustertasks.add, [1], silent, common=1, what="numbers") == [2]


@pytest.mark.slow
def test_a_task_that_ends_late_is_neither_lost_nor_run_twice(cluster: Any, tmp_path: Path) -> None:
    results = run_tasks(
        cluster,
        clustertasks.late_if_zero,
        range(6),
        gate_after_others(cluster),
        common=tmp_path,
        what="numbers",
    )
    assert [number for number, _ in results] == list(range(6))
    assert runs_in(tmp_path) == dict.fromkeys(map(str, range(6)), 1)


@pytest.mark.slow
def test_results_that_arrived_are_not_computed_again_when_their_worker_dies(
    mortal_cluster: Any, tmp_path: Path
) -> None:
    results = run_tasks(
        mortal_cluster,
        clustertasks.die_if_one,
        range(9),
        gate_after_others(mortal_cluster),
        common=tmp_path,
        what="numbers",
    )
    assert (tmp_path / "died").exists()
    assert [number for number, _ in results] == list(range(9))
    assert runs_in(tmp_path) == dict.fromkeys(map(str, range(9)), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("continues", "message"), [(True, "run the same command"), (False, "nothing was kept")]
)
def test_a_stopped_run_says_what_was_kept(cluster: Any, continues: bool, message: str) -> None:
    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Cancelled, match=message):
        run_tasks(cluster, clustertasks.add, [1], stop, common=1, what="numbers", continues=continues)


def gate_after_others(cluster: Any) -> OnProgress:
    """Progress that opens the gate of `late_if_zero` and `die_if_one` once all tasks but one are done."""
    from distributed import Event

    gate = Event("gate", client=cluster)
    gate.clear()

    def open_gate(done: int, total: int, what: str) -> None:
        if done == total - 1:
            gate.set()

    return open_gate


def runs_in(folder: Path) -> dict[str, int]:
    """How often each number was run."""
    return dict(Counter(path.stem for path in folder.glob("*.*")))

"""Chips are kept as the configuration says; no weight changes, and nothing is left."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from eo_dl.chips.chipset import ChipSet
from eo_dl.networks.weights import read_state
from eo_dl.training.setup import caching
from eo_dl.training.setup.caching import cached, expected_bytes
from eo_dl.training.setup.freememory import free_memory_bytes
from eo_dl.training.setup.runsetup import RunSetup, prepare_run
from eo_dl.training.train import train
from eo_dl.training.trainconfig import TrainConfig, differences, resolve_config
from tests.making import tiny_network


def _config(cache: str, task: str = "segmentation", **settings: Any) -> TrainConfig:
    fast = {"epochs": 1, "min_steps": 2, "batch_size": 4, "baselines": False, "picture_epochs": None}
    options = {"task": task, "task_options": tiny_network(task), "cache": cache}
    return TrainConfig.model_validate({**options, **fast, **settings})


def _prepared(chips: ChipSet, cache: str, **settings: Any) -> RunSetup:
    return prepare_run(chips, _config(cache, **settings))


def _never(done: int, total: int, what: str) -> None:
    pytest.fail(f"{what}: chips are read in advance only where worker processes read")


def test_a_cache_changes_no_weight_and_leaves_no_file(
    small_chips: ChipSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights, files = {}, {}
    with caplog.at_level(logging.INFO, "eo_dl.training.setup.caching"):
        for cache in ("off", "disk"):
            found = train(small_chips, config=_config(cache), out=tmp_path / f"{cache}.eodl")
            weights[cache] = read_state(found.folder / "last.safetensors")
            files[cache] = {path.name for path in found.folder.rglob("*") if "tfevents" not in path.name}
    assert weights["disk"].keys() == weights["off"].keys() and files["disk"] == files["off"]
    assert all(torch.equal(weights["disk"][name], weights["off"][name]) for name in weights["off"])
    lines = [message for message in caplog.messages if message.startswith("cache")]
    assert lines[0] == "cache: off"
    assert re.fullmatch(r"cache: about \d+ MB in a file in disk\.run", lines[1])


@pytest.mark.parametrize("cache", ["memory", "disk"])
@pytest.mark.parametrize("task", ["segmentation", "instances", "classification"])
def test_every_chip_is_read_once(
    small_chips: ChipSet,
    tmp_path: Path,
    cache: str,
    task: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "eo_dl.training.setup.caching")
    setup = _prepared(small_chips, cache, task=task)
    plain = [sample.image.tobytes() for sample in _samples(setup)]
    with cached(setup, tmp_path, _never) as with_cache:
        first = [sample.image.tobytes() for sample in _samples(with_cache)]
        kept = with_cache.data.cache
        assert kept is not None and len(kept) == len(first)
        # An estimate from a few chips: objects differ from chip to chip.
        assert kept.bytes == pytest.approx(expected_bytes(setup.data), rel=0.3)
        monkeypatch.setattr("eo_dl.chips.dataset.ChipDataset.read", _must_not_read)
        assert [sample.image.tobytes() for sample in _samples(with_cache)] == first == plain
    assert list(tmp_path.iterdir()) == [] and len(kept) == 0
    where = "memory" if cache == "memory" else f"a file in {tmp_path.name}"
    assert re.fullmatch(rf"cache: about \d+ MB in {where}", caplog.messages[-1])


def _samples(setup: RunSetup) -> list[Any]:
    """All samples of all splits, those for training augmented."""
    datasets = [setup.data.dataset(split, augmented=split == "train") for split in ("train", "val", "test")]
    return [dataset[index] for dataset in datasets for index in range(len(dataset))]


def _must_not_read(*_: object) -> None:
    pytest.fail("a chip that is kept was read again")


def test_where_workers_read_all_chips_are_there_before_they_start(
    small_chips: ChipSet, tmp_path: Path
) -> None:
    setup, seen = _prepared(small_chips, "memory", workers=1), []
    with cached(setup, tmp_path, lambda done, total, _: seen.append((done, total))) as with_cache:
        kept, data = with_cache.data.cache, with_cache.data
        count = len(data.records["train"]) + len(data.records["val"])
        assert kept is not None and len(kept) == count
        assert seen == [(done, count) for done in range(1, count + 1)]


@pytest.mark.slow
def test_worker_processes_use_it_and_change_nothing(small_chips: ChipSet, tmp_path: Path) -> None:
    found = [
        train(small_chips, config=_config(cache, workers=2), out=tmp_path / f"{cache}.eodl")
        for cache in ("off", "disk")
    ]
    first, second = (read_state(run.folder / "last.safetensors") for run in found)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_auto_keeps_chips_only_where_they_leave_room(
    small_chips: ChipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    setup = _prepared(small_chips, "auto")
    expected = expected_bytes(setup.data)
    for free, keeps in ((4 * expected, True), (4 * expected - 4, False)):
        monkeypatch.setattr(caching, "free_memory_bytes", lambda free=free: free)
        with caplog.at_level(logging.INFO), cached(setup, tmp_path, _never) as found:
            assert (found.data.cache is not None) == keeps
    assert "cache: off, since about 0 MB would take more than 25% of the free memory" in caplog.text


def test_a_run_may_be_continued_with_another_cache() -> None:
    old, new = (_config(cache).model_dump(mode="json") for cache in ("off", "disk"))
    before_there_was_one = {key: value for key, value in old.items() if key != "cache"}
    for earlier in (old, before_there_was_one):
        assert differences({"config": earlier}, {"config": new}) == []


def test_off_needs_no_quotes_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("task: segmentation\ncache: off\n")
    assert resolve_config(file).cache == "off"
    assert resolve_config(None, task="segmentation", settings=["cache=off"]).cache == "off"


@pytest.mark.parametrize(
    ("limit", "used", "stat", "free_mb"),
    [
        (None, None, None, 2000),
        ("max\n", "5\n", "inactive_file 7\n", 2000),
        (f"{900 * 2**20}", f"{500 * 2**20}", f"anon 3\ninactive_file {100 * 2**20}\n", 500),
        (f"{900 * 2**20}", f"{950 * 2**20}", None, 0),
    ],
)
def test_free_memory_heeds_the_limit_of_a_container(
    tmp_path: Path, limit: str | None, used: str | None, stat: str | None, free_mb: int
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9999999 kB\nMemFree: 3 kB\nMemAvailable: 2048000 kB\n")
    for name, text in (("memory.max", limit), ("memory.current", used), ("memory.stat", stat)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert free_memory_bytes(meminfo, tmp_path) == free_mb * 2**20
    assert free_memory_bytes(tmp_path / "missing", tmp_path) > 0

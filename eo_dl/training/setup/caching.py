"""Where a run keeps its chips once they were read: `cache` of the configuration."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...chips.dataset import ChipDataset
from ...chips.measure import in_order
from ...chips.samplecache import FileStorage, MemoryStorage, SampleCache, Storage
from ...core.progress import OnProgress
from .freememory import free_memory_bytes
from .runsetup import RunSetup
from .taskdata import SPLITS, TaskData

log = logging.getLogger(__name__)

AUTO_SHARE = 0.25
"""Share of the free memory that the chips may take for `cache=auto` to keep them there."""
MEMORY_SHARE = 0.5
"""Share of the free memory that `cache=memory` fills at most."""
DISK_SHARE = 0.9
"""Share of the free disk that `cache=disk` fills at most."""
_SAMPLES = 4


@dataclass(frozen=True)
class _Plan:
    """What is kept, where."""

    storage: Storage | None
    """None: nothing is kept."""
    most_bytes: int
    line: str
    """What the user reads."""


@contextmanager
def cached(setup: RunSetup, folder: Path, on_progress: OnProgress) -> Iterator[RunSetup]:
    """The run with the cache of its configuration, which is gone when the block ends.

    Chips enter it when they are read for the first time. Where worker processes read, all train and
    validation chips are read before, because what a worker reads stays its own.

    Args:
        setup: The run.
        folder: The run's work folder, in which the file of `cache=disk` lies.
        on_progress: Called with (chips read, total, what) where chips are read in advance.
    """
    plan = _plan(setup, folder)
    log.info("%s", plan.line)
    if plan.storage is None:
        yield setup
        return
    with SampleCache(plan.storage, plan.most_bytes) as cache:
        with_cache = replace(setup, data=replace(setup.data, cache=cache))
        if setup.workers and _forks():
            _fill(with_cache.data, on_progress)
        yield with_cache


def _plan(setup: RunSetup, folder: Path) -> _Plan:
    """What the configuration asks for, or what `auto` decides."""
    wanted = setup.config.cache
    if wanted == "off":
        return _Plan(None, 0, "cache: off")
    holders = setup.processes.world * (1 if _forks() else 1 + setup.workers)
    expected = expected_bytes(setup.data)
    size = f"about {expected / 2**20:.0f} MB"
    if wanted == "disk":
        place = folder if folder.is_dir() else folder.parent  # the first process makes the folder
        room = int(shutil.disk_usage(place).free * DISK_SHARE) // setup.processes.world
        return _Plan(FileStorage(place), room, f"cache: {size} in a file in {place.name}")
    free = free_memory_bytes()
    if wanted == "auto" and expected * holders > free * AUTO_SHARE:
        line = (
            f"cache: off, since {size} would take more than {AUTO_SHARE:.0%} of the free memory; "
            "`cache=disk` keeps the chips in a file"
        )
        return _Plan(None, 0, line)
    return _Plan(MemoryStorage(), int(free * MEMORY_SHARE) // holders, f"cache: {size} in memory")


def expected_bytes(data: TaskData) -> int:
    """What all chips will take in a cache, from a few of them spread over each split."""
    total = 0.0
    for split in SPLITS:
        count = len(data.records[split])
        if count:
            total += count * _mean_bytes(data.dataset(split))
    return int(total)


def _mean_bytes(dataset: ChipDataset) -> float:
    few = np.unique(np.linspace(0, len(dataset) - 1, _SAMPLES).astype(int)).tolist()
    probe = SampleCache(MemoryStorage(), 2**62)
    for index in few:
        probe.put(str(index), dataset.raw(index))
    return probe.bytes / len(few)


def _fill(data: TaskData, on_progress: OnProgress) -> None:
    """Read all chips that are read every epoch."""
    jobs = [
        (dataset, index)
        for dataset in (data.dataset(split) for split in ("train", "val"))
        for index in range(len(dataset))
    ]
    for done, _ in enumerate(in_order(lambda job: job[0].raw(job[1]), jobs, None), start=1):
        on_progress(done, len(jobs), "chips")


def _forks() -> bool:
    """True where worker processes see the memory of this one."""
    return multiprocessing.get_start_method() == "fork"

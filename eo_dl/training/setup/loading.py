"""Batches for training and validation, the same whatever reads them: worker processes or a thread.

Without worker processes, as on a CPU by default, a thread reads the next batch while the network computes:
most of its work (GDAL, numpy, OpenCV) leaves the interpreter to the main thread. With worker processes torch
reads ahead itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from ...chips.dataset import Batch, Sample, collate
from ...core.pipeline import Ahead
from .sampler import Draw, EpochPlan, ResumableBatches, part_of

_GPU_WORKERS = 4
"""Most worker processes that are started for one GPU by default."""
_AHEAD = 1
"""Batches that the reading thread keeps ready: reading is faster than any step, so one is enough."""


class SampleSource(Protocol):
    """What loading needs of a data set of chips (`chips.dataset.ChipDataset`)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...
    def set_epoch(self, epoch: int) -> None: ...


class DrawnChips(Dataset[Sample]):
    """A chip data set indexed by (pass, index).

    The pass, by which augmentation is keyed, travels with the index: a worker process has its own copy of the
    data set and would never hear of a `set_epoch` in the main process.
    """

    def __init__(self, chips: SampleSource) -> None:
        self._chips = chips

    def __getitem__(self, draw: Draw) -> Sample:
        number, index = draw
        self._chips.set_epoch(number)
        return self._chips[index]


class ChipBatches:
    """Batches in order, read ahead. Each iteration starts over; `close` ends one that is not exhausted.

    It has no length on purpose: the first epoch of a resumed run is shorter, and Lightning reads lengths only
    once.

    Args:
        loader: Makes the batches.
        ahead: Batches that a thread keeps ready, besides the one that it is making; 0: no thread.
    """

    def __init__(self, loader: DataLoader[Sample], ahead: int) -> None:
        self._loader, self._ahead = loader, ahead
        self._running: Generator[Batch] | None = None

    def __iter__(self) -> Iterator[Batch]:
        self.close()
        self._running = _read_ahead(self._loader, self._ahead)
        return self._running

    def close(self) -> None:
        """End the thread of an iteration that was left early; it finishes the batch that it is making."""
        if self._running is not None:
            self._running.close()
            self._running = None


class FixedBatches(ChipBatches):
    """The same batches in every iteration, so that their number is known."""

    def __len__(self) -> int:
        return len(self._loader)


def train_batches(
    chips: SampleSource, plan: EpochPlan, position: Callable[[], tuple[int, int]], workers: int, part: int = 0
) -> ChipBatches:
    """Batches of training.

    Args:
        chips: The augmented train chips.
        plan: Which chips are in which batch.
        position: Gives (epoch, batches already done in it) when iteration begins.
        workers: Worker processes that read; 0: a thread reads.
        part: Number of this process; with several, its part of each batch.
    """
    sampler = ResumableBatches(plan, position, part)
    loader = DataLoader(DrawnChips(chips), batch_sampler=sampler, **_loader_options(workers))
    return ChipBatches(loader, ahead=0 if workers else _AHEAD)


def fixed_batches(
    chips: SampleSource, batch_size: int, workers: int, part: int = 0, parts: int = 1
) -> FixedBatches:
    """Batches of validation and test: all chips once, in order, not augmented.

    Args:
        chips: The chips of a split.
        batch_size: Chips per batch.
        workers: Worker processes that read; 0: a thread reads.
        part: Number of this process among `parts`, each of which takes its part of the chips.
        parts: Processes of the run.
    """
    indices = part_of(range(len(chips)), part, parts)
    batches = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    # torch's type of a data set is a class, where ours is a protocol
    dataset: Any = chips
    loader = DataLoader(dataset, batch_sampler=batches, **_loader_options(workers))
    return FixedBatches(loader, ahead=0 if workers else _AHEAD)


def worker_count(workers: int | None, device: torch.device) -> int:
    """Worker processes that read: as configured, else none on a CPU and up to four for a GPU.

    On a CPU the network is far slower than reading.
    """
    if workers is not None:
        return workers
    if device.type == "cpu":
        return 0
    return min(_GPU_WORKERS, os.cpu_count() or 1)


def _read_ahead(loader: DataLoader[Sample], ahead: int) -> Generator[Batch]:
    # No method: a generator that knew its owner would live on, with its thread, until a collection.
    if not ahead:
        yield from loader
        return
    with Ahead(iter(loader), ahead) as batches:
        yield from batches


def _loader_options(workers: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "collate_fn": collate,
        "num_workers": workers,
        "worker_init_fn": _quiet_worker,
        "generator": torch.Generator().manual_seed(0),  # not torch's global one: nothing is drawn from that
    }
    if workers:
        options |= {"persistent_workers": True, "prefetch_factor": 2}
    return options


def _quiet_worker(number: int) -> None:
    import cv2  # lazy: only worker processes need it

    cv2.setNumThreads(0)  # threads of OpenCV and torch in every worker would compete for the cores
    torch.set_num_threads(1)

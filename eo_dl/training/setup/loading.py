"""Batches for training and validation, the same whatever the number of workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from ...chips.dataset import Batch, Sample, collate
from .sampler import Draw, EpochPlan, ResumableBatches, part_of


class SampleSource(Protocol):
    """What is asked of a data set of chips (`chips.dataset.ChipDataset`)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...
    def set_epoch(self, epoch: int) -> None: ...


class Draws(Dataset[Sample]):
    """A chip data set asked by (pass, index).

    The pass, by which augmentation is keyed, travels with the index: a worker process has its own copy of the
    data set and would never hear of `set_epoch` called in the main one.
    """

    def __init__(self, chips: SampleSource) -> None:
        self._chips = chips

    def __getitem__(self, draw: Draw) -> Sample:
        number, index = draw
        self._chips.set_epoch(number)
        return self._chips[index]


@dataclass(frozen=True)
class EpochBatches:
    """Iterates over what is left of the current epoch.

    It has no length on purpose: the first epoch of a resumed run is shorter, and Lightning reads lengths only
    once.
    """

    loader: DataLoader[Sample]

    def __iter__(self) -> Iterator[Batch]:
        yield from self.loader


def train_batches(
    chips: SampleSource, plan: EpochPlan, position: Callable[[], tuple[int, int]], workers: int, part: int = 0
) -> EpochBatches:
    """Batches of the epoch at `position()`, from the batch there; with several processes process `part`'s
    chips of each.
    """
    sampler = ResumableBatches(plan, position, part)
    return EpochBatches(DataLoader(Draws(chips), batch_sampler=sampler, **_settings(workers)))  # type: ignore[arg-type]


def fixed_batches(
    chips: SampleSource, batch_size: int, workers: int, part: int = 0, parts: int = 1
) -> DataLoader[Sample]:
    """All chips once, in order, as they are (for validation and test); with several processes those of
    process `part`.
    """
    mine = part_of(range(len(chips)), part, parts)
    indices: Sequence[list[int]] = [
        mine[start : start + batch_size] for start in range(0, len(mine), batch_size)
    ]
    return DataLoader(chips, batch_sampler=indices, **_settings(workers))  # type: ignore[arg-type]


def worker_count(asked: int | None, device: torch.device) -> int:
    """Worker processes: what was asked for, else none on a CPU (the network is far slower than reading) and
    up to 4 beside a GPU.
    """
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else min(4, os.cpu_count() or 1)


def _settings(workers: int) -> dict[str, object]:
    several = {"persistent_workers": True, "prefetch_factor": 2} if workers else {}
    return {
        "collate_fn": collate,
        "num_workers": workers,
        "worker_init_fn": _quiet_worker,
        "generator": torch.Generator().manual_seed(0),
        **several,
    }


def _quiet_worker(number: int) -> None:
    import cv2  # lazy: only where worker processes are used; OpenCV's own threads would fight over the cores

    cv2.setNumThreads(0)
    torch.set_num_threads(1)

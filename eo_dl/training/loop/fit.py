"""Lightning's Trainer, set up so that it loops, places and rounds, and leaves the rest to us."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from ...chips.dataset import Sample
from ..setup.loading import EpochBatches
from ..setup.processes import ALONE, ProcessLayout
from .lightningmodule import TrainingModule

_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


def fit(
    module: TrainingModule,
    train: EpochBatches,
    val: DataLoader[Sample] | None,
    *,
    folder: Path,
    device: torch.device,
    precision: str,
    processes: ProcessLayout = ALONE,
    find_unused: bool = False,
) -> None:
    """Train until the state says stop. Raises `Cancelled` and `TrainingError` as the module does.

    `find_unused`: some weights may have no part in the loss of a batch. With several GPUs batch normalization
    sees the chips of all of them; on CPUs, where torch has no such thing, each process normalizes by its own.
    No epoch limit is given to Lightning (-1): the module ends the run, since the plan may change with
    `max_minutes`.
    """
    strategy = (
        DDPStrategy(find_unused_parameters=find_unused, broadcast_buffers=False)
        if processes.world > 1
        else "auto"
    )
    with quiet_lightning(), _rng_kept(), _exact_sums(device), _environment_kept():
        trainer = lightning.Trainer(
            accelerator={"mps": "mps", "cuda": "gpu"}.get(device.type, "cpu"),
            devices=processes.devices if device.index is None else [device.index],
            num_nodes=processes.nodes,
            strategy=strategy,
            sync_batchnorm=processes.world > 1 and device.type == "cuda",
            precision=_PRECISION[precision],
            max_epochs=-1,
            accumulate_grad_batches=module.parts.config.accumulate,
            logger=TensorBoardLogger(folder, name="", version="tensorboard"),
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        trainer.fit(module, train, val)


@contextmanager
def _rng_kept() -> Iterator[None]:
    """The caller's random numbers are none of our business: torch's global generator is left as it was found."""
    with torch.random.fork_rng():
        yield


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Lightning tells its processes who they are by environment variables, and would take a second training
    for one of them.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _exact_sums(device: torch.device) -> Iterator[None]:
    """On a CPU several threads may add up an indexed gradient in any order; this asks torch for a fixed one,
    and costs nothing there.
    """
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")

# Messages that are wrong for us; narrow, so that anything new is still seen (checked with Lightning 2.6.6,
# 2026-11).
_WARNINGS = (
    # the network is far slower than reading on a CPU
    r".*does not have many workers which may be a bottleneck.*",
    r".*number of training batches .* is smaller than the logging interval.*",
    r".*GPU available but not used.*",  # --device cpu was asked for
    r".*have no `val_dataloader`.*",  # a chip set may have no val split, and the notes say so
    # Lightning 2.6.6 with torch 2.15 (Lightning-AI/pytorch-lightning)
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*has no `__len__`.*|.*`IterableDataset` has `__len__` defined.*",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Within it Lightning's loggers speak from errors on, and its warnings that do not apply here are not
    shown.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

"""Lightning's Trainer, configured to loop, place and round, and to leave everything else to us."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

import lightning
import torch
from lightning.pytorch.strategies import DDPStrategy

from ..setup.hardware import Hardware
from ..setup.loading import ChipBatches, FixedBatches
from ..setup.processes import ProcessLayout
from .curvelog import CurveLog
from .lightningmodule import TrainingModule

_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}
_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "32": "32-true",
    "bf16": "bf16-mixed",
    "16": "16-mixed",
}


def fit(
    module: TrainingModule,
    train: ChipBatches,
    val: FixedBatches | None,
    *,
    folder: Path,
    hardware: Hardware,
    find_unused: bool = False,
) -> None:
    """Train until the module's state says stop.

    No epoch limit is given to Lightning: the module ends the run, which may have a limit of time.
    With several GPUs batch normalization is synchronized; torch cannot do that on CPUs, where each process
    normalizes by its own chips.

    Args:
        module: The network and everything that its training needs.
        train: The batches of the current epoch, every time it is iterated over.
        val: The validation batches; None without validation chips.
        folder: Where TensorBoard's files go.
        hardware: Device, precision and processes.
        find_unused: With several processes, some weights may have no part in the loss of a batch.

    Raises:
        Cancelled: As the module does.
        TrainingError: As the module does.
    """
    device, processes = hardware.device, hardware.processes
    with quiet_lightning(), torch.random.fork_rng(), _exact_sums(device), _environment_restored():
        trainer = lightning.Trainer(
            accelerator=_ACCELERATORS[device.type],
            devices=processes.devices if device.index is None else [device.index],
            num_nodes=processes.nodes,
            strategy=_strategy(processes, find_unused),
            sync_batchnorm=processes.world > 1 and device.type == "cuda",
            precision=_PRECISIONS[hardware.precision],
            max_epochs=-1,
            accumulate_grad_batches=module.inputs.config.accumulate,
            logger=CurveLog(folder),
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        with closing(train), nullcontext() if val is None else closing(val):  # no thread outlives the run
            _fit(trainer, module, train, val)


def _fit(
    trainer: lightning.Trainer, module: TrainingModule, train: ChipBatches, val: FixedBatches | None
) -> None:
    try:
        trainer.fit(module, train, val)
    except SystemExit as error:  # Lightning's answer to Ctrl-C, with exit code 1
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


def _strategy(processes: ProcessLayout, find_unused: bool) -> DDPStrategy | str:
    if processes.world == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=find_unused, broadcast_buffers=False)


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Lightning tells its processes their ranks by environment variables, and would take the next training
    of this program for one of them.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _exact_sums(device: torch.device) -> Iterator[None]:
    """On a CPU, add up indexed gradients in a fixed order. Several threads may otherwise use any; it costs
    nothing there.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")

# Warnings that do not apply here; narrow, so that new ones are still shown (checked with Lightning 2.6.6,
# 2026-11).
_WARNINGS = (
    # on a CPU the network is far slower than reading
    r".*does not have many workers which may be a bottleneck.*",
    r".*number of training batches .* is smaller than the logging interval.*",
    r".*GPU available but not used.*",  # the CPU was chosen
    r".*have no `val_dataloader`.*",  # a chip set may have no val split, and the notes say so
    # Lightning 2.6.6 with torch 2.15 (Lightning-AI/pytorch-lightning)
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*has no `__len__`.*|.*`IterableDataset` has `__len__` defined.*",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Inside the block, Lightning logs errors only, and its warnings that do not apply here are hidden."""
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

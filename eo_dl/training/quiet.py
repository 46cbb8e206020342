"""Keep Lightning's talk away from the person, and everybody else's logging as it is."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")

# Messages that are wrong for us; narrow, so that anything new is still seen (checked with Lightning 2.6.6, 2026-11).
_WARNINGS = (
    r".*does not have many workers which may be a bottleneck.*",  # the network is far slower than reading on a CPU
    r".*number of training batches .* is smaller than the logging interval.*",
    r".*GPU available but not used.*",  # --device cpu was asked for
    r".*have no `val_dataloader`.*",  # a chip set may have no val split, and the notes say so
    r".*isinstance\(treespec, LeafSpec\).*",  # Lightning 2.6.6 with torch 2.15 (Lightning-AI/pytorch-lightning)
    r".*has no `__len__`.*|.*`IterableDataset` has `__len__` defined.*",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Within it Lightning's loggers speak from errors on, and its warnings that do not apply here are not shown."""
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

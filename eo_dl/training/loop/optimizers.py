"""Optimizers by name and their learning rate, the latter a pure function of the step and of the scores so
far.

There is no scheduler object and so no scheduler state: what a resumed run needs is the number of the step and
its history.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ..setup.freeze import SCALE, Groups, parameter_groups
from ..trainconfig import TrainConfig

_ONECYCLE_RISE, _ONECYCLE_START, _ONECYCLE_END = 0.3, 1 / 25, 1 / 25e4
"""Smith & Topin 2018 as torch and fastai have it; here with a constant momentum."""

_MAKERS: dict[str, Callable[[Groups, TrainConfig], torch.optim.Optimizer]] = {
    "sgd": lambda groups, config: torch.optim.SGD(groups, lr=config.lr),
    "momentum": lambda groups, config: torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0
    ),
    "adagrad": lambda groups, config: torch.optim.Adagrad(groups, lr=config.lr),
    "rmsprop": lambda groups, config: torch.optim.RMSprop(groups, lr=config.lr),
    "adam": lambda groups, config: torch.optim.Adam(groups, lr=config.lr),
    "adamw": lambda groups, config: torch.optim.AdamW(groups, lr=config.lr),
}


def make_optimizer(network: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of `config`, with groups as `parameter_groups` makes them.

    Only adamw takes the decay from the weights (Loshchilov & Hutter 2019); the others add it to the gradient.
    """
    return _MAKERS[config.optimizer](parameter_groups(network, config), config)


def rate_at(step: int, total: int, config: TrainConfig, *, epoch_steps: int = 1, drops: int = 0) -> float:
    """Learning rate of step `step` (from 0) of `total`: linear warm-up, then what the schedule says.

    `drops`: how often the rate was lowered so far for lack of a better score (`plateau_drops`); only the
    plateau schedule asks for it.
    """
    if config.schedule == "onecycle":
        return config.lr * _onecycle(step, total)
    warmup = max(1, round(config.warmup * total))
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "step":
        return float(config.lr * config.decay_factor ** (step // epoch_steps // config.decay_epochs))
    if config.schedule == "plateau":
        return float(config.lr * config.decay_factor**drops)
    if config.schedule == "constant":
        return config.lr
    return config.lr * _half_cosine(min(1.0, (step - warmup) / max(1, total - warmup)), 1.0, 0.01)


def plateau_drops(scores: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row brought no better score; one that is not defined (NaN) is no
    better.
    """
    best, stale, drops = -math.inf, 0, 0
    for score in scores:
        if score > best:
            best, stale = score, 0
            continue
        stale += 1
        if stale == patience:
            drops, stale = drops + 1, 0
    return drops


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate for the coming step, in each group by its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(SCALE, 1.0)


def _onecycle(step: int, total: int) -> float:
    """Its rise is its warm-up."""
    top = max(1.0, _ONECYCLE_RISE * total - 1)
    if step <= top:
        return _half_cosine(step / top, _ONECYCLE_START, 1.0)
    return _half_cosine(min(1.0, (step - top) / max(1.0, total - 1 - top)), 1.0, _ONECYCLE_END)


def _half_cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

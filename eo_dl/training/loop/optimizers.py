"""Optimizers by name, and the learning rate as a pure function of the step and of the scores so far.

There is no scheduler object and so no scheduler state: a resumed run needs the number of its step and its
history.

Adam and AdamW are fused: one pass over the memory of all weights instead of a dozen small operations for each
tensor, with the same result to float tolerance. On a CPU (torch 2.15) the fused pass takes weights, gradients
and moments in the order in which they lie in memory and does not look at their strides. Autograd gives a
gradient the strides of its weights, and `restore_optimizer` gives them to the moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ..setup.freeze import SCALE, Groups, parameter_groups
from ..trainconfig import TrainConfig

# Smith & Topin (2018) with the numbers of torch and fastai, but with a constant momentum: the share of the
# steps in which the rate rises, and the rates of the first and the last step as parts of the peak.
_ONECYCLE_RISE, _ONECYCLE_START, _ONECYCLE_END = 0.3, 1 / 25, 1 / 25e4

_MAKERS: dict[str, Callable[[Groups, TrainConfig], torch.optim.Optimizer]] = {
    "sgd": lambda groups, config: torch.optim.SGD(groups, lr=config.peak_lr),
    "momentum": lambda groups, config: torch.optim.SGD(
        groups, lr=config.peak_lr, momentum=config.momentum, nesterov=config.momentum > 0
    ),
    "adagrad": lambda groups, config: torch.optim.Adagrad(groups, lr=config.peak_lr),
    "rmsprop": lambda groups, config: torch.optim.RMSprop(groups, lr=config.peak_lr),
    "adam": lambda groups, config: torch.optim.Adam(groups, lr=config.peak_lr, fused=_is_fused(config)),
    "adamw": lambda groups, config: torch.optim.AdamW(groups, lr=config.peak_lr, fused=_is_fused(config)),
}


def make_optimizer(network: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of a configuration, with the parameter groups of `setup.freeze`.

    Only adamw decays the weights themselves (Loshchilov & Hutter 2019); the others add the decay to the
    gradient.

    Args:
        network: On the device on which it is trained.
        config: The configuration.
    """
    return _MAKERS[config.optimizer](parameter_groups(network, config), config)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Continue from the `state_dict` of an optimizer of the same configuration.

    Whether the optimizer is fused stays as it is; torch would take it from the state, which may come from an
    older version or another precision.

    Args:
        optimizer: A new optimizer; it is changed.
        state: Content of a checkpoint.
    """
    groups = [
        {**saved, "fused": group["fused"]} if "fused" in group else saved
        for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)  # with the strides of the weights


def rate_at(step: float, total: float, config: TrainConfig, *, epoch: int = 0, drops: int = 0) -> float:
    """The learning rate of a step: a linear warm-up, then the schedule.

    Args:
        step: Steps of the optimizer done so far.
        total: Steps of the optimizer in all. Where time is the limit, both may be in any unit of time.
        config: Peak rate, schedule and its parameters.
        epoch: Epochs done so far (for "step").
        drops: How often the rate was lowered for lack of a better score (for "plateau", see `plateau_drops`).
    """
    if config.schedule == "onecycle":
        return config.peak_lr * _onecycle(step, total)
    warmup = max(1, round(config.warmup * total))
    if step < warmup:
        return config.peak_lr * (step + 1) / (warmup + 1)
    if config.schedule == "step":
        return float(config.peak_lr * config.decay_factor ** (epoch // config.decay_epochs))
    if config.schedule == "plateau":
        return float(config.peak_lr * config.decay_factor**drops)
    if config.schedule == "constant":
        return config.peak_lr
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return config.peak_lr * _half_cosine(share, 1.0, 0.0)


def plateau_drops(scores: Sequence[float], patience: int) -> int:
    """How often `patience` epochs in a row brought no better score; an undefined score (NaN) is no better."""
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
    """Use this learning rate for the next step, scaled in each parameter group by its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(SCALE, 1.0)


def _is_fused(config: TrainConfig) -> bool:
    """Not with float16: a fused optimizer takes the scale of the loss off the gradients itself, after the
    place where they are clipped.
    """
    return config.precision != "16"


def _onecycle(step: float, total: float) -> float:
    """The rate of the one-cycle schedule, as a part of the peak; its rise is its warm-up."""
    top = max(1.0, _ONECYCLE_RISE * total - 1)
    if step <= top:
        return _half_cosine(step / top, _ONECYCLE_START, 1.0)
    share = min(1.0, (step - top) / max(1.0, total - 1 - top))
    return _half_cosine(share, 1.0, _ONECYCLE_END)


def _half_cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

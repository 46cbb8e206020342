"""AdamW and its learning rate, the latter a pure function of the step."""

from __future__ import annotations

import math

import torch

from .config import TrainConfig


def make_optimizer(network: torch.nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW without weight decay on biases and norms (Loshchilov & Hutter 2019 decay weights; a shift or a gain is none)."""
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr)


def rate_at(step: int, total: int, config: TrainConfig) -> float:
    """Learning rate of step `step` (from 0) of `total`: linear warm-up, then a half cosine to 1 % (or constant).

    There is no scheduler object and so no scheduler state: what a resumed run needs is the number of the step.
    """
    warmup = max(1, round(config.warmup * total))
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "constant":
        return config.lr
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return config.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate for the coming step."""
    for group in optimizer.param_groups:
        group["lr"] = rate

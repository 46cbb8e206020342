"""Losses for class maps, with ignored pixels that count for nothing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from ..core.classes import IGNORE_ID, ClassSet

_MOST_WEIGHT_RATIO = 10.0


def class_weights(classes: ClassSet, shares: Mapping[int, float]) -> tuple[float, ...]:
    """A weight a channel from the train split's pixel shares by class id: 1 / sqrt(share), mean 1 over the pixels.

    The square root because plain inverse shares trade many false alarms for each rare pixel found, and Dice already weighs classes
    alike. The largest is at most 10 times the smallest; a class without pixels gets the largest.
    """
    seen = [shares.get(class_id, 0.0) for class_id in classes.ids]
    largest = max(seen)
    if largest <= 0:
        return (1.0,) * len(seen)
    raw = [min((largest / share) ** 0.5, _MOST_WEIGHT_RATIO) if share > 0 else _MOST_WEIGHT_RATIO for share in seen]
    mean = sum(weight * share for weight, share in zip(raw, seen, strict=True)) / sum(seen)
    return tuple(weight / mean for weight in raw)


def cross_entropy_and_dice(logits: torch.Tensor, mask: torch.Tensor, weights: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy (mean over counted pixels, weighted by class) and soft Dice loss, both 0 where no pixel counts.

    `logits` (N, K, H, W), `mask` (N, H, W) int64 channels with 255 = ignore. Dice is that of Milletari et al. 2016 (V-Net) with plain sums,
    averaged over the classes that the batch holds: an absent one has no defined overlap.
    """
    logs = functional.log_softmax(logits.float(), 1)
    counted = mask != IGNORE_ID
    channels = torch.where(counted, mask, 0)
    per_pixel = -logs.gather(1, channels[:, None])[:, 0]
    factors = counted.to(logs.dtype) if weights is None else weights[channels] * counted
    cross_entropy = (per_pixel * factors).sum() / factors.sum().clamp_min(1e-6)
    return cross_entropy, _dice(logs.exp(), channels, counted)


def _dice(probabilities: torch.Tensor, channels: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    count = probabilities.shape[1]
    truth = torch.stack([(channels == k) & counted for k in range(count)], 1).to(probabilities.dtype)
    over = (0, 2, 3)
    overlap = (probabilities * truth).sum(over)
    total = (probabilities * counted[:, None]).sum(over) + truth.sum(over)
    present = (truth.sum(over) > 0).to(total.dtype)
    return ((1 - 2 * overlap / total.clamp_min(1e-6)) * present).sum() / present.sum().clamp_min(1)

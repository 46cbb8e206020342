"""Losses for class maps, with ignored pixels that count for nothing."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..core.classes import IGNORE_ID


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

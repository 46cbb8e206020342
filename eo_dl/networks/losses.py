"""Losses for classes, by name, alone or in sums: for exclusive classes (softmax) and for labels that may meet
(sigmoid).

Every loss takes the same four things: log p and log (1 - p) of each class, the truth as a probability of each
class (hard labels are ones and zeros, soft ones anything between), and which places count. A place that does
not count adds nothing, neither to the value nor to the gradient. With several processes the sums go over all
of them, so that a loss is that of the whole batch wherever its chips lie.

Why not those of segmentation-models-pytorch: they take no soft targets, leave ignored pixels in some of the
sums, and average over classes that a batch does not hold; where both are defined the tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from ..core.arrays import Target
from ..core.classes import IGNORE_ID
from ..errors import ConfigError
from .lossconfig import LossConfig

_TINY = 1e-6
_ONLY_EXCLUSIVE = ("cross_entropy", "lovasz")


@dataclass(frozen=True)
class ClassTruth:
    """`shares` (N, K, P): the true probability of each class at each place; `counted` (N, 1, P) or (N, K, P):
    1 where it is known, else 0.
    """

    shares: torch.Tensor
    counted: torch.Tensor


def truth_of_channels(channels: torch.Tensor, count: int) -> ClassTruth:
    """Of channel numbers (N, ...), 255 = ignore."""
    flat = channels.reshape(len(channels), -1)
    counted = flat != IGNORE_ID
    shares = functional.one_hot(torch.where(counted, flat, 0), count).permute(0, 2, 1)
    return ClassTruth(shares.float() * counted[:, None], counted[:, None].float())


def truth_of_shares(shares: torch.Tensor, known: torch.Tensor | None = None) -> ClassTruth:
    """Of probabilities (N, K, ...); a place counts where they sum to half or more, and are then made to sum
    to 1. `known` (N, ...): and where it is True.
    """
    flat = shares.reshape(*shares.shape[:2], -1).float()
    total = flat.sum(1, keepdim=True)
    counted = total >= 0.5
    if known is not None:
        counted = counted & known.reshape(len(known), 1, -1)
    return ClassTruth(torch.where(counted, flat / total.clamp_min(_TINY), 0), counted.float())


def truth_of_labels(values: torch.Tensor) -> ClassTruth:
    """Of labels that may meet: (N, K, ...) in 0..1, NaN where not known."""
    flat = values.reshape(*values.shape[:2], -1).float()
    counted = torch.isfinite(flat)
    return ClassTruth(torch.where(counted, flat, 0), counted.float())


def truth_of_masks(targets: Sequence[Target], count: int, device: torch.device) -> ClassTruth:
    """Of a batch's class maps: `Target.mask`, or `Target.soft` where a chip has it (its mask, where there is
    one, says what is ignored).
    """
    if all(target.soft is None for target in targets):
        return truth_of_channels(
            torch.from_numpy(np.stack([_mask_of(target) for target in targets])).to(device, torch.int64),
            count,
        )
    parts = [_soft_truth(target, count) for target in targets]
    return ClassTruth(
        torch.cat([part.shares for part in parts]).to(device),
        torch.cat([part.counted for part in parts]).to(device),
    )


def _soft_truth(target: Target, count: int) -> ClassTruth:
    if target.soft is None:
        return truth_of_channels(torch.from_numpy(_mask_of(target)[None]).to(torch.int64), count)
    known = None if target.mask is None else torch.from_numpy(target.mask[None] != IGNORE_ID)
    return truth_of_shares(torch.from_numpy(np.ascontiguousarray(target.soft[None])), known)


def _mask_of(target: Target) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert target.mask is not None
    return target.mask


@dataclass(frozen=True)
class _Case:
    """What the losses look at: `logits` and `truth` (N, K, P), `counted` (N, 1 or K, P), `weights` (1, K, 1)."""

    logits: torch.Tensor
    truth: torch.Tensor
    counted: torch.Tensor
    weights: torch.Tensor
    exclusive: bool
    config: LossConfig

    @cached_property
    def logs(self) -> torch.Tensor:
        """(N, K, P) log p."""
        return (
            functional.log_softmax(self.logits, 1) if self.exclusive else functional.logsigmoid(self.logits)
        )

    @cached_property
    def logs_not(self) -> torch.Tensor:
        """(N, K, P) log (1 - p)."""
        return _log_of_rest(self.logits, self.logs) if self.exclusive else functional.logsigmoid(-self.logits)

    @cached_property
    def shares(self) -> torch.Tensor:
        """(N, K, P) what the network thinks."""
        return self.logs.exp()

    @cached_property
    def smooth(self) -> torch.Tensor:
        """(N, K, P) the truth with label smoothing."""
        part = self.config.label_smoothing
        return self.truth * (1 - part) + part / (self.truth.shape[1] if self.exclusive else 2)

    def overlap(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(K,) true positives, false positives and false negatives in sums of probabilities."""
        counted = self.counted
        hit = everywhere((self.shares * self.truth * counted).sum((0, 2)))
        found = everywhere((self.shares * counted).sum((0, 2)))
        true = everywhere((self.truth * counted).sum((0, 2)))
        return hit, found - hit, true - hit

    def over_present(self, per_class: torch.Tensor) -> torch.Tensor:
        """Mean over the classes that the batch holds: an absent one has no defined overlap."""
        present = (everywhere((self.truth * self.counted).sum((0, 2))) > 0).to(per_class.dtype)
        return (per_class * present).sum() / present.sum().clamp_min(1)


class ClassLoss:
    """The loss of a configuration as a function of logits and truth.

    `exclusive`: a place has one class (softmax), else any number (sigmoid). `weights` (K,) for the terms that
    are sums over places; those over overlaps count classes alike as they are. Raises `ConfigError` for a term
    that does not fit labels that may meet.
    """

    def __init__(self, config: LossConfig, *, exclusive: bool = True) -> None:
        if config.terms is None:
            raise ConfigError(
                "the loss has no terms yet; the task fills in what the problem decides (LossConfig.or_terms)"
            )
        wrong = [] if exclusive else [name for name in config.terms if name in _ONLY_EXCLUSIVE]
        if wrong:
            raise ConfigError(
                f"loss {wrong[0]!r} needs classes that exclude each other; for labels that may meet use bce, focal, dice, jaccard or tversky"
            )
        self.config, self.exclusive = config, exclusive

    def __call__(
        self, logits: torch.Tensor, truth: ClassTruth, weights: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Each term by name and their sum as "loss"; all 0 where nothing counts. `logits` (N, K, ...)."""
        flat = logits.reshape(*logits.shape[:2], -1).float()
        of_class = (
            torch.ones(flat.shape[1], device=flat.device)
            if weights is None
            else weights.to(flat.device, torch.float32)
        )
        case = _Case(flat, truth.shares, truth.counted, of_class[None, :, None], self.exclusive, self.config)
        assert self.config.terms is not None
        found = {str(name): _TERMS[name](case) for name in self.config.terms}
        total = torch.stack([share * found[name] for name, share in self.config.terms.items()]).sum()
        return {"loss": total, **found}


def everywhere(local: torch.Tensor) -> torch.Tensor:
    """A sum over all training processes, with gradients such that their mean over the processes is that of
    the whole batch.

    Each process knows the derivative of its own part alone; it is counted as often as there are processes,
    because their gradients are averaged afterwards (DistributedDataParallel).
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return local
    total = local.detach().clone()
    torch.distributed.all_reduce(total)
    return total + torch.distributed.get_world_size() * (local - local.detach())


def _log_of_rest(logits: torch.Tensor, logs: torch.Tensor) -> torch.Tensor:
    """log (1 - p) of a softmax, exact also where p is nearly 1: there it is summed over the other classes."""
    largest = functional.one_hot(logs.argmax(1), logs.shape[1]).movedim(-1, 1).bool()
    others = torch.logsumexp(logs.masked_fill(largest, -torch.inf), 1, keepdim=True)
    return torch.where(largest, others, torch.log1p(-torch.where(largest, 0.0, logs.exp())))


def _weighted_mean(case: _Case, losses: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    counted = factors * case.counted
    return everywhere((losses * counted).sum()) / everywhere(counted.sum()).clamp_min(_TINY)


def _cross_entropy(case: _Case) -> torch.Tensor:
    """Mean over places of -log p of the true class, weighted by class."""
    return _weighted_mean(case, -case.logs, case.smooth * case.weights)


def _bce(case: _Case) -> torch.Tensor:
    """Binary cross-entropy of each class against the rest, mean over places and classes (of two exclusive
    classes: cross-entropy).
    """
    return _weighted_mean(
        case,
        -(case.smooth * case.logs + (1 - case.smooth) * case.logs_not),
        case.weights.expand_as(case.logs),
    )


def _focal(case: _Case) -> torch.Tensor:
    """Cross-entropy (of labels that may meet: binary) times (1 - p of the truth) to the power of gamma; Lin
    et al. 2017.
    """
    gamma = case.config.focal_gamma
    right = -case.logs * (gamma * case.logs_not).exp()
    if case.exclusive:
        return _weighted_mean(case, right, case.smooth * case.weights)
    wrong = -case.logs_not * (gamma * case.logs).exp()
    return _weighted_mean(
        case, case.smooth * right + (1 - case.smooth) * wrong, case.weights.expand_as(case.logs)
    )


def _tversky_index(case: _Case, alpha: float, beta: float) -> torch.Tensor:
    hit, false_positive, false_negative = case.overlap()
    return case.over_present(
        1 - hit / (hit + alpha * false_positive + beta * false_negative).clamp_min(_TINY)
    )


def _dice(case: _Case) -> torch.Tensor:
    """1 - 2 overlap / (found + true); Milletari et al. 2016 (V-Net), with plain sums."""
    return _tversky_index(case, 0.5, 0.5)


def _jaccard(case: _Case) -> torch.Tensor:
    """1 - overlap / union."""
    return _tversky_index(case, 1.0, 1.0)


def _tversky(case: _Case) -> torch.Tensor:
    """Dice with prices for false positives and false negatives; Salehi et al. 2017."""
    return _tversky_index(case, case.config.tversky_alpha, case.config.tversky_beta)


def _lovasz(case: _Case) -> torch.Tensor:
    """Lovász-Softmax of Berman et al. 2018 over the classes that the batch holds; soft truth enters the
    Jaccard index as parts of pixels.

    Sorting goes over the pixels of one process: with several it is the mean of theirs.
    """
    counted = case.counted[:, 0].reshape(-1) > 0
    losses = []
    for channel in range(case.truth.shape[1]):
        true, found = (
            case.truth[:, channel].reshape(-1)[counted],
            case.shares[:, channel].reshape(-1)[counted],
        )
        if true.sum() > 0:
            errors, order = torch.sort((true - found).abs(), descending=True, stable=True)
            losses.append((errors * _jaccard_steps(true[order])).sum())
    return torch.stack(losses).mean() if losses else case.logs.sum() * 0


def _jaccard_steps(true: torch.Tensor) -> torch.Tensor:
    """By how much the Jaccard loss grows with each further pixel that is wrong."""
    total = true.sum()
    index = 1 - (total - true.cumsum(0)) / (total + (1 - true).cumsum(0))
    return torch.cat([index[:1], index[1:] - index[:-1]])


_TERMS: dict[str, Callable[[_Case], torch.Tensor]] = {
    "cross_entropy": _cross_entropy,
    "bce": _bce,
    "dice": _dice,
    "jaccard": _jaccard,
    "focal": _focal,
    "lovasz": _lovasz,
    "tversky": _tversky,
}

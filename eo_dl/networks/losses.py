"""Losses by name, alone or in sums, for exclusive classes (softmax) or overlapping labels (sigmoid).

Every loss takes the same four things: log p and log (1 - p) of each class, the truth as a probability of each
class (ones and zeros for hard labels), and which positions count. A position that does not count adds nothing
to the value or to the gradient. With several processes the sums go over all of them, so the loss is that of
the whole batch, however its chips are distributed.

Why not those of segmentation-models-pytorch: they take no soft targets, leave ignored pixels in some of the
sums, and average over classes that a batch does not contain. Where both are defined, tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional

from ..core.arrays import MaskTarget
from ..core.classes import IGNORE_ID
from ..errors import ConfigError
from .lossconfig import LossConfig

_TINY = 1e-6
_ONLY_EXCLUSIVE = ("cross_entropy", "lovasz")


@dataclass(frozen=True)
class ClassTruth:
    """The truth that a loss compares with, at P positions of N images."""

    shares: torch.Tensor
    """(N, K, P) the true probability of each class."""
    counted: torch.Tensor
    """(N, 1, P) or (N, K, P): 1 where the truth is known, else 0."""


def truth_of_channels(channels: torch.Tensor, count: int) -> ClassTruth:
    """The truth of channel numbers (N, ...), 255 = ignore, for `count` classes."""
    flat = channels.reshape(len(channels), -1)
    counted = flat != IGNORE_ID
    shares = functional.one_hot(torch.where(counted, flat, 0), count).permute(0, 2, 1)
    return ClassTruth(shares.float() * counted[:, None], counted[:, None].float())


def truth_of_shares(shares: torch.Tensor, known: torch.Tensor) -> ClassTruth:
    """The truth of class probabilities (N, K, ...).

    A position counts where `known` (N, ...) and where the probabilities sum to at least one half; they are
    then scaled to sum to 1.
    """
    flat = shares.reshape(*shares.shape[:2], -1).float()
    total = flat.sum(1, keepdim=True)
    counted = (total >= 0.5) & known.reshape(len(known), 1, -1)
    return ClassTruth(torch.where(counted, flat / total.clamp_min(_TINY), 0), counted.float())


def truth_of_labels(values: torch.Tensor) -> ClassTruth:
    """The truth of labels that may overlap: values (N, K, ...) from 0 to 1, NaN where unknown."""
    flat = values.reshape(*values.shape[:2], -1).float()
    counted = torch.isfinite(flat)
    return ClassTruth(torch.where(counted, flat, 0), counted.float())


def truth_of_masks(targets: Sequence[MaskTarget], count: int, device: torch.device) -> ClassTruth:
    """The truth of a batch of class maps: of their probabilities where a chip has them, else of its mask."""
    if all(target.soft is None for target in targets):
        masks = torch.from_numpy(np.stack([target.mask for target in targets]))
        return truth_of_channels(masks.to(device, torch.int64), count)
    parts = [_truth_of_mask(target, count) for target in targets]
    return ClassTruth(
        torch.cat([part.shares for part in parts]).to(device),
        torch.cat([part.counted for part in parts]).to(device),
    )


def _truth_of_mask(target: MaskTarget, count: int) -> ClassTruth:
    mask = torch.from_numpy(target.mask[None])
    if target.soft is None:
        return truth_of_channels(mask.to(torch.int64), count)
    return truth_of_shares(torch.from_numpy(np.ascontiguousarray(target.soft[None])), mask != IGNORE_ID)


@dataclass(frozen=True)
class _Case:
    """What a loss looks at, at P positions of N images."""

    logits: torch.Tensor
    """(N, K, P)"""
    truth: torch.Tensor
    """(N, K, P) the true probability of each class."""
    counted: torch.Tensor
    """(N, 1, P) or (N, K, P): 1 where the truth is known, else 0."""
    weights: torch.Tensor
    """(1, K, 1) weights of the classes."""
    exclusive: bool
    """True for a softmax over the classes, False for a sigmoid each."""
    config: LossConfig

    @cached_property
    def logs(self) -> torch.Tensor:
        """(N, K, P) log p."""
        if self.exclusive:
            return functional.log_softmax(self.logits, 1)
        return functional.logsigmoid(self.logits)

    @cached_property
    def logs_not(self) -> torch.Tensor:
        """(N, K, P) log (1 - p)."""
        if self.exclusive:
            return _log_of_rest(self.logs)
        return functional.logsigmoid(-self.logits)

    @cached_property
    def shares(self) -> torch.Tensor:
        """(N, K, P) predicted probabilities."""
        return self.logs.exp()

    @cached_property
    def smooth(self) -> torch.Tensor:
        """(N, K, P) the truth with label smoothing."""
        spread = self.config.label_smoothing
        outcomes = self.truth.shape[1] if self.exclusive else 2
        return self.truth * (1 - spread) + spread / outcomes

    def overlap(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(K,) true positives, false positives and false negatives as sums of probabilities."""
        hit = everywhere((self.shares * self.truth * self.counted).sum((0, 2)))
        predicted = everywhere((self.shares * self.counted).sum((0, 2)))
        true = everywhere((self.truth * self.counted).sum((0, 2)))
        return hit, predicted - hit, true - hit

    def over_present(self, per_class: torch.Tensor) -> torch.Tensor:
        """Mean over the classes that the batch contains: the overlap of an absent one is undefined."""
        present = (everywhere((self.truth * self.counted).sum((0, 2))) > 0).to(per_class.dtype)
        return (per_class * present).sum() / present.sum().clamp_min(1)


class ClassLoss:
    """The loss of a configuration, as a function of logits and truth.

    Args:
        config: The terms of the loss and their options.
        exclusive: True where a position has one class (softmax), False for any number (sigmoid).

    Raises:
        ConfigError: The configuration has no terms yet, or a term needs exclusive classes.
    """

    def __init__(self, config: LossConfig, *, exclusive: bool = True) -> None:
        if config.terms is None:
            raise ConfigError("the loss has no terms; the task sets its own with LossConfig.or_terms first")
        unfit = [] if exclusive else [name for name in config.terms if name in _ONLY_EXCLUSIVE]
        if unfit:
            raise ConfigError(
                f"loss {unfit[0]!r} needs classes that exclude each other; for labels that may overlap use "
                "bce, focal, dice, jaccard or tversky"
            )
        self.config, self.exclusive = config, exclusive
        self._terms = dict(config.terms)

    def __call__(
        self, logits: torch.Tensor, truth: ClassTruth, weights: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Each term by name and their weighted sum as "loss".

        Args:
            logits: (N, K, ...), any shape behind the classes.
            truth: What is true at each position.
            weights: (K,) weights of the classes, for terms that are sums over positions; terms of overlaps
                count all classes equally.

        Returns:
            Scalars, all 0 where no position counts.
        """
        flat = logits.reshape(*logits.shape[:2], -1).float()
        if weights is None:
            weights = torch.ones(flat.shape[1], device=flat.device)
        of_class = weights.to(flat.device, torch.float32)[None, :, None]
        case = _Case(
            logits=flat,
            truth=truth.shares,
            counted=truth.counted,
            weights=of_class,
            exclusive=self.exclusive,
            config=self.config,
        )
        values = {str(name): _TERMS[name](case) for name in self._terms}
        total = torch.stack([share * values[name] for name, share in self._terms.items()]).sum()
        return {"loss": total, **values}


def everywhere(local: torch.Tensor) -> torch.Tensor:
    """A sum over all training processes, with gradients that average to those of the whole batch.

    Each process knows only the derivative of its own part. That is multiplied by the number of processes,
    because DistributedDataParallel averages the gradients afterwards.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return local
    total = local.detach().clone()
    torch.distributed.all_reduce(total)
    return total + torch.distributed.get_world_size() * (local - local.detach())


def _log_of_rest(logs: torch.Tensor) -> torch.Tensor:
    """log (1 - p) of a softmax, exact even where p is nearly 1: there it is summed over the other classes."""
    largest = functional.one_hot(logs.argmax(1), logs.shape[1]).movedim(-1, 1).bool()
    others = torch.logsumexp(logs.masked_fill(largest, -torch.inf), 1, keepdim=True)
    return torch.where(largest, others, torch.log1p(-torch.where(largest, 0.0, logs.exp())))


def _weighted_mean(case: _Case, losses: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    counted = factors * case.counted
    return everywhere((losses * counted).sum()) / everywhere(counted.sum()).clamp_min(_TINY)


def _cross_entropy(case: _Case) -> torch.Tensor:
    """Mean over positions of -log p of the true class, weighted by class."""
    return _weighted_mean(case, -case.logs, case.smooth * case.weights)


def _bce(case: _Case) -> torch.Tensor:
    """Binary cross-entropy of each class against the rest, mean over positions and classes. For two exclusive
    classes this is cross-entropy.
    """
    losses = -(case.smooth * case.logs + (1 - case.smooth) * case.logs_not)
    return _weighted_mean(case, losses, case.weights.expand_as(case.logs))


def _focal(case: _Case) -> torch.Tensor:
    """Cross-entropy (binary for overlapping labels) times (1 - p of the truth)^gamma, Lin et al. 2017."""
    gamma = case.config.focal_gamma
    positive = -case.logs * (gamma * case.logs_not).exp()
    if case.exclusive:
        return _weighted_mean(case, positive, case.smooth * case.weights)
    negative = -case.logs_not * (gamma * case.logs).exp()
    losses = case.smooth * positive + (1 - case.smooth) * negative
    return _weighted_mean(case, losses, case.weights.expand_as(case.logs))


def _tversky_loss(case: _Case, alpha: float, beta: float) -> torch.Tensor:
    hit, false_positive, false_negative = case.overlap()
    whole = (hit + alpha * false_positive + beta * false_negative).clamp_min(_TINY)
    return case.over_present(1 - hit / whole)


def _dice(case: _Case) -> torch.Tensor:
    """1 - 2 overlap / (predicted + true), with plain sums (V-Net, Milletari et al. 2016)."""
    return _tversky_loss(case, 0.5, 0.5)


def _jaccard(case: _Case) -> torch.Tensor:
    """1 - overlap / union."""
    return _tversky_loss(case, 1.0, 1.0)


def _tversky(case: _Case) -> torch.Tensor:
    """Dice with weights for false positives and false negatives (Salehi et al. 2017)."""
    return _tversky_loss(case, case.config.tversky_alpha, case.config.tversky_beta)


def _lovasz(case: _Case) -> torch.Tensor:
    """Lovász-Softmax (Berman et al. 2018) over the classes that the batch contains; soft truth enters the
    Jaccard index as parts of pixels.

    Sorting goes over the pixels of one process: with several processes the loss is the mean of theirs.
    """
    counted = case.counted[:, 0].reshape(-1) > 0
    losses = []
    for channel in range(case.truth.shape[1]):
        true = case.truth[:, channel].reshape(-1)[counted]
        predicted = case.shares[:, channel].reshape(-1)[counted]
        if true.sum() > 0:
            errors, order = torch.sort((true - predicted).abs(), descending=True, stable=True)
            losses.append((errors * _jaccard_steps(true[order])).sum())
    return torch.stack(losses).mean() if losses else case.logs.sum() * 0


def _jaccard_steps(true: torch.Tensor) -> torch.Tensor:
    """The growth of the Jaccard loss with each further pixel that is wrong."""
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

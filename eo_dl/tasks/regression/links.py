"""From the last layer of a network, any number, to a value in its valid range.

Each is monotone and gives the mean of the train chips at 0, and where that is far from the limits has their
standard deviation as its slope there: a network starts at the mean whatever the unit is.
"""

from __future__ import annotations

import math

import torch

from ...core.valueinfo import ValueInfo

_LEAST = 0.02
"""Distance of the mean from a limit, in standard deviations or shares of the range, that is assumed at
least."""
_STEEPEST = 3.0  # a steeper sigmoid would be flat, and learn nothing, at one deviation from the mean
_SHARPEST = 2.0  # the same for softplus


def value_of(raw: torch.Tensor, info: ValueInfo, mean: float, std: float) -> torch.Tensor:
    """The value of the last layer's numbers.

    No limit: linear. A lower or an upper limit: softplus, which only approaches it. Both: a sigmoid.

    Args:
        raw: Numbers of the last layer, of any shape.
        info: The valid range.
        mean: Mean of the train chips.
        std: Their standard deviation.
    """
    if info.low is not None and info.high is not None:
        return _between(raw, info.low, info.high, mean, std)
    if info.low is not None:
        return info.low + std * _softplus(raw, (mean - info.low) / std)
    if info.high is not None:
        return info.high - std * _softplus(-raw, (info.high - mean) / std)
    return mean + std * raw


def _between(raw: torch.Tensor, low: float, high: float, mean: float, std: float) -> torch.Tensor:
    span = high - low
    share = min(max((mean - low) / span, _LEAST), 1 - _LEAST)
    slope = min(std / (span * share * (1 - share)), _STEEPEST)
    return low + span * torch.sigmoid(slope * raw + math.log(share / (1 - share)))


def _softplus(raw: torch.Tensor, distance: float) -> torch.Tensor:
    """Softplus that is `distance` (in standard deviations) at 0 and becomes linear above it: sharper, so less
    curved at 0, the nearer the limit is.
    """
    distance = max(distance, _LEAST)
    sharpness = min(max(1.0 / distance, 1.0), _SHARPEST)
    at_mean = sharpness * distance
    shift = at_mean + math.log1p(-math.exp(-at_mean))  # log(exp(x) - 1), which would overflow for large x
    return torch.nn.functional.softplus(sharpness * raw + shift) / sharpness

"""Numbers per pixel: the networks of segmentation with another last layer."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import torch

from ...core.arrays import ValueTarget
from ...core.arraytypes import Float32Array
from ...errors import ConfigError
from ..codecs import VALUES_NAME
from ..segmentation.network import PixelBody
from ..task import NetworkInputs
from .config import RegressionConfig
from .links import value_of

_PLANES = {"gaussian_nll": 2, "quantiles": 3}
"""Numbers of the last layer per value; 1 for all other losses."""
_MOST_LOG_SPREAD = 10.0  # of a variance, either way: beyond it exp would lose the gradient


class ValueNetwork(PixelBody[ValueTarget]):
    """The network of `config.network`. `forward` gives {"values": (N, K or 3 K, H, W) float32}, in the units
    of the values and for any H and W.
    """

    class_layers = ("head.",)

    def __init__(self, config: RegressionConfig, inputs: NetworkInputs) -> None:
        count = len(inputs.classes)
        super().__init__(config, inputs, count * _PLANES.get(config.loss, 1))
        moments = config.moments or ((0.0, 1.0),) * count
        if len(moments) != count:
            raise ConfigError(
                f"`moments`: expected a mean and a standard deviation for each of {count} values, found "
                f"{len(moments)}"
            )
        self.config, self.infos = config, inputs.classes.value_infos
        self.moments = tuple((mean, std if std > 0 else 1.0) for mean, std in moments)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        raw = self._last_layer(images)
        values = self._values(raw[0])
        if not self.config.has_intervals:
            return {VALUES_NAME: values}
        low, high = self._ends(raw, values)
        return {VALUES_NAME: torch.cat([values, low, high], dim=1)}

    def loss(self, images: torch.Tensor, targets: Sequence[ValueTarget]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`. Pixels of NaN do not count, each value counts by its known pixels."""
        raw = self._last_layer(images)
        truth = torch.from_numpy(_stacked(targets)).to(images.device)
        known = torch.isfinite(truth)
        values = self._standardized(self._values(raw[0]))
        expected = self._standardized(torch.where(known, truth, torch.zeros_like(truth)))
        each = self._loss_of_pixels(raw, values, expected)
        total = torch.where(known, each, torch.zeros_like(each)).sum() / known.sum().clamp(min=1)
        return {"loss": total}

    def _last_layer(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The planes (N, K, H, W) of the last layer, the value first."""
        return self.pixels(images).chunk(_PLANES.get(self.config.loss, 1), dim=1)

    def _values(self, raw: torch.Tensor) -> torch.Tensor:
        """(N, K, H, W) values in their units."""
        planes = []
        for number, (info, (mean, std)) in enumerate(zip(self.infos, self.moments, strict=True)):
            planes.append(value_of(raw[:, number : number + 1], info, mean, std))
        return torch.cat(planes, dim=1)

    def _standardized(self, values: torch.Tensor) -> torch.Tensor:
        mean = torch.tensor([mean for mean, _ in self.moments], device=values.device)[:, None, None]
        std = torch.tensor([std for _, std in self.moments], device=values.device)[:, None, None]
        return (values - mean) / std

    def _ends(self, raw: tuple[torch.Tensor, ...], values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, K, H, W) the lower and the upper ends of the intervals."""
        if self.config.loss == "quantiles":
            return self._values(_below(raw)), self._values(_above(raw))
        reach = NormalDist().inv_cdf((1 + self.config.interval) / 2)
        std = torch.tensor([std for _, std in self.moments], device=values.device)[:, None, None]
        half = reach * std * torch.exp(0.5 * _bounded(raw[1]))
        return self._within_range(values - half), self._within_range(values + half)

    def _within_range(self, values: torch.Tensor) -> torch.Tensor:
        planes = []
        for number, info in enumerate(self.infos):
            plane = values[:, number : number + 1]
            limited = info.low is not None or info.high is not None
            planes.append(plane.clamp(info.low, info.high) if limited else plane)
        return torch.cat(planes, dim=1)

    def _loss_of_pixels(
        self, raw: tuple[torch.Tensor, ...], values: torch.Tensor, expected: torch.Tensor
    ) -> torch.Tensor:
        """(N, K, H, W) losses of standardized values."""
        error = values - expected
        if self.config.loss == "mse":
            return error**2
        if self.config.loss == "mae":
            return error.abs()
        if self.config.loss == "huber":
            return torch.nn.functional.huber_loss(values, expected, reduction="none")
        if self.config.loss == "gaussian_nll":
            # Kendall and Gal 2017, with the logarithm of the variance.
            log_variance = _bounded(raw[1])
            return 0.5 * (log_variance + error**2 * torch.exp(-log_variance))
        tail = (1 - self.config.interval) / 2
        low, high = (self._standardized(self._values(end)) for end in (_below(raw), _above(raw)))
        return (
            _pinball(values, expected, 0.5)
            + _pinball(low, expected, tail)
            + _pinball(high, expected, 1 - tail)
        )


def _below(raw: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The last layer's number of the lower end, never above that of the value."""
    return raw[0] - torch.nn.functional.softplus(raw[1])


def _above(raw: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The last layer's number of the upper end, never below that of the value."""
    return raw[0] + torch.nn.functional.softplus(raw[2])


def _bounded(log_variance: torch.Tensor) -> torch.Tensor:
    return log_variance.clamp(-_MOST_LOG_SPREAD, _MOST_LOG_SPREAD)


def _pinball(predicted: torch.Tensor, expected: torch.Tensor, quantile: float) -> torch.Tensor:
    """The loss whose minimum is a quantile (Koenker and Bassett 1978)."""
    error = expected - predicted
    return torch.maximum(quantile * error, (quantile - 1) * error)


def _stacked(targets: Sequence[ValueTarget]) -> Float32Array:
    return np.stack([target.values for target in targets])

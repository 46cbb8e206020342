"""Options of the regression networks."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from ..segmentation.config import NETWORKS as PIXEL_NETWORKS
from ..segmentation.config import DecoderConfig

NETWORKS = PIXEL_NETWORKS

Loss = Literal["huber", "mse", "mae", "gaussian_nll", "quantiles"]
WITH_INTERVALS: frozenset[str] = frozenset({"gaussian_nll", "quantiles"})
"""Losses of networks that also give the ends of an interval."""
LOSSES: tuple[str, ...] = get_args(Loss)


class RegressionConfig(DecoderConfig):
    """Options of regression with their defaults."""

    loss: Loss = "huber"
    """What is minimized, on numbers standardized by the train chips: "huber" (squared up to one standard
    deviation, linear beyond, so that a few wrong labels do not lead), "mse", "mae", "gaussian_nll" (value and
    spread) or "quantiles" (value and interval). The last two also write the ends of an interval."""
    interval: float = Field(default=0.9, gt=0, lt=1)
    """Share of the ground whose number the interval should hold; for "gaussian_nll" and "quantiles"."""
    moments: tuple[tuple[float, float], ...] | None = None
    """Mean and standard deviation of each value, by which numbers are standardized. null: those of the train
    chips."""

    @property
    def has_intervals(self) -> bool:
        """True where the network also gives the ends of an interval."""
        return self.loss in WITH_INTERVALS

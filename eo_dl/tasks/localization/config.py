"""Options of the localization network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.chiprules import Crowded
from ..task import TaskConfig


class LocalizationConfig(TaskConfig):
    """Options of object localization with their defaults."""

    network: Literal["locator"] = "locator"
    """The one architecture: a backbone with a box regressor and a classifier that knows "nothing"."""
    crowded: Crowded = "largest"
    """Chips with several objects: "largest", the largest visible object is the label; "ignore", the chip
    counts neither way."""
    min_visible: float = Field(default=0.5, ge=0, le=1)
    """Objects with a smaller share of their box in the chip are ignored."""
    map_stride: Literal[2, 4, 8, 16] | None = None
    """Distance between the positions of the attention map, pixels; null: from the train boxes, so that an
    object covers a few positions."""
    map_channels: int = Field(default=64, ge=8, le=1024)
    """Channels of the feature map."""
    head_channels: int = Field(default=128, ge=8, le=4096)
    """Width of the hidden layer of both heads."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout rate before the last layers."""
    box_weight: float = Field(default=1.0, gt=0)
    """Weight of the box losses relative to the classification loss."""

"""What a localization network can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..task import TaskConfig


class LocalizationConfig(TaskConfig):
    """Defaults of object localization: one labelled box a chip, or none.

    `several`: what a chip with more than one object teaches: "largest", the one of which most is seen;
    "ignore", nothing. `min_visible`: a chip whose only objects are cut to less than this share of their box
    teaches nothing either. `map_stride`: px between the places that are weighed against each other; null:
    from the train boxes, so that an object covers a few places. `map_channels`, `head_channels`: widths of
    the map and of the heads. `dropout`: before the last layers. `box_weight`: weight of the box losses
    against the classifier's.
    """

    network: Literal["locator"] = "locator"
    several: Literal["largest", "ignore"] = "largest"
    min_visible: float = Field(default=0.5, ge=0, le=1)
    map_stride: Literal[2, 4, 8, 16] | None = None
    map_channels: int = Field(default=64, ge=8, le=1024)
    head_channels: int = Field(default=128, ge=8, le=4096)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    box_weight: float = Field(default=1.0, gt=0)

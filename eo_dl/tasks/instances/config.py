"""What an instance network can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..detection.config import BoxConfig, Count


class InstancesConfig(BoxConfig):
    """Defaults of instance segmentation: those of the boxes, and of the masks within them.

    `mask_channels` and `mask_layers`: width and number of the convolutions that draw a mask. `simplify_px`:
    the outlines of found objects leave the mask's by at most so much.
    """

    network: Literal["mask_rcnn"] = "mask_rcnn"
    detections: Count = 100
    mask_channels: int = Field(default=128, ge=8, le=1024)
    mask_layers: int = Field(default=4, ge=1, le=8)
    simplify_px: float = Field(default=0.1, ge=0, le=8)

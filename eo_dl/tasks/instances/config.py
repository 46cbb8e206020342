"""Options of the instance segmentation network."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..detection.config import BoxConfig, Count


class InstancesConfig(BoxConfig):
    """Options of instance segmentation with their defaults: those of the boxes, and of the masks in them."""

    network: Literal["mask_rcnn"] = "mask_rcnn"
    """The one architecture."""
    detections: Count = 100
    """Most objects per chip."""
    mask_channels: int = Field(default=128, ge=8, le=1024)
    """Channels of the mask head."""
    mask_layers: int = Field(default=4, ge=1, le=8)
    """Convolutions of the mask head."""
    simplify_px: float = Field(default=0.1, ge=0, le=8)
    """Largest distance between a simplified outline and the outline of the mask, pixels."""

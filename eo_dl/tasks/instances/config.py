"""Options of the instance segmentation network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from ..detection.config import BoxConfig, Count

_MASK_CHANNELS, _MASK_LAYERS = 128, 4


class InstancesConfig(BoxConfig):
    """Options of instance segmentation with their defaults: those of the boxes, and of the masks in them."""

    network: Literal["mask_rcnn"] = "mask_rcnn"
    """The one architecture."""
    detections: Count = 100
    """Most objects per chip."""
    mask_channels: int | None = Field(default=None, ge=8, le=1024)
    """Channels of the mask head. null: 64 where the network is trained on a CPU, 128 on a GPU."""
    mask_layers: int | None = Field(default=None, ge=1, le=8)
    """Convolutions of the mask head. null: 2 where the network is trained on a CPU, 4 on a GPU."""
    simplify_px: float = Field(default=0.1, ge=0, le=8)
    """Largest distance between a simplified outline and the outline of the mask, pixels."""

    on_cpu: ClassVar[Mapping[str, object]] = {**BoxConfig.on_cpu, "mask_channels": 64, "mask_layers": 2}
    on_gpu: ClassVar[Mapping[str, object]] = {
        **BoxConfig.on_gpu,
        "mask_channels": _MASK_CHANNELS,
        "mask_layers": _MASK_LAYERS,
    }

    @property
    def mask_widths(self) -> tuple[int, ...]:
        """Channels of each convolution of the mask head; those of a GPU until they are settled."""
        return (self.mask_channels or _MASK_CHANNELS,) * (self.mask_layers or _MASK_LAYERS)

"""Options of the classification networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...networks.lossconfig import LossConfig, LossName
from ..task import TaskConfig

ONE_CLASS_TERMS: tuple[LossName, ...] = ("cross_entropy",)
"""The loss where a chip has one class."""
MULTI_LABEL_TERMS: tuple[LossName, ...] = ("bce",)
"""The loss where a chip may have several classes."""

Width = Annotated[int, Field(ge=1, le=8192)]


class ClassificationConfig(TaskConfig):
    """Options of image classification with their defaults."""

    network: Literal["pooled", "small_cnn", "mlp"] = "pooled"
    """The architecture. "pooled": a backbone, the mean of its last feature map, and one linear layer.
    "small_cnn": three blocks of convolution, batch normalization and pooling, then dense layers. "mlp": dense
    layers on the pixels of the chip. The last two use no `backbone`."""
    multi_label: bool | None = None
    """True: a chip may have any number of classes (sigmoid, binary cross-entropy). False: exactly one
    (softmax, cross-entropy). null: any number if classes overlap in the labels."""
    min_cover: float | None = Field(default=None, gt=0, le=1)
    """Share of a chip's known ground that a class must cover to be the chip's class; null: 0.5, or 0.1 with
    `multi_label`. Chips in which no class covers enough are left out and counted."""
    min_known: float = Field(default=0.0, ge=0, le=1)
    """Chips of which a smaller share is known are left out and counted."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout rate before the last layer."""
    cnn_channels: tuple[Width, Width, Width] = (32, 64, 128)
    """Channels of the three blocks of "small_cnn"."""
    hidden: tuple[Width, ...] = Field(default=(128,), min_length=1, max_length=8)
    """Widths of the dense layers of "small_cnn" and "mlp"."""
    mlp_px: int = Field(default=64, ge=1, le=512)
    """Chips with longer sides are averaged down to this size, pixels, before "mlp" takes them."""
    loss: LossConfig = LossConfig()
    """Cross-entropy, or binary cross-entropy with `multi_label`, unless set."""

    @property
    def uses_backbone(self) -> bool:
        """Only "pooled" does."""
        return self.network == "pooled"

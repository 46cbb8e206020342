"""What a segmentation network can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...networks.lossconfig import LossConfig, LossName
from ..task import TaskConfig

TERMS: tuple[LossName, ...] = ("cross_entropy", "dice")
"""What every pixel having one class asks for: cross-entropy; and Dice, so that small classes count."""


class SegmentationConfig(TaskConfig):
    """Defaults of semantic segmentation.

    `decoder_channels`: from the coarsest step to the finest, one for each feature map of the backbone (cut or its last value
    repeated where the backbone has fewer or more). Smaller ones are faster: with
    (128, 64, 32, 16, 16) a training step of a ResNet-18 at 256 px takes 1.55 s of processor time in place of 2.60 (batch of 4, fp32).
    `loss`: cross-entropy and Dice unless it says otherwise; two classes are told apart by a softmax over two, which is a sigmoid of their difference.
    """

    network: Literal["unet"] = "unet"
    decoder_channels: tuple[Annotated[int, Field(ge=4, le=2048)], ...] = Field(default=(256, 128, 64, 32, 16), min_length=1, max_length=8)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    loss: LossConfig = LossConfig()

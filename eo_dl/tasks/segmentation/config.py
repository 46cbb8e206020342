"""What a segmentation network can be told."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from ...networks.lossconfig import LossConfig, LossName
from ..task import TaskConfig

TERMS: tuple[LossName, ...] = ("cross_entropy", "dice")
"""What every pixel having one class asks for: cross-entropy; and Dice, so that small classes count."""


Network = Literal["unet", "unetplusplus", "deeplabv3plus", "fpn", "segformer", "upernet"]
NETWORKS: tuple[Network, ...] = get_args(Network)
WIDE: tuple[Network, ...] = ("deeplabv3plus", "fpn", "upernet")
"""Networks that look at the whole chip, or normalize over it: what they say of a pixel depends on the chip it lies in, whatever the margin."""
_CELLS_OF_THE_PAPER, _RATES_OF_THE_PAPER, _STRIDE = 33, (12, 24, 36), 16


class SegmentationConfig(TaskConfig):
    """Defaults of semantic segmentation.

    `network`: "unet" and "unetplusplus" take any backbone with a pyramid of feature maps and draw at full
    resolution; "fpn", "segformer" and "upernet" need maps at strides 4, 8, 16 and 32 and draw at a quarter,
    "deeplabv3plus" one at stride 4 and a backbone whose last stage can be kept at stride 16 (most
    convolutional ones). Finer than four pixels only the U-Nets see. Those of `WIDE` give maps that may differ
    a little at the seams of chips even with a large margin. `decoder_channels`: from the coarsest step to the
    finest, one for each feature map of the backbone (cut or its last value repeated where the backbone has
    fewer or more). Smaller ones are faster: with (128, 64, 32, 16, 16) a training step of a U-Net with a
    ResNet-18 at 256 px takes 1.55 s of processor time in place of 2.60 (batch of 4, fp32). Networks other
    than the U-Nets have one width: the first value (fpn: its pyramid's, and half of it, at least 32, where it
    draws). `atrous_rates`: how far apart the cells lie that "deeplabv3plus" sees together; null: 12, 24, 36
    of the paper's 513 px, scaled to the chip. `loss`: cross-entropy and Dice unless it says otherwise; two
    classes are told apart by a softmax over two, which is a sigmoid of their difference.
    """

    network: Network = "unet"
    decoder_channels: tuple[Annotated[int, Field(ge=4, le=2048)], ...] = Field(
        default=(256, 128, 64, 32, 16), min_length=1, max_length=8
    )
    atrous_rates: tuple[Annotated[int, Field(ge=1, le=256)], ...] | None = Field(
        default=None, min_length=3, max_length=3
    )
    dropout: float = Field(default=0.0, ge=0, lt=1)
    loss: LossConfig = LossConfig()


def fitting_rates(chip_px: int) -> tuple[int, ...]:
    """Atrous rates whose kernels reach as far over a chip as the paper's do over its images."""
    cells = chip_px / _STRIDE
    return tuple(
        max(1 + place, round(rate * cells / _CELLS_OF_THE_PAPER))
        for place, rate in enumerate(_RATES_OF_THE_PAPER)
    )

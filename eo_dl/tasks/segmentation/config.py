"""Options of the segmentation networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeVar, get_args

from pydantic import Field

from ...networks.lossconfig import LossConfig, LossName
from ..task import NetworkInputs, TaskConfig

TERMS: tuple[LossName, ...] = ("cross_entropy", "dice")
"""The default loss: cross-entropy because every pixel has one class, and Dice so that small classes count."""

Network = Literal["unet", "unetplusplus", "deeplabv3plus", "fpn", "segformer", "upernet"]
NETWORKS: tuple[Network, ...] = get_args(Network)

_FULL_DECODER = (256, 128, 64, 32, 16)

# Chen et al. 2018: 513 px at stride 16 are 33 cells.
_PAPER_CELLS, _PAPER_RATES, _STRIDE = 33, (12, 24, 36), 16


class DecoderConfig(TaskConfig):
    """Options of the networks that give something for every pixel, with their defaults."""

    network: Network = "unet"
    """The architecture. "unet" and "unetplusplus" work with any backbone that has a pyramid of feature maps
    and predict at full resolution. "fpn", "segformer" and "upernet" need maps at strides 4, 8, 16 and 32 and
    predict at a quarter of the resolution, as does "deeplabv3plus", which needs a map at stride 4 and a
    backbone whose last stage can stay at stride 16 (most convolutional ones). Only the U-Nets see details
    finer than four pixels. "deeplabv3plus", "fpn" and "upernet" look at the whole chip or normalize over it,
    so their maps may differ a little at the seams of chips, whatever the margin."""
    decoder_channels: tuple[Annotated[int, Field(ge=4, le=2048)], ...] | None = Field(
        default=None, min_length=1, max_length=8
    )
    """Channels of the decoder from the coarsest step to the finest, one per feature map of the backbone; cut,
    or continued with the last value, where the backbone has fewer or more maps. null: 64, 48, 32, 16, 16 on a
    CPU, where more steps in the same time are worth more than a larger decoder; 256, 128, 64, 32, 16 on a
    GPU. Networks other than the U-Nets have one width, the first value (the final maps of "fpn" have half of
    it, at least 32)."""
    atrous_rates: tuple[Annotated[int, Field(ge=1, le=256)], ...] | None = Field(
        default=None, min_length=3, max_length=3
    )
    """Dilation rates of "deeplabv3plus"; null: 12, 24, 36 of the paper's 513 px, scaled to the chip."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate before the last layer."""
    on_cpu: ClassVar[Mapping[str, object]] = {"decoder_channels": (64, 48, 32, 16, 16)}
    on_gpu: ClassVar[Mapping[str, object]] = {"decoder_channels": _FULL_DECODER}

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """The channels of the decoder; those of a GPU until they are settled."""
        return self.decoder_channels or _FULL_DECODER


class SegmentationConfig(DecoderConfig):
    """Options of semantic segmentation with their defaults."""

    loss: LossConfig = LossConfig()
    """Cross-entropy and Dice unless set. For two classes, the softmax is a sigmoid of their difference."""


def fitting_rates(chip_px: int) -> tuple[int, ...]:
    """Atrous rates whose kernels reach as far over a chip as those of the paper over its images."""
    cells = chip_px / _STRIDE
    scaled = [round(rate * cells / _PAPER_CELLS) for rate in _PAPER_RATES]
    # On small chips the rates stay at least 1, 2 and 3, so that they still differ.
    return tuple(max(least, rate) for least, rate in enumerate(scaled, start=1))


DecoderConfigT = TypeVar("DecoderConfigT", bound=DecoderConfig)


def settled_decoder(config: DecoderConfigT, inputs: NetworkInputs) -> DecoderConfigT:
    """The config with the width of the decoder, and for DeepLabV3+ the atrous rates that fit the chips."""
    rates = config.atrous_rates
    if rates is None and config.network == "deeplabv3plus":
        rates = fitting_rates(inputs.chip_px)
    return config.with_widths(inputs).model_copy(update={"atrous_rates": rates})

"""The decoders, each on the feature maps of our own encoder.

Where a decoder normalizes over what a batch of one chip has only one of (the average of the whole chip), it
is normalized over its channels instead: such a batch would end the training, and the average of a chip is
better compared with itself than with those of its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder

from ...errors import ConfigError
from ...networks.backbones import channels_of, feature_strides, make_encoder, strides_of
from .config import SegmentationConfig

Made = tuple[torch.nn.Module, int]
"""A decoder of [image, *feature maps], and the channels of the map that it gives."""

_PYRAMID = (4, 8, 16, 32)
_COARSEST = 16
_GROUPS = 32


def encoder_of(config: SegmentationConfig, in_channels: int) -> torch.nn.Module:
    """The encoder with the maps that the network needs. Raises `ConfigError` for a backbone that has none."""
    if config.network == "deeplabv3plus":
        strides = feature_strides(config.backbone, in_channels)
        return make_encoder(config.backbone, in_channels, [4, strides[-1]], coarsest=_COARSEST)
    if config.network in ("fpn", "segformer", "upernet"):
        return make_encoder(config.backbone, in_channels, _PYRAMID)
    return make_encoder(config.backbone, in_channels)


def make_decoder(config: SegmentationConfig, encoder: torch.nn.Module, in_channels: int) -> Made:
    """The decoder that `config.network` names."""
    makers: dict[str, Callable[[SegmentationConfig, list[int], list[int]], Made]] = {
        "unet": _unet,
        "unetplusplus": _unetplusplus,
        "deeplabv3plus": _deeplabv3plus,
        "fpn": _fpn,
        "segformer": _segformer,
        "upernet": _upernet,
    }
    return makers[config.network](config, [in_channels, *channels_of(encoder)], strides_of(encoder))


def _unet(config: SegmentationConfig, channels: list[int], strides: list[int]) -> Made:
    """Ronneberger et al. 2015."""
    steps = _steps(config.decoder_channels, len(strides))
    return UnetDecoder(channels, steps, n_blocks=len(steps)), steps[-1]


def _unetplusplus(config: SegmentationConfig, channels: list[int], strides: list[int]) -> Made:
    """Zhou et al. 2018."""
    if len(strides) < 2 or any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
        raise ConfigError(
            f"unetplusplus needs feature maps that halve from one to the next, backbone {config.backbone!r} has strides {strides}; "
            "choose another backbone, e.g. resnet18, or --network unet"
        )
    steps = _steps(config.decoder_channels, len(strides))
    return UnetPlusPlusDecoder(channels, steps, n_blocks=len(steps)), steps[-1]


class _Placed(torch.nn.Module):
    """Gives a decoder [image, *feature maps] at the places where it looks for them."""

    def __init__(self, decoder: torch.nn.Module, places: tuple[int, ...]) -> None:
        super().__init__()
        self.decoder, self.places = decoder, places

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = self.decoder([maps[place] for place in self.places])
        return found


def _deeplabv3plus(config: SegmentationConfig, channels: list[int], strides: list[int]) -> Made:
    """Chen et al. 2018."""
    if config.atrous_rates is None:
        raise ConfigError(
            "the config of deeplabv3plus has no atrous_rates yet; settle it with the chip's size first (Task.settle)"
        )
    width = config.decoder_channels[0]
    decoder = DeepLabV3PlusDecoder(
        [channels[0], channels[0], *channels[1:]], 5, width, config.atrous_rates, _COARSEST, True, 0.0
    )
    # the same wherever the chip lies
    decoder.up = torch.nn.Upsample(scale_factor=_COARSEST // 4, mode="bilinear", align_corners=False)
    decoder.aspp[0].convs[-1][2] = torch.nn.GroupNorm(1, width)
    return _Placed(decoder, (0, 0, 1, 2)), width


def _fpn(config: SegmentationConfig, channels: list[int], strides: list[int]) -> Made:
    """Kirillov et al. 2019."""
    width = config.decoder_channels[0]
    drawn = max(_GROUPS, width // 2 // _GROUPS * _GROUPS)
    return FPNDecoder(channels, 4, width, drawn, 0.0), drawn


def _segformer(config: SegmentationConfig, channels: list[int], strides: list[int]) -> Made:
    """Xie et al. 2021; on a convolutional backbone its all-MLP decoder."""
    width = config.decoder_channels[0]
    return SegformerDecoder(channels, 4, width), width


def _upernet(config: SegmentationConfig, channels: list[int], strides: list[int]) -> Made:
    """Xiao et al. 2018."""
    width = config.decoder_channels[0]
    decoder = UPerNetDecoder([channels[0], *channels], 5, width)
    whole = decoder.psp.blocks[0][1]  # the average of the whole chip
    whole[1] = torch.nn.GroupNorm(1, width)
    return _Placed(decoder, (0, 0, 1, 2, 3, 4)), width


def _steps(channels: tuple[int, ...], count: int) -> list[int]:
    """`channels` for a backbone with `count` feature maps; the last ones matter most, so the first are cut."""
    return [*channels[max(len(channels) - count, 0) :], *[channels[-1]] * max(count - len(channels), 0)]

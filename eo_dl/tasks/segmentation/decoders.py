"""The decoders, each on the feature maps of our own backbones.

Some decoders normalize the average of the whole chip over the batch, which is impossible for a batch of one
chip. Here that average is normalized over its channels instead: a batch of one chip would end the training,
and the average of a chip is better compared with itself than with those of the other chips in its batch.
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
from ...networks.backbones import channels_of, feature_strides, make_backbone, strides_of
from .config import DecoderConfig

Decoder = tuple[torch.nn.Module, int]
"""A decoder of [image, *feature maps], and the channels of the map that it gives."""

_PYRAMID = (4, 8, 16, 32)
_COARSEST = 16
_GROUPS = 32


def segmentation_backbone(config: DecoderConfig, in_channels: int) -> torch.nn.Module:
    """The backbone with the maps that the decoder needs. Raises `ConfigError` if it has none of them."""
    if config.network == "deeplabv3plus":
        strides = feature_strides(config.backbone, in_channels)
        return make_backbone(config.backbone, in_channels, [4, strides[-1]], coarsest=_COARSEST)
    if config.network in ("fpn", "segformer", "upernet"):
        return make_backbone(config.backbone, in_channels, _PYRAMID)
    return make_backbone(config.backbone, in_channels)


def make_decoder(config: DecoderConfig, backbone: torch.nn.Module, in_channels: int) -> Decoder:
    """The decoder that `config.network` names."""
    makers: dict[str, Callable[[DecoderConfig, list[int], list[int]], Decoder]] = {
        "unet": _unet,
        "unetplusplus": _unetplusplus,
        "deeplabv3plus": _deeplabv3plus,
        "fpn": _fpn,
        "segformer": _segformer,
        "upernet": _upernet,
    }
    return makers[config.network](config, [in_channels, *channels_of(backbone)], strides_of(backbone))


def _unet(config: DecoderConfig, channels: list[int], strides: list[int]) -> Decoder:
    """Ronneberger et al. 2015."""
    steps = _steps(config.decoder_widths, len(strides))
    return UnetDecoder(channels, steps, n_blocks=len(steps)), steps[-1]


def _unetplusplus(config: DecoderConfig, channels: list[int], strides: list[int]) -> Decoder:
    """Zhou et al. 2018."""
    halves = all(coarse == 2 * fine for fine, coarse in pairwise(strides))
    if len(strides) < 2 or not halves:
        raise ConfigError(
            f"unetplusplus needs feature maps that halve from one to the next, backbone {config.backbone!r} "
            f"has strides {strides}; choose another backbone, e.g. resnet18, or `network` unet"
        )
    steps = _steps(config.decoder_widths, len(strides))
    return UnetPlusPlusDecoder(channels, steps, n_blocks=len(steps)), steps[-1]


class _SelectMaps(torch.nn.Module):
    """Hands a decoder the maps [image, *feature maps] at the indices where it expects them."""

    def __init__(self, decoder: torch.nn.Module, indices: tuple[int, ...]) -> None:
        super().__init__()
        self.decoder, self.indices = decoder, indices

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        decoded: torch.Tensor = self.decoder([maps[index] for index in self.indices])
        return decoded


def _deeplabv3plus(config: DecoderConfig, channels: list[int], strides: list[int]) -> Decoder:
    """Chen et al. 2018."""
    if config.atrous_rates is None:
        raise ConfigError(
            "deeplabv3plus: `atrous_rates` are not settled; call Task.settle with the size of the chips first"
        )
    width = config.decoder_widths[0]
    decoder = DeepLabV3PlusDecoder(
        encoder_channels=[channels[0], channels[0], *channels[1:]],
        encoder_depth=5,
        out_channels=width,
        atrous_rates=config.atrous_rates,
        output_stride=_COARSEST,
        aspp_separable=True,
        aspp_dropout=0.0,
    )
    # Aligned corners would depend on where in the scene the chip lies.
    decoder.up = torch.nn.Upsample(scale_factor=_COARSEST // 4, mode="bilinear", align_corners=False)
    decoder.aspp[0].convs[-1][2] = torch.nn.GroupNorm(1, width)  # see the module's docstring
    return _SelectMaps(decoder, (0, 0, 1, 2)), width


def _fpn(config: DecoderConfig, channels: list[int], strides: list[int]) -> Decoder:
    """Kirillov et al. 2019."""
    width = config.decoder_widths[0]
    final_width = max(_GROUPS, width // 2 // _GROUPS * _GROUPS)
    return FPNDecoder(channels, 4, width, final_width, 0.0), final_width


def _segformer(config: DecoderConfig, channels: list[int], strides: list[int]) -> Decoder:
    """Xie et al. 2021; its all-MLP decoder on a convolutional backbone."""
    width = config.decoder_widths[0]
    return SegformerDecoder(channels, 4, width), width


def _upernet(config: DecoderConfig, channels: list[int], strides: list[int]) -> Decoder:
    """Xiao et al. 2018."""
    width = config.decoder_widths[0]
    decoder = UPerNetDecoder([channels[0], *channels], 5, width)
    chip_average = decoder.psp.blocks[0][1]
    chip_average[1] = torch.nn.GroupNorm(1, width)  # see the module's docstring
    return _SelectMaps(decoder, (0, 0, 1, 2, 3, 4)), width


def _steps(channels: tuple[int, ...], count: int) -> list[int]:
    """`channels` for `count` feature maps. The last ones matter most, so the first are cut."""
    if len(channels) >= count:
        return list(channels[len(channels) - count :])
    return [*channels, *[channels[-1]] * (count - len(channels))]

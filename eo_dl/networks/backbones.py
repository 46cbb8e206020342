"""Encoders: every timm backbone that gives feature maps, for any number of bands.

All tasks build theirs here and keep it as `network.encoder`, so that one task's encoder starts another's.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import timm
import torch

from ..errors import ConfigError
from .weights import WeightsReport, load_weights
from .weightsources import NONE, WeightsSource

Features = list[torch.Tensor]


def check_backbone(name: str) -> None:
    """Raises `ConfigError`, with near names, unless timm itself has this backbone (no hub names, no URLs:
    they run foreign code or call home).
    """
    if not timm.is_model(name) or "/" in name or ":" in name:
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ConfigError(
            f"backbone {name!r} is not known to timm {timm.__version__}; choose e.g. {', '.join(near or ['resnet18', 'resnet34', 'efficientnet_b0'])}"
        )


def make_encoder(
    name: str, in_channels: int, strides: Sequence[int] | None = None, *, coarsest: int | None = None
) -> torch.nn.Module:
    """A timm backbone that returns a list of feature maps (N, C, H / stride, W / stride), finest first;
    random weights.

    `strides`: the feature maps wanted (None: all). `coarsest`: where its stages would go on shrinking they
    look further apart instead (dilation), with the same tensors. Raises `ConfigError` for a backbone that
    cannot.
    """
    found = feature_strides(name, in_channels)
    missing = [stride for stride in strides or () if stride not in found]
    if missing:
        raise ConfigError(
            f"backbone {name!r} has feature maps at strides {found}, not at {missing}; choose another backbone, e.g. resnet18"
        )
    return _create(
        name,
        in_channels,
        None if strides is None else tuple(found.index(stride) for stride in strides),
        coarsest,
    )


def feature_strides(name: str, in_channels: int = 3) -> list[int]:
    """Strides of all feature maps of a backbone, finest first.

    Raises `ConfigError` for one whose maps do not shrink step by step at any image size (plain ViTs, windowed
    transformers).
    """
    check_backbone(name)
    with torch.device("meta"):  # nothing is allocated, or drawn from the random state
        encoder = _create(name, in_channels, None)
        strides, channels = strides_of(encoder), channels_of(encoder)
        side = 4 * strides[-1]
        try:
            shapes = [tuple(m.shape[1:]) for m in encoder(torch.zeros(1, in_channels, side, side))]
        except (RuntimeError, AssertionError, ValueError, NotImplementedError):
            shapes = []
    if strides != sorted(set(strides)) or shapes != [
        (c, side // s, side // s) for c, s in zip(channels, strides, strict=True)
    ]:
        raise ConfigError(
            f"backbone {name!r} gives no pyramid of feature maps at any image size; choose another, e.g. resnet18, efficientnet_b0 or convnext_atto"
        )
    return strides


def strides_of(encoder: torch.nn.Module) -> list[int]:
    """Input pixels per feature pixel of each map that `encoder` returns."""
    return [int(stride) for stride in encoder.feature_info.reduction()]  # type: ignore[union-attr, operator]


def channels_of(encoder: torch.nn.Module) -> list[int]:
    """Channels of each map that `encoder` returns."""
    return [int(channels) for channels in encoder.feature_info.channels()]  # type: ignore[union-attr, operator]


def start_encoder(encoder: torch.nn.Module, weights: str | WeightsSource) -> WeightsReport | None:
    """Fill `encoder` from a source or a file unless `weights` is "none". Raises as `load_weights` does."""
    return None if weights == NONE else load_weights(encoder, weights)


def padding_to(images: torch.Tensor, stride: int, *, several_cells: bool) -> tuple[int, int]:
    """Columns and rows to add at the right and the bottom so that `stride` divides the size.

    `several_cells`: a training batch of one chip may shrink to a single cell a channel, over which BatchNorm
    has no variance; then one more row of cells is added.
    """
    height, width = images.shape[-2:]
    cols, rows = -width % stride, -height % stride
    if several_cells and images.shape[0] * ((height + rows) // stride) * ((width + cols) // stride) == 1:
        rows += stride
    return cols, rows


def padded(images: torch.Tensor, stride: int, *, training: bool) -> torch.Tensor:
    """`images` with zeros (the mean of standard scores) at the right and the bottom, as `padding_to` says."""
    cols, rows = padding_to(images, stride, several_cells=training)
    return torch.nn.functional.pad(images, (0, cols, 0, rows)) if cols or rows else images


def _create(
    name: str, in_channels: int, indices: tuple[int, ...] | None, coarsest: int | None = None
) -> torch.nn.Module:
    dilated: dict[str, Any] = {} if coarsest is None else {"output_stride": coarsest}
    try:
        encoder = timm.create_model(
            name, pretrained=False, features_only=True, in_chans=in_channels, out_indices=indices, **dilated
        )
    except (RuntimeError, AssertionError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"backbone {name!r} gives no feature maps for {in_channels} bands{'' if coarsest is None else f' at stride {coarsest}'} ({error}); choose another, e.g. resnet18"
        ) from error
    assert isinstance(encoder, torch.nn.Module)
    return encoder

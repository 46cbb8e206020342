"""Backbones: every timm model that gives feature maps, for any number of bands.

All tasks build theirs here and keep it as `network.backbone`, so that one task's backbone initializes
another's.
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

# What timm raises where a model cannot be made into feature maps, or not for this number of bands.
_TIMM_ERRORS = (RuntimeError, AssertionError, TypeError, AttributeError, ValueError, IndexError)
_FORWARD_ERRORS = (RuntimeError, AssertionError, ValueError, NotImplementedError)


def check_backbone(name: str) -> None:
    """Accept only models of timm itself: names of hubs and URLs run foreign code or go to the network.

    Raises:
        ConfigError: timm has no such model; the message suggests close names.
    """
    if not timm.is_model(name) or "/" in name or ":" in name:
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        examples = close or ["resnet18", "resnet34", "efficientnet_b0"]
        raise ConfigError(
            f"unknown backbone {name!r}: timm {timm.__version__} has no such model; choose e.g. "
            f"{', '.join(examples)}"
        )


def make_backbone(
    name: str, in_channels: int, strides: Sequence[int] | None = None, *, coarsest: int | None = None
) -> torch.nn.Module:
    """A timm backbone with random weights that returns its feature maps.

    Args:
        name: Name of a timm model.
        in_channels: Bands of the images.
        strides: Strides of the feature maps to return; None: all.
        coarsest: Largest stride. Later stages use dilation instead of shrinking the maps, with the same
            tensors.

    Returns:
        A module from images (N, C, H, W) to a list of maps (N, C', H / stride, W / stride), finest first.

    Raises:
        ConfigError: The backbone is unknown, or has no such feature maps.
    """
    available = feature_strides(name, in_channels)
    if strides is None:
        return _create(name, in_channels, None, coarsest)
    missing = [stride for stride in strides if stride not in available]
    if missing:
        raise ConfigError(
            f"backbone {name!r} has feature maps at strides {available}, not at {missing}; choose another "
            "backbone, e.g. resnet18"
        )
    return _create(name, in_channels, tuple(available.index(stride) for stride in strides), coarsest)


def feature_strides(name: str, in_channels: int = 3) -> list[int]:
    """Strides of all feature maps of a backbone, finest first.

    Raises:
        ConfigError: The backbone is unknown, or its maps do not shrink step by step at every image size
            (plain ViTs, windowed transformers).
    """
    check_backbone(name)
    with torch.device("meta"):  # allocates nothing and draws nothing from the random state
        backbone = _create(name, in_channels, None)
        strides, channels = strides_of(backbone), channels_of(backbone)
        side = 4 * strides[-1]
        try:
            shapes = [tuple(m.shape[1:]) for m in backbone(torch.zeros(1, in_channels, side, side))]
        except _FORWARD_ERRORS:
            shapes = []
    expected = [
        (count, side // stride, side // stride) for count, stride in zip(channels, strides, strict=True)
    ]
    if strides != sorted(set(strides)) or shapes != expected:
        raise ConfigError(
            f"backbone {name!r} has no pyramid of feature maps at every image size; choose another backbone, "
            "e.g. resnet18, efficientnet_b0 or convnext_atto"
        )
    return strides


def strides_of(backbone: torch.nn.Module) -> list[int]:
    """Input pixels per feature pixel of each map that `backbone` returns."""
    return [int(stride) for stride in _feature_info(backbone).reduction()]


def channels_of(backbone: torch.nn.Module) -> list[int]:
    """Channels of each map that `backbone` returns."""
    return [int(channels) for channels in _feature_info(backbone).channels()]


def initialize_backbone(backbone: torch.nn.Module, weights: str | WeightsSource) -> WeightsReport | None:
    """Fill `backbone` from a source or a file, unless `weights` is "none". Raises as `load_weights` does."""
    return None if weights == NONE else load_weights(backbone, weights)


def padding_to(images: torch.Tensor, stride: int, *, training: bool) -> tuple[int, int]:
    """Columns and rows to add at the right and the bottom so that `stride` divides the size.

    A batch of one small chip may shrink to a single cell per channel, over which batch normalization has no
    variance while `training`; then one more row of cells is added.
    """
    count, (height, width) = len(images), images.shape[-2:]
    cols, rows = -width % stride, -height % stride
    cells = count * ((height + rows) // stride) * ((width + cols) // stride)
    if training and cells == 1:
        rows += stride
    return cols, rows


def padded(images: torch.Tensor, stride: int, *, training: bool) -> torch.Tensor:
    """`images` with zeros (the mean of standard scores) at the right and the bottom, as `padding_to` says."""
    cols, rows = padding_to(images, stride, training=training)
    return torch.nn.functional.pad(images, (0, cols, 0, rows)) if cols or rows else images


def _feature_info(backbone: torch.nn.Module) -> Any:
    return backbone.feature_info  # timm's, of which torch knows nothing


def _create(
    name: str, in_channels: int, indices: tuple[int, ...] | None, coarsest: int | None = None
) -> torch.nn.Module:
    # timm takes no output_stride of None.
    dilation: dict[str, Any] = {} if coarsest is None else {"output_stride": coarsest}
    try:
        backbone: torch.nn.Module = timm.create_model(
            name, pretrained=False, features_only=True, in_chans=in_channels, out_indices=indices, **dilation
        )
    except _TIMM_ERRORS as error:
        at_stride = "" if coarsest is None else f" at stride {coarsest}"
        raise ConfigError(
            f"backbone {name!r} has no feature maps for {in_channels} bands{at_stride} ({error}); choose "
            "another backbone, e.g. resnet18"
        ) from error
    return backbone

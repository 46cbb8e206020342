"""The theoretical receptive field, found by the network itself: which columns of the image can change one
value in the middle of a map.

A copy of the network gets positive weights everywhere, and every operation that is not a sum (norms,
activations, maxima) becomes one, so nothing cancels: the gradient of the middle value is positive exactly
where there is a path. That holds for any wiring (residuals, skips, pyramids, dilation), unlike rules over a
list of layers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

MapsOf = Callable[[torch.nn.Module, torch.Tensor], list[torch.Tensor]]
"""From a network and an image to maps (1, C, h, w)."""

_ROWS = 32
_LENGTHS = (256, 1024, 4096)
"""Columns of the test image; the next length is tried where a field does not fit in."""


def receptive_fields(network: torch.nn.Module, in_channels: int, maps_of: MapsOf) -> list[int | None]:
    """How far the values of each map can see.

    Args:
        network: The network.
        in_channels: Bands of its images.
        maps_of: Gives the maps of an image of 32 rows and many columns. The field is measured along a row;
            square kernels make it the side of a square.

    Returns:
        Side in pixels for each map; None where a value sees all of any image, or where it cannot be measured.
    """
    linear = _linear_copy(network).double()
    with torch.no_grad():
        count = len(maps_of(linear, _image(in_channels, _LENGTHS[0])))
    fields: list[int | None] = []
    for length in _LENGTHS:
        fields = [_field(linear, in_channels, maps_of, length, index) for index in range(count)]
        if None not in fields:
            break
    return fields


def _field(linear: torch.nn.Module, in_channels: int, maps_of: MapsOf, length: int, index: int) -> int | None:
    """The field of one map; None where it reaches the ends of an image of `length` columns."""
    image = _image(in_channels, length).requires_grad_()
    values = maps_of(linear, image)[index]
    if values.ndim != 4 or values.shape[-1] < 2:
        return None
    middle = values[0, :, values.shape[2] // 2, values.shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(middle, image)
    columns = torch.nonzero(gradient[0].abs().sum((0, 1)) > 0).flatten()
    if not len(columns) or int(columns[0]) == 0 or int(columns[-1]) == length - 1:
        return None
    return int(columns[-1] - columns[0]) + 1


def _image(in_channels: int, length: int) -> torch.Tensor:
    return torch.ones(1, in_channels, _ROWS, length, dtype=torch.float64)


def _linear_copy(network: torch.nn.Module) -> torch.nn.Module:
    linear = copy.deepcopy(network).cpu().eval()
    for parent in list(linear.modules()):
        for name, child in list(parent.named_children()):
            replacement = _linear_replacement(child)
            if replacement is not None:
                setattr(parent, name, replacement)
    for parameter in linear.parameters():
        parameter.requires_grad_(False)
        # Divided by the number of inputs, so that sums stay within what float64 can hold.
        parameter.fill_(1.0 / max(1, parameter[0].numel()) if parameter.ndim > 1 else 1.0)
    return linear


def _linear_replacement(module: torch.nn.Module) -> torch.nn.Module | None:
    """A module that only sums, for one that does not; None for one that may stay."""
    if isinstance(module, torch.nn.MaxPool2d):
        return torch.nn.AvgPool2d(
            module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode
        )
    if isinstance(module, torch.nn.modules.batchnorm._NormBase | torch.nn.GroupNorm | torch.nn.LayerNorm):
        return torch.nn.Identity()
    is_leaf = next(module.parameters(), None) is None and next(module.children(), None) is None
    return torch.nn.Identity() if is_leaf and "activation" in type(module).__module__ else None

"""The theoretical receptive field, by asking the network itself: which columns of the image can move one
value in the middle of a map.

A copy of the network gets positive weights everywhere, and what is not a sum (norms, activations, largest
values) becomes one, so nothing cancels and nothing hides: the gradient of the middle value is positive
exactly where there is a path. That holds for any wiring (residuals, skips, pyramids, dilation), for which
rules of thumb over a list of layers do not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

_LENGTHS = (256, 1024, 4096)


def receptive_fields(
    network: torch.nn.Module,
    in_channels: int,
    maps: Callable[[torch.nn.Module, torch.Tensor], list[torch.Tensor]],
) -> list[int | None]:
    """Side in pixels of what a value of each map can see; None where it sees all of any image, or nothing can
    be said.

    `maps(network, image)` gives maps (1, C, h, w) of an image of 32 rows and many columns: how far a value
    sees along a row, which square kernels make its side.
    """
    linear = _linear(network).double()
    found: list[int | None] = []
    for length in _LENGTHS:
        found = [
            _reach(linear, in_channels, maps, length, place)
            for place in range(_count(linear, in_channels, maps))
        ]
        if all(reach is not None for reach in found):
            break
    return found


def _count(
    linear: torch.nn.Module,
    in_channels: int,
    maps: Callable[[torch.nn.Module, torch.Tensor], list[torch.Tensor]],
) -> int:
    with torch.no_grad():
        return len(maps(linear, _image(in_channels, _LENGTHS[0])))


def _reach(
    linear: torch.nn.Module,
    in_channels: int,
    maps: Callable[[torch.nn.Module, torch.Tensor], list[torch.Tensor]],
    length: int,
    place: int,
) -> int | None:
    image = _image(in_channels, length).requires_grad_()
    value = maps(linear, image)[place]
    if value.ndim != 4 or value.shape[-1] < 2:
        return None
    (gradient,) = torch.autograd.grad(value[0, :, value.shape[2] // 2, value.shape[3] // 2].sum(), image)
    columns = torch.nonzero(gradient[0].abs().sum((0, 1)) > 0).flatten()
    if not len(columns) or int(columns[0]) == 0 or int(columns[-1]) == length - 1:
        return None
    return int(columns[-1] - columns[0]) + 1


def _image(in_channels: int, length: int) -> torch.Tensor:
    return torch.ones(1, in_channels, 32, length, dtype=torch.float64)


def _linear(network: torch.nn.Module) -> torch.nn.Module:
    linear = copy.deepcopy(network).cpu().eval()
    for parent in list(linear.modules()):
        for name, child in list(parent.named_children()):
            instead = _instead(child)
            if instead is not None:
                setattr(parent, name, instead)
    for parameter in linear.parameters():
        parameter.requires_grad_(False)
        parameter.fill_(1.0 / max(1, parameter[0].numel()) if parameter.ndim > 1 else 1.0)
    return linear


def _instead(module: torch.nn.Module) -> torch.nn.Module | None:
    """A module that only adds, in place of one that does not."""
    if isinstance(module, torch.nn.MaxPool2d):
        return torch.nn.AvgPool2d(
            module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode
        )
    if isinstance(module, torch.nn.modules.batchnorm._NormBase | torch.nn.GroupNorm | torch.nn.LayerNorm):
        return torch.nn.Identity()
    own = next(module.parameters(), None) is None and next(module.children(), None) is None
    return torch.nn.Identity() if own and "activation" in type(module).__module__ else None

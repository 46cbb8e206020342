"""What is inside a network: its layers with the shapes of what they give, how many weights they have, and how
far they see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .backbones import strides_of
from .receptivefield import receptive_fields
from .tasknetwork import TaskNetwork

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerRow:
    """One module: `depth` 0 for the parts of the network itself; `shapes` of what it gives, without the batch
    axis.
    """

    name: str
    kind: str
    depth: int
    shapes: tuple[Shape, ...]
    parameters: int
    trainable: int


@dataclass(frozen=True)
class MapRow:
    """A map that is seen through: its stride (px), channels, and receptive field (px a side; None: all of the
    chip).
    """

    name: str
    stride_px: int
    channels: int
    receptive_px: int | None


@dataclass(frozen=True)
class NetworkSummary:
    """Of one network for images of `in_channels` bands and `size_px` a side; `bytes` of its weights as they
    are kept.
    """

    in_channels: int
    size_px: int
    layers: tuple[LayerRow, ...]
    maps: tuple[MapRow, ...]
    parameters: int
    trainable: int
    bytes: int


def summarize(network: TaskNetwork, in_channels: int, size_px: int, depth: int = 2) -> NetworkSummary:
    """Layers down to `depth` levels, by one look at an empty chip. The network is left in eval mode."""
    network.eval()
    shapes = _shapes(network, torch.zeros(1, in_channels, size_px, size_px))
    rows = []
    for name, module in network.named_modules():
        level = name.count(".")
        if name and level < depth:
            counts = _counts(module)
            rows.append(LayerRow(name, type(module).__name__, level, shapes.get(name, ()), *counts))
    total, trainable = _counts(network)
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    return NetworkSummary(
        in_channels, size_px, tuple(rows), _maps(network, in_channels), total, trainable, size
    )


def _counts(module: torch.nn.Module) -> tuple[int, int]:
    own = list(module.parameters())
    return sum(p.numel() for p in own), sum(p.numel() for p in own if p.requires_grad)


def _shapes(network: TaskNetwork, image: torch.Tensor) -> dict[str, tuple[Shape, ...]]:
    found: dict[str, tuple[Shape, ...]] = {}

    # gives nothing back: what a hook returns takes the place of the output
    def note(name: str, result: object) -> None:
        found.setdefault(name, _tensors(result))

    handles = [
        module.register_forward_hook(lambda _module, _given, result, name=name: note(name, result))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _tensors(result: object) -> tuple[Shape, ...]:
    """Shapes of the tensors in what a module gave, however they are packed."""
    if isinstance(result, torch.Tensor):
        return (tuple(result.shape[1:]),)
    if isinstance(result, Mapping):
        return tuple(shape for value in result.values() for shape in _tensors(value))
    if isinstance(result, Sequence) and not isinstance(result, str):
        return tuple(shape for value in result for shape in _tensors(value))
    return ()


def _maps(network: TaskNetwork, in_channels: int) -> tuple[MapRow, ...]:
    """The encoder's maps, and the network's own output where that is a map of the chip."""
    if not hasattr(network.encoder, "feature_info"):
        return ()
    strides = strides_of(network.encoder)
    with torch.no_grad():
        shapes = [
            m.shape for m in network.encoder(torch.zeros(1, in_channels, strides[-1] * 2, strides[-1] * 2))
        ]
    fields = receptive_fields(network.encoder, in_channels, lambda encoder, image: list(encoder(image)))
    rows = [
        MapRow(f"encoder map {n}", stride, shape[1], field)
        for n, (stride, shape, field) in enumerate(zip(strides, shapes, fields, strict=True), start=1)
    ]
    with torch.no_grad():
        output = network(torch.zeros(1, in_channels, strides[-1] * 2, strides[-1] * 2)).get("logits")
    if output is None or output.ndim != 4:
        return tuple(rows)
    return (
        *rows,
        MapRow(
            "output",
            1,
            output.shape[1],
            receptive_fields(network, in_channels, lambda whole, image: [whole(image)["logits"]])[0],
        ),
    )

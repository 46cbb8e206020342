"""The layers of a network with the shapes of their outputs, their parameters, and how far they see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from .backbones import strides_of
from .receptivefield import receptive_fields
from .tasknetwork import TaskNetwork

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerRow:
    """One module."""

    name: str
    kind: str
    """Class of the module."""
    depth: int
    """0 for the parts of the network itself."""
    shapes: tuple[Shape, ...]
    """Shapes of its outputs, without the batch axis."""
    parameters: int
    trainable: int


@dataclass(frozen=True)
class MapRow:
    """A feature map, or the output map of the network."""

    name: str
    stride_px: int
    channels: int
    receptive_px: int | None
    """Side of the receptive field in pixels; None: the whole chip."""


@dataclass(frozen=True)
class NetworkSummary:
    """What is inside a network."""

    in_channels: int
    """Bands of the images."""
    size_px: int
    """Side of the image by which shapes were found."""
    layers: tuple[LayerRow, ...]
    maps: tuple[MapRow, ...]
    parameters: int
    trainable: int
    bytes: int
    """Size of the weights in a file."""


def summarize(network: TaskNetwork, in_channels: int, size_px: int, depth: int = 2) -> NetworkSummary:
    """Summarize a network by running it once on an empty chip. Leaves it in eval mode.

    Args:
        network: The network.
        in_channels: Bands of its images.
        size_px: Side of the empty chip.
        depth: Levels of nested layers to list.
    """
    network.eval()
    shapes = _output_shapes(network, torch.zeros(1, in_channels, size_px, size_px))
    layers = []
    for name, module in network.named_modules():
        level = name.count(".")
        if name and level < depth:
            parameters, trainable = _parameter_counts(module)
            layers.append(
                LayerRow(
                    name=name,
                    kind=type(module).__name__,
                    depth=level,
                    shapes=shapes.get(name, ()),
                    parameters=parameters,
                    trainable=trainable,
                )
            )
    parameters, trainable = _parameter_counts(network)
    return NetworkSummary(
        in_channels=in_channels,
        size_px=size_px,
        layers=tuple(layers),
        maps=_maps(network, in_channels),
        parameters=parameters,
        trainable=trainable,
        bytes=sum(value.numel() * value.element_size() for value in network.state_dict().values()),
    )


def _parameter_counts(module: torch.nn.Module) -> tuple[int, int]:
    """All parameters, and the trainable ones."""
    counts = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(count for count, _ in counts), sum(count for count, trainable in counts if trainable)


def _output_shapes(network: torch.nn.Module, image: torch.Tensor) -> dict[str, tuple[Shape, ...]]:
    """Shapes of what each module returned first."""
    shapes: dict[str, tuple[Shape, ...]] = {}

    def recorder(name: str) -> Callable[[torch.nn.Module, object, object], None]:
        # A hook must return None: anything else would replace the output.
        def record(module: torch.nn.Module, inputs: object, output: object) -> None:
            shapes.setdefault(name, _tensor_shapes(output))

        return record

    handles = [
        module.register_forward_hook(recorder(name)) for name, module in network.named_modules() if name
    ]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _tensor_shapes(output: object) -> tuple[Shape, ...]:
    """Shapes of the tensors in the output of a module, however they are nested."""
    if isinstance(output, torch.Tensor):
        return (tuple(output.shape[1:]),)
    if isinstance(output, Mapping):
        parts = list(output.values())
    elif isinstance(output, Sequence) and not isinstance(output, str):
        parts = list(output)
    else:
        return ()
    shapes: list[Shape] = []
    for part in parts:
        shapes += _tensor_shapes(part)
    return tuple(shapes)


def _maps(network: TaskNetwork, in_channels: int) -> tuple[MapRow, ...]:
    """The maps of the backbone, and the output of the network where it is a map of the chip."""
    backbone = network.backbone
    if not hasattr(backbone, "feature_info"):
        return ()
    strides = strides_of(backbone)
    image = torch.zeros(1, in_channels, strides[-1] * 2, strides[-1] * 2)
    with torch.no_grad():
        channels = [m.shape[1] for m in backbone(image)]
        output = network(image).get("logits")
    fields = receptive_fields(backbone, in_channels, lambda module, image: list(module(image)))
    rows = [
        MapRow(f"backbone map {number}", stride, count, field)
        for number, (stride, count, field) in enumerate(zip(strides, channels, fields, strict=True), start=1)
    ]
    if output is not None and output.ndim == 4:
        field = receptive_fields(network, in_channels, lambda module, image: [module(image)["logits"]])[0]
        rows.append(MapRow("output", 1, output.shape[1], field))
    return tuple(rows)

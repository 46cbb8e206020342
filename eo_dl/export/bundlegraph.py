"""Adding `model.onnx` to a bundle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bundle import CARD, ITEM, ONNX, PREVIEW, SPEC, WEIGHTS, Bundle, save_bundle
from ..core.arraytypes import Float32Array
from ..core.seeds import generator
from ..errors import ExportError
from ..modelspec import AnyChip
from ..networks.tasknetwork import TaskNetwork
from ..tasks import Task
from ..tasks.codecs import Codec
from .chipfreedom import chip_freedom
from .onnxgraph import Agreement, GraphInput, compare, export_graph

_CHECKED_CHIPS = 4
_MADE_AGAIN = {SPEC, WEIGHTS, CARD, ITEM}


def checked_graph(
    network: TaskNetwork, task: Task, codec: Codec, images: Float32Array, *, any_size: bool
) -> tuple[bytes, Agreement]:
    """The network as an ONNX graph that predicts the same.

    Args:
        network: The network, on the CPU.
        task: Its task.
        codec: Its codec.
        images: (N, C, H, W) normalized chips on which both are compared.
        any_size: True if the graph may take chips of other sizes.

    Raises:
        ExportError: The network cannot be exported, or the graph predicts something else.
    """
    _, bands, chip_px, _ = images.shape
    graph = export_graph(network, GraphInput(bands, chip_px, any_size))
    agreement = compare(graph, network, task, codec, images)
    if not agreement.within_tolerance:
        raise ExportError(f"the ONNX graph does not predict what the network predicts: {agreement.text}")
    return graph, agreement


@dataclass(frozen=True)
class NewGraph:
    """A graph made from the weights of a bundle."""

    graph: bytes
    """Content of `model.onnx`."""
    any_chip: AnyChip | None
    """The other chips that the network takes."""
    agreement: Agreement
    """How well graph and network agree."""


def graph_from_weights(bundle: Bundle) -> NewGraph:
    """The graph of a bundle's network.

    Graph and network are compared on random chips with the mean and the spread of the training data.

    Raises:
        ExportError: The network cannot be exported, or the graph predicts something else.
    """
    network = bundle.make_network()
    side, bands = bundle.spec.chip_px, len(bundle.bands)
    noise = generator(0, "onnx").standard_normal((_CHECKED_CHIPS, bands, side, side))
    freedom = chip_freedom(network, bundle.task, bands, side)
    graph, agreement = checked_graph(
        network,
        bundle.task,
        bundle.codec(),
        noise.astype(np.float32),
        any_size=freedom is not None,
    )
    return NewGraph(graph, freedom, agreement)


def add_graph(bundle: Bundle) -> tuple[Bundle, Agreement]:
    """Write `model.onnx` into a bundle, for engines other than torch.

    Args:
        bundle: The model; its file is replaced.

    Returns:
        The bundle with the graph, and how well both agree.

    Raises:
        ExportError: The network cannot be exported, or the graph predicts something else.
    """
    new = graph_from_weights(bundle)
    kept = {name: bundle.read(name) for name in bundle.members if name not in _MADE_AGAIN}
    preview = kept.pop(PREVIEW, None)
    spec = bundle.spec.model_copy(update={"any_chip": new.any_chip, "int8": None})
    written = save_bundle(
        bundle.path, spec, bundle.state(), preview=preview, extra={**kept, ONNX: new.graph}, overwrite=True
    )
    return written, new.agreement

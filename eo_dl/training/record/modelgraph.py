"""The ONNX graph of a trained network, so that the model predicts without torch."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import numpy as np

from ...core.arraytypes import Float32Array
from ...errors import ExportError
from ...export.bundlegraph import checked_graph
from ...export.chipfreedom import chip_freedom
from ...modelspec import AnyChip
from ...networks.tasknetwork import TaskNetwork
from ..setup.taskdata import TaskData

log = logging.getLogger(__name__)

_CHIPS = 8


@dataclass(frozen=True)
class ModelGraph:
    """A graph, or why there is none."""

    graph: bytes | None
    """Content of `model.onnx`; None if the network cannot be exported."""
    any_chip: AnyChip | None
    """The other chips that the network takes."""
    note: str
    """How well graph and network agree, or why there is no graph."""


def model_graph(network: TaskNetwork, data: TaskData) -> ModelGraph:
    """Export a network, and compare graph and network on chips that are not for training.

    A network that cannot be exported is no error: torch still runs it.

    Args:
        network: The network, on any device; it is not changed.
        data: What it was trained on.
    """
    on_cpu = copy.deepcopy(network).cpu().eval()
    freedom = chip_freedom(on_cpu, data.task, data.inputs.in_channels, data.chips.chip_px)
    try:
        graph, agreement = checked_graph(
            on_cpu, data.task, data.codec, _images(data), any_size=freedom is not None
        )
    except ExportError as error:
        log.warning("no model.onnx: %s; torch is needed to run this model", error)
        return ModelGraph(None, freedom, f"no model.onnx: {error}; torch is needed to run this model")
    log.info("model.onnx: %s", agreement.text)
    return ModelGraph(graph, freedom, f"model.onnx compared with torch: {agreement.text}")


def _images(data: TaskData) -> Float32Array:
    """The first chips of the first split that has some."""
    split = next(name for name in ("test", "val", "train") if data.records[name])
    dataset = data.dataset(split)
    return np.stack([dataset[index].image for index in range(min(_CHIPS, len(dataset)))])

"""A network as an ONNX graph, and the check that the graph predicts what the network predicts.

The graph takes normalized pixels (N, C, H, W) and gives the raw outputs of `TaskNetwork.forward` by name, so
that the same codec reads the answers of every engine. Inside it computes the backbone's features, which an
engine can make an output (`inference.backends.onnxmember`). The batch is free except for networks of boxes,
whose graph takes one chip at a time. Height and width are free where the network is fully convolutional.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch

from ..core.arrays import Objects
from ..core.arraytypes import AnyArray, Float32Array, FloatArray, UInt8Array
from ..core.rawnames import FEATURE_MAP, FEATURES
from ..errors import ExportError
from ..networks.featureoutput import WithFeatures
from ..networks.tasknetwork import TaskNetwork
from ..tasks import CHIPS, OBJECTS, RASTER, VALUES, OutputKind, Task
from ..tasks.codecs import Codec
from .graphedits import graph_bytes, read_graph
from .poolmatrices import with_exportable_pools

INPUT = "images"
"""Name of the graph's input."""

OPSET = 17
"""Version of the ONNX operators: the newest that the tracing exporter knows well, and old enough for the ONNX
Runtime of other programs."""

MOST_PIXELS_CHANGED = 0.0005
"""The largest share of pixels whose class may differ between graph and network."""
MOST_PROBABILITY = 0.001
"""The largest difference of the probability of a class of a chip."""
MOST_OF_SPREAD = 0.01
"""The largest difference of a value, in standard deviations of the values."""
MOST_BOX_PX = 0.1
"""The largest difference of a side of a box, pixels."""
MOST_BOXES_CHANGED = 0.001
"""The largest share of boxes that may differ more than that."""
_ROUNDING = 1e-5  # of a value, which may be far from 0 and hardly vary
_CERTAIN = 0.05  # objects with lower scores are noise whose order may change


@dataclass(frozen=True)
class GraphInput:
    """What a graph takes."""

    bands: int
    """Number of bands."""
    chip_px: int
    """Side of a chip."""
    any_size: bool
    """True if height and width are free, in steps of the network's stride."""


def export_graph(network: TaskNetwork, graph_input: GraphInput) -> bytes:
    """The network as an ONNX graph.

    Args:
        network: The network; it is not changed.
        graph_input: What the graph takes.

    Returns:
        The file's content.

    Raises:
        ExportError: ONNX has no counterpart for an operation of the network.
    """
    flat = _Flat(WithFeatures(with_exportable_pools(copy.deepcopy(network).cpu()))).eval()
    chip = torch.zeros(1, graph_input.bands, graph_input.chip_px, graph_input.chip_px)
    with torch.no_grad():
        names = list(flat.network(chip))
    axes = _free_axes(network, graph_input, names)
    content = io.BytesIO()
    # The exporter that traces, not the newer one: it takes 2 s where the newer one takes 21 s (U-Net,
    # ResNet-18), and it knows torchvision's box operations.
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                flat,
                (chip,),
                content,  # type: ignore[arg-type]  # any binary file works
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=names,
                dynamic_axes=axes,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
        raise ExportError(f"the network cannot be written as ONNX: {_first_sentence(error)}") from error
    return _without_features(content.getvalue())


def _without_features(graph: bytes) -> bytes:
    """The graph without the output of features. The node that computes them stays, and engines skip it: they
    compute what leads to an output.
    """
    model = read_graph(graph, "the exported graph")
    outputs = [output for output in model.graph.output if output.name not in (FEATURES, FEATURE_MAP)]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return graph_bytes(model)


class _Flat(torch.nn.Module):
    """A network whose outputs are a tuple: the exporter loses the names of a dictionary."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The outputs in the order of their names."""
        return tuple(self.network(images).values())


def _free_axes(network: TaskNetwork, graph_input: GraphInput, names: list[str]) -> dict[str, dict[int, str]]:
    free: dict[int, str] = {}
    if network.takes_batches:
        free[0] = "batch"
    if graph_input.any_size:
        free |= {2: "height", 3: "width"}
    sides = {name: dict(free) for name in names if name != FEATURES}
    batch = {axis: name for axis, name in free.items() if axis == 0}
    return {INPUT: free, FEATURES: batch} | sides


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks: that it is the older one, and that sizes become constants."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_sentence(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].split("  [Caused by")[0].strip() if lines else type(error).__name__


# The check


@dataclass(frozen=True)
class Agreement:
    """How well a graph predicts what its network predicts."""

    text: str
    """In words, with the figures."""
    within_tolerance: bool
    """True if the graph may stand for the network."""


def compare(graph: bytes, network: TaskNetwork, task: Task, codec: Codec, images: Float32Array) -> Agreement:
    """Run chips through graph and network.

    Args:
        graph: The ONNX file's content.
        network: The network, on the CPU.
        task: Its task.
        codec: Its codec.
        images: (N, C, H, W) normalized chips.

    Raises:
        ExportError: ONNX Runtime cannot run the graph.
    """
    expected, found = [], []
    network = network.eval()
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]
    for image in images:
        with torch.no_grad():
            raw = network(torch.from_numpy(image[None]))
        expected.append(codec.answer({name: value[0].numpy() for name, value in raw.items()}))
        outputs = _run(session, names, image)
        found.append(codec.answer({name: value[0] for name, value in zip(names, outputs, strict=True)}))
    return _COMPARISONS[task.output](expected, found)


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU, for a graph.

    Raises:
        ExportError: It cannot run the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no public base class
        raise ExportError(f"ONNX Runtime cannot run the graph: {_first_sentence(error)}") from error


def _run(session: onnxruntime.InferenceSession, names: list[str], image: Float32Array) -> list[AnyArray]:
    try:
        outputs: list[AnyArray] = session.run(names, {INPUT: image[None]})
    except Exception as error:  # as in `open_session`
        raise ExportError(f"ONNX Runtime cannot run the graph: {_first_sentence(error)}") from error
    return outputs


def _compare_maps(expected: Sequence[UInt8Array], found: Sequence[UInt8Array]) -> Agreement:
    pairs = zip(expected, found, strict=True)
    changed = float(np.mean([np.mean(first != second) for first, second in pairs]))
    text = f"{changed:.4%} of the pixels of {len(expected)} chips have another class"
    return Agreement(text, changed <= MOST_PIXELS_CHANGED)


def _compare_probabilities(expected: Sequence[Float32Array], found: Sequence[Float32Array]) -> Agreement:
    pairs = zip(expected, found, strict=True)
    difference = max(float(np.abs(first - second).max()) for first, second in pairs)
    text = f"class probabilities of {len(expected)} chips differ by {difference:.2g} at most"
    return Agreement(text, difference <= MOST_PROBABILITY)


def _compare_values(expected: Sequence[Float32Array], found: Sequence[Float32Array]) -> Agreement:
    network, graph = np.stack(expected), np.stack(found)
    difference = float(np.abs(network - graph).max())
    spread = float(network.std())
    text = (
        f"values of {len(expected)} chips differ by {difference:.2g} at most (their spread is {spread:.2g})"
    )
    return Agreement(
        text, difference <= max(MOST_OF_SPREAD * spread, _ROUNDING * float(np.abs(network).max()))
    )


def _compare_objects(expected: Sequence[Objects], found: Sequence[Objects]) -> Agreement:
    count = missing = 0
    for network_objects, graph_objects in zip(expected, found, strict=True):
        certain = network_objects.take(network_objects.scores >= _CERTAIN)
        count += len(certain)
        missing += sum(not _has_box(graph_objects, box, class_id) for box, class_id in _boxes(certain))
    text = f"{missing} of {count} boxes in {len(expected)} chips differ by more than {MOST_BOX_PX} px"
    return Agreement(text, missing <= max(1, MOST_BOXES_CHANGED * count))


def _boxes(objects: Objects) -> list[tuple[FloatArray, int]]:
    return list(zip(objects.boxes, objects.class_ids.tolist(), strict=True))


def _has_box(objects: Objects, box: FloatArray, class_id: int) -> bool:
    """True if a box of the same class lies at the same place."""
    differences = np.abs(objects.boxes - box).max(axis=1)
    return bool(np.any((differences <= MOST_BOX_PX) & (objects.class_ids == class_id)))


_COMPARISONS: dict[OutputKind, Callable[[Sequence[Any], Sequence[Any]], Agreement]] = {
    RASTER: _compare_maps,
    CHIPS: _compare_probabilities,
    OBJECTS: _compare_objects,
    VALUES: _compare_values,
}

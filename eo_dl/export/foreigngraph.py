"""ONNX graphs of other programs, changed so that they answer what the networks of eo_dl answer.

A bundle of such a graph belongs to a task like any other, and its codec, engines and outputs are the usual
ones: probabilities of pixels become logits (softmax gives them back), and boxes in a YOLO layout become rows
of boxes after non-maximum suppression, computed in the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, compose, helper, version_converter

from ..core.arraytypes import AnyArray
from ..core.seeds import generator
from ..errors import BundleError
from .graphedits import (
    add_constant,
    add_node,
    fix_input_shape,
    graph_bytes,
    set_metadata,
    set_outputs,
    shape_of,
)

OutputValues = Literal["auto", "probabilities", "logits"]

_OPSET, _LEAST_OPSET = 17, 13
_SMALLEST = 1e-7  # of a probability, so that its logarithm is finite
_ROUNDING = 1e-3
MOST_BOXES = 300
"""Boxes per chip that a graph of boxes gives."""


@dataclass(frozen=True)
class ForeignGraph:
    """A graph with one input (N, C, S, S) of float32, and what it answered to a chip."""

    model: onnx.ModelProto
    """The graph."""
    source: str
    """The file, for messages."""
    chip_px: int
    """S."""
    answer: AnyArray
    """The answer to one chip of random values from 0 to 1."""


def prepared(model: onnx.ModelProto, source: str, bands: int, chip_px: int | None) -> ForeignGraph:
    """Settle the input of a graph, and run it once.

    Args:
        model: The graph as read.
        source: The file, for messages.
        bands: Number of bands that the user named.
        chip_px: Side of a chip, where the graph leaves it free.

    Raises:
        BundleError: The graph takes or gives something else than chips and one array, or cannot be run.
    """
    model = _with_recent_operators(model, source)
    # The names of nodes that are added later must not be in use.
    model = compose.add_prefix(model, "imported/")
    constants = {constant.name for constant in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise BundleError(
            f"{source}: expected one input and one output, found {len(inputs)} and "
            f"{len(model.graph.output)}; export the network without further outputs"
        )
    graph_input = inputs[0]
    del model.graph.input[:]
    model.graph.input.append(graph_input)
    shape = shape_of(graph_input)
    side = _checked_side(graph_input, shape, source, bands, chip_px)
    batch: int | str = 1 if shape[0] is not None else "batch"
    fix_input_shape(model, (batch, bands, side, side))
    chip = generator(0, "imported graph").random((1, bands, side, side)).astype(np.float32)
    return ForeignGraph(model, source, side, run_graph(model, source, chip))


def _with_recent_operators(model: onnx.ModelProto, source: str) -> onnx.ModelProto:
    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset >= _LEAST_OPSET:
        return model
    try:
        converted: onnx.ModelProto = version_converter.convert_version(model, _OPSET)
    except Exception as error:  # it raises RuntimeError, and errors of its own from C++
        raise BundleError(
            f"{source}: its operators are those of opset {opset}, which cannot be converted ({error}); "
            f"export it again with opset {_LEAST_OPSET} or newer"
        ) from error
    return converted


def _checked_side(
    graph_input: onnx.ValueInfoProto,
    shape: tuple[int | None, ...],
    source: str,
    bands: int,
    chip_px: int | None,
) -> int:
    if graph_input.type.tensor_type.elem_type != TensorProto.FLOAT or len(shape) != 4:
        raise BundleError(f"{source}: expected an input of float32 (N, C, H, W), found {_text(shape)}")
    batch, channels, height, width = shape
    if channels not in (None, bands):
        raise BundleError(
            f"{source}: its input {_text(shape)} has {channels} channels, `bands` names {bands}; name each"
        )
    if batch not in (None, 1):
        raise BundleError(f"{source}: takes {batch} chips at once; export it with a batch of 1 or a free one")
    sides = {side for side in (height, width, chip_px) if side is not None}
    if len(sides) > 1:
        raise BundleError(
            f"{source}: expected one side of chips, found {sorted(sides)} px (input {_text(shape)})"
        )
    if not sides:
        raise BundleError(f"{source}: leaves the size of chips free; choose it with `chip_px`")
    return sides.pop()


def _text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("free" if length is None else str(length) for length in shape) + ")"


def run_graph(model: onnx.ModelProto, source: str, chip: AnyArray) -> AnyArray:
    """The first output for one chip.

    Raises:
        BundleError: ONNX Runtime cannot run the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        answer: AnyArray = session.run(None, {model.graph.input[0].name: chip})[0]
    except Exception as error:  # its errors share no public base class
        first_line = str(error).strip().splitlines()[0]
        raise BundleError(f"{source}: ONNX Runtime cannot run it ({first_line})") from error
    return answer


# Class maps


def class_map_channels(foreign: ForeignGraph) -> int:
    """Number of channels of a graph that answers (N, K, S, S) or (N, S, S).

    Raises:
        BundleError: It answers something else.
    """
    shape, side = foreign.answer.shape, foreign.chip_px
    if foreign.answer.dtype != np.float32 or shape[-2:] != (side, side) or len(shape) not in (3, 4):
        raise BundleError(
            f"{foreign.source}: expected probabilities or logits (N, K, {side}, {side}) of float32 for chips "
            f"of {side} px, found {shape} of {foreign.answer.dtype}"
        )
    return 1 if len(shape) == 3 else int(shape[1])


def class_map_graph(foreign: ForeignGraph, values: OutputValues) -> bytes:
    """The graph with "logits" (N, K, S, S) of at least two classes; one channel is the second of two.

    Args:
        foreign: The graph.
        values: What it answers; "auto": probabilities if all values of its answer lie within 0 and 1.
    """
    model, channels = foreign.model, class_map_channels(foreign)
    found = model.graph.output[0].name
    if foreign.answer.ndim == 3:
        axis = add_constant(model, "channel_axis", np.array([1], np.int64))
        found = add_node(model, "Unsqueeze", [found, axis], "one_channel")
    if values == "auto":
        values = "probabilities" if _within_0_and_1(foreign.answer) else "logits"
    if channels == 1:
        _add_two_channels(model, found, values)
    elif values == "probabilities":
        _add_logarithm(model, found, "logits")
    else:
        add_node(model, "Identity", [found], "logits")
    side = foreign.chip_px
    batch = shape_of(model.graph.input[0])[0] or "batch"
    set_outputs(model, {"logits": (TensorProto.FLOAT, (batch, max(2, channels), side, side))})
    return _finished(model)


def _within_0_and_1(answer: AnyArray) -> bool:
    return bool(answer.min() >= -_ROUNDING and answer.max() <= 1 + _ROUNDING)


def _add_two_channels(model: onnx.ModelProto, found: str, values: OutputValues) -> None:
    """Logits of background and class from one channel of sigmoids or of logits."""
    if values == "probabilities":
        one = add_constant(model, "one", np.array(1, np.float32))
        rest = add_node(model, "Sub", [one, found], "rest")
        background = _add_logarithm(model, rest, "logarithm_of_rest")
        of_class = _add_logarithm(model, found, "logarithm")
    else:
        background, of_class = add_node(model, "Sub", [found, found], "zeros"), found
    add_node(model, "Concat", [background, of_class], "logits", {"axis": 1})


def _add_logarithm(model: onnx.ModelProto, source: str, output: str) -> str:
    least = add_constant(model, f"least_of_{output}", np.array(_SMALLEST, np.float32))
    positive = add_node(model, "Max", [source, least], f"positive_{output}")
    return add_node(model, "Log", [positive], output)


# Boxes


@dataclass(frozen=True)
class BoxThresholds:
    """How boxes are chosen in the graph."""

    score: float
    """Boxes with lower scores are dropped."""
    overlap: float
    """IoU above which the lower-scoring of two boxes of a class is dropped."""


def boxes_graph(foreign: ForeignGraph, classes: int, thresholds: BoxThresholds) -> bytes:
    """The graph with "boxes" (1, M, 4), "scores" (1, M) and "channels" (1, M), M = `MOST_BOXES`.

    Layouts (centre x, centre y, width, height in pixels, then scores): YOLO 8 and newer (1, 4 + K, M), its
    transpose, and YOLO 5 and 7 (1, M, 5 + K) with a score of the object before those of the classes.

    Args:
        foreign: The graph.
        classes: K.
        thresholds: Of scores and overlaps.

    Raises:
        BundleError: The answer has no such layout.
    """
    model = foreign.model
    side, bands = foreign.chip_px, shape_of(model.graph.input[0])[1] or 1
    fix_input_shape(model, (1, bands, side, side))
    rows = _add_rows(foreign, classes)
    centres = _add_columns(model, rows, 0, 4, "centre_boxes")
    scores = _add_scores(model, rows, classes, int(foreign.answer.size // _row_count(foreign, classes)))
    most = add_constant(model, "most_boxes", np.array([MOST_BOXES], np.int64))
    overlap = add_constant(model, "most_overlap", np.array([thresholds.overlap], np.float32))
    least = add_constant(model, "least_score", np.array([thresholds.score], np.float32))
    # (n, 3) rows of chip, class and box
    chosen = add_node(
        model,
        "NonMaxSuppression",
        [centres, scores, most, overlap, least],
        "chosen",
        {"center_point_box": 1},
    )
    _add_best(model, centres, scores, chosen)
    set_outputs(
        model,
        {
            "boxes": (TensorProto.FLOAT, (1, MOST_BOXES, 4)),
            "scores": (TensorProto.FLOAT, (1, MOST_BOXES)),
            "channels": (TensorProto.INT64, (1, MOST_BOXES)),
        },
    )
    return _finished(model)


def _row_count(foreign: ForeignGraph, classes: int) -> int:
    """Number of candidates in the answer."""
    shape = foreign.answer.shape
    return int(shape[2] if shape[1] == 4 + classes else shape[1])


def _add_rows(foreign: ForeignGraph, classes: int) -> str:
    """(1, M, 4 + K) or (1, M, 5 + K), one row per candidate."""
    shape = foreign.answer.shape
    fits = len(shape) == 3 and shape[0] == 1 and foreign.answer.dtype == np.float32
    output = str(foreign.model.graph.output[0].name)
    if fits and shape[1] == 4 + classes:
        return add_node(foreign.model, "Transpose", [output], "rows", {"perm": [0, 2, 1]})
    if fits and shape[2] in (4 + classes, 5 + classes):
        return output
    raise BundleError(
        f"{foreign.source}: expected boxes (1, {4 + classes}, M) or (1, M, {5 + classes}) for {classes} "
        f"classes, found {shape}; check `classes`"
    )


def _add_columns(model: onnx.ModelProto, rows: str, start: int, stop: int, output: str) -> str:
    """Columns of (1, M, columns)."""
    first = add_constant(model, f"{output}_start", np.array([start], np.int64))
    last = add_constant(model, f"{output}_stop", np.array([stop], np.int64))
    axis = add_constant(model, f"{output}_axis", np.array([2], np.int64))
    return add_node(model, "Slice", [rows, first, last, axis], output)


def _add_scores(model: onnx.ModelProto, rows: str, classes: int, columns: int) -> str:
    """(1, K, M) scores."""
    if columns == 5 + classes:
        of_object = _add_columns(model, rows, 4, 5, "object_scores")
        of_class = _add_columns(model, rows, 5, columns, "conditional_scores")
        by_row = add_node(model, "Mul", [of_object, of_class], "row_scores")
    else:
        by_row = _add_columns(model, rows, 4, columns, "row_scores")
    return add_node(model, "Transpose", [by_row], "class_scores", {"perm": [0, 2, 1]})


def _add_best(model: onnx.ModelProto, centres: str, scores: str, chosen: str) -> None:
    """The chosen boxes with the highest scores, padded with rows of zeros."""
    score = add_node(model, "GatherND", [scores, chosen], "chosen_scores")
    class_column = add_constant(model, "class_column", np.array(1, np.int64))
    box_column = add_constant(model, "box_column", np.array(2, np.int64))
    channel = add_node(model, "Gather", [chosen, class_column], "chosen_channels", {"axis": 1})
    index = add_node(model, "Gather", [chosen, box_column], "chosen_boxes", {"axis": 1})
    first_axis = add_constant(model, "first_axis", np.array([0], np.int64))
    of_chip = add_node(model, "Squeeze", [centres, first_axis], "boxes_of_chip")
    box = add_node(model, "Gather", [of_chip, index], "chosen_centre_boxes", {"axis": 0})
    # Centre x, centre y, width, height times this matrix: corners (x0, y0, x1, y1).
    matrix = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32)
    to_corners = add_constant(model, "centres_to_corners", matrix)
    corners = add_node(model, "MatMul", [box, to_corners], "corners")
    padded_scores = _add_padding(model, score, np.zeros(MOST_BOXES, np.float32))
    padded_boxes = _add_padding(model, corners, np.zeros((MOST_BOXES, 4), np.float32))
    padded_channels = _add_padding(model, channel, np.zeros(MOST_BOXES, np.int64))
    count = add_constant(model, "box_count", np.array([MOST_BOXES], np.int64))
    model.graph.node.append(helper.make_node("TopK", [padded_scores, count], ["best_scores", "best"], axis=0))
    best_boxes = add_node(model, "Gather", [padded_boxes, "best"], "best_boxes", {"axis": 0})
    best_channels = add_node(model, "Gather", [padded_channels, "best"], "best_channels", {"axis": 0})
    add_node(model, "Unsqueeze", [best_boxes, first_axis], "boxes")
    add_node(model, "Unsqueeze", ["best_scores", first_axis], "scores")
    add_node(model, "Unsqueeze", [best_channels, first_axis], "channels")


def _add_padding(model: onnx.ModelProto, rows: str, zeros: AnyArray) -> str:
    padding = add_constant(model, f"padding_of_{rows}", zeros)
    return add_node(model, "Concat", [rows, padding], f"padded_{rows}", {"axis": 0})


def _finished(model: onnx.ModelProto) -> bytes:
    set_metadata(model, {})
    return graph_bytes(model)

"""Edits of ONNX graphs: nodes in front of the network and behind it, free sides made fixed, metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from ..core.arraytypes import AnyArray
from ..core.onnxcheck import names_other_files
from ..errors import BundleError


def read_graph(content: bytes, source: str) -> onnx.ModelProto:
    """The graph in an ONNX file.

    Args:
        content: The file's content.
        source: The file, for messages.

    Raises:
        BundleError: The file is no ONNX graph, or takes weights from other files.
    """
    try:
        if names_other_files(content):
            raise BundleError(
                f"{source}: takes weights from other files; save it as one file that holds them"
            )
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except BundleError:
        raise
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BundleError(f"{source}: not an ONNX graph ({first_line})") from error
    return model


def graph_bytes(model: onnx.ModelProto) -> bytes:
    """The file of a graph, checked; equal graphs give equal bytes."""
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def set_metadata(model: onnx.ModelProto, texts: Mapping[str, str]) -> None:
    """Replace the metadata of a graph."""
    del model.metadata_props[:]
    helper.set_model_props(model, dict(texts))


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata of a graph by key."""
    return {entry.key: entry.value for entry in model.metadata_props}


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Lengths of the axes of an input or output; None where one is free."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims)


def fix_input_shape(model: onnx.ModelProto, shape: Sequence[int | str]) -> None:
    """Give the only input a shape; names stand for free axes. Shapes that followed from the old one go."""
    graph_input = model.graph.input[0]
    fixed = helper.make_tensor_value_info(graph_input.name, TensorProto.FLOAT, list(shape))
    graph_input.CopyFrom(fixed)
    del model.graph.value_info[:]


def scale_input(model: onnx.ModelProto, gain: AnyArray, shift: AnyArray) -> None:
    """Make the graph compute `input * gain + shift` per band before anything else.

    Args:
        model: A graph with one input (N, C, H, W).
        gain: (C,) factors.
        shift: (C,) summands.
    """
    graph = model.graph
    name = graph.input[0].name
    scaled = "scaled_input"
    for node in graph.node:
        for index, source in enumerate(node.input):
            if source == name:
                node.input[index] = scaled
    add_constant(model, "input_gain", np.asarray(gain, np.float32).reshape(1, -1, 1, 1))
    add_constant(model, "input_shift", np.asarray(shift, np.float32).reshape(1, -1, 1, 1))
    first = [
        helper.make_node("Mul", [name, "input_gain"], ["input_times_gain"]),
        helper.make_node("Add", ["input_times_gain", "input_shift"], [scaled]),
    ]
    following = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *following])


def add_constant(model: onnx.ModelProto, name: str, values: AnyArray) -> str:
    """Add a constant to a graph, and give its name back."""
    # Not `ascontiguousarray`, which makes scalars 1-D.
    contiguous = np.require(values, requirements="C")
    model.graph.initializer.append(numpy_helper.from_array(contiguous, name))
    return name


Attributes = Mapping[str, int | float | Sequence[int]]


def add_node(
    model: onnx.ModelProto,
    operation: str,
    inputs: Sequence[str],
    output: str,
    attributes: Attributes | None = None,
) -> str:
    """Append a node with one output, and give the output's name back."""
    values: dict[str, Any] = dict(attributes or {})
    model.graph.node.append(helper.make_node(operation, list(inputs), [output], **values))
    return output


def set_outputs(model: onnx.ModelProto, outputs: Mapping[str, tuple[int, Sequence[int | str]]]) -> None:
    """Replace the outputs of a graph.

    Args:
        model: The graph, which computes values of these names.
        outputs: Name to (type of the elements, shape); names stand for free axes.
    """
    del model.graph.output[:]
    for name, (kind, shape) in outputs.items():
        model.graph.output.append(helper.make_tensor_value_info(name, kind, list(shape)))

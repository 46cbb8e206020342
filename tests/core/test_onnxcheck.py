"""A graph must hold its weights: OpenVINO reads them from whatever file the graph names, of any machine."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from eo_dl.core.onnxcheck import names_other_files


def external(name="w", location="/etc/passwd"):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def held(name="w"):
    return numpy_helper.from_array(np.arange(4, dtype=np.float32), name)


def graph(nodes, tensors=(), inputs=("x",)):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in inputs]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph(nodes, "g", values, [out], list(tensors))


ADD = helper.make_node("Add", ["x", "w"], ["y"])


def model(kind, tensor):
    if kind == "initializer":
        return helper.make_model(graph([ADD], [tensor]))
    if kind == "constant":
        constant = helper.make_node("Constant", [], ["w"], value=tensor)
        return helper.make_model(graph([constant, ADD]))
    if kind == "list of tensors":
        node = helper.make_node("Add", ["x", "x"], ["y"])
        node.attribute.append(helper.make_attribute("many", [held(), tensor]))
        return helper.make_model(graph([node]))
    if kind == "sparse":
        made = graph([ADD], [])
        sparse = made.sparse_initializer.add()
        sparse.values.CopyFrom(tensor)
        return helper.make_model(made)
    if kind == "branch":
        branch = graph([helper.make_node("Add", ["x", "w"], ["y"])], [tensor], inputs=())
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
        return helper.make_model(graph([node], inputs=("x", "c")))
    function = helper.make_function(
        "own",
        "f",
        ["x"],
        ["y"],
        [helper.make_node("Constant", [], ["w"], value=tensor), ADD],
        [helper.make_opsetid("", 17)],
    )
    return helper.make_model(graph([helper.make_node("f", ["x"], ["y"], domain="own")]), functions=[function])


KINDS = ["initializer", "constant", "list of tensors", "sparse", "branch", "function"]


@pytest.mark.parametrize("kind", KINDS)
def test_tensor_in_another_file_is_found_wherever_it_is(kind):
    assert names_other_files(model(kind, external()).SerializeToString())
    assert not names_other_files(model(kind, held()).SerializeToString())


def test_either_sign_of_another_file_is_enough():
    only_place, only_entry = external(), external()
    only_place.ClearField("external_data")
    only_entry.ClearField("data_location")
    for tensor in (only_place, only_entry):
        assert names_other_files(model("initializer", tensor).SerializeToString())


def test_models_that_follow_each_other_are_one():
    """ONNX files are merged with what is appended to them."""
    first = model("initializer", held()).SerializeToString()
    assert names_other_files(first + model("initializer", external("v")).SerializeToString())


@pytest.mark.parametrize("content", [b"", b"<net/>", b"PK\x03\x04", b"\xff" * 40, bytes(40)])
def test_what_is_no_model_is_an_error(content):
    with pytest.raises(ValueError):  # noqa: PT011
        names_other_files(content)


@given(st.binary(max_size=200))
def test_bytes_give_an_answer_or_an_error(content):
    with contextlib.suppress(ValueError):
        assert names_other_files(content) in (True, False)

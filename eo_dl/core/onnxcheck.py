"""ONNX graphs that name other files.

A tensor of a graph may lie in another file, named by any path ("external data"). OpenVINO reads it, wherever
it lies, so a model could show any file of the machine in its maps. ONNX files are protocol buffers; they are
walked here as far as tensors can lie, without the package onnx and without reading the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_LEVELS = 50

# For each message of onnx.proto3 that can hold tensors: which of its fields are which message.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a TensorProto


def names_other_files(graph: bytes) -> bool:
    """True if a tensor of an ONNX model lies in another file.

    Args:
        graph: The model, as its file holds it.

    Raises:
        ValueError: It is no ONNX model.
    """
    data = memoryview(graph)
    if not any(number == 7 and isinstance(value, memoryview) for number, value in _fields(data)):
        raise ValueError("holds no graph")
    return _has_external("ModelProto", data, 0)


def _has_external(message: str, data: memoryview, level: int) -> bool:
    if level > _MOST_LEVELS:
        raise ValueError("graphs within graphs without end")
    if message == "TensorProto":
        return any(
            number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
            for number, value in _fields(data)
        )
    inner = _FIELDS[message]
    return any(
        _has_external(inner[number], value, level + 1)
        for number, value in _fields(data)
        if number in inner and isinstance(value, memoryview)
    )


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: bytes, or a whole number. Raises `ValueError`."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(data, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of the kind {kind}")
        if length > len(data) - place:
            raise ValueError("a field longer than its message")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise ValueError("a number that is cut off")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number that is too long")

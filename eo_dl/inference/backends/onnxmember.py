"""The ONNX graph in a bundle, and what the engines that run it have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from ...bundle import ONNX, Bundle
from ...core.arraytypes import AnyArray, BoolArray
from ...core.onnxcheck import names_other_files
from ...core.rawnames import FEATURE_MAP, FEATURES
from ...errors import BundleError, ConfigError
from ..batches import Buffer
from .backend import Scaling, numpy_buffer


def onnx_graph(bundle: Bundle, *, inner: str = "") -> bytes:
    """The bundle's `model.onnx`.

    Args:
        bundle: The model.
        inner: `FEATURES` or `FEATURE_MAP`: make that an output, too.

    Raises:
        BundleError: It has none, it is damaged or names other files, or it computes no features.
    """
    if ONNX not in bundle.members:
        raise BundleError(
            f"{bundle.path}: holds no {ONNX}, so only torch can run it; add one with eo-dl model export "
            f"{bundle.path}"
        )
    graph = bundle.read(ONNX)
    _check_graph(graph, str(bundle.path))
    if not inner:
        return graph
    if not _computes(graph, inner):
        raise BundleError(
            f"{bundle.path}: its {ONNX} gives no features by which {_COMPARED[inner]} could be compared; "
            f"write it again where torch is installed, with eo-dl model export {bundle.path}"
        )
    return graph + _output_of(inner)


def _check_graph(graph: bytes, source: str) -> None:
    """Refuse a graph whose weights lie in other files: the engine would read any file of this machine."""
    try:
        reads_files = names_other_files(graph)
    except ValueError as error:
        raise BundleError(
            f"{source}: its {ONNX} is no ONNX graph ({error}); the file is damaged, copy or train it again"
        ) from error
    if reads_files:
        raise BundleError(
            f"{source}: its {ONNX} takes weights from other files, which is not allowed; use a model whose "
            "graph holds its weights"
        )


def check_precision(bundle: Bundle, precision: str) -> None:
    """Raises `ConfigError` if another precision than "auto" is requested of a graph in int8."""
    if bundle.spec.int8 is not None and precision != "auto":
        raise ConfigError(
            f"`precision` {precision}: the graph of {bundle.path} computes in int8; choose auto, or the "
            "model that it was made of"
        )


def gives_inner(bundle: Bundle, inner: str) -> bool:
    """True if the bundle holds a graph that computes this value inside (`core.rawnames`)."""
    return ONNX in bundle.members and _computes(bundle.read(ONNX), inner)


_COMPARED = {FEATURES: "chips", FEATURE_MAP: "ground"}


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer: its number and wire type 2, the length (below 128), the content."""
    return bytes([number << 3 | 2, len(content)]) + content


# ONNX files are protocol buffers: messages that follow each other in one file are merged, so an output is
# added by appending it, without the package onnx. Numbers of the fields are those of onnx.proto3.
_FLOAT_TENSOR = _field(1, bytes([1 << 3, 1]))  # TypeProto.tensor_type with elem_type FLOAT


def _output_of(name: str) -> bytes:
    """What makes an inner value of a graph one of its outputs."""
    value = _field(1, name.encode()) + _field(2, _FLOAT_TENSOR)  # ValueInfoProto: name, type
    return _field(7, _field(12, value))  # ModelProto.graph, GraphProto.output


def _computes(graph: bytes, name: str) -> bool:
    """True if a node has an output of that name."""
    return _field(2, name.encode()) in graph  # NodeProto.output


class GraphBackend(ABC):
    """What engines of ONNX graphs have in common: float32 batches in main memory.

    Args:
        names: Names of the graph's outputs.
        most: Chips that the graph takes at once; None: any number.
    """

    takes_stored = False
    batch_px = 2**20
    chip_px = 512  # larger chips leave the processor's cache

    def __init__(self, names: Sequence[str], most: int | None) -> None:
        self._names, self._most = names, most

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        """Memory for a batch."""
        return numpy_buffer(count, bands, size, dtype)

    def run(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> Mapping[str, AnyArray]:
        """See `Backend`."""
        count = len(pixels)
        step = count if self._most is None else self._most
        parts = [self._infer(pixels[start : start + step]) for start in range(0, count, step)]
        if len(parts) == 1:
            return dict(zip(self._names, parts[0], strict=True))
        columns = zip(*parts, strict=True)
        return {name: np.concatenate(column) for name, column in zip(self._names, columns, strict=True)}

    @abstractmethod
    def _infer(self, pixels: AnyArray) -> Sequence[AnyArray]:
        """The outputs for chips (N, C, H, W), in the order of their names."""

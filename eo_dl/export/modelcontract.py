"""The contract of a model as one JSON text, for graphs that travel without their bundle."""

from __future__ import annotations

import json

from ..bundle import Bundle
from ..modelspec import ModelSpec
from ..version import __version__
from .graphedits import graph_bytes, read_graph, set_metadata

CONTRACT_KEY = "eo_dl"
"""The key of an ONNX file's metadata that holds the contract."""

_KEPT = (
    "name",
    "task",
    "bands",
    "classes",
    "gsd_m",
    "gsd_tolerance",
    "chip_px",
    "margin_px",
    "any_chip",
    "normalization",
    "thresholds",
    "scores",
    "valid",
)


def plain_graph(bundle: Bundle, graph: bytes) -> bytes:
    """A bundle's unchanged graph, with the contract in its metadata.

    Args:
        bundle: The model.
        graph: Its graph.
    """
    model = read_graph(graph, str(bundle.path))
    set_metadata(model, {CONTRACT_KEY: contract_json(bundle.spec)})
    return graph_bytes(model)


def contract_json(spec: ModelSpec) -> str:
    """What a program must know to run a model: bands, units, normalization, classes, GSD, chip, margin.

    "input" says how stored values become the input of the graph: per band `stored * gain + shift`, and 0
    where a pixel was not measured. "valid" says in how many bands a pixel must be measured to count.
    """
    fields = spec.model_dump(mode="json")
    contract = {name: fields[name] for name in _KEPT}
    gain, shift = spec.normalize().coefficients(spec.band_set())
    contract["input"] = {
        "layout": "NCHW",
        "dtype": "float32",
        "gain": [float(value) for value in gain],
        "shift": [float(value) for value in shift],
        "not_measured": 0,
    }
    contract["eo_dl"] = __version__
    contract["licence"] = spec.provenance.licence
    return json.dumps(contract, sort_keys=True, ensure_ascii=False, allow_nan=False)

"""`export_model`: a bundle as a file of another program, or as a folder for Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from ..bundle import ONNX, Bundle, load_model
from ..errors import ConfigError
from ..io.atomic import atomic_file, refuse_existing, write_bytes
from ..io.outputlock import locks_output
from .deepnessgraph import deepness_graph
from .hubfolder import write_hub_folder
from .modelcontract import plain_graph

ExportTarget = Literal["onnx", "deepness", "huggingface"]
EXPORT_TARGETS: tuple[str, ...] = get_args(ExportTarget)


@locks_output
def export_model(
    model: Bundle | str | Path, out: str | Path, *, target: ExportTarget = "onnx", overwrite: bool = False
) -> Path:
    """Write a model as a file of another program, or as a folder for Hugging Face.

    Args:
        model: The model or its file.
        out: The new file, .onnx; the new folder for "huggingface".
        target: "onnx": the graph as the engines of eo_dl run it, on normalized chips, with the contract
            (bands, units, normalization, classes, GSD, chip, margin, thresholds) as JSON under the metadata
            key `eo_dl`. "deepness": the graph with normalization and probabilities or boxes in the layout of
            YOLO, and the metadata keys that the QGIS plug-in Deepness reads. "huggingface": a folder with
            model, graph, model card, STAC item and preview, ready to push.
        overwrite: Replace an existing file or folder.

    Returns:
        The path of the file or folder.

    Raises:
        ConfigError: The target is unknown, or the name of the file does not end in .onnx.
        ExportError: The network cannot be written as ONNX, or Deepness has no counterpart for its task.

    Example:
        >>> export_model("roofs.eodl", "roofs.onnx", target="deepness")  # doctest: +SKIP
    """
    if target not in EXPORT_TARGETS:
        raise ConfigError(f"`target` {target!r} is unknown; choose {', '.join(EXPORT_TARGETS)}")
    path = Path(out)
    if target == "huggingface":
        refuse_existing(path, overwrite)
        bundle = load_model(model)
        write_hub_folder(bundle, graph_of(bundle), path, overwrite=overwrite)
        return path
    if path.suffix.lower() != ".onnx":
        raise ConfigError(f"{path}: the file of an ONNX graph ends in .onnx; choose another name")
    refuse_existing(path, overwrite)
    bundle = load_model(model)
    graph = graph_of(bundle)
    content = deepness_graph(bundle, graph) if target == "deepness" else plain_graph(bundle, graph)
    with atomic_file(path, overwrite=overwrite) as part:
        write_bytes(part, content)
    return path


def graph_of(bundle: Bundle) -> bytes:
    """The bundle's `model.onnx`; made from the weights where it has none.

    Raises:
        ExportError: The network cannot be exported.
    """
    if ONNX in bundle.members:
        return bundle.read(ONNX)
    from .bundlegraph import graph_from_weights  # lazy: imports torch

    return graph_from_weights(bundle).graph

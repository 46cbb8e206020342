"""A model as the ONNX file that Deepness, the QGIS plug-in, opens.

Deepness divides every stored value by 255, whatever its data type, and then standardizes it. The graph undoes
the division and normalizes by itself, so that 8-bit and 16-bit scenes give what `predict` gives, and the keys
of standardization say "leave it". Keys and layouts are those of Deepness 0.6.5.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto
from pydantic import JsonValue

from ..bundle import Bundle
from ..errors import ExportError
from ..tasks import OBJECTS, RASTER
from .graphedits import (
    add_constant,
    add_node,
    fix_input_shape,
    graph_bytes,
    read_graph,
    scale_input,
    set_metadata,
    set_outputs,
)
from .modelcontract import CONTRACT_KEY, contract_json

_DIVISOR = 255.0
_BOXES = {"boxes", "scores", "channels"}


def deepness_graph(bundle: Bundle, graph: bytes) -> bytes:
    """A bundle's graph for Deepness, with its metadata keys.

    Args:
        bundle: The model.
        graph: Its graph, of normalized chips to raw outputs.

    Returns:
        The file's content: segmentation gives probabilities (1, K, H, W) whose first class is the background,
        detection (1, 4 + K, M) with centre, width and height of boxes and the scores of the classes.

    Raises:
        ExportError: Deepness has no counterpart for the task.
    """
    model = read_graph(graph, str(bundle.path))
    keys = _tail_for(bundle, model)(bundle, model)
    side, bands = bundle.spec.chip_px, len(bundle.bands)
    fix_input_shape(model, (1, bands, side, side))
    gain, shift = bundle.normalization.coefficients(bundle.bands)
    scale_input(model, gain * _DIVISOR, shift)
    set_metadata(model, _texts(_common_keys(bundle) | keys) | {CONTRACT_KEY: contract_json(bundle.spec)})
    return graph_bytes(model)


def _tail_for(
    bundle: Bundle, model: onnx.ModelProto
) -> Callable[[Bundle, onnx.ModelProto], dict[str, object]]:
    outputs = {output.name for output in model.graph.output}
    if outputs == {"logits"} and bundle.task.output == RASTER:
        return _add_probabilities
    if outputs == _BOXES and bundle.codec_for(OBJECTS).one_object is None:
        return _add_yolo_layout
    raise ExportError(
        f"{bundle.path}: Deepness has no counterpart for {bundle.task.title}; export a model of "
        "segmentation or detection, or use `target` onnx"
    )


def _common_keys(bundle: Bundle) -> dict[str, object]:
    spec = bundle.spec
    keys: dict[str, object] = {
        # Deepness reads "tile_size" and documents "tiles_size".
        "tile_size": spec.chip_px,
        "tiles_size": spec.chip_px,
        "tiles_overlap": math.ceil(100 * 2 * spec.margin_px / spec.chip_px),
        "standardization_mean": [0.0] * len(bundle.bands),
        "standardization_std": [1.0] * len(bundle.bands),
    }
    if spec.gsd_m is not None:
        keys["resolution"] = round(100 * spec.gsd_m, 6)  # centimetres
    return keys


def _texts(keys: dict[str, object]) -> dict[str, str]:
    return {name: json.dumps(value, ensure_ascii=False) for name, value in keys.items()}


def _numbered(names: list[str]) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}


def _add_probabilities(bundle: Bundle, model: onnx.ModelProto) -> dict[str, object]:
    """Softmax, with the background as first class: Deepness takes class 0 for it."""
    classes, side = bundle.classes, bundle.spec.chip_px
    names = list(classes.names)
    output = add_node(model, "Softmax", ["logits"], "softmax_of_logits", {"axis": 1})
    if not classes.has_background:
        nothing = add_constant(model, "no_background", np.zeros((1, 1, side, side), np.float32))
        output = add_node(model, "Concat", [nothing, output], "with_background", {"axis": 1})
        names = ["background", *names]
    elif classes.ids[0] != 0:
        order = sorted(range(len(classes)), key=lambda channel: classes.ids[channel] != 0)
        channels = add_constant(model, "background_first", np.array(order, np.int64))
        output = add_node(model, "Gather", [output, channels], "with_background_first", {"axis": 1})
        names = [names[channel] for channel in order]
    add_node(model, "Identity", [output], "probabilities")
    set_outputs(model, {"probabilities": (TensorProto.FLOAT, (1, len(names), side, side))})
    return {
        "model_type": "Segmentor",
        "class_names": _numbered(names),
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }


def _add_yolo_layout(bundle: Bundle, model: onnx.ModelProto) -> dict[str, object]:
    """Boxes (1, M, 4) with scores and channels (1, M) to (1, 4 + K, M), the layout of Ultralytics.

    Rows without an object have score 0 in every class.
    """
    count, overlap = bundle.spec.config["detections"], bundle.spec.config["overlap"]
    classes = bundle.classes
    # Corners (x0, y0, x1, y1) times this matrix: centre x, centre y, width, height.
    matrix = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32)
    to_centres = add_constant(model, "corners_to_centres", matrix)
    centres = add_node(model, "MatMul", ["boxes", to_centres], "centre_boxes")
    class_count = add_constant(model, "class_count", np.array(len(classes), np.int64))
    off_on = add_constant(model, "off_on", np.array([0, 1], np.float32))
    of_class = add_node(model, "OneHot", ["channels", class_count, off_on], "of_class", {"axis": -1})
    last_axis = add_constant(model, "last_axis", np.array([2], np.int64))
    column = add_node(model, "Unsqueeze", ["scores", last_axis], "score_column")
    class_scores = add_node(model, "Mul", [of_class, column], "class_scores")
    rows = add_node(model, "Concat", [centres, class_scores], "yolo_rows", {"axis": 2})
    add_node(model, "Transpose", [rows], "detections", {"perm": [0, 2, 1]})
    set_outputs(model, {"detections": (TensorProto.FLOAT, (1, 4 + len(classes), _whole(count)))})
    return {
        "model_type": "Detector",
        "class_names": _numbered(list(classes.names)),
        "det_type": "YOLO_Ultralytics",
        "det_conf": bundle.spec.thresholds.get("score", 0.5),
        "det_iou_thresh": overlap,
    }


def _whole(value: JsonValue) -> int:
    if not isinstance(value, int):
        raise ExportError(f"expected a number of boxes per chip in the model's config, found {value!r}")
    return value

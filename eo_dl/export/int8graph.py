"""A model whose graph computes in 8-bit integers: smaller, and faster where the processor has instructions
for them (AVX-512 VNNI, AMX).

The ranges of all values inside the network are measured on train chips (static quantization of ONNX Runtime),
and what the shorter numbers cost is measured on chips that are not for training, with the scorer of
`evaluate`. Coordinates of boxes need more than 8 bits, so models of objects are refused.
"""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime

from ..bundle import CARD, ITEM, ONNX, PREVIEW, SPEC, WEIGHTS, Bundle, load_model, save_bundle
from ..chips.chiprecord import ChipRecord
from ..chips.chipset import ChipSet, open_chip_set
from ..chips.dataset import ChipDataset
from ..core.arraytypes import AnyArray, Float32Array
from ..core.progress import OnProgress, silent
from ..errors import ConfigError, ExportError
from ..io.atomic import refuse_existing
from ..io.outputlock import locks_output
from ..modelspec import Int8Spec
from ..tasks import OBJECTS, RASTER, VALUES, OutputKind
from ..tasks.codecs import Answer
from .graphedits import graph_bytes, read_graph
from .modelexport import graph_of
from .onnxgraph import open_session

_CALIBRATION_CHIPS = 64
_NEEDS_MORE_BITS: dict[OutputKind, str] = {OBJECTS: "coordinates of boxes", VALUES: "numbers with a unit"}
_QUANTIZED = ["Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Relu", "MaxPool", "Concat", "Resize"]
_MADE_AGAIN = {SPEC, WEIGHTS, CARD, ITEM, ONNX}


@locks_output
def quantize_model(
    model: Bundle | str | Path,
    chips: ChipSet | str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Bundle:
    """A copy of a model whose `model.onnx` computes in 8-bit integers, with the score that it costs.

    OpenVINO and ONNX Runtime run the copy in int8; torch still runs its weights in floating point.

    Args:
        model: The model or its file; it gives class maps or classes of chips.
        chips: A chip set of the model's bands, classes and chip size. Up to 64 train chips calibrate the
            graph; the test chips (validation chips where there are none) are scored.
        out: The new model, .eodl.
        overwrite: Replace an existing file.
        on_progress: Called with (chips done, total, what).

    Returns:
        The new model; `spec.int8` says what was measured.

    Raises:
        ConfigError: Chips and model do not fit, or the set has no train chips or none to score.
        ExportError: The model detects objects or gives values, is in int8 already, or cannot be quantized.
        OutputExistsError: `out` exists.

    Example:
        >>> quantize_model("roofs.eodl", "chips", "roofs_int8.eodl").spec.int8  # doctest: +SKIP
    """
    refuse_existing(out, overwrite)
    bundle = load_model(model)
    if bundle.task.output in _NEEDS_MORE_BITS:
        raise ExportError(
            f"{bundle.path}: a {bundle.task.name} model cannot be exported in int8: "
            f"{_NEEDS_MORE_BITS[bundle.task.output]} need more than 8 bits; use it as it is"
        )
    if bundle.spec.int8 is not None:
        raise ExportError(f"{bundle.path}: its graph is in int8 already; name the model that it was made of")
    chip_set = chips if isinstance(chips, ChipSet) else open_chip_set(chips)
    _check_fit(bundle, chip_set)
    graph = graph_of(bundle)
    split: Literal["val", "test"] = "test" if chip_set.split("test") else "val"
    calibration, scored = chip_set.split("train"), chip_set.split(split)
    if not calibration or not scored:
        raise ConfigError(
            f"{chip_set.path}: int8 needs train chips, on which the graph is calibrated, and test or "
            f"validation chips, on which its score is measured; found {len(calibration)} and {len(scored)}"
        )
    calibration = calibration[:: -(-len(calibration) // _CALIBRATION_CHIPS)]
    quantized = _quantized(graph, _images(bundle, chip_set, calibration, on_progress), str(bundle.path))
    exact = _judge(bundle, chip_set, scored, graph, on_progress)
    short = _judge(bundle, chip_set, scored, quantized, on_progress)
    measured = Int8Spec(
        calibration_chips=len(calibration),
        score=bundle.task.primary_score,
        split=split,
        scored_chips=len(scored),
        value=_defined(short.score),
        value_float32=_defined(exact.score),
        changed=_changed(bundle, exact.answers, short.answers),
    )
    spec = bundle.spec.model_copy(update={"int8": measured})
    kept = {name: bundle.read(name) for name in bundle.members if name not in _MADE_AGAIN}
    preview = kept.pop(PREVIEW, None)
    state = bundle.state() if bundle.has_weights else None
    return save_bundle(
        out, spec, state, preview=preview, extra={**kept, ONNX: quantized}, overwrite=overwrite
    )


def _check_fit(bundle: Bundle, chips: ChipSet) -> None:
    """Raises `ConfigError` unless the chips look like those of the model's training."""
    differences = []
    if bundle.bands.names != chips.bands.names:
        differences.append(("bands", chips.bands.describe(), bundle.bands.describe()))
    if bundle.spec.chip_px != chips.chip_px:
        differences.append(("chips of px", str(chips.chip_px), str(bundle.spec.chip_px)))
    for what, found, expected in differences:
        raise ConfigError(
            f"{chips.path}: has {what} {found}, {bundle.path.name} has {expected}; calibrate with the "
            "chip set of its training, or one cut alike"
        )
    known = {(info.name, info.id) for info in bundle.classes}
    unknown = [info.name for info in chips.classes if (info.name, info.id) not in known]
    if unknown or not bundle.spec.reads_gsd(chips.gsd_m):
        what = f"class {unknown[0]!r}" if unknown else f"GSD {chips.gsd_m:.4g} m"
        raise ConfigError(
            f"{chips.path}: has {what}, with which {bundle.path.name} was not trained; calibrate with the "
            "chip set of its training, or one cut alike"
        )


def _dataset(bundle: Bundle, chips: ChipSet, records: Sequence[ChipRecord]) -> ChipDataset:
    return ChipDataset(chips, records, bundle.codec(), bundle.normalization)


def _images(
    bundle: Bundle, chips: ChipSet, records: Sequence[ChipRecord], on_progress: OnProgress
) -> Iterator[Float32Array]:
    """Chips (1, C, H, W) as the graph takes them."""
    dataset = _dataset(bundle, chips, records)
    for index in range(len(dataset)):
        on_progress(index, len(dataset), "chips to calibrate")
        yield dataset[index].image[None]
    on_progress(len(dataset), len(dataset), "chips to calibrate")


def _quantized(graph: bytes, images: Iterator[Float32Array], source: str) -> bytes:
    """The graph with quantized weights and values. Operations that have no int8 form stay in float32."""
    from onnxruntime.quantization import (  # lazy: takes a second, and only this verb needs it
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the package has no types
        """Hands the chips to ONNX Runtime."""

        def get_next(self) -> dict[str, Float32Array] | None:
            """The next input; None at the end."""
            image = next(images, None)
            return None if image is None else {name: image}

    parsed = read_graph(graph, source)
    name = parsed.graph.input[0].name
    with tempfile.TemporaryDirectory() as folder, _without_remarks():
        path = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                parsed,
                path,
                Reader(),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=_QUANTIZED,
            )
            return graph_bytes(read_graph(path.read_bytes(), source))
        except (ValueError, RuntimeError, TypeError, KeyError) as error:
            raise ExportError(f"{source}: its graph cannot be quantized ({error})") from error


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Without the advice of the quantizer, which it logs for the root logger."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class _Judged:
    """What one graph says about the scored chips."""

    score: float
    answers: list[Answer]


def _defined(score: float) -> float | None:
    """The score; None where it is not defined, e.g. of classes that no scored chip shows."""
    return None if math.isnan(score) else score


def _judge(
    bundle: Bundle, chips: ChipSet, records: Sequence[ChipRecord], graph: bytes, on_progress: OnProgress
) -> _Judged:
    codec, session = bundle.codec(), open_session(graph)
    names = [output.name for output in session.get_outputs()]
    scorer = bundle.task.make_scorer(codec, 0.0)
    dataset, answers = _dataset(bundle, chips, records), []
    for index, record in enumerate(records):
        sample = dataset[index]
        raw = _first_chip(session, names, sample.image)
        answer = codec.answer(raw)
        scorer.update(answer, codec.truth(sample.target), f"{record.scene_index}/{record.block}")
        answers.append(answer)
        on_progress(index + 1, len(records), "chips to score")
    overall = [
        score.value
        for score in scorer.scores()
        if score.name == bundle.task.primary_score and score.class_name is None
    ]
    return _Judged(float(overall[0]), answers)


def _first_chip(
    session: onnxruntime.InferenceSession, names: list[str], image: Float32Array
) -> dict[str, AnyArray]:
    outputs: list[AnyArray] = session.run(names, {session.get_inputs()[0].name: image[None]})
    return {name: array[0] for name, array in zip(names, outputs, strict=True)}


def _changed(bundle: Bundle, exact: Sequence[Answer], short: Sequence[Answer]) -> float:
    """The share of pixels of another class, or the largest difference of a probability of a chip."""
    pairs = [(np.asarray(first), np.asarray(second)) for first, second in zip(exact, short, strict=True)]
    if bundle.task.output == RASTER:
        return float(np.mean([np.mean(first != second) for first, second in pairs]))
    return float(max(np.abs(first - second).max() for first, second in pairs))

"""`import_model`: an ONNX file of another program as a bundle."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from ..bundle import ONNX, Bundle, save_bundle
from ..core.bands import Band, BandSet, canonical_name
from ..core.classes import ClassSet
from ..errors import BundleError, ConfigError
from ..io.atomic import refuse_existing
from ..io.outputlock import locks_output
from ..modelspec import ModelSpec, NormalizationSpec, Provenance, band_specs, class_specs
from ..tasks import OBJECTS, load_task
from ..version import __version__
from .foreigngraph import (
    MOST_BOXES,
    BoxThresholds,
    ForeignGraph,
    OutputValues,
    boxes_graph,
    class_map_channels,
    class_map_graph,
    prepared,
)
from .foreignkeys import ForeignKeys, read_keys
from .graphedits import metadata_of, read_graph, shape_of

_DIVISOR = 255.0
_SCORE, _IOU = 0.5, 0.5
_LEAST_SCORE = 0.05
_MOST_BYTES = 4 * 2**30
_DTYPES = {255.0: "uint8", 65535.0: "uint16"}
_BACKGROUND_NAMES = {"background", "bg"}


@dataclass(frozen=True)
class ForeignContract:
    """What an ONNX file does not say about itself. Its keys (Deepness, GeoDeep, Ultralytics) come second."""

    bands: Sequence[str] = ()
    """Names of the bands, in the order of the input."""
    classes: Sequence[str] | None = None
    """Names of the classes, in the order of the output."""
    gsd_m: float | None = None
    """GSD that the network was trained with, metres."""
    chip_px: int | None = None
    """Side of a chip, pixels, where the graph leaves it free."""
    margin_px: int | None = None
    """Context per side (default: half the overlap in the file, or an eighth of the chip)."""
    divisor: float | None = None
    """Stored values are divided by it (default 255)."""
    mean: Sequence[float] | None = None
    """Mean per band, subtracted after the division (default 0)."""
    std: Sequence[float] | None = None
    """Standard deviation per band, of the divided values (default 1)."""
    values: OutputValues = "auto"
    """What a class map is made of: "probabilities" or "logits"; "auto": seen from an answer."""


@locks_output
def import_model(
    graph: str | Path,
    out: str | Path,
    contract: ForeignContract = ForeignContract(),
    *,
    licence: str = "",
    overwrite: bool = False,
) -> Bundle:
    """Make a bundle of an ONNX file of another program, e.g. of Deepness, GeoDeep or Ultralytics.

    The graph takes chips (N, C, H, W) of float32 and gives class maps (N, K, H, W), probabilities or logits,
    or boxes in a layout of YOLO. The bundle has no weights for torch: OpenVINO and ONNX Runtime run it.

    Args:
        graph: The ONNX file.
        out: The new model, .eodl.
        contract: What the file does not say.
        licence: Licence of the model.
        overwrite: Replace an existing file.

    Returns:
        The bundle, opened.

    Raises:
        BundleError: The file is no ONNX graph, or takes or gives something else.
        ConfigError: Something must be stated in `contract`.
        OutputExistsError: `out` exists.

    Example:
        >>> import_model("trees.onnx", "trees.eodl", ForeignContract(bands=("red", "green", "blue")))
        ... # doctest: +SKIP
    """
    path = Path(graph)
    refuse_existing(out, overwrite)
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise BundleError(f"{path}: expected an ONNX file of at most {_MOST_BYTES} bytes")
    content = path.read_bytes()
    model = read_graph(content, str(path))
    keys = read_keys(metadata_of(model), str(path))
    if not contract.bands:
        raise ConfigError(f"{path}: does not name its bands; name them in order with `bands`")
    chip_px = _free_side(model, contract, keys)
    foreign = prepared(model, str(path), len(contract.bands), chip_px)
    detects = foreign.answer.ndim == 3 and foreign.answer.shape[-1] != foreign.answer.shape[-2]
    detects = keys.detects if keys.detects is not None else detects
    classes = _classes(foreign, contract, keys, detects)
    thresholds: dict[str, float] = {}
    if detects:
        thresholds = {
            "score": _SCORE if keys.score is None else keys.score,
            "iou": _IOU if keys.iou is None else keys.iou,
        }
        limits = BoxThresholds(min(_LEAST_SCORE, thresholds["score"]), thresholds["iou"])
        finished = boxes_graph(foreign, len(classes), limits)
    else:
        finished = class_map_graph(foreign, contract.values)
    spec = _spec(foreign, contract, keys, classes, thresholds)
    origin = Provenance(
        eo_dl=__version__,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        licence=licence,
        notes=(f"imported from {path.name}, SHA-256 {hashlib.sha256(content).hexdigest()}",),
    )
    spec = spec.model_copy(update={"name": Path(out).stem, "graph_from": path.name, "provenance": origin})
    return save_bundle(out, spec, None, extra={ONNX: finished}, overwrite=overwrite)


def _free_side(model: onnx.ModelProto, contract: ForeignContract, keys: ForeignKeys) -> int | None:
    """The stated side; that in the file's keys only where the graph leaves it free, as in Deepness."""
    if contract.chip_px is not None:
        return contract.chip_px
    fixed = any(None not in shape_of(value)[2:] for value in model.graph.input[:1])
    return None if fixed else keys.chip_px


def _spec(
    foreign: ForeignGraph,
    contract: ForeignContract,
    keys: ForeignKeys,
    classes: ClassSet,
    thresholds: dict[str, float],
) -> ModelSpec:
    task = load_task("detection" if thresholds else "segmentation")
    config: dict[str, object] = {}
    if task.output == OBJECTS:
        config = {"detections": MOST_BOXES, "overlap": thresholds["iou"]}
    return ModelSpec(
        task=task.name,
        config=task.config.model_validate(config).model_dump(mode="json"),
        bands=band_specs(_bands(contract)),
        classes=class_specs(classes),
        gsd_m=keys.gsd_m if contract.gsd_m is None else contract.gsd_m,
        chip_px=foreign.chip_px,
        margin_px=_margin_px(foreign, contract, keys),
        normalization=_normalization(contract, keys),
        thresholds=thresholds,
    )


def _divisor(contract: ForeignContract) -> float:
    return _DIVISOR if contract.divisor is None else contract.divisor


def _bands(contract: ForeignContract) -> BandSet:
    dtype = _DTYPES.get(_divisor(contract), "float32")
    return BandSet(
        tuple(
            Band(canonical_name(name), number, dtype=dtype)
            for number, name in enumerate(contract.bands, start=1)
        )
    )


def _normalization(contract: ForeignContract, keys: ForeignKeys) -> NormalizationSpec:
    """(stored / divisor - mean) / std as mean and standard deviation of stored values."""
    count, divisor = len(contract.bands), _divisor(contract)
    mean = _per_band("mean", contract.mean, keys.mean, 0.0, count)
    std = _per_band("std", contract.std, keys.std, 1.0, count)
    if min(std) <= 0 or divisor <= 0:
        raise ConfigError("`std` and `divisor`: expected numbers above 0")
    return NormalizationSpec(
        mean=tuple(value * divisor for value in mean), std=tuple(value * divisor for value in std)
    )


def _per_band(
    name: str, stated: Sequence[float] | None, read: Sequence[float] | None, default: float, count: int
) -> tuple[float, ...]:
    values = read if stated is None else stated
    if values is None:
        return (default,) * count
    if len(values) != count:
        raise ConfigError(f"`{name}`: expected {count} numbers, one per band, found {len(values)}")
    return tuple(values)


def _margin_px(foreign: ForeignGraph, contract: ForeignContract, keys: ForeignKeys) -> int:
    if contract.margin_px is not None:
        return contract.margin_px
    if keys.overlap is not None and keys.overlap < 1:
        return int(foreign.chip_px * keys.overlap / 2)
    return foreign.chip_px // 8


def _classes(foreign: ForeignGraph, contract: ForeignContract, keys: ForeignKeys, detects: bool) -> ClassSet:
    names = contract.classes or keys.classes
    if not names:
        raise ConfigError(f"{foreign.source}: does not name its classes; name them in order with `classes`")
    if detects:
        return ClassSet.of_names(list(names))
    channels = class_map_channels(foreign)
    if channels == 1 and len(names) == 1:
        return ClassSet.of_names(list(names), background=True)
    if len(names) != max(2, channels):
        raise ConfigError(
            f"`classes` of {foreign.source}: expected {channels} names, one per channel, found {len(names)} "
            f"({', '.join(names)})"
        )
    starts_with_background = keys.of_deepness or names[0].strip("_ ").casefold() in _BACKGROUND_NAMES
    first_id = 0 if channels == 1 or starts_with_background else 1
    return ClassSet.of_ids(dict(enumerate(names, first_id)))

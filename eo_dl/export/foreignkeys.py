"""What an ONNX file says about itself: the metadata keys of Deepness, GeoDeep and Ultralytics."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import BundleError

_MOST_CHARACTERS = 100_000


@dataclass(frozen=True)
class ForeignKeys:
    """The keys that were found; None for those that are missing."""

    of_deepness: bool = False
    """True if the file has keys of Deepness: then class 0 of a class map is the background."""
    detects: bool | None = None
    """True for boxes, False for class maps."""
    classes: tuple[str, ...] | None = None
    """Names in channel order."""
    gsd_m: float | None = None
    """GSD, metres."""
    chip_px: int | None = None
    """Side of a chip."""
    overlap: float | None = None
    """Overlap of neighbouring chips, as a share of their side."""
    mean: tuple[float, ...] | None = None
    """Mean per band, after the division."""
    std: tuple[float, ...] | None = None
    """Standard deviation per band, after the division."""
    score: float | None = None
    """Least score of a box."""
    iou: float | None = None
    """IoU above which one of two boxes is dropped."""


def read_keys(texts: Mapping[str, str], source: str) -> ForeignKeys:
    """The keys in the metadata of an ONNX file.

    Args:
        texts: The metadata.
        source: The file, for messages.

    Raises:
        BundleError: A key holds something else than it should, or the model has an unknown type.
    """
    values = {name: _value(text) for name, text in texts.items()}
    resolution = _number(values, "resolution", source)
    side = _number(values, "tile_size", source) or _number(values, "tiles_size", source)
    percent = _number(values, "tiles_overlap", source)
    return ForeignKeys(
        of_deepness="model_type" in values,
        detects=_detects(values, source),
        classes=_class_names(values, source),
        gsd_m=None if resolution is None else resolution / 100,  # centimetres
        chip_px=None if side is None else int(side),
        overlap=None if percent is None else percent / 100,
        mean=_numbers(values, "standardization_mean", source),
        std=_numbers(values, "standardization_std", source),
        score=_number(values, "det_conf", source),
        iou=_number(values, "det_iou_thresh", source),
    )


def _value(text: str) -> object:
    """Deepness writes JSON, Ultralytics the text of Python literals, others plain text."""
    if len(text) > _MOST_CHARACTERS:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _detects(values: Mapping[str, object], source: str) -> bool | None:
    kind = str(values.get("model_type", "")).capitalize() or str(values.get("task", ""))
    if kind == "":
        return None
    if kind in ("Segmentor", "Detector", "detect"):
        return kind != "Segmentor"
    raise BundleError(
        f"{source}: is a model of type {kind}; expected Segmentor or Detector, the types that can be imported"
    )


def _class_names(values: Mapping[str, object], source: str) -> tuple[str, ...] | None:
    names = values.get("class_names", values.get("names"))
    if isinstance(names, list) and len(names) == 1:
        names = names[0]  # Deepness: one dictionary per output
    if names is None:
        return None
    if not isinstance(names, dict):
        raise BundleError(f"{source}: expected class names by number, found {str(names)[:80]!r}")
    by_number = {str(number): str(name) for number, name in names.items()}
    numbers = [str(number) for number in range(len(by_number))]
    if set(numbers) != set(by_number):
        raise BundleError(f"{source}: expected classes numbered from 0, found {', '.join(by_number)}")
    return tuple(by_number[number] for number in numbers)


def _number(values: Mapping[str, object], key: str, source: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    raise BundleError(f"{source}: expected a number for the key {key}, found {str(value)[:80]!r}")


def _numbers(values: Mapping[str, object], key: str, source: str) -> tuple[float, ...] | None:
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(entry, int | float) for entry in value):
        return tuple(float(entry) for entry in value)
    raise BundleError(f"{source}: expected a list of numbers for the key {key}, found {str(value)[:80]!r}")

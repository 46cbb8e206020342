"""`parse_values`: the values that a caller asks for, where labels are numbers and not classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.classes import ClassSet
from ..core.imagenames import composed
from ..core.valueinfo import ValueInfo
from ..errors import LabelError

NO_VALUES = "none"
"""Asks for classes, where numbers would be taken for values."""

_EXPECTED = "expected NAME, NAME:UNIT or NAME:UNIT:LOW..HIGH"


def parse_values(values: Sequence[str] | str) -> Mapping[str, ValueInfo]:
    """The values that a list of items names, in order.

    Args:
        values: Items "NAME", "NAME:UNIT" or "NAME:UNIT:LOW..HIGH" as a list, or as text with commas between
            them. The unit and each of the limits may be empty: "share::0..1", "height:m:0..".

    Raises:
        LabelError: An item is malformed, a name occurs twice, or there is none.
    """
    texts = values.split(",") if isinstance(values, str) else [str(item) for item in values]
    found: dict[str, ValueInfo] = {}
    for text in texts:
        name, info = _parsed(text.strip())
        if name in found:
            raise LabelError(f"`values`: {name!r} is named twice; name each value once")
        found[name] = info
    return found


def values_text(classes: ClassSet) -> str:
    """The text that asks for the values of a map or a label set."""
    items = []
    for name, info in zip(classes.names, classes.value_infos, strict=True):
        low, high = ("" if limit is None else f"{limit:g}" for limit in (info.low, info.high))
        limits = f":{low}..{high}" if low or high else ""
        items.append(f"{name}:{info.unit}{limits}")
    return ",".join(items)


def _parsed(text: str) -> tuple[str, ValueInfo]:
    parts = [part.strip() for part in composed(text).split(":")]
    if not parts[0] or len(parts) > 3:
        raise LabelError(f"`values`: {_EXPECTED}, found {text!r}; correct it")
    unit = parts[1] if len(parts) > 1 else ""
    if len(parts) < 3:
        return parts[0], ValueInfo(unit)
    low, dots, high = parts[2].partition("..")
    if not dots:
        raise LabelError(
            f"`values`: {_EXPECTED}, found the range {parts[2]!r} in {text!r}; write both limits with two "
            "dots between, such as 0..60, or leave one out: 0.."
        )
    return parts[0], ValueInfo(unit, _limit(low, text), _limit(high, text))


def _limit(number: str, text: str) -> float | None:
    if not number.strip():
        return None
    try:
        return float(number)
    except ValueError as cause:
        raise LabelError(
            f"`values`: expected numbers as limits, found {number.strip()!r} in {text!r}; correct it"
        ) from cause

"""`MaskRule`: which ground a quality band or a mask file takes away, e.g. clouds by "SCL in 3,8,9,10".

    SOURCE in 3,8-10        masked where the value is one of these
    SOURCE not in 4,5,6     masked where it is none of these
    SOURCE bits 1,3,4       masked where one of these bits is set, 0 being the lowest (QA bands of Landsat)
    SOURCE > 40             masked where it is above (also <, <=, >=), e.g. a cloud probability
    SOURCE                  masked where it is 0, as in a mask of GDAL

SOURCE is a band of the scene, a raster file in any grid, or a band of one: "clouds.tif[2]". "{stem}" in the
name of a file stands for the scene's file name without its suffix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray
from ..core.wording import plain_number
from ..errors import ConfigError
from .discover import RASTER_SUFFIXES, is_remote, own_path, relative_path

CLOUDS = "clouds"
"""In place of a rule: the one that fits the quality band of the product."""

_IN = re.compile(r"(?P<source>.+?)\s+(?P<how>in|not\s+in|bits)\s+(?P<values>.+)", re.IGNORECASE)
_COMPARED = re.compile(r"(?P<source>.+?)\s*(?P<how><=|>=|<|>)\s*(?P<values>-?\d+(?:\.\d+)?)")
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)(?:\s*-\s*(-?\d+(?:\.\d+)?))?")
_BAND_OF_FILE = re.compile(r"(?P<file>.+)\[(?P<number>[1-9]\d*)\]")
_MOST_BIT = 31
_EXAMPLES = "'SCL in 3,8,9,10', 'QA_PIXEL bits 1,3,4', 'clouds.tif > 40' or the name of a mask file"


@dataclass(frozen=True)
class MaskRule:
    """Which values of a band or file mean that the ground below is not to be used."""

    source: str
    """A band of the scene, or the path of a raster."""

    how: str = "zero"
    """"in", "not in", "bits", "<", "<=", ">", ">=" or "zero"."""

    values: tuple[tuple[float, float], ...] = ()
    """First and last value of each range; bits as ranges of one."""

    band_number: int = 1
    """Of a file: the 1-based number of its band."""

    @property
    def text(self) -> str:
        """The rule as it is typed."""
        source = self.source if self.band_number == 1 else f"{self.source}[{self.band_number}]"
        if self.how == "zero":
            return source
        return f"{source} {self.how} {','.join(_range_text(low, high) for low, high in self.values)}"

    @property
    def names_file(self) -> bool:
        """True if the source can only be a raster, by its suffix."""
        return is_remote(self.source) or Path(self.source).suffix.lower() in RASTER_SUFFIXES

    def with_source(self, source: str) -> MaskRule:
        """The same rule about another band or file."""
        return replace(self, source=source)

    def clear(self, values: AnyArray) -> BoolArray:
        """True where a value leaves the ground in use; NaN never does.

        Args:
            values: Stored values of the band, of any shape.
        """
        masked = np.zeros(values.shape, np.bool_)
        match self.how:
            case "zero":
                masked = values == 0
            case "bits":
                mask = sum(1 << int(bit) for bit, _ in self.values)
                whole = np.nan_to_num(values) if values.dtype.kind == "f" else values
                masked = (whole.astype(np.int64) & mask) != 0
            case "in" | "not in":
                for low, high in self.values:
                    masked |= np.greater_equal(values, low) & np.less_equal(values, high)
                masked = masked if self.how == "in" else ~masked
            case _:
                masked = _COMPARISONS[self.how](values, self.values[0][0])
        clear: BoolArray = ~masked
        if values.dtype.kind == "f":
            clear &= ~np.isnan(values)
        return clear


_COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


def mask_rule(text: str) -> MaskRule:
    """The rule that a text says.

    Raises:
        ConfigError: It is none.
    """
    text = text.strip()
    if Path(text).suffix.lower() in RASTER_SUFFIXES:
        return _of_source(text, text, "zero", ())
    found = _IN.fullmatch(text) or _COMPARED.fullmatch(text)
    if found is None:
        return _of_source(text, text, "zero", ())
    how = " ".join(found["how"].lower().split())
    values = tuple(_range(item.strip(), text) for item in found["values"].split(","))
    if how == "bits" and any(low != high or low not in range(_MOST_BIT + 1) for low, high in values):
        raise ConfigError(f"`mask`: expected numbers of bits, 0 to {_MOST_BIT}, found {text!r}")
    return _of_source(text, found["source"], how, values)


def mask_rules(texts: str | Sequence[str] | None) -> tuple[str, ...]:
    """The rules of one text or several, each as it is typed; rules in one text are separated by ";".

    Raises:
        ConfigError: One is no rule.
    """
    if texts is None:
        return ()
    items = [texts] if isinstance(texts, str) else list(texts)
    return tuple(mask_rule(part).text for item in items for part in item.split(";"))


def own_mask(text: str) -> str:
    """A rule whose file has an absolute path, which does not depend on the folder of the process."""
    return _moved(text, lambda path: str(own_path(path)))


def relative_mask(text: str, folder: Path) -> str:
    """A rule whose file has a path relative to `folder`, see `relative_path`."""
    return _moved(text, lambda path: relative_path(path, folder))


def mask_below(text: str, folder: Path) -> str:
    """The rule that `relative_mask` made, with an absolute path again."""
    return _moved(text, lambda path: os.path.normpath(folder.resolve() / path))


def short_mask(text: str) -> str:
    """A rule with the name of its file alone, for what outlives the file."""
    return _moved(text, lambda path: Path(path).name)


def _moved(text: str, change: Callable[[str], str]) -> str:
    rule = mask_rule(text)
    if not rule.names_file or is_remote(rule.source):
        return text
    return rule.with_source(change(rule.source)).text


def _of_source(text: str, source: str, how: str, values: tuple[tuple[float, float], ...]) -> MaskRule:
    source = source.strip()
    if not source:
        raise ConfigError(f"`mask`: expected {_EXAMPLES}, found {text!r}")
    of_file = _BAND_OF_FILE.fullmatch(source)
    if of_file is not None:
        return MaskRule(of_file["file"], how, values, int(of_file["number"]))
    if set(source) & set("<>=") and not MaskRule(source).names_file:  # a comparison that was not understood
        raise ConfigError(f"`mask`: expected {_EXAMPLES}, found {text!r}")
    return MaskRule(source, how, values)


def _range_text(low: float, high: float) -> str:
    return plain_number(low) if low == high else f"{plain_number(low)}-{plain_number(high)}"


def _range(item: str, text: str) -> tuple[float, float]:
    ends = _RANGE.fullmatch(item)
    if ends is None:
        raise ConfigError(f"`mask`: expected numbers with commas between, found {item!r} in {text!r}")
    low = float(ends[1])
    high = low if ends[2] is None else float(ends[2])
    if high < low:
        raise ConfigError(f"`mask`: the range {item!r} in {text!r} goes down; give the lower number first")
    return low, high

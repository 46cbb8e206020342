"""Spectral indices by the names of spyndex: formulas, and the band that each letter stands for.

`indices.json` has the facts of its table (names, formulas, references, default constants). Why not the
package: its formulas run through `eval` and may change with its version, where a model must keep the formula
that it was trained with; it also brings `requests` into the core install. Indices with kernels, and those
that need wavelengths or radiation as numbers, are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from .formulas import Formula, parse_formula

_FILE = Path(__file__).with_name("indices.json")


def is_index(name: str) -> bool:
    """True for the name of an index, in whatever case."""
    return _known(name) != ""


def index_formula(name: str, constants: Mapping[str, float] | None = None) -> Formula:
    """The formula of an index over common names of bands.

    Args:
        name: Its name, e.g. "NDVI" or "ndvi".
        constants: Values in place of defaults, e.g. {"L": 0.25} for "SAVI".

    Raises:
        ConfigError: There is no such index, or it has no such constant.
    """
    table, own = _table(), _known(name)
    if not own:
        raise ConfigError(
            f"`derive`: no index is called {name!r}; the names are those of spyndex, e.g. ndvi, ndwi"
        )
    text = str(table["indices"][own][0])
    letters = parse_formula(text, {}).names  # in lower case, which tells no letter from another
    for constant in constants or {}:
        if constant not in table["constants"] or constant.lower() not in letters:
            raise ConfigError(f"`derive`: the index {own} has no constant {constant!r}: {text}")
    values = {**table["constants"], **(constants or {})}
    return parse_formula(_with_band_names(text, table["bands"]), values)


def _with_band_names(text: str, bands: Mapping[str, str]) -> str:
    return re.sub(r"[A-Za-z_]\w*", lambda word: bands.get(word[0], word[0]), text)


def _known(name: str) -> str:
    """The name as the table spells it; "" if there is none, or several differ in case alone."""
    indices = _table()["indices"]
    if name in indices:
        return name
    alike = [own for own in indices if own.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else ""


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return table

"""`Formula`: arithmetic over bands as text, "(nir - red) / (nir + red)". Parsed by `ast`, checked, and
evaluated by a few operations of our own; never run as code. Where a divisor is 0 the quotient is 0, because
an index of two black pixels is no gap in the map.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...core.arraytypes import Float64Array
from ...core.bands import canonical_name
from ...errors import ConfigError

_MOST_CHARACTERS = 2000
_MOST_PARTS = 500


def _divide(above: Float64Array, below: Float64Array) -> Float64Array:
    above, below = np.broadcast_arrays(above, below)
    quotient: Float64Array = np.zeros(above.shape, np.float64)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient


_CALCULATE: dict[type[ast.operator], Callable[[Float64Array, Float64Array], Float64Array]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: _divide,
    ast.Pow: np.power,
}


@dataclass(frozen=True)
class Formula:
    """A checked formula."""

    text: str
    """In one spelling, by which it can be read again."""
    names: tuple[str, ...]
    """The bands that it needs, in the order of their first use."""

    def of(self, planes: Mapping[str, Float64Array]) -> Float64Array:
        """Its values.

        Args:
            planes: (H, W) physical values of each band; NaN where it was not measured.
        """
        tree = ast.parse(self.text, mode="eval").body
        with np.errstate(all="ignore"):
            return np.asarray(_value(tree, planes), np.float64)


def parse_formula(text: str, constants: Mapping[str, float] | None = None) -> Formula:
    """The formula that a text says.

    Args:
        text: The text.
        constants: Numbers that stand for names.

    Raises:
        ConfigError: It is no arithmetic of bands and numbers, or names no band.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError(
            f"`derive`: a formula of {len(text)} characters; at most {_MOST_CHARACTERS} are read"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        parts = sum(1 for _ in ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as cause:
        raise ConfigError(
            f"`derive`: {text[:100]!r} is no formula ({cause}); write e.g. 'ndvi' or 'x=(nir-red)/(nir+red)'"
        ) from cause
    if parts > _MOST_PARTS:
        raise ConfigError(f"`derive`: a formula of {parts} parts; at most {_MOST_PARTS} are read")
    names: dict[str, None] = {}
    checked = _checked(tree, text, constants or {}, names)
    if not names:
        raise ConfigError(f"`derive`: {text!r} looks at no band; name bands such as red and nir")
    return Formula(ast.unparse(checked), tuple(names))


def _checked(node: ast.expr, text: str, constants: Mapping[str, float], names: dict[str, None]) -> ast.expr:
    """The same with constants in place of their names and bands in one spelling; collects their names."""
    match node:
        case ast.BinOp() if type(node.op) in _CALCULATE:
            left = _checked(node.left, text, constants, names)
            return ast.BinOp(left, node.op, _checked(node.right, text, constants, names))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return ast.UnaryOp(node.op, _checked(node.operand, text, constants, names))
        case ast.Name() if node.id in constants:
            return ast.Constant(float(constants[node.id]))
        case ast.Name():
            name = canonical_name(node.id)
            names[name] = None
            return ast.Name(name, ast.Load())
        case ast.Constant(value=int() | float() as value) if (
            not isinstance(value, bool) and abs(value) < 1e30
        ):
            return node
    raise ConfigError(
        f"`derive`: {text!r} contains something that is not allowed in formulas ({type(node).__name__}); use "
        "band names, numbers and + - * / **"
    )


def _value(node: ast.expr, planes: Mapping[str, Float64Array]) -> Float64Array:
    match node:
        case ast.Name():
            return planes[node.id]
        case ast.Constant(value=value):
            return np.asarray(value, np.float64)
        case ast.BinOp():
            return _CALCULATE[type(node.op)](_value(node.left, planes), _value(node.right, planes))
        case ast.UnaryOp():
            inner = _value(node.operand, planes)
            return -inner if isinstance(node.op, ast.USub) else inner
    raise TypeError(f"{type(node).__name__} in a formula that was not checked")

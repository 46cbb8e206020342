"""`Formula`: a band as arithmetic over others, "(nir - red) / (nir + red)" (see `core.bandmath`).

Where a divisor is 0 the quotient is 0, because an index of two black pixels is no gap in the map.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...core.arraytypes import Float64Array, FloatArray
from ...core.bandmath import Arithmetic, is_number, is_operation, parse_expression
from ...core.bands import canonical_name
from ...errors import ConfigError


def _divide(above: FloatArray, below: FloatArray) -> FloatArray:
    above, below = np.broadcast_arrays(above, below)
    quotient: FloatArray = np.zeros(above.shape, np.float64)
    np.divide(above, below, out=quotient, where=below != 0)
    return quotient


_ARITHMETIC = Arithmetic(np.float64, _divide)


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
            return np.asarray(_ARITHMETIC.value(tree, planes), np.float64)


def parse_formula(text: str, constants: Mapping[str, float] | None = None) -> Formula:
    """The formula that a text says.

    Args:
        text: The text.
        constants: Numbers that stand for names.

    Raises:
        ConfigError: It is no arithmetic of bands and numbers, or names no band.
    """
    tree = parse_expression(text, "`derive`", "formula", "'ndvi' or 'x=(nir-red)/(nir+red)'")
    names: dict[str, None] = {}
    checked = _checked(tree, text, constants or {}, names)
    if not names:
        raise ConfigError(f"`derive`: {text!r} looks at no band; name bands such as red and nir")
    return Formula(ast.unparse(checked), tuple(names))


def _checked(node: ast.expr, text: str, constants: Mapping[str, float], names: dict[str, None]) -> ast.expr:
    """The same with constants in place of their names and bands in one spelling; collects their names."""
    match node:
        case ast.BinOp() if is_operation(node):
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
        case ast.Constant() if is_number(node):
            return node
    raise ConfigError(
        f"`derive`: {text!r} contains something that is not allowed in formulas ({type(node).__name__}); use "
        "band names, numbers and + - * / **"
    )

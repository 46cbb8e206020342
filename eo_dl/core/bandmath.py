"""Arithmetic over bands as text: "(nir - red) / (nir + red)". Parsed by `ast`, checked by the caller, and
evaluated by a few operations of our own; never run as code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from .arraytypes import FloatArray

Operation = Callable[[FloatArray, FloatArray], FloatArray]

_MOST_CHARACTERS = 2000
_MOST_PARTS = 500
_MOST_NUMBER = 1e30
_OPERATIONS: dict[type[ast.operator], Operation] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}


def parse_expression(text: str, source: str, noun: str, example: str) -> ast.expr:
    """The tree of an expression of limited size; which parts it may have is for the caller to check.

    Args:
        text: The expression.
        source: What it belongs to, for messages.
        noun: What it should be, for messages: "formula".
        example: A right one, for messages.

    Raises:
        ConfigError: The text is too long, or no expression.
    """
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError(
            f"{source}: a {noun} of {len(text)} characters is too long (at most {_MOST_CHARACTERS}); split it"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        parts = sum(1 for _ in ast.walk(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as cause:
        raise ConfigError(
            f"{source}: {text[:100]!r} is not a {noun} ({cause}); write, for example, {example}"
        ) from cause
    if parts > _MOST_PARTS:
        raise ConfigError(
            f"{source}: a {noun} of {parts} parts is too long (at most {_MOST_PARTS}); split it"
        )
    return tree


def is_operation(node: ast.expr) -> bool:
    """True for one of + - * / **."""
    return isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS


def is_number(node: ast.expr) -> bool:
    """True for a number that is not absurdly large."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return False
    return isinstance(node.value, int | float) and abs(node.value) < _MOST_NUMBER


@dataclass(frozen=True)
class Arithmetic:
    """How checked expressions are evaluated."""

    dtype: npt.DTypeLike
    """Data type of numbers in the text; that of the planes."""
    divide: Operation = np.divide
    """Decides what a quotient with the divisor 0 is."""
    functions: Mapping[str, Callable[..., FloatArray]] = field(default_factory=dict)
    """What can be called, by name."""

    def value(self, node: ast.expr, planes: Mapping[str, FloatArray]) -> FloatArray:
        """The values of a part of a checked expression.

        Args:
            node: The part.
            planes: (H, W) values of each band by its name.
        """
        match node:
            case ast.Name():
                return planes[node.id]
            case ast.Constant(value=int() | float() as number):
                return np.asarray(number, self.dtype)
            case ast.BinOp():
                operation = self.divide if isinstance(node.op, ast.Div) else _OPERATIONS[type(node.op)]
                return operation(self.value(node.left, planes), self.value(node.right, planes))
            case ast.UnaryOp():
                inner = self.value(node.operand, planes)
                return -inner if isinstance(node.op, ast.USub) else inner
            case ast.Call(func=ast.Name(id=name)):
                return self.functions[name](*[self.value(child, planes) for child in node.args])
        raise TypeError(f"{type(node).__name__} in an expression that was not checked")

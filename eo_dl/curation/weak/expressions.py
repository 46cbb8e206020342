"""Conditions on bands as text: "ndvi > 0.4 and nir > 0.15" (see `core.bandmath` for their arithmetic).

Values are physical (reflectance if the scene states its scale). Where a compared value is not defined, like
an index of two zeros, the condition is not known, whatever the rest of it gives.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from ...core.bandmath import Arithmetic, is_number, is_operation, parse_expression
from ...core.bands import BandSet, canonical_name
from ...errors import BandError, ConfigError

Plane = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

INDICES = {
    "ndvi": "(nir - red) / (nir + red)",  # Rouse et al. 1974: plants
    "ndwi": "(green - nir) / (green + nir)",  # McFeeters 1996: open water
    "mndwi": "(green - swir1) / (green + swir1)",  # Xu 2006: open water beside buildings
    "ndbi": "(swir1 - nir) / (swir1 + nir)",  # Zha et al. 2003: built-up ground
    "ndmi": "(nir - swir1) / (nir + swir1)",  # Gao 1996: moisture in leaves
    "nbr": "(nir - swir2) / (nir + swir2)",  # Key & Benson 2006: burnt ground
    "savi": "1.5 * (nir - red) / (nir + red + 0.5)",  # Huete 1988: plants over bright soil
    # Woebbecke et al. 1995: plants without an infrared band
    "exg": "(2 * green - red - blue) / (red + green + blue)",
}
"""Spectral indices by name, as expressions over band names."""

_COMPARE: dict[type[ast.cmpop], Callable[[Plane, Plane], Flags]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Plane]]] = {
    "abs": (1, 1, np.abs),
    "sqrt": (1, 1, np.sqrt),
    "log": (1, 1, np.log),
    "exp": (1, 1, np.exp),
    "min": (2, 16, lambda *values: reduce(np.minimum, values)),
    "max": (2, 16, lambda *values: reduce(np.maximum, values)),
}
_ARITHMETIC = Arithmetic(np.float32, functions={name: call for name, (_, _, call) in _FUNCTIONS.items()})


@dataclass(frozen=True)
class Condition:
    """A checked condition."""

    text: str
    """As it was written."""

    source: str
    """What it belongs to, for messages."""

    names: tuple[str, ...]
    """The bands that it needs, with indices resolved."""

    tree: ast.expr
    """The parsed text, with indices resolved."""

    def check_bands(self, bands: BandSet, scene: str) -> None:
        """Refuse a scene without all the bands.

        Raises:
            BandError: A band is missing.
        """
        missing = [name for name in self.names if name not in _band_index(bands)]
        if missing:
            raise BandError(
                f"{scene}: has no band {', '.join(missing)}, which {self.source} needs ({self.text!r}); it "
                f"has {bands.describe()}; name its bands, e.g. -b {missing[0]}=1, or write b1, b2, ... for "
                "bands by number"
            )

    def holds(self, pixels: Plane, bands: BandSet) -> tuple[Flags, Flags]:
        """(H, W) where it holds and (H, W) where it is known, for physical pixels (C, H, W)."""
        index = _band_index(bands)
        planes = {name: pixels[index[name]] for name in self.names}
        known = np.ones(pixels.shape[1:], np.bool_)
        with np.errstate(all="ignore"):
            held = _truth(self.tree, planes, known)
        return np.broadcast_to(held, known.shape) & known, known


def parse_condition(text: str, source: str) -> Condition:
    """A condition from its text.

    Args:
        text: The condition.
        source: What it belongs to, for messages.

    Raises:
        ConfigError: The text is not a condition on bands.
    """
    tree = parse_expression(text, source, "condition", "'ndvi > 0.4 and nir > 0.1'")
    names: dict[str, None] = {}
    if not _check(_expanded(tree), text, source, names):
        raise ConfigError(
            f"{source}: {text!r} is a number, not a condition; compare it with a threshold, e.g. '{text} > "
            "0.3'"
        )
    if not names:
        raise ConfigError(
            f"{source}: {text!r} looks at no band; name bands (red, nir, b1) or indices "
            f"({', '.join(INDICES)})"
        )
    return Condition(text, source, tuple(names), _expanded(tree))


class _Indices(ast.NodeTransformer):
    """Replaces index names by their formulas, and band names by their canonical spelling."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A band, or the formula of an index."""
        name = canonical_name(node.id)
        if name in INDICES:
            return _Indices().visit(ast.parse(INDICES[name], mode="eval").body)  # type: ignore[no-any-return]
        return ast.Name(name, ast.Load())

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """A function; its name is not a band."""
        return ast.Call(node.func, [self.visit(part) for part in node.args], node.keywords)


def _expanded(tree: ast.expr) -> ast.expr:
    expanded: ast.expr = _Indices().visit(tree)
    return expanded


def _check(node: ast.expr, text: str, source: str, names: dict[str, None]) -> bool:
    """True for a condition, False for a number; collects band names. Raises `ConfigError` for anything
    else.
    """

    def require(child: ast.expr, condition: bool) -> None:
        """Check that a part is a condition, or that it is a number."""
        if _check(child, text, source, names) == condition:
            return
        expected, found = ("a condition", "a number") if condition else ("a number", "a condition")
        raise ConfigError(
            f"{source}: {text!r} has {found} where {expected} was expected; combine conditions by and, or, "
            "not"
        )

    match node:
        case ast.BoolOp():
            for child in node.values:
                require(child, True)
            return True
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            require(inner, True)
            return True
        case ast.Compare() if all(type(op) in _COMPARE for op in node.ops):
            for child in (node.left, *node.comparators):
                require(child, False)
            return True
        case ast.BinOp() if is_operation(node):
            require(node.left, False)
            require(node.right, False)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            require(inner, False)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS:
            least, most, _ = _FUNCTIONS[name]
            if not least <= len(node.args) <= most:
                wanted = f"{least}" if least == most else f"{least} to {most}"
                raise ConfigError(
                    f"{source}: {name} in {text!r} takes {wanted} values, found {len(node.args)}"
                )
            for child in node.args:
                require(child, False)
        case ast.Name():
            names[node.id] = None
        case ast.Constant() if is_number(node):
            pass
        case _:
            raise ConfigError(
                f"{source}: {text!r} contains something that is not allowed in conditions "
                f"({type(node).__name__}); use band names, numbers, + - * / **, comparisons, and, or, not, "
                f"{', '.join(_FUNCTIONS)}"
            )
    return False


def _truth(node: ast.expr, planes: Mapping[str, Plane], known: Flags) -> Flags:
    """Where a checked condition holds; `known` becomes False where a compared value is not defined."""
    match node:
        case ast.BoolOp():
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            parts = [_truth(child, planes, known) for child in node.values]
            return np.asarray(reduce(join, parts), np.bool_)
        case ast.UnaryOp():
            return np.logical_not(_truth(node.operand, planes, known))
        case ast.Compare():
            values = [_ARITHMETIC.value(child, planes) for child in (node.left, *node.comparators)]
            for value in values:
                known &= np.isfinite(value)
            held = [_COMPARE[type(op)](a, b) for op, a, b in zip(node.ops, values, values[1:], strict=False)]
            return np.asarray(reduce(np.logical_and, held), np.bool_)
    raise TypeError(f"{type(node).__name__} in a condition that was not checked")


def _band_index(bands: BandSet) -> dict[str, int]:
    """The index of each band by its name, and by its number in the file as b1, b2, ...; names win."""
    by_number = {f"b{band.number}": index for index, band in enumerate(bands)}
    by_name = {band.name: index for index, band in enumerate(bands)}
    return by_number | by_name

"""Attribute forms of QGIS layers as parts of a QML: drop-downs, defaults, constraints and map tips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element

from .xmltree import element

Widget = Literal["TextEdit", "CheckBox", "ValueMap", "Hidden"]

# QgsFieldConstraints: kinds of constraints are bits, strengths are 0 (none), 1 (hard) and 2 (soft).
_NOT_NULL, _EXPRESSION = 1, 4
_NO_STRENGTH, _HARD, _SOFT = 0, 1, 2


@dataclass(frozen=True)
class FormField:
    """One attribute in the form."""

    name: str
    """The field."""
    alias: str = ""
    """Label in the form; the field's name if empty."""
    widget: Widget = "TextEdit"
    """How the value is edited."""
    choices: tuple[str, ...] = ()
    """Values of a drop-down ("ValueMap")."""
    default: str = ""
    """QGIS expression of the default value."""
    required: bool = False
    """True if NULL cannot be saved."""
    rule: str = ""
    """QGIS expression that must be true."""
    reason: str = ""
    """Shown at the field if the rule is broken."""
    strict: bool = False
    """True if a feature that breaks the rule cannot be saved; else it is only marked."""
    sticky: bool = False
    """True if the next feature starts with the last value."""


def form_elements(
    fields: Sequence[FormField], map_tip: str = "", check_geometry: bool = False
) -> list[Element]:
    """The parts of a QML that describe the form, for `categories_qml` and `outline_qml`.

    Args:
        fields: The attributes, in order.
        map_tip: HTML of the map tip, with expressions as `[% "name" %]`.
        check_geometry: Refuse to save self-intersecting polygons.
    """
    form = [
        _per_field("fieldConfiguration", fields, _widget),
        _per_field("aliases", fields, _alias),
        _per_field("defaults", fields, _default),
        _per_field("constraints", fields, _constraint),
        _per_field("constraintExpressions", fields, _rule),
        _per_field("reuseLastValue", fields, _reuse),
        element("mapTip", text=map_tip),
    ]
    if check_geometry:
        form.append(_geometry_check())
    return form


def _per_field(tag: str, fields: Sequence[FormField], make: Callable[[FormField], Element]) -> Element:
    return element(tag, children=[make(field) for field in fields])


def _alias(field: FormField) -> Element:
    return element("alias", {"field": field.name, "name": field.alias})


def _default(field: FormField) -> Element:
    return element("default", {"field": field.name, "expression": field.default, "applyOnUpdate": "0"})


def _rule(field: FormField) -> Element:
    return element("constraint", {"field": field.name, "exp": field.rule, "desc": field.reason})


def _reuse(field: FormField) -> Element:
    return element("field", {"name": field.name, "reuseLastValue": str(int(field.sticky))})


def _geometry_check() -> Element:
    valid = element("Option", {"type": "QString", "value": "QgsIsValidCheck"})
    checks = [
        element("activeChecks", {"type": "StringList"}, [valid]),
        element("checkConfiguration"),
    ]
    return element("geometryOptions", {"geometryPrecision": "0", "removeDuplicateNodes": "1"}, checks)


def _widget(field: FormField) -> Element:
    choices = [
        element("Option", {"type": "Map"}, [element("Option", _choice(choice))]) for choice in field.choices
    ]
    options = element("Option")
    if choices:
        drop_down = element("Option", {"type": "List", "name": "map"}, choices)
        options = element("Option", {"type": "Map"}, [drop_down])
    widget = element("editWidget", {"type": field.widget}, [element("config", children=[options])])
    return element("field", {"name": field.name, "configurationFlags": "None"}, [widget])


def _choice(choice: str) -> dict[str, str]:
    return {"type": "QString", "name": choice, "value": choice}


def _constraint(field: FormField) -> Element:
    kinds = 0
    if field.required:
        kinds |= _NOT_NULL
    if field.rule:
        kinds |= _EXPRESSION
    rule_strength = _NO_STRENGTH
    if field.rule:
        rule_strength = _HARD if field.strict else _SOFT
    return element(
        "constraint",
        {
            "field": field.name,
            "constraints": str(kinds),
            "notnull_strength": str(_HARD if field.required else _NO_STRENGTH),
            "unique_strength": "0",
            "exp_strength": str(rule_strength),
        },
    )

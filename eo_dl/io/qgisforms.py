"""How QGIS asks for the attributes of a layer: drop-downs, defaults, constraints and map tips, as parts of a
QML style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .qgisstyles import xml_attribute, xml_text

Widget = Literal["TextEdit", "CheckBox", "ValueMap", "Hidden"]

_NOT_NULL, _EXPRESSION = 1, 4
_HARD, _SOFT = 1, 2


@dataclass(frozen=True)
class FormField:
    """One attribute: its name, label and widget; `choices` fill a drop-down.

    `default` and `rule` are QGIS expressions; a feature that breaks the `rule` is marked with `reason`
    (`strict`: it cannot be saved). `sticky`: the next feature starts with the last value.
    """

    name: str
    alias: str = ""
    widget: Widget = "TextEdit"
    choices: tuple[str, ...] = ()
    default: str = ""
    required: bool = False
    rule: str = ""
    reason: str = ""
    strict: bool = False
    sticky: bool = False


def form_xml(fields: Sequence[FormField], map_tip: str = "", check_geometry: bool = False) -> str:
    """The parts of a QML that describe fields, for `categories_qml` and `outline_qml`.

    `map_tip`: HTML with expressions as `[% "name" %]`. `check_geometry`: polygons that cross themselves
    cannot be saved.
    """
    configured = "".join(
        f'<field name={xml_attribute(f.name)} configurationFlags="None"><editWidget {_widget(f)}</editWidget></field>'
        for f in fields
    )
    aliases = "".join(f"<alias field={xml_attribute(f.name)} name={xml_attribute(f.alias)}/>" for f in fields)
    defaults = "".join(
        f'<default field={xml_attribute(f.name)} expression={xml_attribute(f.default)} applyOnUpdate="0"/>'
        for f in fields
    )
    constraints = "".join(_constraint(f) for f in fields)
    rules = "".join(
        f"<constraint field={xml_attribute(f.name)} exp={xml_attribute(f.rule)} desc={xml_attribute(f.reason)}/>"
        for f in fields
    )
    sticky = "".join(
        f'<field name={xml_attribute(f.name)} reuseLastValue="{int(f.sticky)}"/>' for f in fields
    )
    return (
        f"<fieldConfiguration>{configured}</fieldConfiguration><aliases>{aliases}</aliases><defaults>{defaults}</defaults>"
        f"<constraints>{constraints}</constraints><constraintExpressions>{rules}</constraintExpressions><reuseLastValue>{sticky}</reuseLastValue>"
        f"<mapTip>{xml_text(map_tip)}</mapTip>{_GEOMETRY_CHECK if check_geometry else ''}"
    )


_GEOMETRY_CHECK = (
    '<geometryOptions geometryPrecision="0" removeDuplicateNodes="1"><activeChecks type="StringList"><Option type="QString" value="QgsIsValidCheck"/>'
    "</activeChecks><checkConfiguration/></geometryOptions>"
)


def _widget(field: FormField) -> str:
    choices = "".join(
        f'<Option type="Map"><Option type="QString" name={xml_attribute(choice)} value={xml_attribute(choice)}/></Option>'
        for choice in field.choices
    )
    options = (
        f'<Option type="Map"><Option type="List" name="map">{choices}</Option></Option>'
        if field.choices
        else "<Option/>"
    )
    return f'type="{field.widget}"><config>{options}</config>'


def _constraint(field: FormField) -> str:
    kinds = _NOT_NULL * field.required + _EXPRESSION * bool(field.rule)
    strength = 0 if not field.rule else _HARD if field.strict else _SOFT
    return (
        f'<constraint field={xml_attribute(field.name)} constraints="{kinds}" notnull_strength="{_HARD if field.required else 0}" '
        f'unique_strength="0" exp_strength="{strength}"/>'
    )

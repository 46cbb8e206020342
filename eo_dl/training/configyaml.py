"""A training configuration as YAML in which every key has its description as a comment."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml
from pydantic import BaseModel

from .trainconfig import TrainConfig, complete, task_config_of

_WIDTH = 110


def config_yaml(config: TrainConfig) -> str:
    """The whole configuration, defaults and the options of its task included.

    The comments are the descriptions of the fields. `load_yaml` reads the text back.

    Raises:
        ConfigError: The options of the task are wrong.
    """
    nested: dict[str, BaseModel] = {"augment": config.augment}
    if config.task is not None:
        nested["task_options"] = task_config_of(config)
    lines = _lines(complete(config), nested, indent="")
    # a nested group ends with an empty line, and so does the group around it
    spaced = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(spaced).strip() + "\n"


def _lines(model: BaseModel, nested: dict[str, BaseModel], indent: str) -> list[str]:
    lines = []
    values = model.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        inner = nested.get(name, getattr(model, name))
        if isinstance(inner, BaseModel):
            lines += ["", *_comment(field.description, indent), f"{indent}{name}:"]
            lines += _lines(inner, {}, indent + "  ")
            lines.append("")
        else:
            lines += _comment(field.description, indent)
            lines.append(f"{indent}{name}: {_inline(values[name])}")
    return lines


def _comment(description: str | None, indent: str) -> list[str]:
    text = " ".join((description or "").split())
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()

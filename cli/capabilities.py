"""`eo-dl capabilities`: every command with its options, as JSON.

Other programs build their dialogs from it. The QGIS plug-in carries a copy
(`eo_dl/qgis/eo_dl_qgis/commands.json`, written by `python -m eo_dl_cli capabilities --out FILE`); a test
compares the two, so they cannot drift.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

import click

from eo_dl import __version__

INTERFACE = 1
"""Increased when a program written for the old command line would no longer work."""


@click.command("capabilities", short_help="Every command with its options, as JSON.")
@click.option("--out", help="Write to a file instead of standard output.", metavar="FILE")
@click.pass_context
def command(context: click.Context, out: str | None) -> None:
    """Every command with its options, as JSON: from which other programs (QGIS) build their dialogs."""
    values = {
        "interface": INTERFACE,
        "eo_dl": __version__,
        "tasks": suffix_of_tasks(),
        "networks": networks_of_tasks(),
        "weights": listed_weights(),
        "commands": describe(context.find_root()),
    }
    text = json.dumps(values, indent=1) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        from eo_dl.io.atomic import atomic_file, write_bytes

        with atomic_file(out, overwrite=True) as part:
            write_bytes(part, text.encode())


def suffix_of_tasks() -> dict[str, str]:
    """Tasks by name, each with the suffix of what `predict` writes where the user chose none."""
    from eo_dl.tasks import available_tasks, load_task

    return {name: load_task(name).output.default_suffix for name in available_tasks()}


def networks_of_tasks() -> dict[str, list[str]]:
    """Tasks by name, each with the architectures it offers, the default first."""
    from eo_dl.tasks import available_tasks, load_task

    return {name: list(load_task(name).networks) for name in available_tasks()}


def listed_weights() -> list[dict[str, object]]:
    """The pretrained weights of `eo-dl model backbones`: backbone, short name, number of bands, GSD (m)."""
    from eo_dl.networks.catalogue import named_weights

    return [
        {"backbone": one.backbone, "weights": one.short, "bands": len(one.bands), "gsd_m": one.gsd_m}
        for one in named_weights()
    ]


def describe(root: click.Context) -> dict[str, dict[str, object]]:
    """Commands by name ("labels check" for one of a group): what each is for and its parameters."""
    return {
        name: {
            "help": found.get_short_help_str(200),
            "text": _paragraphs(found.help or ""),
            "parameters": _parameters(found),
        }
        for name, found in _leaves(root)
    }


def _leaves(context: click.Context, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is None or found.hidden:
            continue
        if isinstance(found, click.Group):
            yield from _leaves(click.Context(found, info_name=name, parent=context), f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", found


def _paragraphs(text: str) -> list[str]:
    """Help as paragraphs; those that click must not wrap keep their lines."""
    return [
        part.replace("\b\n", "") if part.startswith("\b") else " ".join(part.split())
        for part in inspect.cleandoc(text).split("\n\n")
    ]


def _parameters(found: click.Command) -> list[dict[str, object]]:
    return [_parameter(one) for one in found.params if not getattr(one, "hidden", False)]


def _parameter(one: click.Parameter) -> dict[str, object]:
    flag = max(one.opts, key=len) if isinstance(one, click.Option) else None
    off = max(one.secondary_opts, key=len) if one.secondary_opts else None
    # click's "not set" is a value of its own
    default = one.default if isinstance(one.default, str | int | float | bool) else None
    values: dict[str, object] = {
        "name": one.name,
        "flag": flag,
        "off": off,
        "type": _kind(one),
        "required": one.required,
        "multiple": one.multiple if isinstance(one, click.Option) else one.nargs == -1,
        "default": default,
        "help": getattr(one, "help", None),
        "metavar": one.metavar,
    }
    if isinstance(one.type, click.Choice):
        values["choices"] = [str(choice) for choice in one.type.choices]
    if isinstance(one.type, click.IntRange | click.FloatRange):
        values["range"] = [one.type.min, one.type.max]
    return values


def _kind(one: click.Parameter) -> str:
    if isinstance(one, click.Option) and one.is_flag:
        return "flag"
    if isinstance(one.type, click.Choice):
        return "choice"
    if isinstance(one.type, click.IntRange) or one.type is click.INT:
        return "integer"
    if isinstance(one.type, click.FloatRange) or one.type is click.FLOAT:
        return "number"
    return "text"

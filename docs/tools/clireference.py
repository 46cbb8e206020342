"""The reference page of the command line, made from the commands themselves."""

from __future__ import annotations

import click

from eo_dl_cli.capabilities import describe
from eo_dl_cli.main import cli

INTRODUCTION = """# Command line

Every command with all its options, made from the commands when this page was built. `eo-dl COMMAND --help`
shows the same in a terminal.

All commands take `-h`/`--help`. `eo-dl --version` prints the version; `eo-dl --debug COMMAND ...` shows the
traceback of an error. Exit codes: 0 done, 1 failure, 2 usage or bad input, 130 interrupted, 143 terminated.
Results go to standard output (`--json` for programs), progress and messages to standard error
(`--progress json`: one JSON object per line).

Tab completion for the current shell: `eval "$(_EO_DL_COMPLETE=bash_source eo-dl)"` (`zsh_source` in zsh;
`_EO_DL_COMPLETE=fish_source eo-dl | source` in fish).

"""


def cli_reference() -> str:
    """The page as Markdown: a list of the commands, then each with its usage, help and options."""
    commands = describe(click.Context(cli))
    lines = [
        f"- [`eo-dl {name}`](#eo-dl-{_anchor(name)}): {found['help']}" for name, found in commands.items()
    ]
    sections = [_section(name, found) for name, found in commands.items()]
    return INTRODUCTION + "\n".join(lines) + "\n\n" + "\n".join(sections)


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _section(name: str, found: dict[str, object]) -> str:
    parameters = found["parameters"]
    assert isinstance(parameters, list)
    arguments = [one for one in parameters if one["flag"] is None]
    options = [one for one in parameters if one["flag"] is not None]
    usage = " ".join(["eo-dl", name, "[OPTIONS]", *(_usage(one) for one in arguments)])
    parts = [f"## eo-dl {name} {{#eo-dl-{_anchor(name)}}}", f"```\n{usage}\n```"]
    texts = found["text"]
    assert isinstance(texts, list)
    parts += [_paragraph(text) for text in texts]
    rows = [f"| {_flags(one)} | {_value(one)} | {_help(one)} |" for one in options]
    parts.append("\n".join(["| option | value | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _usage(argument: dict[str, object]) -> str:
    return str(argument["metavar"])


def _paragraph(text: str) -> str:
    """Paragraphs that keep their lines are examples for a terminal."""
    if "\n" in text or text.startswith("eo-dl "):
        return f"```\n{text}\n```"
    return _escaped(text)


def _flags(option: dict[str, object]) -> str:
    flags = [f"`{option['flag']}`"]
    if option["off"]:
        flags.append(f"`{option['off']}`")
    return " / ".join(flags)


def _value(option: dict[str, object]) -> str:
    if option["type"] == "flag":
        return ""
    choices = option.get("choices")
    if isinstance(choices, list) and choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    return f"`{option['metavar'] or str(option['type']).upper()}`".replace("|", "\\|")


def _help(option: dict[str, object]) -> str:
    text = _escaped(str(option["help"] or ""))
    default = option["default"]
    if option["required"]:
        text += " **Required.**"
    elif default not in (None, "", False) and "default" not in text:
        text += f" (default: `{default}`)"
    if option["multiple"]:
        text += " May be repeated."
    return text.strip()


def _escaped(text: str) -> str:
    """Text of the command line as Markdown within a table: its special characters mean themselves."""
    for character in "\\*_<|[":
        text = text.replace(character, f"\\{character}" if character != "<" else "&lt;")
    return text

"""What the command line can do, as `eo-dl capabilities` wrote it, and how values become its words. No QGIS in
here.
"""

import json
from pathlib import Path

PATH = Path(__file__).resolve().parent / "commands.json"


def load():
    """Commands by name, each with `help`, `text` (paragraphs) and `parameters`."""
    return _read()["commands"]


def task_suffixes():
    """Tasks by name, each with the suffix of what `predict` writes where the user chose none."""
    return _read()["tasks"]


def _read():
    return json.loads(PATH.read_text(encoding="utf-8"))


def command_words(name, parameters, values):
    """`eo-dl` words of a command: `values` by parameter name (None, "" and [] are left out), arguments in
    their order before the options.

    The answer is asked for as JSON lines. A flag takes True or False; a parameter that may be repeated takes
    a list.
    """
    unknown = set(values) - {one["name"] for one in parameters}
    if unknown:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}")
    options, arguments = ["--progress=json"], []
    for one in parameters:
        value = values.get(one["name"])
        if value is None or value == "" or value == []:
            continue
        if one["flag"] is None:
            arguments += [str(part) for part in (value if isinstance(value, list) else [value])]
        elif one["type"] == "flag":
            options += _flag(one, value)
        else:
            for part in value if isinstance(value, list) else [value]:
                options.append(f"{one['flag']}={part}")
    return [*name.split(), *options, "--", *arguments] if arguments else [*name.split(), *options]


def _flag(one, value):
    if value:
        return [one["flag"]]
    return [one["off"]] if one["off"] else []

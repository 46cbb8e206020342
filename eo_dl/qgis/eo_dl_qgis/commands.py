"""The commands of eo_dl, as `eo-dl capabilities` wrote them, and how values become a command line. No QGIS in
here.
"""

import json
from pathlib import Path

PATH = Path(__file__).resolve().parent / "commands.json"


def load():
    """Commands by name, each with `help`, `text` (paragraphs) and `parameters`."""
    return _read()["commands"]


def task_suffixes():
    """Tasks by name, each with the suffix of what `predict` writes by default."""
    return _read()["tasks"]


def networks():
    """Tasks by name, each with its network architectures, the default first."""
    return _read()["networks"]


def weights():
    """Pretrained weights, each with `backbone`, `weights` (short name), `bands` (how many) and `gsd_m`."""
    return _read()["weights"]


def _read():
    return json.loads(PATH.read_text(encoding="utf-8"))


def command_words(name, parameters, values):
    """The words after `eo-dl` for a command that reports as JSON lines: options, then arguments in their
    order.

    `values` by parameter name; None, "" and [] are left out. A flag takes True or False, a parameter that may
    be repeated a list.
    """
    unknown = set(values) - {parameter["name"] for parameter in parameters}
    if unknown:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}")
    options, arguments = ["--progress=json"], []
    for parameter in parameters:
        value = values.get(parameter["name"])
        if value is None or value == "" or value == []:
            continue
        repeated = value if isinstance(value, list) else [value]
        if parameter["flag"] is None:
            arguments += [str(part) for part in repeated]
        elif parameter["type"] == "flag":
            options += _flag(parameter, value)
        else:
            options += [f"{parameter['flag']}={part}" for part in repeated]
    words = [*name.split(), *options]
    return [*words, "--", *arguments] if arguments else words


def _flag(parameter, value):
    if value:
        return [parameter["flag"]]
    return [parameter["off"]] if parameter["off"] else []

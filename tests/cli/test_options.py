"""Groups of flags: the registry at the top of `cli/options.py` is true, and each group makes its value."""

from __future__ import annotations

import re

import click
import pytest

from eo_dl_cli import options
from tests.cli.test_flagnames import COMMANDS

OWN = {
    # Flags that mean something else in a command: the classes of a network or a project, the format or the
    # bands to write, the split to export or to score, the folds to train, the chips of an imported network,
    # the CRS of a file to make, the layer of a web map.
    "--bands": {"labels export", "model import", "model show"},
    "--crs": {"fetch"},
    "--chip": {"model import"},
    "--margin": {"model import"},
    "--classes": {"labels start", "model import", "model show"},
    "--format": {"labels convert", "labels export"},
    "--split": {"labels export", "evaluate", "compare"},
    "--folds": {"train"},
    "--count": {"labels queue"},
    "--values": {"model import"},
    "--views": {"labels queue"},
    "--workers": {"tile"},
    # Of a map that is summed up, and of its truth.
    "--layer": {"summary", "fetch"},
    "--annotated": {"summary"},
    "--block-m": {"summary"},
    # Common area of two objects of two dates.
    "--overlap": {"diff"},
    # Of a prediction that becomes labels to correct.
    "--min-score": {"labels prelabel"},
    "--min-area": {"labels prelabel"},
}


def registry() -> dict[str, set[str]]:
    """Each flag of a group with its commands, as the module says."""
    found: dict[str, set[str]] = {}
    flags: list[str] = []
    text = (options.__doc__ or "").split("(a test compares):")[1].split("Alone:")[0]
    for line in text.splitlines():
        if not line.startswith("    "):
            continue
        names = re.findall(r"--[a-z-]+", line)
        flags = names or flags
        commands = re.sub(r"^\s*(-\w, )?(--[a-z-]+,? *)*", "", line)
        for flag in flags:
            found.setdefault(flag, set()).update(filter(None, (part.strip() for part in commands.split(","))))
    return found


def users(flag: str) -> set[str]:
    """Commands that have a flag."""
    return {
        name
        for name, command in COMMANDS.items()
        if any(isinstance(one, click.Option) and flag in one.opts for one in command.params)
    }


def test_every_flag_of_a_group_is_listed() -> None:
    groups = (
        options._SCENE_FLAGS,
        options._LABEL_FLAGS,
        options._SAMPLING_FLAGS,
        options._SPLIT_FLAGS,
        options._CHIP_FLAGS,
        options._CLEANUP_FLAGS,
        options._COMPUTE_FLAGS,
    )

    @click.command()
    def command() -> None: ...

    for group in groups:
        for flag in group.values():
            flag(command)
    longest = {max(one.opts, key=len) for one in command.params}
    assert longest == set(registry())


@pytest.mark.parametrize("flag", registry())
def test_the_registry_names_the_commands_that_use_a_flag(flag: str) -> None:
    assert registry()[flag] == users(flag) - OWN.get(flag, set())

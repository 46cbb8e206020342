"""Parameters that the library names become the flags of the running command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from eo_dl_cli.flagnames import FlagNames
from eo_dl_cli.main import cli


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group by its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        elif command is not None:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands(cli))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_spelt_as_its_flag(command: str) -> None:
    found = COMMANDS[command]
    names = FlagNames.of(found)
    for option in found.params:
        if isinstance(option, click.Option):
            flag = names.spell(f"choose one with `{option.name}`.").removeprefix("choose one with ")[:-1]
            assert flag.startswith("--") and flag in option.opts
            assert found.make_parser(click.Context(found))._long_opt[flag].obj is option


@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_a_command_does_not_have_lose_their_backquotes(command: str) -> None:
    spell = FlagNames.of(COMMANDS[command]).spell
    assert spell("`no_such_name` was 3") == "no_such_name was 3"
    assert spell("run `eo-dl model backbones`") == "run `eo-dl model backbones`"


@pytest.mark.parametrize(
    ("command", "message", "shown"),
    [
        ("tile", "`size`: choose `size=256px` or `gsd_m=0.5`", "--size: choose --size 256px or --gsd 0.5"),
        ("tile", "`label_crs='EPSG:4326'`, not `crs`", "--label-crs EPSG:4326, not --crs"),
        ("predict", "`overwrite=True` replaces it", "--overwrite replaces it"),
        ("predict", "`resume=False` starts over", "--no-resume starts over"),
        ("predict", "`overwrite=False` keeps it", "no --overwrite keeps it"),
        ("train", "shorter with `minutes=30`", "shorter with --minutes 30"),
        ("train", "`task_options.loss='dice'`", "--set task_options.loss=dice"),
        ("train", "`min_steps` is above 0", "min_steps is above 0"),
        ("train", "shorter with `epochs=3`", "shorter with --epochs 3"),
        ("evaluate", "`minutes=30`", "minutes=30"),
    ],
)
def test_values_are_written_as_the_command_line_takes_them(command: str, message: str, shown: str) -> None:
    assert FlagNames.of(COMMANDS[command]).spell(message) == shown


def test_an_error_of_the_library_names_the_flag(eo_dl_cli: Callable, tmp_path: Path) -> None:
    said = eo_dl_cli("inspect", tmp_path / "scene.tif", "--nodata", "white")
    assert said.lines[-1].startswith("error: --nodata: expected a number or 'none'")
    assert said.code == 2

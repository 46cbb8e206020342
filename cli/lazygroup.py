"""`LazyGroup`: commands that are imported when they are used, so that listing them costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands lie in modules of this package, each as `command`."""

    def __init__(
        self,
        name: str | None = None,
        *,
        listed: Mapping[str, str] | None = None,
        hidden: Sequence[str] = (),
        prefix: str = "",
        **attributes: Any,
    ) -> None:
        """A group of commands.

        Args:
            name: Name of the group.
            listed: The commands by name, with what `--help` says about each; the module of a command is its
                name after `prefix`.
            hidden: Further commands, which `--help` does not list.
            prefix: Start of the names of all modules.
            attributes: As for `click.Group`.
        """
        super().__init__(name, **attributes)
        self._listed = dict(listed or {})
        self._hidden = tuple(hidden)
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of work."""
        return list(self._listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self._listed and cmd_name not in self._hidden:
            return None
        module = importlib.import_module(f".{self._prefix}{cmd_name}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._listed.items()))

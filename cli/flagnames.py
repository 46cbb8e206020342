"""Messages of the library name parameters in backquotes (`label_crs`), which become flags (--label-crs)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

_PARAMETER = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)*)(?:=([^`]*))?`")
_SET = "--set"


@dataclass(frozen=True)
class FlagNames:
    """How the parameters of a command are spelt on the command line."""

    on: dict[str, str]
    """Longest flag of each option, by the name of its parameter."""

    off: dict[str, str]
    """The flag that turns an option off, where there is one (--no-resume)."""

    switches: frozenset[str]
    """Options that take no value."""

    @classmethod
    def of(cls, command: click.Command) -> FlagNames:
        """The spelling of a command's options; its arguments have none."""
        options = [one for one in command.params if isinstance(one, click.Option) and one.name]
        return cls(
            on={str(one.name): max(one.opts, key=len) for one in options},
            off={str(one.name): max(one.secondary_opts, key=len) for one in options if one.secondary_opts},
            switches=frozenset(str(one.name) for one in options if one.is_flag),
        )

    def spell(self, message: str) -> str:
        """`message` with each parameter in backquotes as the flag of this command, or without backquotes.

        "`size_px=256`" becomes "--size 256", "`overwrite=True`" becomes "--overwrite", and a key that is
        configured by --set becomes "--set key=value". Whatever else stands in backquotes stays.
        """
        return _PARAMETER.sub(self._flag, message)

    def _flag(self, match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name in self.switches:
            return self._switch(name, value)
        if name in self.on:
            return self.on[name] if value is None else f"{self.on[name]} {_unquoted(value)}"
        if value is not None and _SET in self.on.values():
            return f"{_SET} {name}={_unquoted(value)}"
        return match[0].strip("`")

    def _switch(self, name: str, value: str | None) -> str:
        if value != "False":
            return self.on[name]
        return self.off.get(name, f"no {self.on[name]}")


def _unquoted(value: str) -> str:
    return value.strip("'\"")

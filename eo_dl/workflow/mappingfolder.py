"""`MappingFolder`: the folder that `map_scenes` fills, and what of it is done.

chips/              the chip set
model.eodl          the model; model.run/ has its curves
map.tif, map.gpkg   the map (maps/ for several scenes)
report/             the accuracy on the test blocks
index.html          all of it on one page
map.json            inputs and finished steps, written first; with `result` once everything is done

Every result is written under another name and renamed when it is whole, so what has its name is finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InputError, OutputExistsError
from ..io.atomic import atomic_file, refuse_existing
from ..training.trainconfig import differences

_STATE = "map.json"
_FORMAT = "eo_dl map"
_CLEARING = "clearing"
_RESULTS = (
    "chips",
    "chips.*",
    "model.*",
    "map",
    "map.*",
    "maps",
    "maps.*",
    "report",
    "report.*",
    "index.html",
)
"""What may be replaced in the folder."""


@dataclass(frozen=True)
class MappingFolder:
    """A folder of results with the state of the work."""

    path: Path
    """The folder."""

    state: dict[str, Any]
    """What `map.json` holds; changed by `note` only."""

    @classmethod
    def begin(cls, path: Path, inputs: Mapping[str, Any], *, overwrite: bool) -> MappingFolder:
        """Make the folder, or open that of a stopped run with the same inputs.

        Args:
            path: The folder.
            inputs: What decides the chips, as plain values.
            overwrite: Remove the results of an earlier run.

        Raises:
            ConfigError: The earlier run had other inputs.
            OutputExistsError: The folder holds something else.
        """
        if not path.is_dir():
            refuse_existing(path, overwrite=False)
            path.mkdir()
        folder = cls(path, _read(path))
        if not folder.state and any(path.iterdir()):
            raise OutputExistsError(
                f"{path}: holds files, but no {_STATE} of an earlier run; choose another folder as `out`"
            )
        if overwrite or folder.state.get(_CLEARING):
            folder._clear()
        folder.check_same("inputs", json.loads(json.dumps(inputs)))
        return folder

    def check_same(self, key: str, values: Mapping[str, Any]) -> None:
        """Keep what a step depends on; refuse to continue with something else.

        Args:
            key: Name of the step's inputs.
            values: The inputs as plain values.

        Raises:
            ConfigError: An earlier run had other inputs; the message names them.
        """
        known = self.state.get(key)
        if known is None:
            self.note({key: dict(values)})
            return
        changed = differences(known, values)
        if changed:
            raise ConfigError(
                f"{self.path}: cannot be continued, because these differ: {'; '.join(changed[:3])}; restore "
                "them, choose another folder as `out`, or start again with `overwrite`"
            )

    def is_done(self, step: str) -> bool:
        """Whether a step was finished by this run or an earlier one."""
        return step in self.seconds

    @property
    def seconds(self) -> dict[str, float]:
        """The finished steps with the seconds that each took when it was last run."""
        return dict(self.state.get("seconds", {}))

    def finish(self, step: str, seconds: float) -> None:
        """Keep that a step is finished."""
        self.note({"seconds": {**self.seconds, step: round(seconds, 1)}})

    def note(self, values: Mapping[str, object]) -> None:
        """Keep values in `map.json`."""
        self.state.update({"format": _FORMAT, **values})
        with atomic_file(self.path / _STATE, overwrite=True) as part:
            part.write_text(json.dumps(self.state, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _clear(self) -> None:
        """Remove the results of an earlier run; other files stay."""
        self.state.clear()
        self.note({_CLEARING: True})  # so that a run that is killed here is not taken for a finished one
        for pattern in _RESULTS:
            for entry in self.path.glob(pattern):
                if entry.name == _STATE:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        self.state.clear()


def _read(folder: Path) -> dict[str, Any]:
    file = folder / _STATE
    if not file.is_file():
        return {}
    try:
        state = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: is damaged ({error}); remove it, or choose another folder as `out`"
        ) from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise OutputExistsError(f"{file}: is not that of a mapping; choose another folder as `out`")
    return state

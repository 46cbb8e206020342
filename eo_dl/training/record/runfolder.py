"""`RunFolder`: the folder `NAME.run/` beside `NAME.eodl`, with everything about a run except the model.

run.json          what decides the weights; a stopped run is only continued by one with the same content
config.yaml       the whole configuration, defaults included
weights.txt       which tensors of the backbone started from `weights`, by name
history.csv       losses and validation scores, one row per epoch
report.html       scores beside the baselines, curves and examples on one page
curves.png, preview.png, tensorboard/
worst.png         the validation chips with the largest errors, worst first
last.safetensors  the weights of the last step; the model has those of the best epoch
checkpoints/      until the model is written
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...bundle import load_model
from ...errors import ConfigError, OutputExistsError
from ...io.atomic import atomic_file, refuse_existing
from ...io.workfolder import refuse_links
from ..trainconfig import differences
from .checkpoint import CheckpointFolder

SUFFIX = ".eodl"


@dataclass(frozen=True)
class RunFolder:
    """The folder of the run that makes the model `out`."""

    out: Path
    """The model file."""
    replaces: bool = False
    """True if the model may replace an existing one."""

    @classmethod
    def of(cls, out: str | Path, overwrite: bool, resume: bool = False) -> RunFolder:
        """The folder of a model file, checked before any work; nothing is written.

        Args:
            out: The model file.
            overwrite: An existing model may be replaced.
            resume: An existing model may be replaced if it is the unfinished one of a stopped run.

        Raises:
            ConfigError: The name does not end in .eodl.
            OutputExistsError: The model exists.
        """
        path = model_path(out)
        replaces = overwrite
        if not overwrite and path.is_file() and path.with_suffix(".run").is_dir():
            replaces = _is_unfinished(path, resume)
        refuse_existing(path, replaces)
        return cls(path, replaces)

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.out.with_suffix(".run")

    @property
    def checkpoints(self) -> CheckpointFolder:
        """Its checkpoints."""
        return CheckpointFolder(self.path / "checkpoints")

    def begin(self, identity: dict[str, Any], *, resume: bool, overwrite: bool) -> dict[str, Any] | None:
        """Make the folder, or reopen that of a stopped run.

        Args:
            identity: What decides the weights (`RunSetup.identity`).
            resume: Continue a stopped run if there is one.
            overwrite: Remove the folder of an earlier run.

        Returns:
            The newest checkpoint of a run to be continued, else None.

        Raises:
            ConfigError: The run to be continued has another identity; the message names the difference.
            OutputExistsError: A run exists that is neither to be continued nor overwritten.
            WriteError: The folder is a link, or holds one.
        """
        refuse_links(self.path)
        known = self._identity()
        if resume and known is not None:
            self._check_same(known, identity)
            return self.checkpoints.latest()
        if self.path.exists():
            self._refuse_or_clear(known, overwrite)
        self.path.mkdir(exist_ok=True)
        self._write("run.json", json.dumps(identity, indent=1, sort_keys=True) + "\n")
        self._write("config.yaml", yaml.safe_dump(identity["config"], sort_keys=False, allow_unicode=True))
        return None

    def config_yaml(self) -> bytes:
        """The whole configuration, as it was written when the run began."""
        return (self.path / "config.yaml").read_bytes()

    def write_history(self, history: Sequence[dict[str, float]]) -> None:
        """Write history.csv, with the columns of all epochs."""
        columns = list(dict.fromkeys(key for row in history for key in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows([dict(row) for row in history])
        self._write("history.csv", text.getvalue())

    def finish(self) -> None:
        """Remove the checkpoints: the model is written and holds the best weights."""
        shutil.rmtree(self.checkpoints.path, ignore_errors=True)

    def _identity(self) -> dict[str, Any] | None:
        file = self.path / "run.json"
        if not file.is_file():
            return None
        try:
            known: dict[str, Any] = json.loads(file.read_text())
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{file}: damaged ({error}); start again with `overwrite`") from error
        if not isinstance(known, dict):
            raise ConfigError(f"{file}: is not that of a run; start again with `overwrite`")
        return known

    def _check_same(self, known: dict[str, Any], identity: dict[str, Any]) -> None:
        changed = differences(known, json.loads(json.dumps(identity)))
        if changed:
            raise ConfigError(
                f"{self.path}: cannot be resumed, because these differ: {'; '.join(changed[:3])}; restore "
                "them, or start again with `overwrite`"
            )

    def _refuse_or_clear(self, known: dict[str, Any] | None, overwrite: bool) -> None:
        if known is None and any(self.path.iterdir()):
            raise OutputExistsError(
                f"{self.path}: exists and is not the folder of a run; move it, or choose another `out`"
            )
        if known is not None and not overwrite:
            steps = self.checkpoints.steps()
            if steps:
                raise OutputExistsError(
                    f"{self.path}: holds an unfinished run (step {steps[-1]}); continue it with `resume`, or "
                    f"start again with `overwrite`"
                )
            raise OutputExistsError(
                f"{self.path}: holds the logs of another run; move them, or replace them with `overwrite`"
            )
        shutil.rmtree(self.path)

    def _write(self, name: str, text: str) -> None:
        with atomic_file(self.path / name, overwrite=True) as part:
            part.write_text(text, encoding="utf-8")


def model_path(out: str | Path) -> Path:
    """The path of a model to be written.

    Raises:
        ConfigError: The name does not end in .eodl.
    """
    path = Path(out)
    if path.suffix != SUFFIX:
        raise ConfigError(
            f"`out` {path}: the name of a model ends in {SUFFIX}, e.g. {path.stem or 'model'}{SUFFIX}"
        )
    return path


def _is_unfinished(model: Path, resume: bool) -> bool:
    """True for the model of a stopped run that `resume` continues.

    Raises:
        OutputExistsError: The model is one of a stopped run, but `resume` was not given.
    """
    if not load_model(model).spec.provenance.unfinished:
        return False
    if not resume:
        raise OutputExistsError(
            f"{model}: the best model so far of a stopped run; continue the run with `resume`, or start "
            "again with `overwrite`"
        )
    return True

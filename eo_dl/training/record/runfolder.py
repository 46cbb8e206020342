"""`RunFolder`: the folder `NAME.run/` beside `NAME.eodl`, with everything about a run that is not the model.

run.json        what the run is made of; a run is only continued by one that is made of the same config.yaml
the whole configuration, defaults included weights.txt     which tensors of the backbone came from --weights,
by name, where it was given history.csv     one row an epoch curves.png, preview.png, tensorboard/ worst.png
the validation chips with most errors, worst first last.safetensors  the weights of the last step (the model
holds the best ones) checkpoints/    removed once the model is written: the model holds the best weights, and
a finished run is not continued
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
from ..trainconfig import differences
from .checkpoint import CheckpointFolder

SUFFIX = ".eodl"


@dataclass(frozen=True)
class RunFolder:
    """The run of the model `out`."""

    out: Path
    replaces: bool = False

    @classmethod
    def of(cls, out: str | Path, overwrite: bool, resume: bool = False) -> RunFolder:
        """Checked before any work. Raises `ConfigError` for another suffix than .eodl, `OutputExistsError`
        where the model is there.

        `replaces`: the model may take the place of one that is there; a continued run replaces the unfinished
        one that it left.
        """
        path = Path(out)
        if path.suffix != SUFFIX:
            raise ConfigError(
                f"{path}: a model's name ends in {SUFFIX}; write e.g. -o {path.stem or 'model'}{SUFFIX}"
            )
        replaces = overwrite or (
            path.is_file() and path.with_suffix(".run").is_dir() and _is_unfinished(path, resume)
        )
        refuse_existing(path, replaces)
        return cls(path, replaces)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.out.with_suffix(".run")

    @property
    def checkpoints(self) -> CheckpointFolder:
        """Its checkpoints."""
        return CheckpointFolder(self.path / "checkpoints")

    def begin(self, identity: dict[str, Any], *, resume: bool, overwrite: bool) -> dict[str, Any] | None:
        """Make the folder, or take up the one of a killed run: then its newest checkpoint is returned.

        Raises `OutputExistsError` where a run is there that is neither to be continued nor overwritten, and
        `ConfigError`, naming the difference, where the one to be continued was made of something else.
        """
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
        """The whole configuration as it was written at the beginning."""
        return (self.path / "config.yaml").read_bytes()

    def write_history(self, history: Sequence[dict[str, float]]) -> None:
        """history.csv: all columns that any epoch has."""
        columns = list(dict.fromkeys(key for row in history for key in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows([dict(row) for row in history])
        self._write("history.csv", text.getvalue())

    def finish(self) -> None:
        """The model is written: checkpoints are no longer needed."""
        shutil.rmtree(self.checkpoints.path, ignore_errors=True)

    def _identity(self) -> dict[str, Any] | None:
        file = self.path / "run.json"
        if not file.is_file():
            return None
        try:
            known: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            raise ConfigError(f"{file}: is damaged ({error}); start again with `overwrite=True`") from error
        return known

    def _check_same(self, known: dict[str, Any], identity: dict[str, Any]) -> None:
        found = differences(known, json.loads(json.dumps(identity)))
        if found:
            raise ConfigError(
                f"{self.path}: the run to be continued was made of something else ({'; '.join(found[:3])}); give the same again, or start over with `overwrite=True`"
            )

    def _refuse_or_clear(self, known: dict[str, Any] | None, overwrite: bool) -> None:
        if known is None and any(self.path.iterdir()):
            raise OutputExistsError(
                f"{self.path}: is there and is not the folder of a run; move it away or choose another -o"
            )
        if known is not None and not overwrite:
            steps = self.checkpoints.steps()
            what = (
                f"an unfinished run (step {steps[-1]}); `resume=True` continues it"
                if steps
                else "the logs of another run; move them away to keep them"
            )
            raise OutputExistsError(f"{self.path}: holds {what}, `overwrite=True` starts over")
        shutil.rmtree(self.path)

    def _write(self, name: str, text: str) -> None:
        with atomic_file(self.path / name, overwrite=True) as part:
            part.write_text(text, encoding="utf-8")


def _is_unfinished(model: Path, resume: bool) -> bool:
    """True for what Ctrl-C left and `resume` goes on with. Raises `OutputExistsError` where that is not asked
    for.
    """
    if not load_model(model).spec.provenance.unfinished:
        return False
    if not resume:
        raise OutputExistsError(
            f"{model}: is the best model so far of a run that was stopped; `resume=True` continues it, `overwrite=True` starts over"
        )
    return True

"""Checkpoints of which each is complete or absent: written beside, synced, read back, compared, renamed.

Each `step-N.pt` (loadable with `weights_only=True`) has a `step-N.json` with its SHA-256, written after it,
so a file that was cut off by a kill or a full disk is never taken for a checkpoint. Lightning's own saving
neither syncs nor compares, and its resume is not exact (docs/design/reliability.md, 4 and 5), hence this
module.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import TrainingError, WriteError
from ...io.atomic import atomic_file

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the content; checkpoints of another version are not resumed."""
KEPT = 2
"""Checkpoints that are kept: the newest, and the one before in case the newest cannot be read."""

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of one run: the newest ones by step, and the weights of the best epoch."""

    path: Path

    def save(self, step: int, content: Mapping[str, Any]) -> Path:
        """Write the checkpoint of a step, then remove older ones.

        Args:
            step: Steps done so far.
            content: Tensors and plain values.

        Returns:
            The file.

        Raises:
            WriteError: The file does not read back as it was written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file = self._file(step)
        digest = _write_verified(file, {"format": FORMAT, **content})
        with atomic_file(file.with_suffix(".json"), overwrite=True) as part:
            part.write_text(json.dumps({"step": step, "sha256": digest}))
        for old in self.steps()[:-KEPT]:
            self._file(old).with_suffix(".json").unlink(missing_ok=True)
            self._file(old).unlink(missing_ok=True)
        return file

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in order; their hashes are not compared here."""
        numbers = [note.stem.removeprefix("step-") for note in self.path.glob("step-*.json")]
        return sorted(int(number) for number in numbers if re.fullmatch(r"\d{1,15}", number))

    def latest(self) -> dict[str, Any] | None:
        """The content of the newest checkpoint that matches its hash; None if there is none."""
        for step in reversed(self.steps()):
            content = self._load(step)
            if content is not None:
                return content
        return None

    def save_best(self, epoch: int, weights: Tensors) -> None:
        """Keep the weights of the best epoch so far; those of the previous one stay until `forget_best`."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write_verified(self._best(epoch), weights)

    def forget_best(self, keep: int | None) -> None:
        """Remove the weights of all best epochs except `keep`.

        Call it once a checkpoint that names the epoch is written: a run that is killed before continues from
        a checkpoint that names the previous one.
        """
        for file in self.path.glob("best-*.pt"):
            if keep is None or file != self._best(keep):
                file.unlink(missing_ok=True)

    def load_best(self, epoch: int) -> Tensors:
        """The weights of the best epoch, on the CPU.

        Raises:
            TrainingError: The file is missing.
        """
        file = self._best(epoch)
        if not file.is_file():
            raise TrainingError(
                f"{file}: the weights of the best epoch ({epoch}) are missing; train again with `overwrite`"
            )
        weights: Tensors = torch.load(file, map_location="cpu", weights_only=True)
        return weights

    def _file(self, step: int) -> Path:
        return self.path / f"step-{step:08d}.pt"

    def _best(self, epoch: int) -> Path:
        return self.path / f"best-{epoch:05d}.pt"

    def _load(self, step: int) -> dict[str, Any] | None:
        file = self._file(step)
        try:
            data = file.read_bytes()
            expected = json.loads(file.with_suffix(".json").read_text())["sha256"]
            if hashlib.sha256(data).hexdigest() == expected:
                content: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
                if content.get("format") == FORMAT:
                    return content
        except (OSError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
            log.warning("%s: %s", file, error)
        log.warning("%s is corrupt; falling back to the previous checkpoint", file)
        return None


def _write_verified(file: Path, content: Mapping[str, Any]) -> str:
    """Write a file and compare it with what was meant; its SHA-256."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    data = buffer.getbuffer()
    digest = hashlib.sha256(data).hexdigest()
    with atomic_file(file, overwrite=True) as part:
        part.write_bytes(data)
        with part.open("rb") as written:
            if hashlib.file_digest(written, "sha256").hexdigest() != digest:
                raise WriteError(f"{file}: does not read back as it was written; check the disk")
    return digest


def rng_state() -> dict[str, Any]:
    """States of the global generators of torch (all devices), numpy and Python, as tensors and plain
    values."""
    name, keys, position, has_gauss, cached_gauss = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached_gauss),
        ],
        "python": random.getstate(),
    }


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Restore the global generators to a state of `rng_state`."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, position, has_gauss, cached_gauss = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached_gauss))
    random.setstate(state["python"])

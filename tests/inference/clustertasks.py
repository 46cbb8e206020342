"""Tasks that worker processes import: shards that meet with an accident."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eo_dl.core.progress import OnProgress
from eo_dl.inference import rowpieces
from eo_dl.inference.shards import predict_shard
from eo_dl.io.atomic import write_bytes


@dataclass(frozen=True)
class ShardWithAccident:
    """A shard, and what happens in it."""

    model: Path
    scene: Path
    out: Path
    shard: str
    accident: str = ""
    """"killed": the worker dies after the first row, once. "full": no space is left after the first row."""


def run(common: None, task: ShardWithAccident, on_progress: OnProgress) -> int:
    """Predict the shard; returns how many rows were there already."""
    died = task.out.with_name("died")
    if task.accident == "killed" and not died.exists():
        _after_one_row(lambda: _die(died))
    if task.accident == "full":
        _after_one_row(_no_space)
    try:
        result = predict_shard(
            task.model, task.scene, shard=task.shard, out=task.out, backend="torch", on_progress=on_progress
        )
        return result.kept_rows
    finally:
        rowpieces.write_bytes = write_bytes


def _after_one_row(accident: Callable[[], None]) -> None:
    """Let the accident happen when the second row is written."""
    rows: list[Path] = []

    def write(path: Path, data: bytes, *, durable: bool = True) -> None:
        if path.name.startswith(".row"):
            rows.append(path)
        if len(rows) > 1:
            accident()
        write_bytes(path, data, durable=durable)

    rowpieces.write_bytes = write


def _die(mark: Path) -> None:
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _no_space() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")

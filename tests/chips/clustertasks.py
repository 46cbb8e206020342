"""Tasks that worker processes import: chips that meet with an accident."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

from eo_dl.chips import clustermeasure, writing
from eo_dl.chips.clustermeasure import MeasureTask, WholeJob
from eo_dl.chips.measure import Measured
from eo_dl.core.progress import OnProgress
from eo_dl.io.atomic import part_name
from tests.clustertasks import claimed

measure_task = clustermeasure.measure_task
write_whole = writing.write_whole


def killed_while_writing(job: WholeJob, task: MeasureTask, on_progress: OnProgress) -> list[Measured]:
    """The first worker dies in the middle of its third file, which it leaves half written."""
    written: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 3:
            part_name(path).write_bytes(data[:100])
            os.kill(os.getpid(), signal.SIGKILL)
        write_whole(path, data)

    assert job.writer is not None
    if claimed(job.writer.out.with_name("died")):
        writing.write_whole = write
    return measure_task(job, task, on_progress)


def done_twice(job: WholeJob, task: MeasureTask, on_progress: OnProgress) -> list[Measured]:
    """Every task runs twice, as after a worker that only seemed to be dead."""
    measure_task(job, task, on_progress)
    return measure_task(job, task, on_progress)


def full_disk(job: WholeJob, task: MeasureTask, on_progress: OnProgress) -> list[Measured]:
    """No space is left."""

    def write(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writing.write_whole = write
    try:
        return measure_task(job, task, on_progress)
    finally:
        writing.write_whole = write_whole

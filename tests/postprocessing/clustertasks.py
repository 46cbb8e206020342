"""Tasks that worker processes import: a map whose worker dies, or whose disk is full."""

from __future__ import annotations

import errno
import os
import signal

from eo_dl.core.progress import OnProgress
from eo_dl.io.atomic import disk_errors
from eo_dl.postprocessing import vectorizemaps
from eo_dl.postprocessing.vectorizemaps import MapOptions, MapTask
from tests.clustertasks import claimed

vectorize_map = vectorizemaps.vectorize_map


def killed(options: MapOptions, task: MapTask, on_progress: OnProgress) -> None:
    """The first worker dies when its file is written, before it can say so."""
    vectorize_map(options, task, on_progress)
    if claimed(task.out.parent.with_name("died")):
        os.kill(os.getpid(), signal.SIGKILL)


def full_disk_for_b(options: MapOptions, task: MapTask, on_progress: OnProgress) -> None:
    """No space is left for b.gpkg."""
    if task.out.stem == "b":
        with disk_errors(task.out):
            raise OSError(errno.ENOSPC, "No space left on device")
    vectorize_map(options, task, on_progress)

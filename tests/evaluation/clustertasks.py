"""Tasks that worker processes import: a map whose worker dies."""

from __future__ import annotations

import os
import signal

from eo_dl.core.progress import OnProgress
from eo_dl.evaluation.eachfile import FileJob
from eo_dl.evaluation.pixelwise import MapToScore, ScoredMap, score_map
from tests.clustertasks import claimed


def score_map_or_die(job: FileJob, file: MapToScore, on_progress: OnProgress) -> ScoredMap:
    """The first worker dies when it has scored its map."""
    scored = score_map(job, file, on_progress)
    if claimed(file.part.path.parent.with_name("died")):
        os.kill(os.getpid(), signal.SIGKILL)
    return scored

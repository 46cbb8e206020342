"""Measuring the candidates of `tile` on a Dask cluster: a task per run of rows of chips.

Rows are not cut, because the chips of a row are read together; so the chips, and their files, are those of
one machine. The splits, which depend on all chips, are dealt once at the end, by the process that asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ..core.daskcluster import open_cluster, run_tasks, tasks_at_once
from ..core.progress import OnProgress
from ..io.discover import own_path
from .measure import Candidate, Measured, measure
from .truth import SceneTruth
from .writing import ChipWriter

_TASKS_PER_THREAD = 4


def measure_on_cluster(
    candidates: Sequence[Candidate],
    truths: Mapping[int, SceneTruth],
    *,
    cluster: str,
    sample_px: int,
    writer: ChipWriter | None,
    on_progress: OnProgress,
) -> list[Measured]:
    """`measure` on a cluster whose workers see scenes and `writer.folder` under the same paths.

    Args:
        candidates: The candidates, by scene, row and column.
        truths: The scenes with their labels, by index.
        cluster: See `open_cluster`.
        sample_px: Pixels per chip from which percentiles are taken.
        writer: Writes the chips; None: they are not written.
        on_progress: Called with the number of tasks done and their total.

    Raises:
        ConfigError: No cluster is called so.
        ClusterError: The scheduler cannot be reached, or workers die.
        MissingExtraError: Dask is not installed.
        WriteError: A worker could not write.
        Cancelled: Ctrl-C.
    """
    if writer is not None:
        writer = replace(writer, folder=own_path(writer.folder))
    with open_cluster(cluster) as client:
        most = -(-len(candidates) // (_TASKS_PER_THREAD * tasks_at_once(client)))
        tasks = [_task(part, truths) for part in runs_of_rows(candidates, most)]
        measured = run_tasks(
            client,
            measure_task,
            tasks,
            on_progress,
            common=WholeJob(sample_px, writer),
            what="parts of the scenes",
            continues=False,
        )
    if writer is not None:
        writer.remove_remains()
    return [chip for part in measured for chip in part]


def runs_of_rows(candidates: Sequence[Candidate], most: int) -> list[list[Candidate]]:
    """Candidates cut between rows of chips, into runs that are closed once they hold `most` candidates."""
    runs: list[list[Candidate]] = []
    for _, row in groupby(candidates, key=lambda one: (one.scene_index, one.window.row)):
        if not runs or len(runs[-1]) >= most:
            runs.append([])
        runs[-1].extend(row)
    return runs


@dataclass(frozen=True)
class MeasureTask:
    """A run of candidates, and the scenes that they lie in."""

    candidates: Sequence[Candidate]
    """The candidates, by scene, row and column."""

    truths: Mapping[int, SceneTruth]
    """The scenes with their labels, by index."""


@dataclass(frozen=True)
class WholeJob:
    """What all tasks have in common."""

    sample_px: int
    """Pixels per chip from which percentiles are taken."""

    writer: ChipWriter | None
    """Writes the chips; None: they are not written."""


def _task(candidates: Sequence[Candidate], truths: Mapping[int, SceneTruth]) -> MeasureTask:
    indices = {one.scene_index for one in candidates}
    placed = {index: SceneTruth(truths[index].placed.with_own_paths()) for index in sorted(indices)}
    return MeasureTask(candidates, placed)


def measure_task(job: WholeJob, task: MeasureTask, on_progress: OnProgress) -> list[Measured]:
    """The work of one task, in one thread: a worker runs as many tasks at once as it has threads."""
    return measure(
        task.candidates,
        task.truths,
        sample_px=job.sample_px,
        sink=job.writer,
        workers=1,
        on_progress=on_progress,
    )

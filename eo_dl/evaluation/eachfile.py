"""The files of a prediction scored one by one: here, or on a Dask cluster with a task per file.

Each file gets scorers of its own, and these are merged in the order of the files, so it makes no difference
where a file was scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..core.daskcluster import open_cluster, run_tasks
from ..core.labelset import LabelSet
from ..core.progress import OnProgress
from .classmatch import ClassMatch
from .comparison import Comparison
from .limits import LeftOut, Limits, NoChipHere

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Counts = TypeVar("Counts", bound=DataclassInstance)

Job = TypeVar("Job")
File = TypeVar("File")
Scored = TypeVar("Scored")


@dataclass(frozen=True)
class FileJob:
    """What the scoring of all files has in common."""

    labels: LabelSet
    """The reference."""
    match: ClassMatch
    """The classes that are scored."""
    limits: Limits
    """The area and the chips that are scored."""
    iou: float
    """IoU from which an object counts as found."""
    seed: int
    """Seed of the bootstrap."""
    workers: int | None
    """Number of threads per file (default: one per core)."""

    @classmethod
    def of(cls, comparison: Comparison, match: ClassMatch) -> FileJob:
        """The job of a comparison. On a cluster a file has one thread, as workers run a task per thread."""
        return cls(
            labels=comparison.labels,
            match=match,
            limits=comparison.limits,
            iou=comparison.iou,
            seed=comparison.seed,
            workers=None if comparison.cluster is None else 1,
        )


@dataclass(frozen=True)
class ScoredFiles(Generic[Scored]):
    """What scoring gave."""

    results: list[Scored]
    """One per file, without those that were left out."""
    left_out: LeftOut
    """Files without any scored chip."""


def score_files(
    comparison: Comparison,
    score: Callable[[Job, File, OnProgress], Scored],
    job: Job,
    files: Sequence[File],
) -> ScoredFiles[Scored]:
    """`score(job, file, on_progress)` for each file; files that raise `NoChipHere` are left out.

    Args:
        comparison: What is compared, and where.
        score: A function that workers can import.
        job: What all files have in common.
        files: The files of `comparison.parts`, in their order.

    Raises:
        NoChipHere: All files were left out.
        ClusterError: The cluster cannot be reached, or workers die.
        MissingExtraError: Dask is not installed.
    """
    answers: Iterable[Scored | NoChipHere]
    if comparison.cluster is None:
        answers = _scored_here(comparison, score, job, files)
    else:
        answers = _scored_on_cluster(comparison, comparison.cluster, score, job, files)
    scored: ScoredFiles[Scored] = ScoredFiles([], LeftOut(len(files)))
    for part, answer in zip(comparison.parts, answers, strict=True):
        if isinstance(answer, NoChipHere):
            scored.left_out.add(part.path.name, answer)
        else:
            scored.results.append(answer)
    return scored


def total(counts: Sequence[Counts], none: Counts) -> Counts:
    """The sum of counts, field by field; `none` if there are none."""
    added = none
    for one in counts:
        values: dict[str, Any] = {
            field.name: getattr(added, field.name) + getattr(one, field.name) for field in fields(one)
        }
        added = replace(added, **values)
    return added


def _scored_here(
    comparison: Comparison,
    score: Callable[[Job, File, OnProgress], Scored],
    job: Job,
    files: Sequence[File],
) -> Iterator[Scored | NoChipHere]:
    for number, file in enumerate(files, start=1):
        yield _score_file((score, job), file, comparison.on_progress)
        comparison.on_progress(number, len(files), "files")


def _scored_on_cluster(
    comparison: Comparison,
    cluster: str,
    score: Callable[[Job, File, OnProgress], Scored],
    job: Job,
    files: Sequence[File],
) -> list[Scored | NoChipHere]:
    # A list, not a generator: one that is left half-read would keep the cluster open until it is collected.
    with open_cluster(cluster) as client:
        return run_tasks(
            client,
            _score_file,
            files,
            comparison.on_progress,
            common=(score, job),
            what="files",
            continues=False,
        )


def _score_file(
    work: tuple[Callable[[Job, File, OnProgress], Scored], Job], file: File, on_progress: OnProgress
) -> Scored | NoChipHere:
    score, job = work
    try:
        return score(job, file, on_progress)
    except NoChipHere as error:
        return error

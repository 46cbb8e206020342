"""What `evaluate` compares, and the numbers that come of it; `Report` adds what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..core.arraytypes import Int64Array
from ..core.classes import ClassSet
from ..core.labelset import LabelSet
from ..core.progress import OnProgress
from ..errors import LabelError
from ..scores.score import Score
from .limits import Limits
from .predictionfiles import Part

MeasurementKind = Literal["pixels", "objects", "chips", "values"]


@dataclass(frozen=True)
class Comparison:
    """A prediction and the reference, and how they are compared."""

    parts: Sequence[Part]
    """The files of the prediction, at least one."""
    labels: LabelSet
    """The reference."""
    limits: Limits
    """The area and the chips that are scored."""
    class_map: Mapping[str, str] | None
    """Name in the reference -> name in the prediction or "ignore", where names differ."""
    iou: float
    """IoU from which an object counts as found."""
    seed: int
    """Seed of the bootstrap."""
    on_progress: OnProgress
    """Called with (done, total, what)."""
    cluster: str | None = None
    """The Dask cluster that scores the files, see `open_cluster`; None: this process does."""


@dataclass(frozen=True)
class Measurement:
    """The numbers of a comparison."""

    kind: MeasurementKind
    """What was counted: pixels of class maps, objects, chips (or images) as a whole, or numbers of maps of
    values."""
    scores: tuple[Score, ...]
    """Overall scores (`class_name` None), then those of each class."""
    classes: ClassSet
    """The classes that are scored."""
    counts: dict[str, dict[str, int]]
    """Per class name, the counts behind its scores."""
    notes: tuple[str, ...]
    """What was decided, and how much was left out."""
    confusion: Int64Array | None = None
    """(K, K) pixels or chips [reference, predicted], in the order of `classes`."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    """PNG files by name."""


def nothing_to_score(labels: LabelSet, missing: str) -> LabelError:
    """The error of a comparison without anything to score; `missing` completes "no ..."."""
    frame = "pixels of images" if labels.crs is None else labels.crs.name
    return LabelError(
        f"{labels.source}: no {missing} (the truth is in {frame}); check that both show the same place, and "
        "`aoi`, `chips` and `annotated`"
    )

"""`Prediction`: what a call of `predict` wrote, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from ..core.classes import ClassSet
from ..core.htmlcard import card
from ..core.pixelgrid import PixelGrid
from ..postprocessing.classtotals import ClassTotal, sum_of_totals

PredictionKind = Literal["raster", "values", "polygons", "objects", "chips", "images", "folder"]


@dataclass(frozen=True)
class Prediction:
    """One output; for several scenes, a folder of them (see `parts`)."""

    path: Path
    """The output: a file, or the folder of the parts."""
    kind: PredictionKind
    """What the output holds.

    "raster": class ids, 255 = nodata. "values": numbers, one band per value, NaN = nodata. "polygons": a
    class map as vectors. "objects": detections. "chips": one cell per chip, as vectors or as a raster with
    one pixel per chip. "images": one row per image. "folder": one of these per scene.
    """
    task: str
    """Task of the model."""
    classes: ClassSet
    """Classes of the model."""
    model: str
    """Path of the model file."""
    model_hash: str
    """SHA-256 of the model file."""
    scene: str = ""
    """Path of the scene; empty for "images" and "folder"."""
    grid: PixelGrid | None = None
    """The scene's own grid."""
    count: int | None = None
    """Number of features of a vector output."""
    extras: Mapping[str, Path] = field(default_factory=dict)
    """The rasters that were written beside it by kind: "prob", "certainty", "sets", "applicability"."""
    engine: str = ""
    """What ran the network, with version and precision, e.g. "openvino 2026.4.1, bf16"."""
    chips: int = 0
    """Number of chips that the network saw."""
    skipped: int = 0
    """Number of chips without a valid pixel (in the AOI)."""
    kept: int = 0
    """Number of chips taken over from a stopped run."""
    seconds: float = 0.0
    """Duration of this call."""
    totals: tuple[ClassTotal, ...] = ()
    """Number and area of each class."""
    notes: tuple[str, ...] = ()
    """Remarks: what was converted, joined, left out."""
    parts: tuple[Prediction, ...] = ()
    """The predictions of the single scenes of a "folder"."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was written (styles aside)."""
        if self.parts:
            return tuple(chain.from_iterable(part.paths for part in self.parts))
        return (self.path, *self.extras.values())

    @property
    def probabilities(self) -> Path | None:
        """The raster of probabilities, if one was written."""
        return self.extras.get("prob")

    def values(self) -> dict[str, object]:
        """The prediction as JSON-ready values, without empty ones."""
        values: dict[str, object] = {
            "output": str(self.path),
            "kind": self.kind,
            "task": self.task,
            "model": self.model,
            "model_sha256": self.model_hash,
            "scene": self.scene,
            "classes": list(self.classes.names),
            "features": self.count,
            "probabilities": str(self.extras.get("prob", "")),
            "certainty": str(self.extras.get("certainty", "")),
            "sets": str(self.extras.get("sets", "")),
            "applicability": str(self.extras.get("applicability", "")),
            "engine": self.engine,
            "chips": self.chips,
            "chips_skipped": self.skipped,
            "chips_kept": self.kept,
            "seconds": round(self.seconds, 2),
            "totals": [total.values() for total in self.totals],
            "notes": list(self.notes),
            "parts": [part.values() for part in self.parts],
        }
        return {name: value for name, value in values.items() if value not in (None, "", [])}

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = []
        for name, value in self.values().items():
            if name not in ("parts", "notes", "totals", "model_sha256"):
                text = ", ".join(map(str, value)) if isinstance(value, list) else value
                rows.append((name, text))
        rows += [(total.name, total.text) for total in self.totals]
        rows += [("note", note) for note in self.notes]
        return card(self.path.name, rows)


def folder_prediction(folder: Path, parts: tuple[Prediction, ...], seconds: float) -> Prediction:
    """The predictions of several scenes as one."""
    first = parts[0]
    about_all = [note for note in first.notes if all(note in part.notes for part in parts)]
    notes = list(about_all)
    for part in parts:
        below = part.path.is_relative_to(folder)
        name = part.path.relative_to(folder).as_posix() if below else part.path.name
        notes += [f"{name}: {note}" for note in part.notes if note not in about_all]
    return Prediction(
        path=folder,
        kind="folder",
        task=first.task,
        classes=first.classes,
        model=first.model,
        model_hash=first.model_hash,
        engine=first.engine,
        count=None if first.count is None else sum(part.count or 0 for part in parts),
        chips=sum(part.chips for part in parts),
        skipped=sum(part.skipped for part in parts),
        kept=sum(part.kept for part in parts),
        seconds=seconds,
        totals=sum_of_totals([part.totals for part in parts]),
        notes=tuple(notes),
        parts=parts,
    )

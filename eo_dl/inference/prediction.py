"""`Prediction`: what a run of `predict` made, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.classes import ClassSet
from ..core.htmlcard import card
from ..core.pixelgrid import PixelGrid


@dataclass(frozen=True)
class Prediction:
    """One output (or, for several scenes, a folder of them: see `parts`).

    `kind`: "raster" (class ids, 255 = not measured), "polygons" (a class map as vectors), "objects", or
    "chips" (a cell a chip, as vectors or with a pixel a chip) and "images" (a row an image). `grid` is the
    scene's own. `count`: features of a vector output. `probabilities`: the extra raster. `chips`: how many
    the network saw, `skipped`: without anything to answer for, `kept`: found from a run that had been
    stopped. `seconds` of this run.
    """

    path: Path
    kind: Literal["raster", "polygons", "objects", "chips", "images", "folder"]
    task: str
    classes: ClassSet
    model: str
    model_hash: str
    scene: str = ""
    grid: PixelGrid | None = None
    count: int | None = None
    probabilities: Path | None = None
    chips: int = 0
    skipped: int = 0
    kept: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    parts: tuple[Prediction, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was written (styles aside)."""
        if self.parts:
            return tuple(path for part in self.parts for path in part.paths)
        return (self.path,) if self.probabilities is None else (self.path, self.probabilities)

    def values(self) -> dict[str, object]:
        """For JSON and tables."""
        known: dict[str, object] = {
            "output": str(self.path),
            "kind": self.kind,
            "task": self.task,
            "model": self.model,
            "model_sha256": self.model_hash,
            "scene": self.scene,
            "classes": list(self.classes.names),
            "features": self.count,
            "probabilities": None if self.probabilities is None else str(self.probabilities),
            "chips": self.chips,
            "chips_skipped": self.skipped,
            "chips_kept": self.kept,
            "seconds": round(self.seconds, 2),
            "notes": list(self.notes),
            "parts": [part.values() for part in self.parts],
        }
        return {name: value for name, value in known.items() if value not in (None, "", [])}

    def _repr_html_(self) -> str:
        shown = {
            name: value
            for name, value in self.values().items()
            if name not in ("parts", "notes", "model_sha256")
        }
        rows = [
            (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
            for name, value in shown.items()
        ]
        return card(self.path.name, [*rows, *(("note", note) for note in self.notes)])


def together(folder: Path, parts: tuple[Prediction, ...], seconds: float) -> Prediction:
    """The predictions of several scenes as one."""
    first = parts[0]
    return Prediction(
        folder,
        "folder",
        first.task,
        first.classes,
        first.model,
        first.model_hash,
        count=None if first.count is None else sum(part.count or 0 for part in parts),
        chips=sum(part.chips for part in parts),
        skipped=sum(part.skipped for part in parts),
        kept=sum(part.kept for part in parts),
        seconds=seconds,
        notes=tuple(f"{_below(part.path, folder)}: {note}" for part in parts for note in part.notes),
        parts=parts,
    )


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name

"""`WrittenLabels`: what an import or a conversion wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.htmlcard import card
from ..core.labelreport import NOTHING_READ, LabelReport
from ..core.labelset import LabelSet


@dataclass(frozen=True)
class WrittenLabels:
    """Labels that an import or a conversion wrote."""

    path: Path
    """The output."""

    labels: LabelSet
    """The labels as they were written."""

    notes: tuple[str, ...]
    """What was joined, lost or left out, counted."""

    report: LabelReport = NOTHING_READ
    """What became of the objects of the files that were read."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of objects per class; those without a class are not counted."""
        return self.labels.class_counts()

    def values(self) -> dict[str, object]:
        """For JSON and tables."""
        crs = None if self.labels.crs is None else self.labels.crs.to_string()
        return {
            "output": str(self.path),
            "objects": len(self.labels),
            "classes": self.counts,
            "crs": crs,
            "label_report": self.report.values(),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return card(self.path.name, list(self.counts.items()))

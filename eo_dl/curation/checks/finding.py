"""`Finding`: one thing that may be wrong with labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import shapely

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
SEVERITY_COLORS: dict[str, str] = {"error": "#c8352b", "warning": "#e8a33d", "note": "#2a7fb8"}

KINDS: dict[str, str] = {
    "unreadable": "labels or scenes that cannot be used together",
    "no geometry": "features without a geometry",
    "invalid geometry": "outlines that cross themselves, have no area, or coordinates that are no numbers",
    "duplicate": "the same object drawn twice",
    "overlap": "objects that lie on each other",
    "no class": "features whose class is not said",
    "class spelling": "classes that differ by case or spelling",
    "unknown class": "classes that the project does not know",
    "empty class": "classes without an object",
    "imbalance": "classes that are much rarer than others",
    "too small": "objects under 3 px",
    "outside scene": "objects that lie beside the scenes, or stick out of them",
    "over nodata": "objects on pixels that were not measured",
    "outside annotated": "objects outside the ground on which labels are complete",
    "misregistration": "labels that lie beside what they outline",
    "leakage": "ground or images shared by two splits",
    "suspected class": "objects that a model sees as another class",
    "suspected object": "objects that a model does not see",
    "suspected gap": "what a model sees and nobody labelled",
}
"""What can be found, and what it means."""


@dataclass(frozen=True)
class Finding:
    """One thing that may be wrong.

    `feature_ids`: whom it concerns, as the source calls them; `text`: what was found and what to do.
    `geometry` lies in the CRS of the labels, or, where `image` is set, in pixels of that scene's file; None
    where it has no place.
    """

    kind: str
    severity: Severity
    text: str
    feature_ids: tuple[str, ...] = ()
    class_name: str = ""
    geometry: shapely.Geometry | None = field(default=None, repr=False)
    image: str | None = None

    def values(self) -> dict[str, object]:
        """For JSON."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "text": self.text,
            "feature_ids": list(self.feature_ids),
            "class_name": self.class_name,
            "scene": self.image,
            "place": None if self.geometry is None else [round(float(v), 6) for v in self.geometry.bounds],
        }

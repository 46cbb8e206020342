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
    "invalid geometry": "outlines that cross themselves, have no area, or have invalid coordinates",
    "duplicate": "objects drawn twice",
    "overlap": "objects that overlap",
    "no class": "features without a class",
    "class spelling": "classes that differ in case or spelling only",
    "unknown class": "classes that the project does not have",
    "empty class": "classes without an object",
    "imbalance": "classes that are much rarer than others",
    "too small": "objects smaller than 3 px",
    "outside scene": "objects that lie outside the scenes, or partly so",
    "over nodata": "objects on pixels that were not measured",
    "outside annotated": "objects outside the ground on which labels are complete",
    "misregistration": "labels that are shifted against the image",
    "leakage": "ground or images shared by two splits",
    "suspected class": "objects that a model assigns to another class",
    "suspected object": "objects that a model does not find",
    "suspected gap": "objects that a model finds where nothing is labelled",
}
"""The kinds of findings and what they mean, in the order of reports."""


@dataclass(frozen=True)
class Finding:
    """One thing that may be wrong."""

    kind: str
    """A key of `KINDS`."""

    severity: Severity
    """How bad it is."""

    text: str
    """What was found and what to do about it."""

    feature_ids: tuple[str, ...] = ()
    """The features concerned, as the source calls them."""

    class_name: str = ""
    """Their class."""

    geometry: shapely.Geometry | None = field(default=None, repr=False)
    """Where it is: in the CRS of the labels, or in pixels of the file of `image` if that is set."""

    image: str | None = None
    """File name of the scene in whose pixels `geometry` lies."""

    def values(self) -> dict[str, object]:
        """As plain values, for JSON."""
        bounds = None
        if self.geometry is not None:
            bounds = [round(float(value), 6) for value in self.geometry.bounds]
        return {
            "kind": self.kind,
            "severity": self.severity,
            "text": self.text,
            "feature_ids": list(self.feature_ids),
            "class_name": self.class_name,
            "scene": self.image,
            "bounds": bounds,
        }

"""`Score`: one number about quality, with its class, threshold and count."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_TITLES = {
    "mean_iou": "mean IoU",
    "mean_f1": "mean F1",
    "mean_ap": "mean AP",
    "mean_box_iou": "mean IoU of boxes",
    "corloc": "CorLoc",
    "iou": "IoU",
    "f1": "F1",
    "ap": "AP",
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
    "coverage": "share inside intervals",
    "interval_width": "width of intervals",
    "ap50": "AP at IoU 0.5",
    "ap50_95": "AP at IoU 0.5 to 0.95",
}


def score_title(name: str) -> str:
    """The name of a score as people write it: "mean IoU" for "mean_iou"."""
    return _TITLES.get(name, name.replace("_", " "))


@dataclass(frozen=True, slots=True)
class Score:
    """One number about quality."""

    name: str
    value: float
    """NaN where the score is undefined, e.g. the recall of a class that does not occur in the reference."""
    class_name: str | None
    """The class that the score is about; None: all classes."""
    count: int
    """Number of reference pixels, objects or chips behind the score."""
    threshold: float | None = None
    """The IoU from which an object counts as found."""
    low: float | None = None
    """Lower bound of the 95 % interval from resampled blocks of ground; None with too few blocks."""
    high: float | None = None
    """Upper bound of the interval."""

    @property
    def defined(self) -> bool:
        """False for NaN."""
        return not math.isnan(self.value)

    def text(self) -> str:
        """For people: "0.713 [0.662, 0.758]", or "not defined"."""
        if not self.defined:
            return "not defined"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def find_score(scores: Iterable[Score], name: str, class_name: str | None = None) -> Score:
    """The score of that name and class.

    Raises:
        KeyError: There is none; the message lists the names that there are.
    """
    known = list(scores)
    for score in known:
        if score.name == name and score.class_name == class_name:
            return score
    names = sorted({score.name for score in known})
    of_class = "over all classes" if class_name is None else f"of class {class_name!r}"
    raise KeyError(f"no score {name!r} {of_class}; found {', '.join(names) or 'none'}")

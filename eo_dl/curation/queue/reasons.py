"""Why a chip is asked for, in a line that a person reads on the map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...core.classes import ClassSet
from .chipuncertainty import Uncertainty

_MUCH = 0.2
_NEW = 0.5


def reason(
    told: Uncertainty, by: str, all_values: npt.NDArray[np.float64], classes: ClassSet, novelty: float
) -> str:
    """How unsure beside all candidates, about which classes (those with a fifth of it, two at most), and
    whether it is a new sight.

    "less sure than of 96 % of the chips, between water and road; unlike what was labelled or ranked before"
    """
    below = float((all_values < getattr(told, by)).mean())
    parts = [f"less sure than of {np.floor(100 * below):.0f} % of the chips"]
    names = [
        classes.names[place]
        for place in np.argsort(-np.array(told.about), kind="stable")[:2]
        if told.about[place] >= _MUCH
    ]
    if names:
        parts[0] += f", between {names[0]} and {names[1]}" if len(names) > 1 else f", of {names[0]}"
    if novelty >= _NEW:
        parts.append("unlike what was labelled or ranked before")
    return "; ".join(parts)

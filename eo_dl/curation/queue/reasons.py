"""Why a chip is queued: one line, shown on the map."""

from __future__ import annotations

import numpy as np

from ...core.arraytypes import Float64Array
from ...core.classes import ClassSet
from .chipuncertainty import Uncertainty

_LARGE_SHARE = 0.2  # of the uncertainty: a class with less is not named
_NEW = 0.5  # novelty from which a chip counts as unlike the others


def reason(
    uncertainty: Uncertainty, measure: str, all_values: Float64Array, classes: ClassSet, novelty: float
) -> str:
    """How uncertain the model is compared with all candidates, between which classes, and whether the chip
    looks new.

    "more uncertain than 96 % of the chips, between water and road; unlike the chips labelled or ranked so
    far"

    Args:
        uncertainty: That of the chip.
        measure: Which measure the queue is ranked by: a field of `Uncertainty`.
        all_values: (N,) that measure for all candidates.
        classes: The classes of the model. At most two are named, those with a fifth of the uncertainty.
        novelty: How different the chip is from those labelled or ranked before, 0 to 1.
    """
    below = float((all_values < getattr(uncertainty, measure)).mean())
    text = f"more uncertain than {np.floor(100 * below):.0f} % of the chips"
    largest_first = np.argsort(-np.array(uncertainty.class_shares), kind="stable")
    names = [
        classes.names[index] for index in largest_first[:2] if uncertainty.class_shares[index] >= _LARGE_SHARE
    ]
    if len(names) == 2:
        text += f", between {names[0]} and {names[1]}"
    elif names:
        text += f", about {names[0]}"
    if novelty >= _NEW:
        text += "; unlike the chips labelled or ranked so far"
    return text

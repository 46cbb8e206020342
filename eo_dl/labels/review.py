"""What a review says of labels: `status` is proposed, accepted, changed or rejected; nothing said is a label
like any other.

Proposed ones are not labels yet, nor is their ground background: they count neither way, unless `reviewed` is
set. Rejected ones are no labels, and their ground is background for sure: hard negatives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.arraytypes import BoolArray
from .classrequest import value_text
from .projectlayout import STATUSES

PROPOSED, ACCEPTED, CHANGED, REJECTED = "proposed", *STATUSES
REVIEW = (PROPOSED, *STATUSES)

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reviewed:
    """(N,) which features are only proposed and which are rejected, and what has to be said."""

    proposed: Flags
    rejected: Flags
    notes: tuple[str, ...] = ()


def ticked_rows(frame: pd.DataFrame) -> BoolArray:
    """(N,) rows whose box `reviewed` is ticked; none where the table has no such field."""
    if "reviewed" not in frame.columns:
        return np.zeros(len(frame), np.bool_)
    return np.array([not pd.isna(value) and bool(value) for value in frame["reviewed"]], np.bool_)


def statuses_of(frame: gpd.GeoDataFrame) -> npt.NDArray[np.object_]:
    """(N,) the status of each feature, None where none is said; a proposed one that was ticked as reviewed is
    accepted.

    A field `status` with other words than ours is somebody else's, and says nothing here.
    """
    said = (
        [None if pd.isna(value) else value_text(value) for value in frame["status"]]
        if "status" in frame.columns
        else [None] * len(frame)
    )
    if not {text for text in said if text is not None} <= set(REVIEW):
        said = [None] * len(frame)
    found = np.empty(len(frame), dtype=object)
    found[:] = [
        ACCEPTED if text == PROPOSED and ticked else text
        for text, ticked in zip(said, ticked_rows(frame), strict=True)
    ]
    return found


def review_of(frame: gpd.GeoDataFrame) -> Reviewed:
    """What the review of a layer says."""
    found = statuses_of(frame)
    proposed, rejected = np.asarray(found == PROPOSED, np.bool_), np.asarray(found == REJECTED, np.bool_)
    counts = Counter(text for text in found if text is not None)
    notes = []
    if counts:
        told = ", ".join(f"{counts[name]} {name}" for name in REVIEW if counts[name])
        notes.append(f"status: {told}; proposed ones count neither way, rejected ones are background")
    return Reviewed(proposed, rejected, tuple(notes))

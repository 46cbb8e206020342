"""The review of labels: the field `status` is proposed, accepted, changed or rejected; without one, a label
is like any other.

Proposed labels are not labels yet, and their ground is not background either: they are ignored, unless they
are ticked as `reviewed`. Rejected ones are not labels, and their ground is background for sure: hard
negatives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from ..core.arraytypes import BoolArray, ObjectArray
from .classrequest import value_text
from .projectlayout import STATUSES

PROPOSED, ACCEPTED, CHANGED, REJECTED = "proposed", *STATUSES
REVIEW = (PROPOSED, *STATUSES)


@dataclass(frozen=True)
class Reviewed:
    """Which features of a layer are not labels."""

    proposed: BoolArray
    """(N,) True for features that are only proposed."""

    rejected: BoolArray
    """(N,) True for features that were rejected."""

    notes: tuple[str, ...] = ()
    """How many features have which status."""


def ticked_rows(frame: pd.DataFrame) -> BoolArray:
    """(N,) True for rows whose box `reviewed` is ticked; for none, if the table has no such field."""
    if "reviewed" not in frame.columns:
        return np.zeros(len(frame), np.bool_)
    return np.array([not pd.isna(value) and bool(value) for value in frame["reviewed"]], np.bool_)


def statuses_of(frame: gpd.GeoDataFrame) -> ObjectArray:
    """(N,) the status of each feature; None where it has none.

    A proposed feature that is ticked as reviewed is accepted. A field `status` with other words belongs to
    another program and is not read.
    """
    statuses: ObjectArray = np.full(len(frame), None, dtype=object)
    if "status" not in frame.columns:
        return statuses
    texts = [None if pd.isna(value) else value_text(value) for value in frame["status"]]
    if not set(texts) <= {*REVIEW, None}:
        return statuses
    statuses[:] = texts
    statuses[(statuses == PROPOSED) & ticked_rows(frame)] = ACCEPTED
    return statuses


def review_of(frame: gpd.GeoDataFrame) -> Reviewed:
    """The review of the features of a layer."""
    statuses = statuses_of(frame)
    proposed = np.asarray(statuses == PROPOSED, np.bool_)
    rejected = np.asarray(statuses == REJECTED, np.bool_)
    counts = Counter(statuses.tolist())
    present = ", ".join(f"{counts[status]} {status}" for status in REVIEW if counts[status])
    if not present:
        return Reviewed(proposed, rejected)
    note = f"status: {present}; proposed ones are ignored, rejected ones are background"
    return Reviewed(proposed, rejected, (note,))

"""Which of the scored ground the model was trained on, as its maps say; see `inference.trainedground`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from ..core.gridwindow import between_grids
from ..core.pixelgrid import PixelGrid
from ..core.wording import listed
from ..io.aoi import Aoi
from ..io.outputtags import GRID_TAG, read_grid_tag, read_trained_ground
from .predictionfiles import Part

_LEAST_SHARE = 0.005
"""A smaller share is rounding to whole pixels at the borders of chips."""


def trained_area(part: Part, grid: PixelGrid) -> Aoi | None:
    """The ground of a file of a prediction on which its model was trained, in pixels of `grid`; None: none.

    Args:
        part: The file.
        grid: The grid on which it is scored, that of its scene or of a map that was resampled since.
    """
    area, own = read_trained_ground(part.tags), read_grid_tag(part.tags.get(GRID_TAG))
    if area is None or own is None:
        return None
    here = area
    if own != grid:
        here = between_grids(np.array([area], dtype=object), own, grid, str(part.path))[0]
    return Aoi(shapely.make_valid(here))


def trained_notes(trained: int, scored: int, what: str, parts: Sequence[Part]) -> list[str]:
    """Notes on the share of what is scored that lies on ground of the training, if any does, and on files
    that do not say on what their model was trained.

    Args:
        trained: Number on ground of the training.
        scored: Number of all.
        what: What is counted, e.g. "pixels".
        parts: The files, which name the model.
    """
    if not scored:
        return []
    return [*_share_note(trained / scored, what, parts), *_silent_note(parts)]


def _silent_note(parts: Sequence[Part]) -> list[str]:
    silent = [part.path.name for part in parts if "model" not in part.tags]
    if not silent:
        return []
    return [
        f"{listed(silent)}: does not say on which ground a model was trained, so whether the scored ground "
        "is new to it is not checked"
    ]


def _share_note(share: float, what: str, parts: Sequence[Part]) -> list[str]:
    if share < _LEAST_SHARE:
        return []
    models = sorted({part.tags["model"] for part in parts if "model" in part.tags})
    model = ", ".join(models) or "the model"
    return [
        f"{share:.0%} of the scored {what} lie on ground that {model} was trained on, where "
        "scores are better than on new ground; score held-out ground with `chips` and `split`, or an `aoi`"
    ]

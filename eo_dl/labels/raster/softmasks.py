"""Rasters of class probabilities as labels, learnt from as soft targets.

`labels weak` and `predict --probabilities` write them: one band per class, uint8, 254 = certain, 255 =
unknown. A tag of ours identifies them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.classes import ClassSet
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...core.wording import count_of
from ...errors import LabelError
from ...io.classmap import probability_classes
from ..classrequest import ClassRequest
from .maskvalues import open_mask


def read_probabilities(
    paths: Sequence[str], request: ClassRequest | None, source: str
) -> RasterLabels | None:
    """The label set of rasters of probabilities; None if the files are other rasters.

    Args:
        paths: The files.
        request: The classes asked for; these files state theirs.
        source: All of them, for messages.

    Raises:
        LabelError: Only some of the files hold probabilities, their classes differ, or classes are requested.
    """
    classes_of = {path: probability_classes(open_mask(path)) for path in paths}
    rasters: list[LabelRaster] = []
    classes: ClassSet | None = None
    for path, file_classes in classes_of.items():
        if file_classes is not None:
            rasters.append(LabelRaster(path, band_ids=file_classes.ids))
            classes = classes or file_classes
            _check_same_classes(path, file_classes, classes)
    if classes is None:
        return None
    if len(rasters) < len(paths):
        other = next(path for path, file_classes in classes_of.items() if file_classes is None)
        raise LabelError(
            f"{source}: mixes rasters of probabilities and of classes ({Path(other).name}); read them "
            "separately"
        )
    if request is not None:
        raise LabelError(
            f"{source}: rasters of probabilities state their classes ({', '.join(classes.names)}); omit "
            "`classes`"
        )
    ordered = ClassSet(tuple(sorted(classes, key=lambda info: info.id)))
    note = (
        f"{count_of(len(paths), 'raster')} of probabilities of {', '.join(ordered.names)}: learnt as soft "
        "labels, scored by the likeliest class"
    )
    return RasterLabels(ordered, tuple(rasters), source, notes=(note,))


def _check_same_classes(path: str, classes: ClassSet, first: ClassSet) -> None:
    if {(info.id, info.name) for info in classes} != {(info.id, info.name) for info in first}:
        raise LabelError(
            f"{path}: has probabilities of {', '.join(classes.names)}, the others of "
            f"{', '.join(first.names)}; make them with the same functions"
        )

"""Rasters of class probabilities as labels: what `labels weak` and `predict --probabilities` write, learnt
from as soft targets.

Told by a tag of ours; a band a class, uint8, 254 = certain, 255 = nothing known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.classes import ClassSet
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...errors import LabelError
from ...io.classmap import probability_classes
from ..classrequest import ClassRequest
from .maskvalues import open_mask


def read_probabilities(paths: Sequence[str], spec: ClassRequest | None, source: str) -> RasterLabels | None:
    """A label set of rasters of probabilities; None where these are other rasters. Raises `LabelError` where
    some are and some are not, or classes differ.
    """
    found = {path: probability_classes(open_mask(path)) for path in paths}
    classes = next((known for known in found.values() if known is not None), None)
    if classes is None:
        return None
    for path, own in found.items():
        _check_same(path, own, classes, source)
    if spec is not None:
        raise LabelError(
            f"{source}: holds probabilities, which say their classes themselves ({', '.join(classes.names)}); omit `classes`"
        )
    ordered = ClassSet(tuple(sorted(classes, key=lambda info: info.id)))
    rasters = [LabelRaster(path, band_ids=own.ids) for path, own in found.items() if own is not None]
    return RasterLabels(
        ordered,
        tuple(rasters),
        source,
        notes=(
            f"{len(paths)} raster{'s' * (len(paths) != 1)} of probabilities of {', '.join(ordered.names)}: learnt as soft labels, scored by the likeliest class",
        ),
    )


def _check_same(path: str, own: ClassSet | None, classes: ClassSet, source: str) -> None:
    if own is None:
        raise LabelError(
            f"{source}: mixes rasters of probabilities and of classes ({Path(path).name}); read them apart"
        )
    if {(info.id, info.name) for info in own} != {(info.id, info.name) for info in classes}:
        raise LabelError(
            f"{path}: has probabilities of {', '.join(own.names)}, others here of {', '.join(classes.names)}; make them with the same functions"
        )

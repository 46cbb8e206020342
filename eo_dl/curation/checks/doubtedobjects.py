"""What a model of objects says against labels, by the objects that it finds.

The threshold of a class is the mean score of what it finds where that class is labelled: surer objects of
another class make a label suspect, surer ones on empty ground may be missing labels. A label that nothing was
found on, however unsure, may be none; of a class that the model mostly overlooks this says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from ...bundle import Bundle
from ...core.labelset import PixelLabels
from ...core.progress import OnProgress
from ...inference.predict import predict
from ...io.scene import Scene
from ...io.vectorlayers import read_layer
from ...networks.compute import Compute
from .finding import Finding
from .judgedlabels import Given

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_MATCH_IOU = 0.5
_NEAR_IOU = 0.1
_LEAST_SCORE = 0.05
_MOSTLY = 0.5


@dataclass(frozen=True)
class _Seen:
    """One scene: labels and objects found (outlines in pixels of the file, channels, scores), and pairs that
    touch with the IoU of their boxes.
    """

    scene: Scene
    here: PixelLabels
    given: Index
    outlines: npt.NDArray[np.object_]
    channels: Index
    scores: FloatArray
    first: Index
    second: Index
    iou: FloatArray

    @property
    def agree(self) -> npt.NDArray[np.bool_]:
        """Of each pair whether the object found confirms the label."""
        return np.asarray(
            (self.iou >= _MATCH_IOU) & (self.given[self.first] == self.channels[self.second]), np.bool_
        )

    @property
    def near(self) -> npt.NDArray[np.bool_]:
        """(N,) labels on which anything was found."""
        out = np.zeros(len(self.here), np.bool_)
        out[self.first[self.iou >= _NEAR_IOU]] = True
        return out


def doubts_of_objects(
    given: Given, bundle: Bundle, folder: Path, compute: Compute, on_progress: OnProgress
) -> tuple[list[Finding], list[str]]:
    """Findings, and of which classes the model overlooks too many to say that one is not there."""
    made = predict(
        bundle,
        given.scenes,
        out=f"{folder}/objects/",
        min_score=_LEAST_SCORE,
        compute=compute,
        on_progress=on_progress,
    )
    seen = [
        _seen(given, scene, part.path)
        for scene, part in zip(given.scenes, made.parts or (made,), strict=True)
    ]
    thresholds = _thresholds(seen, len(given.names))
    trusted, notes = _trusted(seen, given.names)
    findings: list[Finding] = []
    for one in seen:
        findings += _doubted(given, one, thresholds, trusted)
        findings += _gaps(given, one, thresholds)
    return findings, notes


def _seen(given: Given, scene: Scene, path: Path) -> _Seen:
    frame = read_layer(path)
    names = [name.casefold() for name in given.names]
    outlines = np.empty(0, dtype=object)
    if len(frame):
        shapes = np.asarray(frame.geometry.array, dtype=object)
        outlines = shapes if scene.grid.crs is None else scene.grid.geometries_to_pixel(shapes)
    channels = np.array([names.index(str(name).casefold()) for name in frame["class_name"]], np.int64)
    here = given.here(scene)
    return _Seen(
        scene,
        here,
        given.channels_of(here),
        outlines,
        channels,
        np.asarray(frame["score"], np.float64),
        *_pairs(here, outlines),
    )


def _pairs(here: PixelLabels, outlines: npt.NDArray[np.object_]) -> tuple[Index, Index, FloatArray]:
    """Label, object found, and intersection over union of their boxes, for all that touch."""
    boxes, others = (
        np.asarray(shapely.envelope(here.geometries), dtype=object),
        np.asarray(shapely.envelope(outlines), dtype=object),
    )
    second, first = shapely.STRtree(boxes).query(others, predicate="intersects")
    common = shapely.area(shapely.intersection(boxes[first], others[second]))
    iou = common / np.maximum(shapely.area(boxes[first]) + shapely.area(others[second]) - common, 1e-9)
    return first.astype(np.int64), second.astype(np.int64), np.asarray(iou, np.float64)


def _thresholds(seen: list[_Seen], classes: int) -> FloatArray:
    """(K,) mean score of what was found where the class is labelled; infinite where nothing was."""
    scores = np.concatenate([one.scores[one.second[one.agree]] for one in seen])
    channels = np.concatenate([one.channels[one.second[one.agree]] for one in seen])
    return np.array(
        [scores[channels == k].mean() if (channels == k).any() else np.inf for k in range(classes)]
    )


def _trusted(seen: list[_Seen], names: tuple[str, ...]) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """(K,) classes of which the model finds more than half, and a note on the others."""
    labels, near = np.concatenate([one.given for one in seen]), np.concatenate([one.near for one in seen])
    share = np.array([near[labels == k].mean() if (labels == k).any() else 1.0 for k in range(len(names))])
    notes = [
        f"the model finds {share[k]:.0%} of '{names[k]}': too few to say of the others that they are not there"
        for k in np.flatnonzero(share <= _MOSTLY).tolist()
    ]
    return share > _MOSTLY, notes


def _doubted(
    given: Given, one: _Seen, thresholds: FloatArray, trusted: npt.NDArray[np.bool_]
) -> Iterator[Finding]:
    confirmed = np.zeros(len(one.here), np.bool_)
    confirmed[one.first[one.agree]] = True
    sure = (one.iou >= _MATCH_IOU) & (one.scores[one.second] >= thresholds[one.channels[one.second]])
    for place in np.flatnonzero((one.given >= 0) & ~confirmed).tolist():
        others = one.second[sure & (one.first == place)]
        if len(others):
            best = int(others[np.argmax(one.scores[others])])
            text = f"the model sees '{given.names[one.channels[best]]}' here (score {one.scores[best]:.2f}); look which it is"
            yield given.finding(one.scene, one.here, place, "suspected class", text)
        elif not one.near[place] and trusted[one.given[place]]:
            yield given.finding(
                one.scene,
                one.here,
                place,
                "suspected object",
                "the model sees nothing here; look whether it is there",
            )


def _gaps(given: Given, one: _Seen, thresholds: FloatArray) -> Iterator[Finding]:
    """Sure objects on annotated ground where nothing is labelled."""
    free = one.scores >= thresholds[one.channels]
    free[one.second[one.iou >= _NEAR_IOU]] = False
    if one.here.annotated is not None:
        free &= shapely.contains(one.here.annotated, one.outlines)
    for place in np.flatnonzero(free).tolist():
        channel = int(one.channels[place])
        text = f"the model sees '{given.names[channel]}' here (score {one.scores[place]:.2f}) and nothing is labelled; look whether it is missing"
        yield given.gap(one.scene, one.outlines[place], channel, text)

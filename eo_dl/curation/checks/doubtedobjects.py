"""Which objects a model of objects doubts, by the objects that it detects.

The threshold of a class is the mean score of the detections that confirm a label of that class. A detection
of another class above its threshold makes a label suspect; one where nothing is labelled may be a missing
label. A label without any detection, however weak, may be absent; for a class that the model mostly misses
this is not reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from ...bundle import Bundle
from ...core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ...core.pixellabels import PixelLabels
from ...core.progress import OnProgress
from ...inference.predict import predict
from ...io.scene import Scene
from ...io.vectorlayers import read_layer
from ...networks.compute import Compute
from ...postprocessing.cleanup import Cleanup
from .confident import means_by_class
from .finding import Finding
from .judgedlabels import JudgedLabels

_MATCH_IOU = 0.5  # a detection shows the same object as a label
_NEAR_IOU = 0.1  # a detection may show the same object
_LEAST_SCORE = 0.05
_MOST = 0.5  # of the labels of a class, which the model must detect to be trusted about the others


@dataclass(frozen=True)
class _DetectedScene:
    """One scene with its labels and detections."""

    scene: Scene
    labels: PixelLabels
    label_channels: Int64Array  # (N,) channel of each label
    outlines: GeometryArray  # (M,) of the detections, in pixels of the file
    channels: Int64Array  # (M,) channel of each detection
    scores: Float64Array  # (M,)
    # (P,) pairs of a label and a detection that touch, with the intersection over union of their boxes.
    pair_label: Int64Array
    pair_detection: Int64Array
    pair_iou: Float64Array

    @property
    def confirming(self) -> BoolArray:
        """(P,) pairs in which the detection confirms the label."""
        same_class = self.label_channels[self.pair_label] == self.channels[self.pair_detection]
        return np.asarray((self.pair_iou >= _MATCH_IOU) & same_class, np.bool_)

    @property
    def confirmed(self) -> BoolArray:
        """(N,) labels that a detection confirms."""
        confirmed = np.zeros(len(self.labels), np.bool_)
        confirmed[self.pair_label[self.confirming]] = True
        return confirmed

    @property
    def touched(self) -> BoolArray:
        """(N,) labels where anything was detected."""
        touched = np.zeros(len(self.labels), np.bool_)
        touched[self.pair_label[self.pair_iou >= _NEAR_IOU]] = True
        return touched


def doubts_of_objects(
    judged: JudgedLabels, bundle: Bundle, folder: Path, compute: Compute, on_progress: OnProgress
) -> tuple[list[Finding], list[str]]:
    """The labels that a model doubts, and a note on each class of which it misses too many."""
    result = predict(
        bundle,
        judged.scenes,
        out=f"{folder}/objects/",
        cleanup=Cleanup(min_score=_LEAST_SCORE),
        compute=compute,
        on_progress=on_progress,
    )
    parts = result.parts or (result,)
    scenes = [_detected(judged, scene, part.path) for scene, part in zip(judged.scenes, parts, strict=True)]
    thresholds = _thresholds(scenes, len(judged.names))
    detected_shares = _detected_shares(scenes, len(judged.names))
    trusted = detected_shares > _MOST
    findings: list[Finding] = []
    for scene in scenes:
        findings += _doubted_labels(judged, scene, thresholds, trusted)
        findings += _missing_labels(judged, scene, thresholds)
    notes = [
        f"the model detects only {detected_shares[channel]:.0%} of '{judged.names[channel]}', so the others "
        "are not reported as absent"
        for channel in np.flatnonzero(~trusted).tolist()
    ]
    return findings, notes


def _detected(judged: JudgedLabels, scene: Scene, path: Path) -> _DetectedScene:
    table = read_layer(path)
    outlines = np.empty(0, dtype=object)
    if len(table):
        outlines = np.asarray(table.geometry.array, dtype=object)
        if scene.grid.crs is not None:
            outlines = scene.grid.geometries_to_pixel(outlines)
    channel_of = {name.casefold(): channel for channel, name in enumerate(judged.names)}
    channels = np.array([channel_of[str(name).casefold()] for name in table["class_name"]], np.int64)
    labels = judged.in_pixels(scene)
    pair_label, pair_detection, pair_iou = _pairs(labels.geometries, outlines)
    return _DetectedScene(
        scene=scene,
        labels=labels,
        label_channels=judged.channels_of(labels),
        outlines=outlines,
        channels=channels,
        scores=np.asarray(table["score"], np.float64),
        pair_label=pair_label,
        pair_detection=pair_detection,
        pair_iou=pair_iou,
    )


def _pairs(labels: GeometryArray, outlines: GeometryArray) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Label, detection, and intersection over union of their boxes, for all that touch."""
    boxes = np.asarray(shapely.envelope(labels), dtype=object)
    other_boxes = np.asarray(shapely.envelope(outlines), dtype=object)
    detection, label = shapely.STRtree(boxes).query(other_boxes, predicate="intersects")
    common = shapely.area(shapely.intersection(boxes[label], other_boxes[detection]))
    union = shapely.area(boxes[label]) + shapely.area(other_boxes[detection]) - common
    iou = common / np.maximum(union, 1e-9)
    return label.astype(np.int64), detection.astype(np.int64), np.asarray(iou, np.float64)


def _thresholds(scenes: Sequence[_DetectedScene], class_count: int) -> Float64Array:
    """(K,) mean score of the detections that confirm a label of the class; infinite if none does."""
    confirming = [scene.pair_detection[scene.confirming] for scene in scenes]
    scores = np.concatenate([scene.scores[index] for scene, index in zip(scenes, confirming, strict=True)])
    channels = np.concatenate(
        [scene.channels[index] for scene, index in zip(scenes, confirming, strict=True)]
    )
    return means_by_class(scores, channels, class_count)


def _detected_shares(scenes: Sequence[_DetectedScene], class_count: int) -> Float64Array:
    """(K,) the share of the labels of each class where anything was detected; 1 for classes without
    labels.
    """
    channels = np.concatenate([scene.label_channels for scene in scenes])
    touched = np.concatenate([scene.touched for scene in scenes]).astype(np.float64)
    return np.minimum(means_by_class(touched, channels, class_count), 1.0)


def _doubted_labels(
    judged: JudgedLabels, scene: _DetectedScene, thresholds: Float64Array, trusted: BoolArray
) -> Iterator[Finding]:
    """Labels that the model sees as another class, or does not see."""
    certain = scene.scores >= thresholds[scene.channels]
    certain_pairs = (scene.pair_iou >= _MATCH_IOU) & certain[scene.pair_detection]
    touched = scene.touched
    for index in np.flatnonzero((scene.label_channels >= 0) & ~scene.confirmed).tolist():
        others = scene.pair_detection[certain_pairs & (scene.pair_label == index)]
        if len(others):
            best = int(others[np.argmax(scene.scores[others])])
            name, score = judged.names[scene.channels[best]], scene.scores[best]
            text = f"the model sees '{name}' here (score {score:.2f}); check which is right"
            yield judged.about_label(scene.scene, scene.labels, index, "suspected class", text)
        elif not touched[index] and trusted[scene.label_channels[index]]:
            text = "the model sees nothing here; check whether the object is there"
            yield judged.about_label(scene.scene, scene.labels, index, "suspected object", text)


def _missing_labels(
    judged: JudgedLabels, scene: _DetectedScene, thresholds: Float64Array
) -> Iterator[Finding]:
    """Certain detections on annotated ground where nothing is labelled."""
    unlabelled = scene.scores >= thresholds[scene.channels]
    unlabelled[scene.pair_detection[scene.pair_iou >= _NEAR_IOU]] = False
    if scene.labels.annotated is not None:
        unlabelled &= shapely.contains(scene.labels.annotated, scene.outlines)
    for index in np.flatnonzero(unlabelled).tolist():
        channel = int(scene.channels[index])
        text = (
            f"the model sees '{judged.names[channel]}' here (score {scene.scores[index]:.2f}), and nothing "
            "is labelled; check whether a label is missing"
        )
        yield judged.about_ground(scene.scene, scene.outlines[index], channel, "suspected gap", text)

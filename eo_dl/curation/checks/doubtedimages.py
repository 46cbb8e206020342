"""Which classes of whole images a model doubts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import shapely

from ...bundle import Bundle
from ...core.arraytypes import BoolArray, Float64Array
from ...core.progress import OnProgress
from ...inference.predict import predict
from ...io.chiptables import probability_columns
from ...io.scene import Scene
from ...networks.compute import Compute
from ...tasks import CHIPS
from .confident import suspects
from .finding import Finding
from .judgedlabels import JudgedLabels


def doubts_of_images(
    judged: JudgedLabels, bundle: Bundle, folder: Path, compute: Compute, on_progress: OnProgress
) -> tuple[list[Finding], list[str]]:
    """The images whose class a model doubts, and a note on those that were not judged.

    If images may have several classes, each class is a decision of its own.
    """
    table_path = folder / "images.csv"
    predict(bundle, judged.scenes, out=table_path, compute=compute, on_progress=on_progress)
    columns = list(probability_columns(bundle.classes))
    probabilities = pd.read_csv(table_path)[columns].to_numpy(np.float64)
    labelled = np.zeros(probabilities.shape, np.bool_)
    for index, scene in enumerate(judged.scenes):
        channels = judged.channels_of(judged.in_pixels(scene))
        labelled[index, channels[channels >= 0]] = True
    measured = np.isfinite(probabilities).all(axis=1)
    doubts = _several_classes if bundle.codec_for(CHIPS).rule.multi_label else _one_class
    findings = list(doubts(judged, probabilities, labelled, measured))
    notes = []
    if not measured.all():
        notes.append(f"{int((~measured).sum())} images were not judged: nothing in them was measured")
    return findings, notes


def _one_class(
    judged: JudgedLabels, probabilities: Float64Array, labelled: BoolArray, measured: BoolArray
) -> Iterator[Finding]:
    """Images of exactly one class."""
    images = np.flatnonzero(measured & (labelled.sum(axis=1) == 1))
    channels = labelled[images].argmax(axis=1)
    doubted, seen = suspects(probabilities[images], channels)
    for image, channel, label in zip(
        images[doubted].tolist(), seen.tolist(), channels[doubted].tolist(), strict=True
    ):
        scene = judged.scenes[image]
        chance = f"{probabilities[image, channel]:.0%} against {probabilities[image, label]:.0%}"
        text = f"the model sees '{judged.names[channel]}' in {scene.name} ({chance}); check which is right"
        yield _finding(judged, scene, label, text)


def _several_classes(
    judged: JudgedLabels, probabilities: Float64Array, labelled: BoolArray, measured: BoolArray
) -> Iterator[Finding]:
    """Images that may have any number of classes."""
    images = np.flatnonzero(measured)
    for channel in sorted(set(judged.channels.values())):
        present = probabilities[images, channel]
        yes_or_no = np.column_stack([1 - present, present])
        doubted, seen = suspects(yes_or_no, labelled[images, channel].astype(np.int64))
        for image, is_seen in zip(images[doubted].tolist(), seen.tolist(), strict=True):
            scene, name = judged.scenes[image], judged.names[channel]
            chance = f"{probabilities[image, channel]:.0%}"
            text = f"the model does not see '{name}' in {scene.name} ({chance})"
            if is_seen:
                text = f"the model sees '{name}' in {scene.name} ({chance}), which is not labelled so"
            yield _finding(judged, scene, channel, f"{text}; check which is right")


def _finding(judged: JudgedLabels, scene: Scene, channel: int, text: str) -> Finding:
    """A finding about an image, with its labels of a class."""
    labels = judged.in_pixels(scene)
    of_class = np.flatnonzero(judged.channels_of(labels) == channel)
    return Finding(
        "suspected class",
        "warning",
        text,
        feature_ids=tuple(judged.feature_id(labels, index) for index in of_class.tolist()),
        class_name=judged.names[channel],
        geometry=shapely.box(*scene.native.window.box),
        image=scene.name,
    )

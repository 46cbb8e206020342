"""What a model of whole images says against their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from ...bundle import Bundle
from ...core.progress import OnProgress
from ...inference.predict import predict
from ...io.chiptables import probability_columns
from ...io.scene import Scene
from ...networks.compute import Compute
from ...tasks import CHIPS
from .confident import suspects
from .finding import Finding
from .judgedlabels import Given

FloatArray = npt.NDArray[np.float64]


def doubts_of_images(
    given: Given, bundle: Bundle, folder: Path, compute: Compute, on_progress: OnProgress
) -> tuple[list[Finding], list[str]]:
    """Findings, and how many images could not be judged. Where an image may have several classes, each class
    is asked yes or no.
    """
    predict(bundle, given.scenes, out=folder / "images.csv", compute=compute, on_progress=on_progress)
    table = pd.read_csv(folder / "images.csv")
    probabilities = table[list(probability_columns(bundle.classes))].to_numpy(np.float64)
    labels = np.zeros(probabilities.shape, np.bool_)
    for place, scene in enumerate(given.scenes):
        channels = given.channels_of(given.here(scene))
        labels[place, channels[channels >= 0]] = True
    measured = np.isfinite(probabilities).all(axis=1)
    findings = (
        _multi_label(given, probabilities, labels, measured)
        if bundle.codec_for(CHIPS).rule.multi_label
        else _one_class(given, probabilities, labels, measured)
    )
    return findings, [] if measured.all() else [
        f"{int((~measured).sum())} images were not judged: nothing in them was measured"
    ]


def _one_class(
    given: Given, probabilities: FloatArray, labels: npt.NDArray[np.bool_], measured: npt.NDArray[np.bool_]
) -> list[Finding]:
    judged = np.flatnonzero(measured & (labels.sum(axis=1) == 1))
    own = labels[judged].argmax(axis=1)
    doubted, instead = suspects(probabilities[judged], own)
    found = []
    for place, channel, was in zip(
        judged[doubted].tolist(), instead.tolist(), own[doubted].tolist(), strict=True
    ):
        chance = f"{probabilities[place, channel]:.0%} against {probabilities[place, was]:.0%}"
        found.append(
            _finding(
                given,
                given.scenes[place],
                was,
                f"the model sees '{given.names[channel]}' in {given.scenes[place].name} ({chance}); look which it is",
            )
        )
    return found


def _multi_label(
    given: Given, probabilities: FloatArray, labels: npt.NDArray[np.bool_], measured: npt.NDArray[np.bool_]
) -> list[Finding]:
    judged = np.flatnonzero(measured)
    found = []
    for channel in sorted(set(given.channels.values())):
        yes = probabilities[judged, channel]
        doubted, instead = suspects(np.column_stack([1 - yes, yes]), labels[judged, channel].astype(np.int64))
        for place, seen in zip(judged[doubted].tolist(), instead.tolist(), strict=True):
            scene, name, chance = (
                given.scenes[place],
                given.names[channel],
                f"{probabilities[place, channel]:.0%}",
            )
            text = (
                f"the model sees '{name}' in {scene.name} ({chance}), which is not labelled so"
                if seen
                else f"the model sees no '{name}' in {scene.name} ({chance})"
            )
            found.append(_finding(given, scene, channel, f"{text}; look which it is"))
    return found


def _finding(given: Given, scene: Scene, channel: int, text: str) -> Finding:
    here = given.here(scene)
    places = np.flatnonzero(given.channels_of(here) == channel)
    ids = tuple(str(given.labels.feature_ids[int(here.index[place])]) for place in places)
    return Finding(
        "suspected class",
        "warning",
        text,
        ids,
        given.names[channel],
        shapely.box(0, 0, scene.native.width, scene.native.height),
        scene.name,
    )

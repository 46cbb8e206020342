"""`Given`: labels as a model is asked about them: scenes, the model's channel of each class, and how a
finding about one is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely

from ...bundle import Bundle
from ...core.classes import BACKGROUND
from ...core.labelset import LabelSet, PixelLabels
from ...errors import LabelError
from ...io.scene import Scene
from .finding import Finding

Index = npt.NDArray[np.int64]
Doubt = Literal["suspected class", "suspected object", "suspected gap"]


@dataclass(frozen=True)
class Given:
    """Labels of scenes (at the pixels of their files); `channels`: class id of the labels -> channel of the
    model.
    """

    labels: LabelSet
    scenes: tuple[Scene, ...]
    channels: dict[int, int]
    names: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, labels: LabelSet, scenes: Sequence[Scene], bundle: Bundle) -> Given:
        """Classes are matched by name, whatever their case. Raises `LabelError` where none fits."""
        known = [name.casefold() for name in bundle.classes.names]
        channels = {
            info.id: known.index(info.name.casefold())
            for info in labels.classes
            if info.name.casefold() in known
        }
        judged = [info.name for info in labels.classes if info.id in channels and info.name != BACKGROUND]
        if not judged:
            raise LabelError(
                f"{bundle.path}: knows {', '.join(bundle.classes.names)}, the labels {', '.join(labels.classes.names)}; give both the same names, e.g. `classes={known[-1]}=VALUE`"
            )
        unknown = [info.name for info in labels.classes if info.id not in channels and info.id != 0]
        notes = (
            [
                f"labels of {', '.join(unknown)} were not judged: the model does not know {'it' if len(unknown) == 1 else 'them'}"
            ]
            if unknown
            else []
        )
        return cls(labels, tuple(scenes), channels, bundle.classes.names, tuple(notes))

    def here(self, scene: Scene) -> PixelLabels:
        """The labels of a scene, in pixels of its file."""
        return self.labels.for_grid(scene.grid, scene.place)

    def channels_of(self, here: PixelLabels) -> Index:
        """(N,) the model's channel of each label; -1 for those that are not judged."""
        found = np.array([self.channels.get(int(class_id), -1) for class_id in here.class_ids], np.int64)
        return np.where(here.ignore, -1, found)

    def finding(self, scene: Scene, here: PixelLabels, place: int, kind: Doubt, text: str) -> Finding:
        """A finding about one label."""
        name = next((info.name for info in self.labels.classes if info.id == int(here.class_ids[place])), "")
        return Finding(
            kind,
            "warning",
            text,
            (str(self.labels.feature_ids[int(here.index[place])]),),
            name,
            here.geometries[place],
            scene.name,
        )

    def gap(
        self, scene: Scene, outline: shapely.Geometry, channel: int, text: str, kind: Doubt = "suspected gap"
    ) -> Finding:
        """A finding about ground."""
        return Finding(kind, "warning", text, (), self.names[channel], outline, scene.name)

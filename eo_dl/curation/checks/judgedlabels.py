"""`JudgedLabels`: labels as a model judges them: scenes, the model's channel of each class, and how findings
are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely

from ...bundle import Bundle
from ...core.arraytypes import Int64Array
from ...core.classes import BACKGROUND
from ...core.labelset import LabelSet, features_of
from ...core.pixellabels import PixelLabels
from ...errors import LabelError
from ...io.scene import Scene
from .finding import Finding

Doubt = Literal["suspected class", "suspected object", "suspected gap"]

NOT_JUDGED = -1
"""Channel of labels that the model does not judge."""


@dataclass(frozen=True)
class JudgedLabels:
    """Labels of scenes, and what a model calls their classes."""

    labels: LabelSet
    """The labels."""

    scenes: tuple[Scene, ...]
    """The scenes, on the grids of their files."""

    channels: dict[int, int]
    """For each class id of the labels the channel of the model."""

    names: tuple[str, ...]
    """The name of each channel."""

    notes: tuple[str, ...]
    """Classes that are not judged, in words."""

    @classmethod
    def of(cls, labels: LabelSet, scenes: Sequence[Scene], bundle: Bundle) -> JudgedLabels:
        """Match classes by name, whatever their case.

        Args:
            labels: The labels, as they belong to the scenes.
            scenes: The scenes, on the grids of their files.
            bundle: The model.

        Raises:
            LabelError: Labels and model share no class.
        """
        channel_of = {name.casefold(): channel for channel, name in enumerate(bundle.classes.names)}
        channels: dict[int, int] = {}
        unknown = []
        for info in labels.classes:
            channel = channel_of.get(info.name.casefold())
            if channel is not None:
                channels[info.id] = channel
            elif info.id != 0:
                unknown.append(info.name)
        if not any(info.name != BACKGROUND and info.id in channels for info in labels.classes):
            example = bundle.classes.names[-1]
            raise LabelError(
                f"{bundle.path}: has the classes {', '.join(bundle.classes.names)}, the labels "
                f"{', '.join(labels.classes.names)}; give both the same names, for example with `classes` "
                f"'{example}=VALUE'"
            )
        notes: tuple[str, ...] = ()
        if unknown:
            notes = (f"labels of {', '.join(unknown)} were not judged: the model has no such class",)
        return cls(labels, tuple(scenes), channels, bundle.classes.names, notes)

    def in_pixels(self, scene: Scene) -> PixelLabels:
        """The labels of a scene, in pixels of its file."""
        return self.labels.for_grid(scene.grid, scene.place)

    def channels_of(self, labels: PixelLabels) -> Int64Array:
        """(N,) the channel of each label; `NOT_JUDGED` for those that the model does not judge."""
        channels = [self.channels.get(class_id, NOT_JUDGED) for class_id in labels.class_ids.tolist()]
        return np.where(labels.ignore, NOT_JUDGED, np.array(channels, np.int64))

    def feature_id(self, labels: PixelLabels, index: int) -> str:
        """How the source calls one label of a scene."""
        return str(features_of(self.labels).feature_ids[labels.index[index]])

    def about_label(self, scene: Scene, labels: PixelLabels, index: int, kind: Doubt, text: str) -> Finding:
        """A finding about one label of a scene."""
        names = [info.name for info in self.labels.classes if info.id == labels.class_ids[index]]
        return Finding(
            kind,
            "warning",
            text,
            feature_ids=(self.feature_id(labels, index),),
            class_name=names[0] if names else "",
            geometry=labels.geometries[index],
            image=scene.name,
        )

    def about_ground(
        self, scene: Scene, outline: shapely.Geometry, channel: int, kind: Doubt, text: str
    ) -> Finding:
        """A finding about ground of a scene, outlined in pixels of its file."""
        return Finding(
            kind, "warning", text, class_name=self.names[channel], geometry=outline, image=scene.name
        )

"""Object localization: at most one labelled box per chip."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import BoxTarget, Objects
from ...core.chiprules import OneObjectRule
from ...core.classes import ClassSet
from ...errors import LabelError
from ..codecs import ObjectCodec
from ..outputkind import OBJECTS
from ..task import NetworkInputs, ObjectTask, Scorer, Task
from .codec import LocalizationCodec
from .config import LocalizationConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


_STRIDES = (2, 4, 8, 16)
_TYPICAL_SIDE_PX = 16.0
"""Side of an object where there are none to measure."""
_CROWDED = {"largest": "the largest visible one is their label", "ignore": "they are ignored"}


def _make_codec(classes: ClassSet, config: LocalizationConfig) -> ObjectCodec:
    return LocalizationCodec(classes, OneObjectRule(config.crowded, config.min_visible))


def _make_network(config: LocalizationConfig, inputs: NetworkInputs) -> TaskNetwork[BoxTarget]:
    # Lazy: the only part that needs torch.
    from .network import Locator

    return Locator(config, inputs)


def _make_scorer(codec: ObjectCodec, min_score: float) -> Scorer[Objects]:
    from ...scores.localizationscores import LocalizationScorer  # lazy: a codec alone needs no scores

    return LocalizationScorer(codec.classes, min_score=min_score)


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """Ground without an object is not a class."""
    if not classes.foreground:
        raise LabelError(
            f"localization needs a class of objects, found only {', '.join(classes.names)}; use labels of "
            "objects, or choose the attribute of their class with `class_field`"
        )
    return classes.without_background()


def _settle(config: LocalizationConfig, inputs: NetworkInputs) -> LocalizationConfig:
    """Choose the stride of the map from the train boxes: positions at most half an object apart."""
    if config.map_stride is not None:
        return config
    sizes = inputs.object_sizes_px
    side = _TYPICAL_SIDE_PX
    if sizes is not None and len(sizes):
        side = float(np.median(np.sqrt(np.prod(sizes, axis=1))))
    fitting = [stride for stride in _STRIDES if stride <= side / 2]
    return config.model_copy(update={"map_stride": fitting[-1] if fitting else _STRIDES[0]})


def _remarks(config: LocalizationConfig, objects: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """How many chips contain more than one object, and how they are treated."""
    counts = list(itertools.chain.from_iterable(objects.values()))
    crowded = sum(count > 1 for count in counts)
    if not crowded:
        return ()
    return (
        f"{crowded} of {len(counts)} chips contain several objects: {_CROWDED[config.crowded]} "
        "(`task_options.crowded`: largest or ignore)",
    )


TASK: ObjectTask[LocalizationConfig] = Task(
    name="localization",
    title="object localization",
    pipeline_tag="object-detection",
    output=OBJECTS,
    config=LocalizationConfig,
    networks=("locator",),
    primary_score="corloc",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=_output_classes,
    remarks=_remarks,
)

"""Object localization: one labelled box a chip, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from ...core.classes import ClassSet
from ...errors import LabelError
from ..task import Codec, NetworkInputs, Scorer, Task, TaskConfig, config_of
from .codec import LocalizationCodec
from .config import LocalizationConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


_STRIDES = (2, 4, 8, 16)


def _make_codec(classes: ClassSet, config: TaskConfig) -> Codec:
    given = config_of(LocalizationConfig, config)
    return LocalizationCodec(classes, given.several, given.min_visible)


def _make_network(config: TaskConfig, inputs: NetworkInputs) -> TaskNetwork:
    # Lazy: the only part that needs torch.
    from .network import Locator

    return Locator(config_of(LocalizationConfig, config), inputs)


def _make_scorer(classes: ClassSet) -> Scorer:
    from ...scores.localizationscores import LocalizationScorer  # lazy: a codec alone needs no scores

    # takes what this task's codec answers, which is narrower than `Answer`
    return cast(Scorer, LocalizationScorer(classes))


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """Ground without an object is no class of its own."""
    if not classes.foreground:
        raise LabelError(
            f"localization needs a class of objects, found only {', '.join(classes.names)}; give labels of objects (--class-field)"
        )
    return classes.without_background()


def _settle(config: TaskConfig, inputs: NetworkInputs) -> TaskConfig:
    """The finest map from the train boxes, where the config does not say it: places at most half an object
    apart.
    """
    given = config_of(LocalizationConfig, config)
    if given.map_stride is not None:
        return given
    sizes = inputs.object_sizes_px
    side = 16.0 if sizes is None or not len(sizes) else float(np.median(np.sqrt(np.prod(sizes, axis=1))))
    fitting = [stride for stride in _STRIDES if stride <= side / 2]
    return given.model_copy(update={"map_stride": fitting[-1] if fitting else _STRIDES[0]})


def _remarks(config: TaskConfig, objects: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """How many chips hold more than one object, and what is made of them."""
    several = sum(count > 1 for counts in objects.values() for count in counts)
    total = sum(len(counts) for counts in objects.values())
    rule = {
        "largest": "the one of which most is seen is their label",
        "ignore": "they teach and score nothing",
    }[config_of(LocalizationConfig, config).several]
    return (
        (
            f"{several} of {total} chips hold several objects: {rule} (--set task_options.several=largest|ignore)",
        )
        if several
        else ()
    )


TASK = Task(
    name="localization",
    output="objects",
    config=LocalizationConfig,
    networks=("locator",),
    primary_score="corloc",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=_output_classes,
    remarks=_remarks,
    one_object=True,
)

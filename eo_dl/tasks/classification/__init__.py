"""Image classification: what a chip as a whole is, one class or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from ...core.classes import ClassSet
from ...errors import ConfigError, LabelError
from ..task import Codec, NetworkInputs, Scorer, Task, TaskConfig, config_of
from .codec import ClassificationCodec
from .config import ONE_TERMS, SEVERAL_TERMS, ClassificationConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


_SLIVERS = 1e-3
"""Share of the train pixels up to which unlabelled ground is no class of its own."""
_HALF, _TENTH = 0.5, 0.1
_MEETING = 1.05
_FEW = 0.01
"""Overlaps in a smaller share of the chips are taken for careless drawing."""


def _make_codec(classes: ClassSet, config: TaskConfig) -> Codec:
    given = config_of(ClassificationConfig, config)
    several = bool(given.multi_label)
    return ClassificationCodec(classes, several, given.min_cover or _least_cover(several), given.min_known)


def _make_network(config: TaskConfig, inputs: NetworkInputs) -> TaskNetwork:
    # Lazy: the only part that needs torch.
    from .network import make_classifier

    given = config_of(ClassificationConfig, config)
    if given.multi_label is None:
        raise ConfigError(
            "classification: it is not settled whether a chip has one label or several; settle the config first (Task.settle)"
        )
    return make_classifier(given, inputs)


def _make_scorer(classes: ClassSet) -> Scorer:
    from ...scores.chipscores import ChipScorer  # lazy: a codec alone needs no scores

    # takes what this task's codec answers, which is narrower than `Answer`
    return cast(Scorer, ChipScorer(classes))


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """Ground without a label is a class where it is more than slivers."""
    return (
        classes.with_background()
        if class_shares.get(0, 0.0) > _SLIVERS or not classes.foreground
        else classes.without_background()
    )


def _settle(config: TaskConfig, inputs: NetworkInputs) -> TaskConfig:
    """One label or several, the cover that it takes, and the loss, where the config does not say."""
    given = config_of(ClassificationConfig, config)
    several = _labels_meet(inputs) if given.multi_label is None else given.multi_label
    terms = SEVERAL_TERMS if several else ONE_TERMS
    update = {
        "multi_label": several,
        "min_cover": given.min_cover or _least_cover(several),
        "loss": given.loss.or_terms(*terms),
    }
    return given.model_copy(update=update)


def _settled_classes(classes: ClassSet, config: TaskConfig) -> ClassSet:
    """With several labels a chip, none of them is no class of its own."""
    found = (
        classes.without_background()
        if config_of(ClassificationConfig, config).multi_label and classes.foreground
        else classes
    )
    if len(found) < 2 and not config_of(ClassificationConfig, config).multi_label:
        raise LabelError(
            f"classification needs two classes to tell apart, found only {found.names[0]!r}; label another one, count unlabelled ground as background, "
            "or ask for presence and absence with --set task_options.multi_label=true"
        )
    return found


def _labels_meet(inputs: NetworkInputs) -> bool:
    """True where classes cover the same ground in more than a few chips: that is what only several labels a
    chip can say.
    """
    if inputs.chip_covers is None or not len(inputs.chip_covers):
        return False
    covers = inputs.chip_covers
    meeting = ((covers >= _HALF).sum(axis=1) > 1) & (covers.sum(axis=1) > _MEETING)
    return float(np.mean(meeting)) > _FEW


def _least_cover(several: bool) -> float:
    return _TENTH if several else _HALF


TASK = Task(
    name="classification",
    output="chips",
    config=ClassificationConfig,
    networks=("pooled", "small_cnn", "mlp"),
    primary_score="mean_f1",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=_output_classes,
    settled_classes=_settled_classes,
)

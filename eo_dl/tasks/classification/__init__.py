"""Image classification: the class of a chip as a whole, or its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import ChipTarget
from ...core.arraytypes import Float32Array
from ...core.chiprules import ONE_CLASS_COVER, ChipClassRule
from ...core.classes import ClassSet
from ...errors import ConfigError, LabelError
from ..codecs import ChipCodec
from ..outputkind import CHIPS
from ..task import ChipTask, NetworkInputs, Scorer, Task
from .codec import ClassificationCodec
from .config import MULTI_LABEL_TERMS, ONE_CLASS_TERMS, ClassificationConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


_SLIVERS = 1e-3
"""Share of the train pixels up to which unlabelled ground is not a class of its own."""
_OVERLAPPING = 1.05
"""Classes that together cover more than this share of a chip overlap."""
_CARELESS = 0.01
"""Overlaps in a smaller share of the chips are taken for careless drawing."""


def _make_codec(classes: ClassSet, config: ClassificationConfig) -> ChipCodec:
    rule = ChipClassRule.of(bool(config.multi_label), config.min_cover)
    return ClassificationCodec(classes, rule, config.min_known)


def _make_network(config: ClassificationConfig, inputs: NetworkInputs) -> TaskNetwork[ChipTarget]:
    # Lazy: the only part that needs torch.
    from .network import make_classifier

    if config.multi_label is None:
        raise ConfigError(
            "classification: `multi_label` is not settled; call Task.settle with the train chips first"
        )
    return make_classifier(config, inputs)


def _make_scorer(codec: ChipCodec, min_score: float) -> Scorer[Float32Array]:
    from ...scores.chipscores import ChipScorer  # lazy: a codec alone needs no scores

    return ChipScorer(codec.classes, multi_label=codec.rule.multi_label)


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """Unlabelled ground is a class where there is more of it than slivers."""
    if class_shares.get(0, 0.0) > _SLIVERS or not classes.foreground:
        return classes.with_background()
    return classes.without_background()


def _settle(config: ClassificationConfig, inputs: NetworkInputs) -> ClassificationConfig:
    """Decide whether a chip has one class or several, the cover that takes, and the loss."""
    multi_label = config.multi_label
    if multi_label is None:
        multi_label = _classes_overlap(inputs)
    terms = MULTI_LABEL_TERMS if multi_label else ONE_CLASS_TERMS
    settled = {
        "multi_label": multi_label,
        "min_cover": ChipClassRule.of(multi_label, config.min_cover).min_cover,
        "loss": config.loss.or_terms(*terms),
    }
    return config.model_copy(update=settled)


def _settled_classes(classes: ClassSet, config: ClassificationConfig) -> ClassSet:
    """With several classes per chip, the absence of all of them is not a class."""
    if config.multi_label and classes.foreground:
        return classes.without_background()
    if len(classes) < 2 and not config.multi_label:
        raise LabelError(
            f"classification needs at least two classes, found only {classes.names[0]!r}; label another "
            "class, count unlabelled ground as background, or train for presence and absence with "
            "`task_options.multi_label=true`"
        )
    return classes


def _classes_overlap(inputs: NetworkInputs) -> bool:
    """True where classes overlap in more than a few chips, so that one class per chip is not enough."""
    covers = inputs.chip_covers
    if covers is None or not len(covers):
        return False
    overlapping = ((covers >= ONE_CLASS_COVER).sum(axis=1) > 1) & (covers.sum(axis=1) > _OVERLAPPING)
    return float(np.mean(overlapping)) > _CARELESS


TASK: ChipTask[ClassificationConfig] = Task(
    name="classification",
    title="image classification",
    pipeline_tag="image-classification",
    output=CHIPS,
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

"""Instance segmentation: an outline, a class and a score for every object, by Mask R-CNN on any timm
backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ...core.classes import ClassSet
from ..detection import TASK as BOXES
from ..detection import with_anchors
from ..task import Codec, NetworkInputs, Scorer, Task, TaskConfig, config_of
from .codec import InstancesCodec
from .config import InstancesConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


def _make_codec(classes: ClassSet, config: TaskConfig) -> Codec:
    given = config_of(InstancesConfig, config)
    return InstancesCodec(classes, given.min_visible, given.simplify_px)


def _make_network(config: TaskConfig, inputs: NetworkInputs) -> TaskNetwork:
    # Lazy: the only part that needs torch.
    from .network import MaskRCNN

    return MaskRCNN(config_of(InstancesConfig, config), inputs)


def _make_scorer(classes: ClassSet) -> Scorer:
    from ...scores.objectscores import ObjectScorer  # lazy: a codec alone needs no scores

    # takes what this task's codec answers, which is narrower than `Answer`
    return cast(Scorer, ObjectScorer(classes, use_polygons=True))


def _settle(config: TaskConfig, inputs: NetworkInputs) -> TaskConfig:
    """Anchors from the train boxes, where the config does not say them."""
    return with_anchors(config_of(InstancesConfig, config), inputs)


TASK = Task(
    name="instances",
    output="objects",
    config=InstancesConfig,
    networks=("mask_rcnn",),
    primary_score="ap50",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=BOXES.output_classes,
)

"""Instance segmentation: an outline, a class and a score per object, by Mask R-CNN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.arrays import BoxTarget, Objects
from ...core.classes import ClassSet
from ..codecs import ObjectCodec
from ..detection import object_classes, with_anchors
from ..detection.config import BOX_LR
from ..outputkind import OBJECTS
from ..task import NetworkInputs, ObjectTask, Scorer, Task
from .codec import InstancesCodec
from .config import InstancesConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


def _make_codec(classes: ClassSet, config: InstancesConfig) -> ObjectCodec:
    return InstancesCodec(classes, config.min_visible, config.simplify_px)


def _make_network(config: InstancesConfig, inputs: NetworkInputs) -> TaskNetwork[BoxTarget]:
    # Lazy: the only part that needs torch.
    from .network import MaskRCNN

    return MaskRCNN(config, inputs)


def _make_scorer(codec: ObjectCodec, min_score: float) -> Scorer[Objects]:
    from ...scores.objectscores import ObjectScorer  # lazy: a codec alone needs no scores

    return ObjectScorer(codec.classes, use_polygons=True, min_score=min_score)


TASK: ObjectTask[InstancesConfig] = Task(
    name="instances",
    title="instance segmentation",
    pipeline_tag="image-segmentation",
    output=OBJECTS,
    config=InstancesConfig,
    networks=("mask_rcnn",),
    primary_score="ap50",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=with_anchors,
    lr=BOX_LR,
    output_classes=object_classes,
)

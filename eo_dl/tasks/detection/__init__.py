"""Object detection: a box, a class and a score per object, by Faster R-CNN, RetinaNet or FCOS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from ...core.arrays import BoxTarget, Objects
from ...core.classes import ClassSet
from ...errors import LabelError
from ..codecs import ObjectCodec
from ..outputkind import OBJECTS
from ..task import NetworkInputs, ObjectTask, Scorer, Task
from .anchors import fitting_ratios, fitting_sizes, fitting_stride, pyramid_strides
from .codec import DetectionCodec
from .config import BOX_LR, BoxConfig, DetectionConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork

BoxConfigT = TypeVar("BoxConfigT", bound=BoxConfig)


def _make_codec(classes: ClassSet, config: DetectionConfig) -> ObjectCodec:
    return DetectionCodec(classes, config.min_visible)


def _make_network(config: DetectionConfig, inputs: NetworkInputs) -> TaskNetwork[BoxTarget]:
    # Lazy: the only part that needs torch.
    from .network import FasterRCNN
    from .onestep import CentreFCOS, Retina

    networks: dict[str, Callable[[DetectionConfig, NetworkInputs], TaskNetwork[BoxTarget]]] = {
        "faster_rcnn": FasterRCNN,
        "retinanet": Retina,
        "fcos": CentreFCOS,
    }
    return networks[config.network](config, inputs)


def _make_scorer(codec: ObjectCodec, min_score: float) -> Scorer[Objects]:
    from ...scores.objectscores import ObjectScorer  # lazy: a codec alone needs no scores

    return ObjectScorer(codec.classes, min_score=min_score)


def with_anchors(config: BoxConfigT, inputs: NetworkInputs) -> BoxConfigT:
    """The config with anchors from the train boxes, where it does not set them."""
    sizes = inputs.object_sizes_px
    finest = config.finest_stride or fitting_stride(sizes)
    anchors = {
        "finest_stride": finest,
        "anchor_sizes_px": config.anchor_sizes_px or fitting_sizes(sizes, pyramid_strides(finest)),
        "anchor_ratios": config.anchor_ratios or fitting_ratios(sizes),
    }
    return type(config).model_validate(dict(config.with_widths(inputs)) | anchors)


def object_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """The classes of objects; ground without an object is not a class.

    Raises:
        LabelError: The labels have no class but the background.
    """
    if not classes.foreground:
        raise LabelError(
            f"detection needs a class of objects, found only {', '.join(classes.names)}; use labels of "
            "objects, or choose the attribute of their class with `class_field`"
        )
    return classes.without_background()


TASK: ObjectTask[DetectionConfig] = Task(
    name="detection",
    title="object detection",
    pipeline_tag="object-detection",
    output=OBJECTS,
    config=DetectionConfig,
    networks=("faster_rcnn", "retinanet", "fcos"),
    primary_score="ap50",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=with_anchors,
    lr=BOX_LR,
    output_classes=object_classes,
)

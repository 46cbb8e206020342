"""Object detection: a box, a class and a score for every object, by Faster R-CNN, RetinaNet or FCOS on any
timm backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from ...core.classes import ClassSet
from ...errors import LabelError
from ..task import Codec, NetworkInputs, Scorer, Task, TaskConfig, config_of
from .anchors import fitting_ratios, fitting_sizes, fitting_stride, pyramid_strides
from .codec import DetectionCodec
from .config import BoxConfig, DetectionConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork

BoxConfigT = TypeVar("BoxConfigT", bound=BoxConfig)


def _make_codec(classes: ClassSet, config: TaskConfig) -> Codec:
    return DetectionCodec(classes, config_of(DetectionConfig, config).min_visible)


def _make_network(config: TaskConfig, inputs: NetworkInputs) -> TaskNetwork:
    # Lazy: the only part that needs torch.
    from .network import FasterRCNN
    from .onestep import CentreFCOS, Retina

    given = config_of(DetectionConfig, config)
    networks: dict[str, Callable[[DetectionConfig, NetworkInputs], TaskNetwork]] = {
        "faster_rcnn": FasterRCNN,
        "retinanet": Retina,
        "fcos": CentreFCOS,
    }
    return networks[given.network](given, inputs)


def _make_scorer(classes: ClassSet) -> Scorer:
    from ...scores.objectscores import ObjectScorer  # lazy: a codec alone needs no scores

    # takes what this task's codec answers, which is narrower than `Answer`
    return cast(Scorer, ObjectScorer(classes))


def _settle(config: TaskConfig, inputs: NetworkInputs) -> TaskConfig:
    return with_anchors(config_of(DetectionConfig, config), inputs)


def with_anchors(given: BoxConfigT, inputs: NetworkInputs) -> BoxConfigT:
    """Anchors from the train boxes, where the config does not say them."""
    sizes = inputs.object_sizes_px
    finest = given.finest_stride or fitting_stride(sizes)
    anchor_sizes = given.anchor_sizes_px or fitting_sizes(sizes, pyramid_strides(finest))
    ratios = given.anchor_ratios or fitting_ratios(sizes)
    return type(given).model_validate(
        dict(given) | {"finest_stride": finest, "anchor_sizes_px": anchor_sizes, "anchor_ratios": ratios}
    )


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """Ground without an object is no class of its own."""
    if not classes.foreground:
        raise LabelError(
            f"detection needs a class of objects, found only {', '.join(classes.names)}; give labels of objects (--class-field)"
        )
    return classes.without_background()


TASK = Task(
    name="detection",
    output="objects",
    config=DetectionConfig,
    networks=("faster_rcnn", "retinanet", "fcos"),
    primary_score="ap50",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=_output_classes,
)

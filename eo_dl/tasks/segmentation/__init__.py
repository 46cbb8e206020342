"""Semantic segmentation: a class for every pixel, by a U-Net or one of its relatives on any timm backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from ...core.classes import ClassSet
from ...errors import LabelError
from ..task import Codec, NetworkInputs, Scorer, Task, TaskConfig, config_of
from .codec import SegmentationCodec
from .config import NETWORKS, TERMS, SegmentationConfig, fitting_rates

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


_SLIVERS = 1e-3
"""Share of the train pixels up to which unlabelled ground is no class of its own."""


def _make_codec(classes: ClassSet, config: TaskConfig) -> Codec:
    return SegmentationCodec(classes)


def _make_network(config: TaskConfig, inputs: NetworkInputs) -> TaskNetwork:
    # Lazy: the only part that needs torch.
    from .network import PixelNetwork

    return PixelNetwork(config_of(SegmentationConfig, config), inputs)


def _make_scorer(classes: ClassSet) -> Scorer:
    from ...scores.pixelscores import PixelScorer  # lazy: a codec alone needs no scores

    # takes what this task's codec answers, which is narrower than `Answer`
    return cast(Scorer, PixelScorer(classes))


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """The background is a class where it is more than slivers between polygons of a complete partition; those
    are then ignored.
    """
    found = (
        classes.with_background()
        if class_shares.get(0, 0.0) > _SLIVERS
        else classes.without_background()
        if classes.foreground
        else classes
    )
    if len(found) < 2:
        raise LabelError(
            f"segmentation needs two classes to tell apart, found only {found.names[0]!r}; label its surroundings, or count unlabelled ground as background"
        )
    return found


def _settle(config: TaskConfig, inputs: NetworkInputs) -> TaskConfig:
    """The loss that the problem decides, and the rates that the chip's size decides, where the config says
    none.
    """
    given = config_of(SegmentationConfig, config)
    rates = given.atrous_rates or (
        fitting_rates(inputs.chip_px) if given.network == "deeplabv3plus" else None
    )
    return given.model_copy(update={"loss": given.loss.or_terms(*TERMS), "atrous_rates": rates})


TASK = Task(
    name="segmentation",
    output="raster",
    config=SegmentationConfig,
    networks=NETWORKS,
    primary_score="mean_iou",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=_output_classes,
)

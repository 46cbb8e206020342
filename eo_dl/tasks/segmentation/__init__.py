"""Semantic segmentation: a class for every pixel, by a U-Net or one of its relatives on any timm backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...core.arrays import MaskTarget
from ...core.classes import ClassSet
from ...errors import LabelError
from ..codecs import ClassMap, RasterCodec
from ..outputkind import RASTER
from ..task import NetworkInputs, RasterTask, Scorer, Task
from .codec import SegmentationCodec
from .config import NETWORKS, TERMS, SegmentationConfig, settled_decoder

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


_SLIVERS = 1e-3
"""Share of the train pixels up to which unlabelled ground is not a class of its own."""


def _make_codec(classes: ClassSet, config: SegmentationConfig) -> RasterCodec:
    return SegmentationCodec(classes)


def _make_network(config: SegmentationConfig, inputs: NetworkInputs) -> TaskNetwork[MaskTarget]:
    # Lazy: the only part that needs torch.
    from .network import PixelNetwork

    return PixelNetwork(config, inputs)


def _make_scorer(codec: RasterCodec, min_score: float) -> Scorer[ClassMap]:
    from ...scores.pixelscores import PixelScorer  # lazy: a codec alone needs no scores

    return PixelScorer(codec.classes)


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """The background is a class unless it is only slivers between polygons, which are then ignored."""
    found = classes
    if class_shares.get(0, 0.0) > _SLIVERS:
        found = classes.with_background()
    elif classes.foreground:
        found = classes.without_background()
    if len(found) < 2:
        raise LabelError(
            f"segmentation needs at least two classes, found only {found.names[0]!r}; label its "
            "surroundings, or count unlabelled ground as background"
        )
    return found


def _settle(config: SegmentationConfig, inputs: NetworkInputs) -> SegmentationConfig:
    """Choose the loss, the width of the decoder, and for DeepLabV3+ the atrous rates that fit the chips."""
    return settled_decoder(config, inputs).model_copy(update={"loss": config.loss.or_terms(*TERMS)})


TASK: RasterTask[SegmentationConfig] = Task(
    name="segmentation",
    title="semantic segmentation",
    pipeline_tag="image-segmentation",
    output=RASTER,
    config=SegmentationConfig,
    networks=NETWORKS,
    primary_score="mean_iou",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=_output_classes,
)

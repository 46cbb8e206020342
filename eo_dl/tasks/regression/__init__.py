"""Regression: numbers with a unit for every pixel (a height, a share), by the networks of segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...core.arrays import ValueTarget
from ...core.arraytypes import Float32Array
from ...core.classes import ClassSet
from ..codecs import ValueCodec
from ..outputkind import VALUES
from ..segmentation.config import settled_decoder
from ..task import NetworkInputs, Scorer, Task, ValueTask
from .codec import RegressionCodec
from .config import NETWORKS, RegressionConfig

if TYPE_CHECKING:
    from ...networks.tasknetwork import TaskNetwork


def _make_codec(classes: ClassSet, config: RegressionConfig) -> ValueCodec:
    moments = config.moments or ((0.0, 1.0),) * len(classes)
    return RegressionCodec(classes, config.has_intervals, tuple(std or 1.0 for _, std in moments))


def _make_network(config: RegressionConfig, inputs: NetworkInputs) -> TaskNetwork[ValueTarget]:
    # Lazy: the only part that needs torch.
    from .network import ValueNetwork

    return ValueNetwork(config, inputs)


def _make_scorer(codec: ValueCodec, min_score: float) -> Scorer[Float32Array]:
    from ...scores.valuescores import ValueScorer  # lazy: a codec alone needs no scores

    return ValueScorer(codec.classes)


def _output_classes(classes: ClassSet, class_shares: Mapping[int, float]) -> ClassSet:
    """The values as they are: there is no background among numbers."""
    return classes


def _settle(config: RegressionConfig, inputs: NetworkInputs) -> RegressionConfig:
    """Choose the width of the decoder, and how numbers are standardized."""
    settled = settled_decoder(config, inputs)
    if config.moments is not None or inputs.value_moments is None:
        return settled
    return settled.model_copy(update={"moments": inputs.value_moments})


TASK: ValueTask[RegressionConfig] = Task(
    name="regression",
    title="regression (values)",
    pipeline_tag="image-to-image",
    output=VALUES,
    config=RegressionConfig,
    networks=NETWORKS,
    primary_score="r2",
    make_codec=_make_codec,
    make_network=_make_network,
    make_scorer=_make_scorer,
    settle=_settle,
    output_classes=_output_classes,
)

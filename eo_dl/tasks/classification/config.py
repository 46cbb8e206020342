"""What a classification network can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...networks.lossconfig import LossConfig, LossName
from ..task import TaskConfig

ONE_TERMS: tuple[LossName, ...] = ("cross_entropy",)
SEVERAL_TERMS: tuple[LossName, ...] = ("bce",)

Width = Annotated[int, Field(ge=1, le=8192)]


class ClassificationConfig(TaskConfig):
    """Defaults of image classification.

    `network`: "pooled" is a backbone, the mean of its last feature map, and one layer; "small_cnn" three
    blocks of convolution, batch normalization and pooling with a dense layer; "mlp" dense layers on the
    pixels of the chip in a row. The last two take no `backbone`.

    `multi_label`: a chip has any number of classes (sigmoid, binary cross-entropy) or one (softmax,
    cross-entropy); null: any number where classes overlap in the labels. `min_cover`: the share of a chip's
    known ground that a class must cover to be the chip's class; null: half of it, with several labels a
    tenth. Chips of which no class covers enough are left out and counted, and so are those of which a smaller
    share than `min_known` is known at all. `dropout`: before the last layer. `cnn_channels`: of the three
    blocks. `hidden`: widths of dense layers (small_cnn, mlp). `mlp_px`: a chip with longer sides is averaged
    down to so many pixels a side before it becomes a row of numbers.
    """

    network: Literal["pooled", "small_cnn", "mlp"] = "pooled"
    multi_label: bool | None = None
    min_cover: float | None = Field(default=None, gt=0, le=1)
    min_known: float = Field(default=0.0, ge=0, le=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    cnn_channels: tuple[Width, Width, Width] = (32, 64, 128)
    hidden: tuple[Width, ...] = Field(default=(128,), min_length=1, max_length=8)
    mlp_px: int = Field(default=64, ge=1, le=512)
    loss: LossConfig = LossConfig()

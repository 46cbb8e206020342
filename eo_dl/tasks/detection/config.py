"""Options of the detection networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..task import TaskConfig

Pixels = Annotated[float, Field(gt=0, le=16_384)]
Count = Annotated[int, Field(ge=1, le=100_000)]
_PYRAMID, _PROPOSALS = 128, 500
BOX_LR = 0.001
"""Peak learning rate of the networks that find any number of objects: with that of the other tasks they are
worse on both real sets that were tried (benchmarks/recipe.md)."""


class BoxConfig(TaskConfig):
    """Options of all networks that predict boxes, with the defaults of Faster R-CNN."""

    finest_stride: Literal[2, 4, 8] | None = None
    """Stride of the finest feature map; null: 2 for objects of a few pixels, otherwise 4."""
    anchor_sizes_px: tuple[tuple[Pixels, ...], ...] | None = Field(default=None, min_length=1, max_length=6)
    """Anchor sizes (root of the area) per feature map, finest first; null: from the train boxes."""
    anchor_ratios: tuple[Annotated[float, Field(gt=0.01, lt=100)], ...] | None = Field(
        default=None, min_length=1, max_length=16
    )
    """Height divided by width of the anchors; null: from the train boxes."""
    pyramid_channels: int | None = Field(default=None, ge=8, le=1024)
    """Channels of the feature pyramid. null: 64 where the network is trained on a CPU, 128 on a GPU."""
    head_channels: int = Field(default=256, ge=8, le=4096)
    """Width of the box head."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout rate in the box head."""
    proposals: Count | None = None
    """Proposals per chip that reach the box head. null: 200 where the network is trained on a CPU, 500 on a
    GPU."""
    detections: Count = 300
    """Most objects per chip."""
    score: float = Field(default=0.05, ge=0, lt=1)
    """Least score that the network reports. The model's own threshold is applied afterwards."""
    overlap: float = Field(default=0.5, gt=0, le=1)
    """IoU above which non-maximum suppression removes the lower-scoring of two boxes of a class."""
    min_visible: float = Field(default=0.3, ge=0, le=1)
    """Objects with a smaller share of their box in the chip are ignored."""

    on_cpu: ClassVar[Mapping[str, object]] = {"pyramid_channels": 64, "proposals": 200}
    on_gpu: ClassVar[Mapping[str, object]] = {"pyramid_channels": _PYRAMID, "proposals": _PROPOSALS}

    @property
    def pyramid_width(self) -> int:
        """The channels of the pyramid; those of a GPU until they are settled."""
        return self.pyramid_channels or _PYRAMID

    @property
    def proposal_count(self) -> int:
        """The proposals per chip; those of a GPU until they are settled."""
        return self.proposals or _PROPOSALS


class DetectionConfig(BoxConfig):
    """Options of object detection with their defaults.

    The one-stage networks have neither proposals nor a box head: for them `proposals` is the number of
    candidates per feature map before non-maximum suppression, and `head_channels` and `dropout` have no
    effect.
    """

    network: Literal["faster_rcnn", "retinanet", "fcos"] = "faster_rcnn"
    """Two stages ("faster_rcnn") or one. "fcos" has no anchors and only uses `finest_stride`."""

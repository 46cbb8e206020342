"""What a detection network can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..task import TaskConfig

Pixels = Annotated[float, Field(gt=0, le=16_384)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class BoxConfig(TaskConfig):
    """What every network can be told that finds boxes in two steps; the defaults of Faster R-CNN.

    `finest_stride`, `anchor_sizes_px` (a tuple of sizes for each feature map, finest first) and
    `anchor_ratios` (height / width) come from the train boxes unless given. `detections` is the most objects
    a chip can have, `score` the least score that the network reports (the bundle's own threshold is applied
    later), `overlap` the IoU above which the weaker of two boxes of a class goes.
    """

    finest_stride: Literal[2, 4, 8] | None = None
    anchor_sizes_px: tuple[tuple[Pixels, ...], ...] | None = Field(default=None, min_length=1, max_length=6)
    anchor_ratios: tuple[Annotated[float, Field(gt=0.01, lt=100)], ...] | None = Field(
        default=None, min_length=1, max_length=16
    )
    pyramid_channels: int = Field(default=128, ge=8, le=1024)
    head_channels: int = Field(default=256, ge=8, le=4096)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    proposals: Count = 500
    detections: Count = 300
    score: float = Field(default=0.05, ge=0, lt=1)
    overlap: float = Field(default=0.5, gt=0, le=1)
    min_visible: float = Field(default=0.3, ge=0, le=1)


class DetectionConfig(BoxConfig):
    """Defaults of object detection.

    The networks of one step, "retinanet" and "fcos", have neither proposals nor a head over single boxes:
    `proposals` is the number of candidates of each map among which the best boxes are chosen, `head_channels`
    and `dropout` say nothing to them; "fcos" has no anchors either, only `finest_stride`.
    """

    network: Literal["faster_rcnn", "retinanet", "fcos"] = "faster_rcnn"

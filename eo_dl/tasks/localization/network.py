"""A backbone with two heads: a classifier that knows "nothing", and a box regressor.

The position of an object is lost when a map is averaged to one row of numbers, and has to be learned position
by position when the map is flattened, for which a few labelled chips are not enough. So the map is weighted
instead: a 1x1 convolution rates how much each position looks like the object, a softmax over all positions
turns the ratings into weights, and the centre of the box is the weighted mean of the positions' coordinates
("soft arg-max", Levine et al. 2016). Moving the object moves the centre with it, without training for it.
Size and class come from the weighted features; "nothing" also from the mean of the map, since weights always
sum to one. Besides the losses of the box, a loss draws the weights onto the true box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from ...core.arrays import BoxTarget
from ...core.classes import IGNORE_ID
from ...errors import ConfigError
from ...networks.backbones import (
    channels_of,
    feature_strides,
    initialize_backbone,
    make_backbone,
    padded,
    strides_of,
)
from ...networks.tasknetwork import TaskNetwork
from ..detection.network import channel_table
from ..task import NetworkInputs
from .config import LocalizationConfig

_LEAST_SIDE_PX = 1.0


class Locator(TaskNetwork[BoxTarget]):
    """`forward` gives {"boxes": (N, 1, 4), "scores": (N, 1), "channels": (N, 1) int64}; score 0: nothing."""

    class_layers = ("classifier.3.",)
    may_skip_parameters = True
    channel_of_id: torch.Tensor
    """(256,) channel number of each class id, 255 for ids that are not a class."""

    def __init__(self, config: LocalizationConfig, inputs: NetworkInputs) -> None:
        super().__init__()
        if config.map_stride is None:
            raise ConfigError(
                "localization: `map_stride` is not settled; call Task.settle with the train boxes first"
            )
        available = feature_strides(config.backbone, inputs.in_channels)
        coarse_enough = [stride for stride in available if stride >= config.map_stride]
        self.backbone = make_backbone(config.backbone, inputs.in_channels, coarse_enough or available[-1:])
        self.strides = strides_of(self.backbone)
        width, hidden = config.map_channels, config.head_channels
        self.laterals = torch.nn.ModuleList(torch.nn.Conv2d(c, width, 1) for c in channels_of(self.backbone))
        self.mixed = torch.nn.Sequential(torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.ReLU())
        self.weigh = torch.nn.Conv2d(width, 1, 1)
        self.size = _head(2 * width, hidden, 2, config.dropout)
        self.classifier = _head(2 * width, hidden, len(inputs.classes) + 1, config.dropout)
        self.box_weight = config.box_weight
        self.register_buffer("channel_of_id", channel_table(inputs.classes), persistent=False)
        self.weights_report = initialize_backbone(self.backbone, inputs.weights)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        logits, boxes, _ = self._predictions(images)
        shares = logits.softmax(1)
        best, channel = shares[:, 1:].max(1)
        score = torch.where(best > shares[:, 0], best, torch.zeros_like(best))
        return {"boxes": boxes[:, None], "scores": score[:, None], "channels": channel[:, None]}

    def loss(self, images: torch.Tensor, targets: Sequence[BoxTarget]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`: cross-entropy over the classes and "nothing"; for chips with an object also
        GIoU, smooth L1 (shares of the chip) and `_position_loss`.
        """
        logits, boxes, weights = self._predictions(images)
        wanted, labels = self._wanted(targets, images.device)
        counted = labels != IGNORE_ID
        zero = logits.sum() * 0 + boxes.sum() * 0
        if not bool(counted.any()):
            return {"loss": zero}
        classes = functional.cross_entropy(logits[counted], labels[counted])
        with_object = counted & (labels > 0)
        if not bool(with_object.any()):
            return {"loss": classes + zero, "classifier": classes}
        size = boxes.new_tensor([images.shape[-1], images.shape[-2]] * 2)
        predicted, true = boxes[with_object], wanted[with_object]
        giou = generalized_box_iou_loss(predicted, true, reduction="mean")
        corners = functional.smooth_l1_loss(predicted / size, true / size, beta=0.1)
        position = self._position_loss(weights[with_object], true)
        return {
            "loss": classes + self.box_weight * (giou + corners + position),
            "classifier": classes,
            "giou": giou,
            "corners": corners,
            "position": position,
        }

    def _position_loss(self, weights: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """-log of the share of the weights that lies on the object.

        Training starts from equal weights, where the loss of the box alone hardly tells where to look.
        """
        cols, rows = self._positions(weights)
        reach = self.strides[0] / 2  # so that the smallest object has a position
        low, high = boxes[:, None, :2] - reach, boxes[:, None, 2:] + reach
        in_cols = (cols > low[..., 0]) & (cols < high[..., 0])
        in_rows = (rows > low[..., 1]) & (rows < high[..., 1])
        shares = (weights[:, 0] * (in_rows[:, :, None] & in_cols[:, None])).sum((1, 2))
        return -shares.clamp_min(1e-6).log().mean()

    def _predictions(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(N, K + 1) logits with "nothing" first, (N, 4) boxes, (N, 1, h, w) weights of the positions."""
        height, width = images.shape[-2:]
        maps = self.backbone(padded(images, self.strides[-1], training=self.training))
        mixed = self._mixed_map(maps)
        with torch.autocast(images.device.type, enabled=False):
            mixed = mixed.float()
            weights = self._weights(mixed, height, width)
            at_object = (mixed * weights).sum((2, 3))
            features = torch.cat([at_object, mixed.mean((2, 3))], 1)
            logits: torch.Tensor = self.classifier(features)
            return logits, self._boxes(weights, features, height, width), weights

    def _mixed_map(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The finest map with the coarser ones added."""
        lateral = [layer(m) for layer, m in zip(self.laterals, maps, strict=True)]
        total = lateral[0]
        for coarse in lateral[1:]:
            total = total + functional.interpolate(
                coarse, size=total.shape[-2:], mode="bilinear", align_corners=False
            )
        mixed: torch.Tensor = self.mixed(total)
        return mixed

    def _weights(self, mixed: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """(N, 1, h, w), summing to 1 per image; positions in the padding have weight 0."""
        logits = self.weigh(mixed)
        cols, rows = self._positions(mixed)
        outside = (rows >= height)[:, None] | (cols >= width)[None]
        # In an image smaller than a cell all centres lie outside; then all positions count.
        outside = outside & ~outside.all()
        weights: torch.Tensor = logits.masked_fill(outside, -torch.inf).flatten(2).softmax(2).view_as(logits)
        return weights

    def _boxes(self, weights: torch.Tensor, features: torch.Tensor, height: int, width: int) -> torch.Tensor:
        cols, rows = self._positions(weights)
        centre_col = (weights.sum(2) * cols).sum(2)[:, 0]
        centre_row = (weights.sum(3) * rows).sum(2)[:, 0]
        centre = torch.stack([centre_col, centre_row], 1)
        limit = centre.new_tensor([width, height])
        half = (self.size(features).sigmoid() * limit).clamp_min(_LEAST_SIDE_PX) / 2
        low = torch.minimum((centre - half).clamp_min(0), (limit - _LEAST_SIDE_PX).clamp_min(0))
        high = torch.maximum(torch.minimum(centre + half, limit), torch.minimum(low + _LEAST_SIDE_PX, limit))
        return torch.cat([low, high], 1)

    def _positions(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Centres of the map's columns and rows in pixels."""
        stride = float(self.strides[0])
        cols = (torch.arange(maps.shape[3], device=maps.device, dtype=torch.float32) + 0.5) * stride
        rows = (torch.arange(maps.shape[2], device=maps.device, dtype=torch.float32) + 0.5) * stride
        return cols, rows

    def _wanted(
        self, targets: Sequence[BoxTarget], device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 4) boxes, and (N,) labels: 0 nothing, channel + 1, or 255 for chips that do not count."""
        boxes, labels = torch.zeros(len(targets), 4), torch.zeros(len(targets), dtype=torch.int64)
        for index, target in enumerate(targets):
            if not len(target):
                continue
            channel = int(self.channel_of_id[int(target.class_ids[0])])
            labels[index] = IGNORE_ID if channel == IGNORE_ID else channel + 1
            boxes[index] = torch.from_numpy(target.boxes[0])
        return boxes.to(device), labels.to(device)


def _head(width: int, hidden: int, outputs: int, dropout: float) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Linear(width, hidden),
        torch.nn.ReLU(),
        torch.nn.Dropout(dropout),
        torch.nn.Linear(hidden, outputs),
    )

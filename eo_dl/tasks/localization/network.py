"""A feature extractor with two heads: a classifier that knows "nothing", and a box regressor.

Where something lies is lost when a map is averaged to one row of numbers, and learned place by place when it
is flattened, which a few labelled chips cannot pay for. So the map is weighed instead: a 1x1 convolution says
how much each place looks like the object, a softmax over all places makes that weights, and the box's centre
is the weighted mean of the places' own coordinates ("soft arg-max", Levine et al. 2016). Moving the object
moves the centre with it, without having been taught so. Size and class are read from the features at those
places; "nothing" also from the mean of the map, since weights always sum to one. Beside the losses of the
box, the weights are drawn onto the true box.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from ...core.arrays import Target
from ...core.classes import IGNORE_ID
from ...errors import ConfigError
from ...networks.backbones import (
    channels_of,
    feature_strides,
    make_encoder,
    padded,
    start_encoder,
    strides_of,
)
from ...networks.tasknetwork import TaskNetwork
from ..task import NetworkInputs
from .config import LocalizationConfig

_LEAST_SIDE_PX = 1.0


class Locator(TaskNetwork):
    """`forward` gives {"boxes": (N, 1, 4), "scores": (N, 1), "channels": (N, 1) int64}; score 0 where
    "nothing" is likeliest.
    """

    class_layers = ("classifier.3.",)

    def __init__(self, config: LocalizationConfig, inputs: NetworkInputs) -> None:
        super().__init__()
        if config.map_stride is None:
            raise ConfigError(
                "the localization config has no map_stride yet; settle it with the train boxes first (Task.settle)"
            )
        known = feature_strides(config.backbone, inputs.in_channels)
        wanted = [stride for stride in known if stride >= config.map_stride] or known[-1:]
        self.encoder = make_encoder(config.backbone, inputs.in_channels, wanted)
        self.strides = strides_of(self.encoder)
        width, hidden = config.map_channels, config.head_channels
        self.laterals = torch.nn.ModuleList(torch.nn.Conv2d(c, width, 1) for c in channels_of(self.encoder))
        self.mixed = torch.nn.Sequential(torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.ReLU())
        self.weigh = torch.nn.Conv2d(width, 1, 1)
        self.size = torch.nn.Sequential(
            torch.nn.Linear(2 * width, hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(config.dropout),
            torch.nn.Linear(hidden, 2),
        )
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(2 * width, hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(config.dropout),
            torch.nn.Linear(hidden, len(inputs.classes) + 1),
        )
        self.box_weight = config.box_weight
        channels = torch.full((IGNORE_ID + 1,), IGNORE_ID)
        channels[list(inputs.classes.ids)] = torch.arange(len(inputs.classes))
        self.register_buffer("channel_of_id", channels, persistent=False)
        self.weights_report = start_encoder(self.encoder, inputs.weights)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        logits, boxes, _ = self._see(images)
        shares = logits.softmax(1)
        best, channel = shares[:, 1:].max(1)
        score = torch.where(best > shares[:, 0], best, torch.zeros_like(best))
        return {"boxes": boxes[:, None], "scores": score[:, None], "channels": channel[:, None]}

    def loss(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`: cross-entropy over the classes and "nothing"; for chips with an object GIoU,
        smooth L1 (shares of the chip) and `_place_loss`.
        """
        logits, boxes, weights = self._see(images)
        wanted, labels = self._wanted(targets, images.device)
        counted = labels != IGNORE_ID
        zero = logits.sum() * 0 + boxes.sum() * 0
        if not bool(counted.any()):
            return {"loss": zero}
        classes = functional.cross_entropy(logits[counted], labels[counted])
        there = counted & (labels > 0)
        if not bool(there.any()):
            return {"loss": classes + zero, "classifier": classes}
        size = boxes.new_tensor([images.shape[-1], images.shape[-2]] * 2)
        giou = generalized_box_iou_loss(boxes[there], wanted[there], reduction="mean")
        corners = functional.smooth_l1_loss(boxes[there] / size, wanted[there] / size, beta=0.1)
        place = self._place_loss(weights[there], wanted[there])
        return {
            "loss": classes + self.box_weight * (giou + corners + place),
            "classifier": classes,
            "giou": giou,
            "corners": corners,
            "place": place,
        }

    def _place_loss(self, weights: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """How little of the weights lies on the object, -log of their share. From equal weights, where all
        begins, the box alone hardly says where to look.
        """
        cols, rows = self._places(weights)
        reach = self.strides[0] / 2  # so that the smallest object has a place
        low, high = boxes[:, None, :2] - reach, boxes[:, None, 2:] + reach
        in_cols = (cols > low[..., 0]) & (cols < high[..., 0])
        in_rows = (rows > low[..., 1]) & (rows < high[..., 1])
        shares = (weights[:, 0] * (in_rows[:, :, None] & in_cols[:, None])).sum((1, 2))
        return -shares.clamp_min(1e-6).log().mean()

    def _see(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(N, K + 1) logits with "nothing" first, (N, 4) boxes in pixels of the images, and the weights of
        the places (N, 1, h, w).
        """
        height, width = images.shape[-2:]
        maps = self.encoder(padded(images, self.strides[-1], training=self.training))
        found = self._mixed(maps)
        with torch.autocast(images.device.type, enabled=False):
            found = found.float()
            weights = self._weights(found, height, width)
            at_object = (found * weights).sum((2, 3))
            features = torch.cat([at_object, found.mean((2, 3))], 1)
            logits: torch.Tensor = self.classifier(features)
            return logits, self._boxes(weights, features, height, width), weights

    def _mixed(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """The finest map with what the coarser ones know."""
        lateral = [layer(m) for layer, m in zip(self.laterals, maps, strict=True)]
        total = lateral[0]
        for coarse in lateral[1:]:
            total = total + functional.interpolate(
                coarse, size=total.shape[-2:], mode="bilinear", align_corners=False
            )
        mixed: torch.Tensor = self.mixed(total)
        return mixed

    def _weights(self, found: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """(N, 1, h, w), each sums to 1; places in the padding have none."""
        logits = self.weigh(found)
        cols, rows = self._places(found)
        outside = (rows >= height)[:, None] | (cols >= width)[None]
        outside = outside & ~outside.all()
        weights: torch.Tensor = logits.masked_fill(outside, -torch.inf).flatten(2).softmax(2).view_as(logits)
        return weights

    def _boxes(self, weights: torch.Tensor, features: torch.Tensor, height: int, width: int) -> torch.Tensor:
        cols, rows = self._places(weights)
        centre = torch.stack([(weights.sum(2) * cols).sum(2)[:, 0], (weights.sum(3) * rows).sum(2)[:, 0]], 1)
        limit = centre.new_tensor([width, height])
        half = (self.size(features).sigmoid() * limit).clamp_min(_LEAST_SIDE_PX) / 2
        low = torch.minimum((centre - half).clamp_min(0), (limit - _LEAST_SIDE_PX).clamp_min(0))
        high = torch.maximum(torch.minimum(centre + half, limit), torch.minimum(low + _LEAST_SIDE_PX, limit))
        return torch.cat([low, high], 1)

    def _places(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Centres of the map's columns and rows in pixels."""
        stride = float(self.strides[0])
        cols = (torch.arange(maps.shape[3], device=maps.device, dtype=torch.float32) + 0.5) * stride
        rows = (torch.arange(maps.shape[2], device=maps.device, dtype=torch.float32) + 0.5) * stride
        return cols, rows

    def _wanted(self, targets: Sequence[Target], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 4) boxes and (N,) labels: 0 nothing, channel + 1, or 255 for what does not count."""
        boxes, labels = torch.zeros(len(targets), 4), torch.zeros(len(targets), dtype=torch.int64)
        table = self.channel_of_id
        assert isinstance(table, torch.Tensor)
        for place, target in enumerate(targets):
            assert target.boxes is not None and target.class_ids is not None
            if not len(target.boxes):
                continue
            channel = int(table[int(target.class_ids[0])])
            labels[place] = IGNORE_ID if channel == IGNORE_ID else channel + 1
            boxes[place] = torch.from_numpy(target.boxes[0])
        return boxes.to(device), labels.to(device)

"""Faster R-CNN from torchvision's parts on a timm encoder, and what every network that finds boxes shares.

Built from the parts and not by `torchvision.models.detection.FasterRCNN`, because that resizes every image
and subtracts ImageNet's means, and because the encoder is then called "encoder.*" as in every other task.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from ...core.arrays import Target
from ...core.classes import IGNORE_ID
from ...errors import ConfigError
from ...networks.backbones import channels_of, make_encoder, padded, start_encoder
from ...networks.tasknetwork import TaskNetwork
from ..task import NetworkInputs
from .anchors import pyramid_strides
from .config import BoxConfig
from .heads import BoxHeads, ProposalNetwork, Targets

Maps = dict[str, torch.Tensor]

_POOLED = 7
# torchvision samples 512 boxes of an 800 px photograph; a chip is a tenth of it, and the step's cost grows
# with them.
_SAMPLED_ANCHORS, _SAMPLED_BOXES = 256, 128
_CELL_PX = 8


class BoxNetwork(TaskNetwork):
    """An encoder with a feature pyramid, on which a subclass finds boxes: `_found` and `_losses`.

    `forward` gives {"boxes": (N, M, 4), "scores": (N, M), "channels": (N, M) int64}, M = `config.detections`,
    padded with score 0.
    """

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__()
        strides, _, _ = settled(config)
        self.config = config
        self.encoder = make_encoder(config.backbone, inputs.in_channels, strides)
        self.stride = strides[-1]
        self.pyramid = FeaturePyramidNetwork(channels_of(self.encoder), config.pyramid_channels)
        channels = torch.full((IGNORE_ID + 1,), IGNORE_ID)
        channels[list(inputs.classes.ids)] = torch.arange(len(inputs.classes))
        self.register_buffer("channel_of_id", channels, persistent=False)
        self.weights_report = start_encoder(self.encoder, inputs.weights)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        frame, maps = self._see(images)
        # roi_align and the box arithmetic want float32
        with torch.autocast(images.device.type, enabled=False):
            found = self._found(maps, frame)
        return stacked(found, self.config.detections)

    def loss(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`. A chip wholly under ignored objects does not count; if none counts the loss is
        0.
        """
        frame, maps = self._see(images)
        counted = [place for place, target in enumerate(targets) if _counts(target, images.shape[-2:])]
        if not counted:
            return {"loss": sum((m.sum() * 0 for m in maps.values()), start=images.new_zeros(()))}
        if len(counted) < len(targets):
            frame = ImageList(frame.tensors[counted], [frame.image_sizes[place] for place in counted])
            maps = {level: m[counted] for level, m in maps.items()}
        wanted = self._wanted([targets[place] for place in counted], images.device)
        with torch.autocast(images.device.type, enabled=False):
            losses = self._losses(maps, frame, wanted)
        return {"loss": sum(losses.values(), start=images.new_zeros(()))} | losses

    @abstractmethod
    def _found(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        """Boxes, scores and labels (1 for the first class) of each image."""

    @abstractmethod
    def _losses(self, maps: Maps, frame: ImageList, wanted: Targets) -> dict[str, torch.Tensor]:
        """The single losses by name."""

    def _see(self, images: torch.Tensor) -> tuple[ImageList, Maps]:
        height, width = images.shape[-2:]
        # torchvision takes strides from sizes, so these must divide
        whole = padded(images, self.stride, training=self.training)
        maps = self.pyramid({str(level): m for level, m in enumerate(self.encoder(whole))})
        return ImageList(whole, [(height, width)] * len(images)), {
            level: m.float() for level, m in maps.items()
        }

    def _wanted(self, targets: Sequence[Target], device: torch.device) -> Targets:
        return [self._one_wanted(target, device) for target in targets]

    def _one_wanted(self, target: Target, device: torch.device) -> dict[str, torch.Tensor]:
        assert target.boxes is not None and target.class_ids is not None
        boxes = torch.from_numpy(target.boxes.reshape(-1, 4)).to(device, torch.float32)
        table = self.channel_of_id
        assert isinstance(table, torch.Tensor)
        channels = table[torch.from_numpy(target.class_ids).to(device)]
        real = channels != IGNORE_ID
        # 0 is torchvision's background
        return {"boxes": boxes[real], "labels": channels[real] + 1, "ignore": boxes[~real]}


class FasterRCNN(BoxNetwork):
    """Faster R-CNN with a feature pyramid (Ren et al. 2015, Lin et al. 2017)."""

    class_layers: tuple[str, ...] = ("boxes.box_predictor.",)

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        strides, sizes, ratios = settled(config)
        self.proposals = _proposal_network(config, sizes, ratios)
        self.boxes = _box_heads(config, [str(level) for level in range(len(strides))], len(inputs.classes))
        self.to(memory_format=torch.channels_last)

    def _found(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        proposals, _ = self.proposals(frame, maps)
        found: list[dict[str, torch.Tensor]] = self.boxes(maps, proposals, frame.image_sizes)[0]
        return found

    def _losses(self, maps: Maps, frame: ImageList, wanted: Targets) -> dict[str, torch.Tensor]:
        proposals, first = self.proposals(frame, maps, wanted)
        _, second = self.boxes(maps, proposals, frame.image_sizes, wanted)
        return {name.removeprefix("loss_"): value for name, value in {**first, **second}.items()}


def settled(config: BoxConfig) -> tuple[tuple[int, ...], tuple[tuple[float, ...], ...], tuple[float, ...]]:
    """Strides of the pyramid, anchor sizes of each map, and anchor ratios. Raises `ConfigError` for a config
    without them.
    """
    if config.finest_stride is None or config.anchor_sizes_px is None or config.anchor_ratios is None:
        raise ConfigError(
            "the detection config has no anchors yet; settle it with the train boxes first (Task.settle)"
        )
    strides = pyramid_strides(config.finest_stride)
    if (
        len(config.anchor_sizes_px) != len(strides)
        or len({len(sizes) for sizes in config.anchor_sizes_px}) != 1
    ):
        raise ConfigError(
            f"anchor_sizes_px needs equally many sizes for each of {len(strides)} feature maps (strides {strides}), found {config.anchor_sizes_px}"
        )
    return strides, config.anchor_sizes_px, config.anchor_ratios


def _proposal_network(
    config: BoxConfig, sizes: tuple[tuple[float, ...], ...], ratios: tuple[float, ...]
) -> ProposalNetwork:
    anchors = AnchorGenerator(sizes, (ratios,) * len(sizes))
    head = RPNHead(config.pyramid_channels, anchors.num_anchors_per_location()[0])
    kept = {"training": config.proposals, "testing": config.proposals}
    return ProposalNetwork(
        anchors,
        head,
        0.7,
        0.3,
        _SAMPLED_ANCHORS,
        0.5,
        {key: 2 * value for key, value in kept.items()},
        kept,
        0.7,
    )


def _box_heads(config: BoxConfig, levels: list[str], classes: int) -> BoxHeads:
    pool = MultiScaleRoIAlign(levels, _POOLED, 2)
    head = torch.nn.Sequential(
        TwoMLPHead(config.pyramid_channels * _POOLED**2, config.head_channels),
        torch.nn.Dropout(config.dropout),
    )
    predictor = FastRCNNPredictor(config.head_channels, classes + 1)
    return BoxHeads(
        pool,
        head,
        predictor,
        0.5,
        0.5,
        _SAMPLED_BOXES,
        0.25,
        None,
        config.score,
        config.overlap,
        config.detections,
    )


def stacked(found: list[dict[str, torch.Tensor]], count: int) -> dict[str, torch.Tensor]:
    """Every image's boxes, scores and channels (and whatever else there is a row of for each), padded to
    `count` rows of zeros.
    """

    def one(key: str) -> torch.Tensor:
        fill = found[0][key].new_zeros((1, *found[0][key].shape[1:]))
        return torch.stack(
            [
                torch.cat([image[key], fill.expand(count - len(image[key]), *fill.shape[1:])])
                for image in found
            ]
        )

    raw = {key: one(key) for key in found[0] if key != "labels"}
    return raw | {"channels": (one("labels") - 1).clamp_min(0)}  # 0 is torchvision's background


def _counts(target: Target, size: torch.Size) -> bool:
    """False where ignored objects cover all of a chip and nothing else is there (looked at every 8 px)."""
    assert target.boxes is not None and target.class_ids is not None
    ignore = target.boxes[target.class_ids == IGNORE_ID]
    if len(ignore) == 0 or len(ignore) < len(target.boxes):
        return True
    rows, cols = (
        torch.arange(_CELL_PX / 2, max(length, _CELL_PX), _CELL_PX).clamp_max(length) for length in size
    )
    within = [
        (cols >= c0) & (cols < c1) & ((rows >= r0) & (rows < r1))[:, None]
        for c0, r0, c1, r1 in ignore.tolist()
    ]
    return not bool(torch.stack(within).any(0).all())

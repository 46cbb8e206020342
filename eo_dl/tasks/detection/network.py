"""Faster R-CNN from torchvision's parts on a timm backbone, and what all networks that predict boxes share.

Why not `torchvision.models.detection.FasterRCNN`: it resizes every image and subtracts ImageNet's means, and
its backbone's tensors would not be called "backbone.*" as in every other task.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from ...core.arrays import BoxTarget
from ...core.classes import IGNORE_ID, ClassSet
from ...errors import ConfigError
from ...networks.backbones import channels_of, initialize_backbone, make_backbone, padded
from ...networks.tasknetwork import TaskNetwork
from ..task import NetworkInputs
from .anchors import pyramid_strides
from .config import BoxConfig
from .heads import BoxHeads, ProposalNetwork, TorchvisionTargets

Maps = dict[str, torch.Tensor]
"""Feature maps (N, C, h, w) of the pyramid by level, finest first."""

_POOLED = 7
# torchvision samples 512 boxes of an 800 px photograph; a chip has a tenth of its pixels, and the cost of a
# step grows with the boxes.
_SAMPLED_ANCHORS, _SAMPLED_BOXES = 256, 128
_CELL_PX = 8


class BoxNetwork(TaskNetwork[BoxTarget]):
    """A backbone with a feature pyramid, on which a subclass predicts boxes: `_predictions` and `_losses`.

    `forward` gives {"boxes": (N, M, 4), "scores": (N, M), "channels": (N, M) int64}, M = `config.detections`,
    padded with score 0.
    """

    may_skip_parameters = True
    takes_batches = False  # torchvision's box operations loop over the images with which they were traced
    channel_of_id: torch.Tensor
    """(256,) channel number of each class id, 255 for ids that are not a class."""

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__()
        strides = AnchorSettings.of(config).strides
        self.config = config
        self.backbone = make_backbone(config.backbone, inputs.in_channels, strides)
        self.stride = strides[-1]
        self.pyramid = FeaturePyramidNetwork(channels_of(self.backbone), config.pyramid_width)
        self.register_buffer("channel_of_id", channel_table(inputs.classes), persistent=False)
        self.weights_report = initialize_backbone(self.backbone, inputs.weights)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        frame, maps = self._feature_maps(images)
        # roi_align and the arithmetic of boxes need float32.
        with torch.autocast(images.device.type, enabled=False):
            predictions = self._predictions(maps, frame)
        return stacked(predictions, self.config.detections)

    def loss(self, images: torch.Tensor, targets: Sequence[BoxTarget]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`. Chips wholly under ignored objects do not count; the loss of only those is 0."""
        frame, maps = self._feature_maps(images)
        counted = [index for index, target in enumerate(targets) if _counts(target, images.shape[-2:])]
        if not counted:
            zero = sum((m.sum() * 0 for m in maps.values()), start=images.new_zeros(()))
            return {"loss": zero}
        if len(counted) < len(targets):
            frame = ImageList(frame.tensors[counted], [frame.image_sizes[index] for index in counted])
            maps = {level: m[counted] for level, m in maps.items()}
        wanted = [self._torchvision_target(targets[index], images.device) for index in counted]
        with torch.autocast(images.device.type, enabled=False):
            losses = self._losses(maps, frame, wanted)
        return {"loss": sum(losses.values(), start=images.new_zeros(()))} | losses

    @abstractmethod
    def _predictions(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        """Boxes, scores and labels (1 for the first class) of each image."""

    @abstractmethod
    def _losses(self, maps: Maps, frame: ImageList, wanted: TorchvisionTargets) -> dict[str, torch.Tensor]:
        """The single losses by name."""

    def _feature_maps(self, images: torch.Tensor) -> tuple[ImageList, Maps]:
        height, width = images.shape[-2:]
        # torchvision derives strides from the sizes of maps and images, so strides must divide the size.
        whole = padded(images, self.stride, training=self.training)
        maps = self.pyramid({str(level): m for level, m in enumerate(self.backbone(whole))})
        frame = ImageList(whole, [(height, width)] * len(images))
        return frame, {level: m.float() for level, m in maps.items()}

    def _torchvision_target(self, target: BoxTarget, device: torch.device) -> dict[str, torch.Tensor]:
        boxes = torch.from_numpy(target.boxes).to(device, torch.float32)
        channels = self.channel_of_id[torch.from_numpy(target.class_ids).to(device)]
        real = channels != IGNORE_ID
        # Label 0 is torchvision's background.
        return {"boxes": boxes[real], "labels": channels[real] + 1, "ignore": boxes[~real]}


class FasterRCNN(BoxNetwork):
    """Faster R-CNN with a feature pyramid (Ren et al. 2015, Lin et al. 2017)."""

    class_layers: tuple[str, ...] = ("boxes.box_predictor.",)

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        anchors = AnchorSettings.of(config)
        levels = [str(level) for level in range(len(anchors.strides))]
        self.proposals = _proposal_network(config, anchors)
        self.boxes = _box_heads(config, levels, len(inputs.classes))
        self.to(memory_format=torch.channels_last)

    def _predictions(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        proposals, _ = self.proposals(frame, maps)
        predictions: list[dict[str, torch.Tensor]] = self.boxes(maps, proposals, frame.image_sizes)[0]
        return predictions

    def _losses(self, maps: Maps, frame: ImageList, wanted: TorchvisionTargets) -> dict[str, torch.Tensor]:
        proposals, proposal_losses = self.proposals(frame, maps, wanted)
        _, box_losses = self.boxes(maps, proposals, frame.image_sizes, wanted)
        return {name.removeprefix("loss_"): value for name, value in (proposal_losses | box_losses).items()}


@dataclass(frozen=True)
class AnchorSettings:
    """The anchors of a settled config."""

    strides: tuple[int, ...]
    """Strides of the pyramid, finest first."""
    sizes_px: tuple[tuple[float, ...], ...]
    """Anchor sizes of each feature map."""
    ratios: tuple[float, ...]
    """Height divided by width."""

    @classmethod
    def of(cls, config: BoxConfig) -> AnchorSettings:
        """Raises `ConfigError` for a config without anchors, or with too few sizes."""
        if config.finest_stride is None or config.anchor_sizes_px is None or config.anchor_ratios is None:
            raise ConfigError(
                "detection: the anchors are not settled; call Task.settle with the train boxes first"
            )
        strides = pyramid_strides(config.finest_stride)
        counts = {len(sizes) for sizes in config.anchor_sizes_px}
        if len(config.anchor_sizes_px) != len(strides) or len(counts) != 1:
            raise ConfigError(
                f"anchor_sizes_px: expected the same number of sizes for each of {len(strides)} feature maps "
                f"(strides {strides}), found {config.anchor_sizes_px}"
            )
        return cls(strides, config.anchor_sizes_px, config.anchor_ratios)

    def generator(self) -> AnchorGenerator:
        """The torchvision generator of these anchors."""
        return AnchorGenerator(self.sizes_px, (self.ratios,) * len(self.sizes_px))


def channel_table(classes: ClassSet) -> torch.Tensor:
    """(256,) channel number of each class id, 255 for ids that are not a class."""
    channels = torch.full((IGNORE_ID + 1,), IGNORE_ID)
    channels[list(classes.ids)] = torch.arange(len(classes))
    return channels


def _proposal_network(config: BoxConfig, anchors: AnchorSettings) -> ProposalNetwork:
    generator = anchors.generator()
    return ProposalNetwork(
        anchor_generator=generator,
        head=RPNHead(config.pyramid_width, generator.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=_SAMPLED_ANCHORS,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2 * config.proposal_count, "testing": 2 * config.proposal_count},
        post_nms_top_n={"training": config.proposal_count, "testing": config.proposal_count},
        nms_thresh=0.7,
    )


def _box_heads(config: BoxConfig, levels: list[str], classes: int) -> BoxHeads:
    head = torch.nn.Sequential(
        TwoMLPHead(config.pyramid_width * _POOLED**2, config.head_channels),
        torch.nn.Dropout(config.dropout),
    )
    return BoxHeads(
        box_roi_pool=MultiScaleRoIAlign(levels, _POOLED, 2),
        box_head=head,
        box_predictor=FastRCNNPredictor(config.head_channels, classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=_SAMPLED_BOXES,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=config.score,
        nms_thresh=config.overlap,
        detections_per_img=config.detections,
    )


def stacked(predictions: list[dict[str, torch.Tensor]], count: int) -> dict[str, torch.Tensor]:
    """The boxes, scores, channels and further rows of all images, padded to `count` rows of zeros."""
    raw = {
        key: torch.stack([_padded_rows(image[key], count) for image in predictions]) for key in predictions[0]
    }
    labels = raw.pop("labels")
    return raw | {"channels": (labels - 1).clamp_min(0)}  # label 0 is torchvision's background


def _padded_rows(rows: torch.Tensor, count: int) -> torch.Tensor:
    # Padded first and cut then, so that an exported graph does not fix the number of rows.
    return torch.cat([rows, rows.new_zeros((count, *rows.shape[1:]))])[:count]


def _counts(target: BoxTarget, size: torch.Size) -> bool:
    """False where ignored objects cover the whole chip and there are no others (sampled every 8 px)."""
    ignored = target.boxes[target.ignored]
    if len(ignored) == 0 or len(ignored) < len(target):
        return True
    rows, cols = (
        torch.arange(_CELL_PX / 2, max(length, _CELL_PX), _CELL_PX).clamp_max(length) for length in size
    )
    covered = torch.zeros(len(rows), len(cols), dtype=torch.bool)
    for col0, row0, col1, row1 in ignored.tolist():
        in_rows = (rows >= row0) & (rows < row1)
        in_cols = (cols >= col0) & (cols < col1)
        covered |= in_rows[:, None] & in_cols
    return not bool(covered.all())

"""Mask R-CNN: the two-step boxes of `detection`, and a mask of 28 x 28 cells within each.

The mask branch is our own and not that of torchvision's ROI heads: theirs samples the true masks half a pixel
off (which costs an object of 10 px a tenth of its IoU), turns all true masks of a chip into floats at once,
and pads and pastes in the frame of photographs. Here only the masks that are learned from are looked at, and
boxes are drawn in groups, so that memory does not grow with the number of objects.
"""

from __future__ import annotations

import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.ops import MultiScaleRoIAlign, roi_align

from ...core.arrays import Target
from ...core.classes import IGNORE_ID
from ..detection.heads import Targets
from ..detection.network import FasterRCNN, Maps
from ..task import NetworkInputs
from .config import InstancesConfig

_POOLED = 14
_CELLS = 2 * _POOLED
_GROUP = 64
"""Boxes whose masks are drawn in one go when predicting."""


class MaskRCNN(FasterRCNN):
    """Mask R-CNN (He et al. 2017). `forward` gives what `FasterRCNN` gives and "masks" (N, M, 28, 28): the
    probability that a cell of a box is the object.
    """

    class_layers = (*FasterRCNN.class_layers, "mask_out.")

    def __init__(self, config: InstancesConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        levels = [str(level) for level in range(len(self.proposals.anchor_generator.sizes))]
        self.mask_pool = MultiScaleRoIAlign(levels, _POOLED, 2)
        self.mask_head = MaskRCNNHeads(
            config.pyramid_channels, (config.mask_channels,) * config.mask_layers, 1
        )
        self.mask_up = torch.nn.ConvTranspose2d(config.mask_channels, config.mask_channels, 2, 2)
        self.mask_out = torch.nn.Conv2d(config.mask_channels, len(inputs.classes), 1)
        self.to(memory_format=torch.channels_last)

    def _found(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        """As `FasterRCNN`'s, with masks (N, 28, 28)."""
        found = super()._found(maps, frame)
        boxes, labels = [image["boxes"] for image in found], torch.cat([image["labels"] for image in found])
        pooled = self.mask_pool(maps, boxes, frame.image_sizes)
        drawn = [
            self._drawn(part, own).sigmoid()
            for part, own in zip(torch.split(pooled, _GROUP), torch.split(labels, _GROUP), strict=True)
        ]
        masks = torch.split(torch.cat(drawn), [len(own) for own in boxes])
        return [image | {"masks": own} for image, own in zip(found, masks, strict=True)]

    def _losses(self, maps: Maps, frame: ImageList, wanted: Targets) -> dict[str, torch.Tensor]:
        losses = super()._losses(maps, frame, wanted)
        boxes, places, labels = (
            [own[label > 0] for own, label in zip(part, self.boxes.sampled[2], strict=True)]
            for part in self.boxes.sampled
        )
        logits = self._drawn(self.mask_pool(maps, boxes, frame.image_sizes), torch.cat(labels))
        true = torch.cat(
            [_in_boxes(image["masks"], own, at) for image, own, at in zip(wanted, boxes, places, strict=True)]
        )
        if not len(logits):
            return losses | {"mask": sum((p.sum() * 0 for p in self._mask_parameters()), start=logits.sum())}
        return losses | {"mask": torch.nn.functional.binary_cross_entropy_with_logits(logits, true)}

    def _drawn(self, pooled: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, 28, 28) logits of the masks of the boxes' own classes."""
        channels = self.mask_out(torch.relu(self.mask_up(self.mask_head(pooled))))
        own: torch.Tensor = channels[torch.arange(len(labels), device=labels.device), labels - 1]
        return own

    def _mask_parameters(self) -> list[torch.Tensor]:
        return [p for part in (self.mask_head, self.mask_up, self.mask_out) for p in part.parameters()]

    def _one_wanted(self, target: Target, device: torch.device) -> dict[str, torch.Tensor]:
        assert target.instance_masks is not None and target.class_ids is not None
        masks = torch.from_numpy(target.instance_masks[target.class_ids != IGNORE_ID])
        return super()._one_wanted(target, device) | {"masks": masks.to(device)}


def _in_boxes(masks: torch.Tensor, boxes: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(N, 28, 28) how much of each cell of box i belongs to object `places[i]`; `masks` (M, H, W) bool."""
    if not len(boxes):
        return boxes.new_zeros((0, _CELLS, _CELLS))
    used, own = torch.unique(places, return_inverse=True)
    rois = torch.cat([own[:, None].to(boxes.dtype), boxes], dim=1)
    cells: torch.Tensor = roi_align(masks[used, None].to(boxes.dtype), rois, _CELLS, aligned=True)[:, 0]
    return cells.clamp(0, 1)

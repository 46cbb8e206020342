"""Mask R-CNN: the two-stage boxes of `detection`, and a mask of 28 x 28 cells in each.

Why not the mask branch of torchvision's ROI heads: it samples the true masks half a pixel off (which costs an
object of 10 px a tenth of its IoU), converts all true masks of a chip to floats at once, and pads and pastes
in the frame of photographs. Here only the masks that are learned from are read, and masks are predicted in
groups, so that memory does not grow with the number of objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads
from torchvision.ops import MultiScaleRoIAlign, roi_align

from ...core.arrays import BoxTarget
from ..detection.heads import TorchvisionTargets
from ..detection.network import FasterRCNN, Maps
from ..task import NetworkInputs
from .config import InstancesConfig

_POOLED = 14
_CELLS = 2 * _POOLED
_GROUP = 64
"""Boxes whose masks are predicted at once."""


class MaskRCNN(FasterRCNN):
    """Mask R-CNN (He et al. 2017). `forward` gives what `FasterRCNN` gives and "masks" (N, M, 28, 28): the
    probability that a cell of a box belongs to the object.
    """

    class_layers = (*FasterRCNN.class_layers, "mask_out.")

    def __init__(self, config: InstancesConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        levels = [str(level) for level in range(len(self.proposals.anchor_generator.sizes))]
        widths = config.mask_widths
        self.mask_pool = MultiScaleRoIAlign(levels, _POOLED, 2)
        self.mask_head = MaskRCNNHeads(config.pyramid_width, widths, 1)
        self.mask_up = torch.nn.ConvTranspose2d(widths[-1], widths[-1], 2, 2)
        self.mask_out = torch.nn.Conv2d(widths[-1], len(inputs.classes), 1)
        self.to(memory_format=torch.channels_last)

    def _predictions(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        """As those of `FasterRCNN`, with masks (N, 28, 28)."""
        predictions = super()._predictions(maps, frame)
        boxes = [image["boxes"] for image in predictions]
        labels = torch.cat([image["labels"] for image in predictions])
        pooled = self.mask_pool(maps, boxes, frame.image_sizes)
        if torch.onnx.is_in_onnx_export():  # an exported graph has one image, with any number of boxes
            return [predictions[0] | {"masks": self._mask_logits(pooled, labels).sigmoid()}]
        groups = zip(torch.split(pooled, _GROUP), torch.split(labels, _GROUP), strict=True)
        masks = torch.cat([self._mask_logits(features, of_group).sigmoid() for features, of_group in groups])
        by_image = torch.split(masks, [len(of_image) for of_image in boxes])
        return [image | {"masks": of_image} for image, of_image in zip(predictions, by_image, strict=True)]

    def _losses(self, maps: Maps, frame: ImageList, wanted: TorchvisionTargets) -> dict[str, torch.Tensor]:
        losses = super()._losses(maps, frame, wanted)
        samples = self._positive_samples()
        pooled = self.mask_pool(maps, [sample.boxes for sample in samples], frame.image_sizes)
        logits = self._mask_logits(pooled, torch.cat([sample.labels for sample in samples]))
        if not len(logits):
            # A sum of zeros, so that every parameter has a gradient (DistributedDataParallel).
            return losses | {"mask": sum((p.sum() * 0 for p in self._mask_parameters()), start=logits.sum())}
        true = torch.cat(
            [
                _masks_in_boxes(image["masks"], sample.boxes, sample.objects)
                for image, sample in zip(wanted, samples, strict=True)
            ]
        )
        return losses | {"mask": torch.nn.functional.binary_cross_entropy_with_logits(logits, true)}

    def _positive_samples(self) -> list[_Samples]:
        """The sampled boxes of each image that hold an object."""
        per_image = zip(*self.boxes.sampled, strict=True)
        return [
            _Samples(boxes[labels > 0], objects[labels > 0], labels[labels > 0])
            for boxes, objects, labels in per_image
        ]

    def _mask_logits(self, pooled: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, 28, 28) logits of each box's mask, in the channel of its class."""
        channels = self.mask_out(torch.relu(self.mask_up(self.mask_head(pooled))))
        # A sum over the classes instead of an index: an exported graph would fix the number of boxes of an
        # index by `arange`, and OpenVINO 2026.4 fails on `gather` without boxes.
        classes = torch.arange(channels.shape[1], device=labels.device)
        is_class = (labels[:, None] - 1 == classes)[:, :, None, None]
        of_class: torch.Tensor = (channels * is_class).sum(dim=1)
        return of_class

    def _mask_parameters(self) -> list[torch.Tensor]:
        parts = (self.mask_head, self.mask_up, self.mask_out)
        return [*parts[0].parameters(), *parts[1].parameters(), *parts[2].parameters()]

    def _torchvision_target(self, target: BoxTarget, device: torch.device) -> dict[str, torch.Tensor]:
        masks = torch.from_numpy(target.masks()[~target.ignored])
        return super()._torchvision_target(target, device) | {"masks": masks.to(device)}


@dataclass(frozen=True)
class _Samples:
    """The sampled boxes of one image."""

    boxes: torch.Tensor
    """(N, 4)"""
    objects: torch.Tensor
    """(N,) index of the object that each box holds."""
    labels: torch.Tensor
    """(N,) classes, from 1 on."""


def _masks_in_boxes(masks: torch.Tensor, boxes: torch.Tensor, objects: torch.Tensor) -> torch.Tensor:
    """(N, 28, 28) the share of each cell of box i that object `objects[i]` covers; `masks` (M, H, W) bool."""
    if not len(boxes):
        return boxes.new_zeros((0, _CELLS, _CELLS))
    # Only the masks that are sampled become floats.
    used, index = torch.unique(objects, return_inverse=True)
    rois = torch.cat([index[:, None].to(boxes.dtype), boxes], dim=1)
    cells: torch.Tensor = roi_align(masks[used, None].to(boxes.dtype), rois, _CELLS, aligned=True)[:, 0]
    return cells.clamp(0, 1)

"""torchvision's proposal network and box head, with objects that count neither way."""

from __future__ import annotations

import torch
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

TorchvisionTargets = list[dict[str, torch.Tensor]]
"""Per image "boxes" (N, 4), "labels" (N,) from 1 on, and "ignore" (M, 4), the boxes of ignored objects."""
Samples = tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]
"""Per image boxes, the index of each one's object, its label (0: background), and the regression targets."""

COVERED = 0.5
"""Background is not learned from where more than this share of it lies over an ignored object."""


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """An RPN whose anchors over ignored objects are not background."""

    def assign_targets_to_anchors(
        self, anchors: list[torch.Tensor], targets: TorchvisionTargets
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """As torchvision's; -1 (not sampled) for background anchors over an ignored object."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            _unlabel(label, anchor, target["ignore"])
        return labels, boxes


class BoxHeads(RoIHeads):  # type: ignore[misc]
    """ROI heads whose proposals over ignored objects are not background."""

    sampled: tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]
    """What the last training step learned from, per image: boxes, the index of their objects, and labels."""
    _ignored: list[torch.Tensor]

    def select_training_samples(
        self, proposals: list[torch.Tensor], targets: TorchvisionTargets | None
    ) -> Samples:
        """As torchvision's. Keeps the ignored boxes, which torchvision does not pass to the next method."""
        self._ignored = [target["ignore"] for target in targets or []]
        samples: Samples = super().select_training_samples(proposals, targets)
        self.sampled = samples[:3]
        return samples

    def assign_targets_to_proposals(
        self, proposals: list[torch.Tensor], gt_boxes: list[torch.Tensor], gt_labels: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """As torchvision's; -1 (not sampled) for background proposals over an ignored object."""
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for label, proposal, ignore in zip(labels, proposals, self._ignored, strict=True):
            _unlabel(label, proposal, ignore)
        return matched, labels


def _unlabel(labels: torch.Tensor, boxes: torch.Tensor, ignore: torch.Tensor) -> None:
    """Set labels of 0 to -1, in place, for boxes of which half is covered. One box keeps its label: a loss
    over no boxes is not a number.
    """
    if len(ignore) == 0:
        return
    covered = cover(boxes, ignore)
    labels[(labels == 0) & (covered > COVERED)] = -1
    if (labels < 0).all():
        labels[covered.argmin()] = 0


def cover(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(N,) largest share of each box (N, 4) that lies within one of the others (M, 4), M > 0."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clamp_min(0).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp_min(1e-6)
    return shared.amax(1) / area

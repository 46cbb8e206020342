"""torchvision's proposal network and box head, with objects that count neither way."""

from __future__ import annotations

import torch
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

Targets = list[dict[str, torch.Tensor]]

COVERED = 0.5
"""Background of which more than this share lies over an ignored object teaches nothing."""


class ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """An RPN whose anchors over ignored objects are not background."""

    def assign_targets_to_anchors(
        self, anchors: list[torch.Tensor], targets: Targets
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """As torchvision's; -1 (not sampled) for background anchors that lie over an ignored object."""
        labels, boxes = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            _unlabel(label, anchor, target["ignore"])
        return labels, boxes


class BoxHeads(RoIHeads):  # type: ignore[misc]
    """ROI heads whose proposals over ignored objects are not background.

    `sampled`: what the last training step learned from, an entry an image: boxes, the number of each one's
    object, and its label (0: none).
    """

    sampled: tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]
    _ignored: list[torch.Tensor]

    def select_training_samples(
        self, proposals: list[torch.Tensor], targets: Targets | None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """As torchvision's, which does not hand the targets to the step below."""
        assert targets is not None
        self._ignored = [target["ignore"] for target in targets]
        samples: tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]] = (
            super().select_training_samples(proposals, targets)
        )
        self.sampled = samples[:3]
        return samples

    def assign_targets_to_proposals(
        self, proposals: list[torch.Tensor], gt_boxes: list[torch.Tensor], gt_labels: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """As torchvision's; -1 (not sampled) for background proposals that lie over an ignored object."""
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for label, proposal, ignore in zip(labels, proposals, self._ignored, strict=True):
            _unlabel(label, proposal, ignore)
        return matched, labels


def _unlabel(labels: torch.Tensor, boxes: torch.Tensor, ignore: torch.Tensor) -> None:
    """Set labels of 0 to -1 (in place) where half of a box is covered; one stays, as a loss over nothing is
    not a number.
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

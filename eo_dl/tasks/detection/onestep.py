"""One-stage detectors on the pyramid of `network`, from torchvision's parts: RetinaNet and FCOS.

Every position of every map predicts at once what is there, without proposals in between. torchvision's own
classes do the matching, the losses and the selection of boxes; they get no backbone, since all tasks share
theirs, and their image transform is not used. Objects that count neither way are left out of the
classification loss, the only one that looks at background.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import cast

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
from torchvision.ops import remove_small_boxes

from ...errors import ConfigError
from ..task import NetworkInputs
from .config import BoxConfig
from .heads import COVERED, TorchvisionTargets, cover
from .network import AnchorSettings, BoxNetwork, Maps

Outputs = dict[str, torch.Tensor]

_BACKGROUND, _NOT_SAMPLED = -1, -2  # as in torchvision's matcher
_NEVER = -100.0
"""A logit that costs nothing as background, and has no gradient."""
_GROUPS = 32
_LEAST_SIDE_PX = 1e-2
_LOSS_NAMES = {"classification": "classifier", "bbox_regression": "box", "bbox_ctrness": "centre"}


class RetinaHead(RetinaNetHead):  # type: ignore[misc]
    """A head whose anchors over ignored objects are not background."""

    def compute_loss(
        self,
        targets: TorchvisionTargets,
        head_outputs: Outputs,
        anchors: list[torch.Tensor],
        matched_idxs: list[torch.Tensor],
    ) -> Outputs:
        """As torchvision's. Anchors over an ignored object are neither positive nor background."""
        spared = [
            matched.masked_fill(_over_ignored(matched, boxes, target), _NOT_SAMPLED)
            for matched, boxes, target in zip(matched_idxs, anchors, targets, strict=True)
        ]
        return cast(Outputs, super().compute_loss(targets, head_outputs, anchors, spared))


class FCOSCentreHead(FCOSHead):  # type: ignore[misc]
    """A head whose positions within ignored objects are not background."""

    def compute_loss(
        self,
        targets: TorchvisionTargets,
        head_outputs: Outputs,
        anchors: list[torch.Tensor],
        matched_idxs: list[torch.Tensor],
    ) -> Outputs:
        """As torchvision's, which cannot leave positions out: their logits are replaced by constants that
        cost nothing and have no gradient.
        """
        left_out = torch.stack(
            [
                _over_ignored(matched, boxes, target)
                for matched, boxes, target in zip(matched_idxs, anchors, targets, strict=True)
            ]
        )
        logits = head_outputs["cls_logits"].masked_fill(left_out[:, :, None], _NEVER)
        outputs = head_outputs | {"cls_logits": logits}
        return cast(Outputs, super().compute_loss(targets, outputs, anchors, matched_idxs))


@dataclass(frozen=True)
class _HeadOutputs:
    """What the head predicts at all P positions of the pyramid."""

    values: Outputs
    """(N, P, ...) by name."""
    anchors: list[torch.Tensor]
    """Per image the box (P, 4) of each position."""
    lengths: list[int]
    """Positions of each map."""


class OneStep(BoxNetwork):
    """What both have in common: `heads` is torchvision's detector without a backbone."""

    heads: RetinaNet | FCOS
    class_layers = ("heads.head.classification_head.cls_logits.",)

    def _predictions(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        outputs = self._head_outputs(maps, frame)
        values_by_map = {
            name: list(torch.split(value, outputs.lengths, 1)) for name, value in outputs.values.items()
        }
        anchors_by_map = [list(torch.split(boxes, outputs.lengths)) for boxes in outputs.anchors]
        predictions = self.heads.postprocess_detections(values_by_map, anchors_by_map, frame.image_sizes)
        # Here the first class has label 0.
        return [_with_area(image | {"labels": image["labels"] + 1}) for image in predictions]

    def _losses(self, maps: Maps, frame: ImageList, wanted: TorchvisionTargets) -> dict[str, torch.Tensor]:
        # Here the first class has label 0.
        targets = [image | {"labels": image["labels"] - 1} for image in wanted]
        losses = self._torchvision_losses(targets, self._head_outputs(maps, frame))
        return {_LOSS_NAMES[name]: value for name, value in losses.items()}

    @abstractmethod
    def _torchvision_losses(self, targets: TorchvisionTargets, outputs: _HeadOutputs) -> Outputs:
        """torchvision's losses."""

    def _head_outputs(self, maps: Maps, frame: ImageList) -> _HeadOutputs:
        features = list(maps.values())
        values: Outputs = self.heads.head(features)
        cells = [m.shape[-2] * m.shape[-1] for m in features]
        per_cell = values["cls_logits"].shape[1] // sum(cells)
        anchors = self.heads.anchor_generator(frame, features)
        return _HeadOutputs(values, anchors, [count * per_cell for count in cells])


class Retina(OneStep):
    """RetinaNet (Lin et al. 2017): anchors of the objects' sizes, and a loss that focuses on errors."""

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        generator = AnchorSettings.of(config).generator()
        # Without normalization, four layers learn little in few steps.
        norm = partial(torch.nn.GroupNorm, gcd(config.pyramid_width, _GROUPS))
        anchors_per_cell = generator.num_anchors_per_location()[0]
        head = RetinaHead(config.pyramid_width, anchors_per_cell, len(inputs.classes), norm)
        self.heads = RetinaNet(
            _NoBackbone(config.pyramid_width),
            len(inputs.classes),
            anchor_generator=generator,
            head=head,
            score_thresh=config.score,
            nms_thresh=config.overlap,
            detections_per_img=config.detections,
            topk_candidates=config.proposal_count,
        )
        self.to(memory_format=torch.channels_last)

    def _torchvision_losses(self, targets: TorchvisionTargets, outputs: _HeadOutputs) -> Outputs:
        return cast(Outputs, self.heads.compute_loss(targets, outputs.values, outputs.anchors))


class CentreFCOS(OneStep):
    """FCOS (Tian et al. 2019): no anchors; each position within an object predicts the distances to its four
    sides, and how central it is.
    """

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        if config.pyramid_width % _GROUPS:
            raise ConfigError(
                f"pyramid_channels: network fcos needs a multiple of {_GROUPS}, found "
                f"{config.pyramid_width}; choose e.g. 64 or 128"
            )
        strides = AnchorSettings.of(config).strides
        cells = AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * len(strides))
        self.heads = FCOS(
            _NoBackbone(config.pyramid_width),
            len(inputs.classes),
            anchor_generator=cells,
            head=FCOSCentreHead(config.pyramid_width, 1, len(inputs.classes)),
            score_thresh=config.score,
            nms_thresh=config.overlap,
            detections_per_img=config.detections,
            topk_candidates=config.proposal_count,
        )
        self.to(memory_format=torch.channels_last)

    def _torchvision_losses(self, targets: TorchvisionTargets, outputs: _HeadOutputs) -> Outputs:
        losses = self.heads.compute_loss(targets, outputs.values, outputs.anchors, outputs.lengths)
        return cast(Outputs, losses)


class _NoBackbone(torch.nn.Module):
    """Only tells torchvision how many channels the maps have."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels


def _over_ignored(
    matched: torch.Tensor, boxes: torch.Tensor, target: dict[str, torch.Tensor]
) -> torch.Tensor:
    """(P,) True for background of which an ignored object covers more than half."""
    ignore = target["ignore"]
    if len(ignore) == 0:
        return torch.zeros_like(matched, dtype=torch.bool)
    return (matched == _BACKGROUND) & (cover(boxes, ignore) > COVERED)


def _with_area(image: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    kept = remove_small_boxes(image["boxes"], _LEAST_SIDE_PX)
    return {name: value[kept] for name, value in image.items()}

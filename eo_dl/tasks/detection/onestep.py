"""Detectors of one step on the pyramid of `network`, from torchvision's parts: RetinaNet and FCOS.

Every place of every map says at once what is there, without proposals in between. torchvision's own classes
keep the matching, the losses and the choice of the best boxes; they are given no backbone, since the encoder
is that of all tasks, and their image transform is not used. Objects that count neither way are left out of
the classifier's loss, which is the only one that looks at background.
"""

from __future__ import annotations

from abc import abstractmethod
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
from .heads import COVERED, Targets, cover
from .network import BoxNetwork, Maps, settled

Outputs = dict[str, torch.Tensor]

_BACKGROUND, _LEFT_OUT = -1, -2  # as torchvision's matcher has them
_CERTAINLY_NOT = -100.0
_GROUPS = 32
_LEAST_SIDE_PX = 1e-2
_NAMES = {"classification": "classifier", "bbox_regression": "box", "bbox_ctrness": "centre"}


class RetinaHead(RetinaNetHead):  # type: ignore[misc]
    """A head whose anchors over ignored objects are not background."""

    def compute_loss(
        self,
        targets: Targets,
        head_outputs: Outputs,
        anchors: list[torch.Tensor],
        matched_idxs: list[torch.Tensor],
    ) -> Outputs:
        """As torchvision's; what lies over an ignored object is treated like what is neither near to an
        object nor far from all.
        """
        seen = zip(matched_idxs, anchors, targets, strict=True)
        spared = [
            matched.masked_fill(_ignored(matched, boxes, target), _LEFT_OUT)
            for matched, boxes, target in seen
        ]
        return cast(Outputs, super().compute_loss(targets, head_outputs, anchors, spared))


class FCOSCentreHead(FCOSHead):  # type: ignore[misc]
    """A head whose places within ignored objects are not background."""

    def compute_loss(
        self,
        targets: Targets,
        head_outputs: Outputs,
        anchors: list[torch.Tensor],
        matched_idxs: list[torch.Tensor],
    ) -> Outputs:
        """As torchvision's, which knows no such places: their logits are replaced by ones that cost nothing
        and move nothing.
        """
        left_out = torch.stack([_ignored(*one) for one in zip(matched_idxs, anchors, targets, strict=True)])
        logits = head_outputs["cls_logits"].masked_fill(left_out[:, :, None], _CERTAINLY_NOT)
        return cast(
            Outputs,
            super().compute_loss(targets, head_outputs | {"cls_logits": logits}, anchors, matched_idxs),
        )


class OneStep(BoxNetwork):
    """What both have in common: `heads` is torchvision's detector without a backbone."""

    heads: RetinaNet | FCOS
    class_layers = ("heads.head.classification_head.cls_logits.",)

    def _found(self, maps: Maps, frame: ImageList) -> list[dict[str, torch.Tensor]]:
        outputs, anchors, lengths = self._seen(maps, frame)
        by_map = {name: list(torch.split(value, lengths, 1)) for name, value in outputs.items()}
        found = self.heads.postprocess_detections(
            by_map, [list(torch.split(own, lengths)) for own in anchors], frame.image_sizes
        )
        return [_with_area(image | {"labels": image["labels"] + 1}) for image in found]

    def _losses(self, maps: Maps, frame: ImageList, wanted: Targets) -> dict[str, torch.Tensor]:
        outputs, anchors, lengths = self._seen(maps, frame)
        # here background has no label of its own
        targets = [image | {"labels": image["labels"] - 1} for image in wanted]
        return {
            _NAMES[name]: value for name, value in self._compared(targets, outputs, anchors, lengths).items()
        }

    @abstractmethod
    def _compared(
        self, targets: Targets, outputs: Outputs, anchors: list[torch.Tensor], lengths: list[int]
    ) -> Outputs:
        """torchvision's losses."""

    def _seen(self, maps: Maps, frame: ImageList) -> tuple[Outputs, list[torch.Tensor], list[int]]:
        """What the head says of all places (N, P, ...), the box (P, 4) that each image has there, and how
        many places each map has.
        """
        features = list(maps.values())
        outputs: Outputs = self.heads.head(features)
        cells = [m.shape[-2] * m.shape[-1] for m in features]
        a_cell = outputs["cls_logits"].shape[1] // sum(cells)
        return outputs, self.heads.anchor_generator(frame, features), [count * a_cell for count in cells]


class Retina(OneStep):
    """RetinaNet (Lin et al. 2017): anchors of the objects' sizes, and a loss that looks less at what is right
    already.
    """

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        _, sizes, ratios = settled(config)
        anchors = AnchorGenerator(sizes, (ratios,) * len(sizes))
        # without one, four layers learn little in few steps
        norm = partial(torch.nn.GroupNorm, gcd(config.pyramid_channels, _GROUPS))
        head = RetinaHead(
            config.pyramid_channels, anchors.num_anchors_per_location()[0], len(inputs.classes), norm
        )
        self.heads = RetinaNet(
            _NoBackbone(config.pyramid_channels),
            len(inputs.classes),
            anchor_generator=anchors,
            head=head,
            score_thresh=config.score,
            nms_thresh=config.overlap,
            detections_per_img=config.detections,
            topk_candidates=config.proposals,
        )
        self.to(memory_format=torch.channels_last)

    def _compared(
        self, targets: Targets, outputs: Outputs, anchors: list[torch.Tensor], lengths: list[int]
    ) -> Outputs:
        return cast(Outputs, self.heads.compute_loss(targets, outputs, anchors))


class CentreFCOS(OneStep):
    """FCOS (Tian et al. 2019): no anchors; each place within an object says how far its four sides are, and
    how central it is.
    """

    def __init__(self, config: BoxConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs)
        if config.pyramid_channels % _GROUPS:
            raise ConfigError(
                f"network fcos needs pyramid_channels that {_GROUPS} divides, found {config.pyramid_channels}; choose e.g. 64 or 128"
            )
        strides, _, _ = settled(config)
        self.heads = FCOS(
            _NoBackbone(config.pyramid_channels),
            len(inputs.classes),
            anchor_generator=AnchorGenerator(
                tuple((stride,) for stride in strides), ((1.0,),) * len(strides)
            ),
            head=FCOSCentreHead(config.pyramid_channels, 1, len(inputs.classes)),
            score_thresh=config.score,
            nms_thresh=config.overlap,
            detections_per_img=config.detections,
            topk_candidates=config.proposals,
        )
        self.to(memory_format=torch.channels_last)

    def _compared(
        self, targets: Targets, outputs: Outputs, anchors: list[torch.Tensor], lengths: list[int]
    ) -> Outputs:
        return cast(Outputs, self.heads.compute_loss(targets, outputs, anchors, lengths))


class _NoBackbone(torch.nn.Module):
    """Says only how many channels the maps have."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels


def _ignored(matched: torch.Tensor, boxes: torch.Tensor, target: dict[str, torch.Tensor]) -> torch.Tensor:
    """(P,) True for background that an ignored object covers by more than half."""
    ignore = target["ignore"]
    if len(ignore) == 0:
        return torch.zeros_like(matched, dtype=torch.bool)
    return (matched == _BACKGROUND) & (cover(boxes, ignore) > COVERED)


def _with_area(image: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    kept = remove_small_boxes(image["boxes"], _LEAST_SIDE_PX)
    return {name: value[kept] for name, value in image.items()}

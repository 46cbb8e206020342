"""A class per pixel: a timm backbone and a decoder of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.arrays import MaskTarget, TargetT
from ...networks.backbones import initialize_backbone, padded, strides_of
from ...networks.losses import ClassLoss, truth_of_masks
from ...networks.tasknetwork import TaskNetwork
from ..task import NetworkInputs
from .config import TERMS, DecoderConfig, SegmentationConfig
from .decoders import make_decoder, segmentation_backbone


class PixelBody(TaskNetwork[TargetT]):
    """The backbone, decoder and last layer of `config.network`, with any number of channels per pixel."""

    def __init__(self, config: DecoderConfig, inputs: NetworkInputs, channels: int) -> None:
        super().__init__()
        self.backbone = segmentation_backbone(config, inputs.in_channels)
        self.stride = strides_of(self.backbone)[-1]
        self.decoder, width = make_decoder(config, self.backbone, inputs.in_channels)
        self.dropout = torch.nn.Dropout2d(config.dropout)
        self.head = torch.nn.Conv2d(width, channels, 3, padding=1)
        self.weights_report = initialize_backbone(self.backbone, inputs.weights)
        self.to(memory_format=torch.channels_last)

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) float32 of the last layer, for images of any H and W."""
        height, width = images.shape[-2:]
        images = padded(images, self.stride, training=self.training)
        maps = self.decoder([images, *self.backbone(images)])
        planes: torch.Tensor = self.head(self.dropout(maps))
        if planes.shape[-2:] != images.shape[-2:]:
            planes = torch.nn.functional.interpolate(
                planes, images.shape[-2:], mode="bilinear", align_corners=False
            )
        return planes[..., :height, :width].float().contiguous()


class PixelNetwork(PixelBody[MaskTarget]):
    """The network of `config.network`. `forward` gives {"logits": (N, K, H, W) float32} for any H and W."""

    class_layers = ("head.",)

    def __init__(self, config: SegmentationConfig, inputs: NetworkInputs) -> None:
        super().__init__(config, inputs, len(inputs.classes))
        weights = None
        if inputs.class_weights is not None:
            weights = torch.tensor(inputs.class_weights, dtype=torch.float32)
        self.class_weights: torch.Tensor | None
        # Not persistent: it belongs to the training, not to the model.
        self.register_buffer("class_weights", weights, persistent=False)
        self.class_loss = ClassLoss(config.loss.or_terms(*TERMS))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        return {"logits": self.pixels(images)}

    def loss(self, images: torch.Tensor, targets: Sequence[MaskTarget]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`. Pixels of 255 do not count; soft targets are learned as probabilities."""
        logits = self.forward(images)["logits"]
        truth = truth_of_masks(targets, logits.shape[1], logits.device)
        return self.class_loss(logits, truth, self.class_weights)

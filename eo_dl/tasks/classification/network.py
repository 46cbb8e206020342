"""Classifiers of whole chips: a pooled backbone, a small convolutional network, a plain perceptron."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from ...core.arrays import ChipTarget
from ...networks.backbones import channels_of, initialize_backbone, make_backbone, padded, strides_of
from ...networks.losses import ClassLoss, ClassTruth, truth_of_labels
from ...networks.tasknetwork import TaskNetwork
from ..task import NetworkInputs
from .config import ClassificationConfig

_CNN_CELLS = 4  # side of the map that small_cnn flattens
_CNN_STRIDE = 8


class ChipClassifier(TaskNetwork[ChipTarget]):
    """What all classifiers have in common. `forward` gives {"logits": (N, K) float32} for any H and W."""

    class_layers = ("head.",)

    def __init__(
        self, config: ClassificationConfig, inputs: NetworkInputs, backbone: torch.nn.Module, width: int
    ) -> None:
        """`width`: features per chip before the last layer."""
        super().__init__()
        self.backbone = backbone
        self.dropout = torch.nn.Dropout(config.dropout)
        self.head = torch.nn.Linear(width, len(inputs.classes))
        weights = None
        if inputs.class_weights is not None:
            weights = torch.tensor(inputs.class_weights, dtype=torch.float32)
        self.class_weights: torch.Tensor | None
        # Not persistent: it belongs to the training, not to the model.
        self.register_buffer("class_weights", weights, persistent=False)
        self.multi_label = bool(config.multi_label)
        self.class_loss = ClassLoss(config.loss, exclusive=not self.multi_label)
        self.weights_report = initialize_backbone(self.backbone, inputs.weights)
        self.to(memory_format=torch.channels_last)

    @abstractmethod
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, width) of images (N, C, H, W)."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        return {"logits": self.head(self.dropout(self.features(images))).float()}

    def loss(self, images: torch.Tensor, targets: Sequence[ChipTarget]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`. Chips of unknown class do not count; the loss of a batch of them is 0."""
        logits = self.forward(images)["logits"]
        truth = _truth(targets, logits.device, self.multi_label)
        return self.class_loss(logits, truth, self.class_weights)


class PooledBackbone(ChipClassifier):
    """A timm backbone, the mean of its last feature map, and one linear layer."""

    def __init__(self, config: ClassificationConfig, inputs: NetworkInputs) -> None:
        backbone = make_backbone(config.backbone, inputs.in_channels)
        super().__init__(config, inputs, backbone, channels_of(backbone)[-1])
        self.stride = strides_of(backbone)[-1]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `ChipClassifier`."""
        last_map: torch.Tensor = self.backbone(padded(images, self.stride, training=self.training))[-1]
        return last_map.mean((2, 3))


class SmallCnn(ChipClassifier):
    """Three blocks of convolution, batch normalization, ReLU and pooling; then dense layers with dropout."""

    def __init__(self, config: ClassificationConfig, inputs: NetworkInputs) -> None:
        channels = (inputs.in_channels, *config.cnn_channels)
        blocks = [_block(before, after) for before, after in itertools.pairwise(channels)]
        super().__init__(config, inputs, torch.nn.Sequential(*blocks), config.hidden[-1])
        self.dense = _dense(config.cnn_channels[-1] * _CNN_CELLS**2, config)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `ChipClassifier`."""
        maps = self.backbone(padded(images, _CNN_STRIDE, training=self.training))
        features: torch.Tensor = self.dense(_averaged(maps, _CNN_CELLS).flatten(1))
        return features


class Perceptron(ChipClassifier):
    """Dense layers on all pixels of the chip. A pattern has to be learned separately for every position."""

    def __init__(self, config: ClassificationConfig, inputs: NetworkInputs) -> None:
        side_px = min(inputs.chip_px, config.mlp_px)
        super().__init__(config, inputs, _dense(inputs.in_channels * side_px**2, config), config.hidden[-1])
        self.side_px = side_px

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `ChipClassifier`."""
        features: torch.Tensor = self.backbone(_averaged(images, self.side_px).flatten(1))
        return features


_NETWORKS: dict[str, Callable[[ClassificationConfig, NetworkInputs], ChipClassifier]] = {
    "pooled": PooledBackbone,
    "small_cnn": SmallCnn,
    "mlp": Perceptron,
}


def make_classifier(config: ClassificationConfig, inputs: NetworkInputs) -> ChipClassifier:
    """The network that `config.network` names."""
    return _NETWORKS[config.network](config, inputs)


def _block(before: int, after: int) -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Conv2d(before, after, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(after),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
    )


def _dense(width: int, config: ClassificationConfig) -> torch.nn.Sequential:
    """Dense layers with ReLU, and dropout between them."""
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise((width, *config.hidden)):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU(), torch.nn.Dropout(config.dropout)]
    return torch.nn.Sequential(*layers[:-1])


def _averaged(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Maps of `side` x `side` cells, each the mean of what lies in it."""
    if maps.shape[-2:] == (side, side):
        return maps
    return functional.adaptive_avg_pool2d(maps, side)


def _truth(targets: Sequence[ChipTarget], device: torch.device, multi_label: bool) -> ClassTruth:
    """The classes of the chips. With one class per chip, a chip counts only if all its values are known."""
    values = np.stack([np.asarray(target.values, np.float32) for target in targets])
    truth = truth_of_labels(torch.from_numpy(values).to(device))
    if multi_label:
        return truth
    return ClassTruth(truth.shares, truth.counted.amin(1, keepdim=True))

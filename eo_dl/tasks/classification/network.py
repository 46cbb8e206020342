"""Networks that say of a whole chip what it is: a pooled backbone, a small convolutional network, a plain
perceptron.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from ...core.arrays import Target
from ...networks.backbones import channels_of, make_encoder, padded, start_encoder, strides_of
from ...networks.losses import ClassLoss, ClassTruth, truth_of_labels
from ...networks.tasknetwork import TaskNetwork
from ..task import NetworkInputs
from .config import ClassificationConfig

_CNN_CELLS = 4  # a side of the map that small_cnn flattens
_CNN_STRIDE = 8


class ChipClassifier(TaskNetwork):
    """What all have in common. `forward` gives {"logits": (N, K) float32} for any H and W; `width`: of the
    row before the last layer.
    """

    class_layers = ("head.",)

    def __init__(
        self, config: ClassificationConfig, inputs: NetworkInputs, encoder: torch.nn.Module, width: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(config.dropout)
        self.head = torch.nn.Linear(width, len(inputs.classes))
        weights = (
            None if inputs.class_weights is None else torch.tensor(inputs.class_weights, dtype=torch.float32)
        )
        self.class_weights: torch.Tensor | None
        # belongs to the training, not to the model
        self.register_buffer("class_weights", weights, persistent=False)
        self.several = bool(config.multi_label)
        self.class_loss = ClassLoss(config.loss, exclusive=not self.several)
        self.weights_report = start_encoder(self.encoder, inputs.weights)
        self.to(memory_format=torch.channels_last)

    @abstractmethod
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, width) of images (N, C, H, W)."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`."""
        return {"logits": self.head(self.dropout(self.features(images))).float()}

    def loss(self, images: torch.Tensor, targets: Sequence[Target]) -> dict[str, torch.Tensor]:
        """See `TaskNetwork`. Chips of which nothing is known do not count; a batch of nothing else has a loss
        of 0.
        """
        logits = self.forward(images)["logits"]
        return self.class_loss(logits, _truth(targets, logits.device, self.several), self.class_weights)


class PooledBackbone(ChipClassifier):
    """A timm backbone, the mean of its last feature map, and one layer."""

    def __init__(self, config: ClassificationConfig, inputs: NetworkInputs) -> None:
        encoder = make_encoder(config.backbone, inputs.in_channels)
        super().__init__(config, inputs, encoder, channels_of(encoder)[-1])
        self.stride = strides_of(encoder)[-1]

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `ChipClassifier`."""
        maps: torch.Tensor = self.encoder(padded(images, self.stride, training=self.training))[-1]
        return maps.mean((2, 3))


class SmallCnn(ChipClassifier):
    """Three blocks of convolution, batch normalization, ReLU and pooling; then dense layers with dropout."""

    def __init__(self, config: ClassificationConfig, inputs: NetworkInputs) -> None:
        blocks = [
            _block(before, after)
            for before, after in itertools.pairwise((inputs.in_channels, *config.cnn_channels))
        ]
        super().__init__(config, inputs, torch.nn.Sequential(*blocks), config.hidden[-1])
        self.dense = _dense(config.cnn_channels[-1] * _CNN_CELLS**2, config)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `ChipClassifier`."""
        maps = self.encoder(padded(images, _CNN_STRIDE, training=self.training))
        found: torch.Tensor = self.dense(_averaged(maps, _CNN_CELLS).flatten(1))
        return found


class Perceptron(ChipClassifier):
    """Dense layers on all pixels of the chip in one row: what stands where must be learnt for every place
    anew.
    """

    def __init__(self, config: ClassificationConfig, inputs: NetworkInputs) -> None:
        side_px = min(inputs.chip_px, config.mlp_px)
        super().__init__(config, inputs, _dense(inputs.in_channels * side_px**2, config), config.hidden[-1])
        self.side_px = side_px

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `ChipClassifier`."""
        found: torch.Tensor = self.encoder(_averaged(images, self.side_px).flatten(1))
        return found


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
    """Maps of `side` cells a side: means of what lies in each."""
    return maps if maps.shape[-2:] == (side, side) else functional.adaptive_avg_pool2d(maps, side)


def _truth(targets: Sequence[Target], device: torch.device, several: bool) -> ClassTruth:
    """(N, K, 1); of one class a chip a place counts as a whole."""
    values = torch.from_numpy(np.stack([np.asarray(target.values, np.float32) for target in targets])).to(
        device
    )
    truth = truth_of_labels(values)
    return truth if several else ClassTruth(truth.shares, truth.counted.amin(1, keepdim=True))

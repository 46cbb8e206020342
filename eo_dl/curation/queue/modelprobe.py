"""Run a model on chips in several views: how uncertain it is about each, and what its backbone sees there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import Chip, Objects
from ...core.arraytypes import AnyArray, BoolArray, Float32Array
from ...core.extras import needs_extra
from ...core.gridwindow import GridWindow
from ...errors import BundleError
from ...io.scene import Scene, SceneReader
from ...networks.device import choose_device
from .chipuncertainty import (
    Uncertainty,
    multi_label_uncertainty,
    object_uncertainty,
    probability_uncertainty,
)
from .chipviews import VIEWS, View

if TYPE_CHECKING:
    import torch

    from ...bundle import Bundle

NetworkOutput = dict[str, AnyArray]

_BATCH_PX = 2**20
_MOST_CHIPS = 32


@dataclass(frozen=True)
class ProbedChip:
    """A chip that the model has seen."""

    window: GridWindow
    """Where it lies, on the grid that the model reads."""

    valid_share: float
    """The share of its pixels that was measured."""

    uncertainty: Uncertainty
    """How uncertain the model is about it."""

    features: Float32Array
    """(D,) the mean of the last feature map of the backbone."""


class Probe:
    """A model on a device, asked about chips.

    Args:
        bundle: The model.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        views: In how many views each chip is predicted, 1 to 8.
    """

    def __init__(self, bundle: Bundle, *, device: str, views: int) -> None:
        with needs_extra("running a model"):
            import torch  # lazy: sampling chips by hand works without it

        self._torch, self._bundle, self._codec = torch, bundle, bundle.codec()
        self._views = VIEWS[:views]
        self._device = choose_device(device)
        self._network = bundle.make_network().eval().to(self._device)
        self._feature_maps: list[torch.Tensor] = []
        self._network.encoder.register_forward_hook(self._keep_features)

    def look(self, scene: Scene, windows: Sequence[GridWindow]) -> Iterator[ProbedChip]:
        """Probe chips of one scene, in the order of `windows`.

        Args:
            scene: A scene fitted to the model: its bands in the order of the model.
            windows: Windows of the grid of `scene`, all of one size.

        Raises:
            GridError: A window belongs to another grid.
            BundleError: The network has no backbone whose features could be compared.
        """
        batch_size = _batch_size(windows)
        with SceneReader(scene) as reader:
            for start in range(0, len(windows), batch_size):
                part = windows[start : start + batch_size]
                yield from self._probe(part, [reader.read(window) for window in part])

    def _probe(self, windows: Sequence[GridWindow], chips: Sequence[Chip]) -> Iterator[ProbedChip]:
        normalization = self._bundle.normalization
        images = np.stack([normalization.apply(chip.pixels, chip.valid, chip.bands) for chip in chips])
        predictions, features = [], []
        for view in self._views:
            output, seen = self._run(np.ascontiguousarray(view.apply(images)))
            predictions.append(self._decode(output, view, images.shape[-1]))
            features.append(seen)
        for index, (window, chip) in enumerate(zip(windows, chips, strict=True)):
            of_chip = [of_view[index] for of_view in predictions]
            uncertainty = self._uncertainty(of_chip, chip.valid)
            yield ProbedChip(window, float(chip.valid.mean()), uncertainty, features[0][index])

    def _run(self, images: AnyArray) -> tuple[NetworkOutput, Float32Array]:
        """The output of the network for a batch, and its features (N, D)."""
        self._feature_maps.clear()
        with self._torch.inference_mode():
            output = self._network(self._torch.from_numpy(images).to(self._device))
        if not self._feature_maps:
            raise BundleError(
                f"{self._bundle.path}: its network has no backbone whose features could compare chips; "
                "train it again with this version"
            )
        features: Float32Array = self._feature_maps[-1].float().mean(dim=(-2, -1)).cpu().numpy()
        return {name: value.cpu().numpy() for name, value in output.items()}, features

    def _keep_features(self, module: torch.nn.Module, inputs: object, output: list[torch.Tensor]) -> None:
        """A forward hook: keeps the last map of a timm backbone, the coarsest, with the widest view."""
        self._feature_maps.append(output[-1])

    def _decode(self, output: NetworkOutput, view: View, size_px: int) -> list[Float32Array | Objects]:
        """The prediction for each chip of a batch, in the frame of the chip."""
        count = len(next(iter(output.values())))
        decoded: list[Float32Array | Objects] = []
        for index in range(count):
            prediction = self._codec.decode({name: array[index] for name, array in output.items()})
            if isinstance(prediction, Objects):
                prediction = view.undo_objects(prediction, size_px)
            elif prediction.ndim == 3:  # a map; the probabilities (K,) of a whole chip have no direction
                prediction = view.undo(prediction)
            decoded.append(prediction)
        return decoded

    def _uncertainty(self, views: Sequence[Float32Array | Objects], valid: BoolArray) -> Uncertainty:
        """The uncertainty of a chip from the predictions for its views, by what they are."""
        objects = [prediction for prediction in views if isinstance(prediction, Objects)]
        if objects:
            return object_uncertainty(objects, self._bundle.classes.ids)
        arrays = [prediction for prediction in views if not isinstance(prediction, Objects)]
        if arrays[0].ndim == 3:
            return probability_uncertainty(arrays, valid)
        exclusive = abs(float(np.sum(arrays[0])) - 1) < 1e-3
        return probability_uncertainty(arrays) if exclusive else multi_label_uncertainty(arrays)


def _batch_size(windows: Sequence[GridWindow]) -> int:
    if not windows:
        return 1
    return max(1, min(_MOST_CHIPS, _BATCH_PX // windows[0].area_px))

"""Run a model on chips in several views: how uncertain it is about each, and what its backbone sees there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import Chip
from ...core.arraytypes import AnyArray, BoolArray, Float32Array
from ...core.chipviews import VIEWS, View
from ...core.extras import needs_extra
from ...core.gridwindow import GridWindow
from ...errors import BundleError
from ...io.scene import Scene, SceneReader
from ...networks.device import choose_device
from ...tasks import CHIPS, OBJECTS, RASTER, OutputKind
from .chipuncertainty import (
    Uncertainty,
    multi_label_uncertainty,
    object_uncertainty,
    probability_uncertainty,
)

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

        self._torch, self._bundle = torch, bundle
        self._views = VIEWS[:views]
        self._device = choose_device(device)
        self._network = bundle.make_network().eval().to(self._device)
        self._feature_maps: list[torch.Tensor] = []
        self._network.backbone.register_forward_hook(self._keep_features)

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
        # The first view is the chip as it is; its features are the ones compared.
        runs = [self._run(np.ascontiguousarray(view.apply(images))) for view in self._views]
        features = runs[0][1]
        estimate = _ESTIMATES[self._bundle.task.output]
        for index, (window, chip) in enumerate(zip(windows, chips, strict=True)):
            outputs = [{name: array[index] for name, array in output.items()} for output, _ in runs]
            looks = list(zip(self._views, outputs, strict=True))
            uncertainty = estimate(self._bundle, looks, chip.valid)
            yield ProbedChip(window, float(chip.valid.mean()), uncertainty, features[index])

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


Looks = Sequence[tuple[View, NetworkOutput]]
"""The output of the network for one chip in each view."""


def _class_map_uncertainty(bundle: Bundle, looks: Looks, valid: BoolArray) -> Uncertainty:
    codec = bundle.codec_for(RASTER)
    return probability_uncertainty([view.undo(codec.decode(output)) for view, output in looks], valid)


def _objects_uncertainty(bundle: Bundle, looks: Looks, valid: BoolArray) -> Uncertainty:
    codec, size_px = bundle.codec_for(OBJECTS), valid.shape[-1]
    objects = [view.undo_objects(codec.decode(output), size_px) for view, output in looks]
    return object_uncertainty(objects, bundle.classes.ids)


def _chip_uncertainty(bundle: Bundle, looks: Looks, valid: BoolArray) -> Uncertainty:
    # The probabilities of a whole chip have no direction, so there is nothing to undo.
    codec = bundle.codec_for(CHIPS)
    probabilities = [codec.decode(output) for _, output in looks]
    if codec.rule.multi_label:
        return multi_label_uncertainty(probabilities)
    return probability_uncertainty(probabilities)


_ESTIMATES: dict[OutputKind, Callable[[Bundle, Looks, BoolArray], Uncertainty]] = {
    RASTER: _class_map_uncertainty,
    OBJECTS: _objects_uncertainty,
    CHIPS: _chip_uncertainty,
}


def _batch_size(windows: Sequence[GridWindow]) -> int:
    if not windows:
        return 1
    return max(1, min(_MOST_CHIPS, _BATCH_PX // windows[0].area_px))

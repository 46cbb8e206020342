"""Running a model over chips in several views: how unsure it is of each, and what its encoder sees there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...core.arrays import Objects
from ...core.extras import needs_extra
from ...core.window import Window
from ...errors import BundleError
from ...io.scene import Scene, SceneReader
from ...networks.device import choose_device
from .chipuncertainty import Uncertainty, of_labels, of_objects, of_probabilities
from .chipviews import VIEWS, View

if TYPE_CHECKING:
    import torch

    from ...bundle import Bundle

Images = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Seen:
    """A chip: its `window`, the share that was measured, how unsure the model is, and the mean of its
    encoder's last map (D,).
    """

    window: Window
    valid_share: float
    uncertainty: Uncertainty
    features: Features


class Probe:
    """A model on a device, asked about chips. Raises `BundleError` for a model without an encoder to listen
    to.
    """

    def __init__(self, bundle: Bundle, *, device: str, views: int) -> None:
        with needs_extra("running a model"):
            import torch  # lazy: choosing chips by hand needs none

        self._torch, self._bundle, self._codec = torch, bundle, bundle.codec()
        self._views = VIEWS[:views]
        self._device = choose_device(device)
        self._network = bundle.make_network().eval().to(self._device)
        self._features: list[torch.Tensor] = []
        self._network.encoder.register_forward_hook(self._listen)

    def look(self, scene: Scene, windows: Sequence[Window], batch_size: int) -> Iterator[Seen]:
        """Chips of a fitted scene (the model's bands in its order), in the order of `windows`, a batch at a
        time.
        """
        with SceneReader(scene) as reader:
            for start in range(0, len(windows), batch_size):
                part = windows[start : start + batch_size]
                chips = [reader.read(window) for window in part]
                images = np.stack(
                    [self._bundle.normalization.apply(chip.pixels, chip.valid, chip.bands) for chip in chips]
                )
                valid = np.stack([chip.valid for chip in chips])
                yield from self._batch(part, images, valid)

    def _batch(
        self, windows: Sequence[Window], images: Images, valid: npt.NDArray[np.bool_]
    ) -> Iterator[Seen]:
        answers, features = [], None
        for view in self._views:
            raw, heard = self._run(np.ascontiguousarray(view.apply(images)))
            features = heard if features is None else features
            answers.append(
                [
                    self._decoded({name: array[place] for name, array in raw.items()}, view, images.shape[-1])
                    for place in range(len(images))
                ]
            )
        assert features is not None
        for place, window in enumerate(windows):
            told = self._uncertainty([answer[place] for answer in answers], valid[place])
            yield Seen(window, float(valid[place].mean()), told, features[place])

    def _run(self, images: npt.NDArray[np.generic]) -> tuple[Arrays, npt.NDArray[np.float32]]:
        self._features.clear()
        with self._torch.inference_mode():
            raw = self._network(self._torch.from_numpy(images).to(self._device))
        if not self._features:
            raise BundleError(
                f"{self._bundle.path}: its network has no encoder to compare chips by; train it again with this version"
            )
        heard: npt.NDArray[np.float32] = self._features[-1].float().mean(dim=(-2, -1)).cpu().numpy()
        return {name: value.cpu().numpy() for name, value in raw.items()}, heard

    def _listen(self, module: torch.nn.Module, inputs: object, output: list[torch.Tensor]) -> None:
        """The last map of a timm encoder: the coarsest, with the widest view."""
        self._features.append(output[-1])

    def _decoded(self, raw: Arrays, view: View, size_px: int) -> npt.NDArray[np.float32] | Objects:
        found = self._codec.decode(raw)
        if isinstance(found, Objects):
            return view.undo_objects(found, size_px)
        return view.undo(found) if found.ndim == 3 else found

    def _uncertainty(
        self, answers: Sequence[npt.NDArray[np.float32] | Objects], valid: npt.NDArray[np.bool_]
    ) -> Uncertainty:
        objects = [answer for answer in answers if isinstance(answer, Objects)]
        if objects:
            return of_objects(objects, self._bundle.classes.ids)
        arrays = [answer for answer in answers if not isinstance(answer, Objects)]
        if arrays[0].ndim == 3:
            return of_probabilities(arrays, valid)
        together = abs(float(np.sum(arrays[0])) - 1) < 1e-3
        return of_probabilities(arrays) if together else of_labels(arrays)

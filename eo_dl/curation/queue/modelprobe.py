"""Run a model on chips in several views: how uncertain it is about each, and what its backbone sees there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...bundle import Bundle
from ...core.arrays import Chip
from ...core.arraytypes import AnyArray, BoolArray, Float32Array
from ...core.chipviews import VIEWS, View, channels_last
from ...core.gridwindow import GridWindow
from ...core.rawnames import FEATURE_MAP, FEATURES
from ...errors import MissingExtraError
from ...inference.backends.backend import Backend, Scaling, check_raw
from ...inference.backends.choice import make_backend
from ...inference.backends.onnxmember import gives_inner
from ...io.scene import Scene, SceneReader
from ...networks.compute import Compute
from ...tasks import CHIPS, OBJECTS, RASTER, VALUES, OutputKind
from ...uncertainty.applicability import Applicability
from ...uncertainty.featurecells import cell_features
from .chipuncertainty import (
    Uncertainty,
    multi_label_uncertainty,
    object_uncertainty,
    probability_uncertainty,
    value_uncertainty,
)

NetworkOutput = Mapping[str, AnyArray]

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

    dissimilarity: float = 0.0
    """Mean distance of its ground to that of the training, 1 at the border of the area of applicability; 0
    where it was not asked for."""


class Probe:
    """A model asked about chips, by the fastest engine that gives features and takes chips of their size.

    Args:
        bundle: The model.
        compute: Device and precision; "auto" is float32 here, so that a ranking does not depend on the
            processor.
        views: In how many views each chip is predicted, 1 to 8.
        applicability: What chips are compared with; None: their dissimilarity is not asked for.
    """

    def __init__(
        self, bundle: Bundle, *, compute: Compute, views: int, applicability: Applicability | None = None
    ) -> None:
        self._applicability = applicability
        self._inner = FEATURES if applicability is None else FEATURE_MAP
        self._bundle, self._views = bundle, VIEWS[:views]
        precision = "32" if compute.precision == "auto" else compute.precision
        self._compute = replace(compute, precision=precision)
        self._graph_gives_features = gives_inner(bundle, self._inner)
        self._engines: dict[str, Backend] = {}
        bands = len(bundle.bands)
        self._unchanged = Scaling(np.ones(bands, np.float32), np.zeros(bands, np.float32))

    def look(self, scene: Scene, windows: Sequence[GridWindow]) -> Iterator[ProbedChip]:
        """Probe chips of one scene, in the order of `windows`.

        Args:
            scene: A scene fitted to the model: its bands in the order of the model.
            windows: Windows of the grid of `scene`, all of one size.

        Raises:
            GridError: A window belongs to another grid.
            MissingExtraError: Only torch gives features of this model, or takes such chips, and it is not
                installed.
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
        runs = [self._run(channels_last(view.apply(images))) for view in self._views]
        features = runs[0][1]
        estimate = _ESTIMATES[self._bundle.task.output]
        for index, (window, chip) in enumerate(zip(windows, chips, strict=True)):
            outputs = [{name: array[index] for name, array in output.items()} for output, _ in runs]
            looks = list(zip(self._views, outputs, strict=True))
            uncertainty = estimate(self._bundle, looks, chip.valid)
            seen, unlike = self._compared(features[index], chip.valid.shape[-1])
            yield ProbedChip(window, float(chip.valid.mean()), uncertainty, seen, unlike)

    def _compared(self, features: Float32Array, chip_px: int) -> tuple[Float32Array, float]:
        """(D,) the features of a chip, and its dissimilarity; from (D,) or a map (D, h, w)."""
        if self._applicability is None:
            return features, 0.0
        whole = self._bundle.task.output == CHIPS
        cells = cell_features(features, chip_px, whole).reshape(len(features), -1).T
        unlike = float(self._applicability.dissimilarity(cells).mean())
        return np.asarray(features.mean(axis=(1, 2)), np.float32), unlike

    def _run(self, images: AnyArray) -> tuple[NetworkOutput, Float32Array]:
        """The output of the network for a batch (N, C, H, W) of standard scores, and its features: (N, D), or
        maps (N, D, h, w).
        """
        count, _, height, width = images.shape
        engine = self._engine(height, width)
        measured = np.ones((count, height, width), np.bool_)  # what was not measured is 0 in `images`
        raw = dict(engine.run(images, measured, self._unchanged))
        check_raw(raw, count, str(self._bundle.path))
        features = raw.pop(self._inner)
        return raw, np.asarray(features, np.float32)

    def _engine(self, height: int, width: int) -> Backend:
        """The engine for chips of a size."""
        name, missing = "auto", ""
        if not self._graph_gives_features:
            name, missing = "torch", "no model.onnx that gives features by which chips could be compared"
        elif not _graph_takes(self._bundle, height, width):
            name, missing = "torch", f"a model.onnx that does not take chips of {width} x {height} px"
        if name not in self._engines:
            try:
                self._engines[name] = make_backend(
                    name, self._bundle, compute=self._compute, labels_only=False, inner=self._inner
                )
            except MissingExtraError as error:
                raise MissingExtraError(f"{self._bundle.path} has {missing}; {error}") from error
        return self._engines[name]


def _graph_takes(bundle: Bundle, height: int, width: int) -> bool:
    """True if the graph of a bundle takes chips of that size."""
    trained_px, freedom = bundle.spec.chip_px, bundle.spec.any_chip
    if (height, width) == (trained_px, trained_px):
        return True
    return freedom is not None and height % freedom.step_px == 0 and width % freedom.step_px == 0


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


def _value_map_uncertainty(bundle: Bundle, looks: Looks, valid: BoolArray) -> Uncertainty:
    codec = bundle.codec_for(VALUES)
    count = len(codec.classes)
    planes = [view.undo(codec.decode(output))[:count] for view, output in looks]
    return value_uncertainty(planes, codec.spreads, valid)


_ESTIMATES: dict[OutputKind, Callable[[Bundle, Looks, BoolArray], Uncertainty]] = {
    RASTER: _class_map_uncertainty,
    OBJECTS: _objects_uncertainty,
    CHIPS: _chip_uncertainty,
    VALUES: _value_map_uncertainty,
}


def _batch_size(windows: Sequence[GridWindow]) -> int:
    if not windows:
        return 1
    return max(1, min(_MOST_CHIPS, _BATCH_PX // windows[0].area_px))

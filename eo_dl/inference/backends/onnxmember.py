"""The ONNX graph in a bundle, and what the engines that run it have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from ...bundle import ONNX, Bundle
from ...core.arraytypes import AnyArray, BoolArray
from ...errors import BundleError
from ..batches import Buffer
from .backend import Scaling, numpy_buffer


def onnx_graph(bundle: Bundle) -> bytes:
    """The bundle's `model.onnx`.

    Raises:
        BundleError: It has none, or it is damaged.
    """
    if ONNX not in bundle.members:
        raise BundleError(
            f"{bundle.path}: holds no {ONNX}, so only torch can run it; add one with eo-dl model export "
            f"{bundle.path}"
        )
    return bundle.read(ONNX)


class GraphBackend(ABC):
    """What engines of ONNX graphs have in common: float32 batches in main memory.

    Args:
        names: Names of the graph's outputs.
        most: Chips that the graph takes at once; None: any number.
    """

    takes_stored = False
    batch_px = 2**20
    chip_px = 512  # larger chips leave the processor's cache

    def __init__(self, names: Sequence[str], most: int | None) -> None:
        self._names, self._most = names, most

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        """Memory for a batch."""
        return numpy_buffer(count, bands, size, dtype)

    def run(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> Mapping[str, AnyArray]:
        """See `Backend`."""
        count = len(pixels)
        step = count if self._most is None else self._most
        parts = [self._infer(pixels[start : start + step]) for start in range(0, count, step)]
        if len(parts) == 1:
            return dict(zip(self._names, parts[0], strict=True))
        columns = zip(*parts, strict=True)
        return {name: np.concatenate(column) for name, column in zip(self._names, columns, strict=True)}

    @abstractmethod
    def _infer(self, pixels: AnyArray) -> Sequence[AnyArray]:
        """The outputs for chips (N, C, H, W), in the order of their names."""

"""`Backend`: an engine runs the network, a batch of arrays in, arrays out.

Each engine is one module beside this one (torch, OpenVINO, ONNX Runtime), and `choice` picks one. The rest of
the package knows only this Protocol, and only `torchbackend` knows torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...core.arraytypes import AnyArray, BoolArray, Float32Array
from ...core.bands import BandSet
from ...core.normalization import Normalization
from ...errors import BundleError
from ..batches import Buffer

CHANNELS = "channels"
"""Raw name of a (H, W) uint8 map of the largest channel, where an engine has already taken it in place of the
logits.
"""


@dataclass(frozen=True)
class Scaling:
    """Normalization of stored pixels: the network's input is `stored * gain + shift`."""

    gain: Float32Array
    """(C,) factors."""
    shift: Float32Array
    """(C,) summands."""

    @classmethod
    def of(cls, normalization: Normalization, bands: BandSet) -> Scaling:
        """The scaling for a model's normalization and a scene's bands, in the model's order."""
        return cls(*normalization.coefficients(bands))


class EngineFacts(Protocol):
    """What a plan needs to know of an engine."""

    @property
    def identity(self) -> Mapping[str, str]:
        """Everything that may change the last bits of its output."""
        ...

    @property
    def batch_px(self) -> int:
        """Number of pixels per batch that it works well with."""
        ...

    @property
    def chip_px(self) -> int:
        """Side of the chips that it works well with, where the network takes any."""
        ...


class Backend(EngineFacts, Protocol):
    """Runs a network on batches."""

    @property
    def takes_stored(self) -> bool:
        """True if it takes stored pixels and normalizes them itself."""
        ...

    @property
    def shares_batches(self) -> bool:
        """True if chips of several scenes in one batch pay. On a CPU they do not: a chip takes the same time
        in every batch, and OpenVINO compiles the graph for each size of a batch.
        """
        ...

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        """Memory for a batch of `count` chips."""
        ...

    def run(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> Mapping[str, AnyArray]:
        """Raw output by name, the batch as first axis, for pixels (N, C, H, W) and valid (N, H, W)."""
        ...


def numpy_buffer(count: int, bands: int, size: int, dtype: str) -> Buffer:
    """A buffer in plain memory, channels last."""
    pixels = np.zeros((count, size, size, bands), dtype).transpose(0, 3, 1, 2)
    return Buffer(pixels, np.zeros((count, size, size), np.bool_))


def reader_threads() -> int:
    """Threads that decode a scene: two keep a CPU network fed, a GPU wants more of many cores."""
    return max(2, min(8, (os.cpu_count() or 2) // 2))


def check_raw(raw: Mapping[str, AnyArray], count: int, source: str) -> None:
    """Raises `BundleError` where a network's answer is not one a chip."""
    wrong = [name for name, array in raw.items() if len(array) != count]
    if wrong or not raw:
        raise BundleError(
            f"{source}: the network answered {'nothing' if not raw else wrong[0]} for a batch of {count}; "
            "the model is damaged or of another task"
        )


def engine_text(engine: EngineFacts) -> str:
    """Engine, version and precision in words: "openvino 2026.4.1, bf16"."""
    identity = engine.identity
    return (
        f"{identity.get('engine', 'unknown')} {identity.get('version', '')}, {identity.get('precision', '')}"
    )

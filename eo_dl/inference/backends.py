"""Engines: they run the network, a batch of arrays in, arrays out. One class per engine.

The rest of the package does not know torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float32Array
from ..core.bands import BandSet
from ..core.extras import needs_extra
from ..core.normalization import Normalization
from ..errors import BundleError, ConfigError
from ..networks.compute import Compute
from ..networks.device import autocast, choose_device, choose_precision
from .batches import Buffer

if TYPE_CHECKING:
    import torch

    from ..bundle import Bundle


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


class Backend(Protocol):
    """Runs a network on batches."""

    @property
    def takes_stored(self) -> bool:
        """True if it takes stored pixels and normalizes them itself."""
        ...

    @property
    def identity(self) -> Mapping[str, str]:
        """Everything that may change the last bits of its output."""
        ...

    @property
    def batch_px(self) -> int:
        """Number of pixels per batch that it works well with."""
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


def make_backend(name: str, bundle: Bundle, *, compute: Compute, labels_only: bool) -> Backend:
    """The engine of a name ("torch"). `labels_only`: class maps are wanted and no probabilities.

    Raises `ConfigError` for a name that is not known, `DeviceError` for a device that is not there.
    """
    if name != "torch":
        raise ConfigError(f"backend {name!r} is not known; choose torch")
    with needs_extra("running a model"):
        chosen_device = choose_device(compute.device)
    chosen_precision = choose_precision(
        compute.precision, chosen_device, bfloat16=bundle.task.output.bfloat16
    )
    return TorchBackend(bundle.make_network(), chosen_device, chosen_precision, labels_only)


class TorchBackend:
    """PyTorch: inference mode, channels last, bfloat16 where asked for.

    On a GPU stored pixels travel (half the bytes of float32, from pinned memory), are normalized there, and
    the largest channel is taken there. On a CPU the caller does both in numpy: torch's argmax over channels
    costs more than a small network.
    """

    def __init__(
        self, network: torch.nn.Module, device: torch.device, precision: str, labels_only: bool = False
    ) -> None:
        import torch  # lazy: loaded when a model runs, not when a command is parsed

        self._torch, self._device, self._precision = torch, device, precision
        self._network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.takes_stored = device.type == "cuda"
        self._take_channels = labels_only and self.takes_stored

    @property
    def identity(self) -> Mapping[str, str]:
        """Version, device, threads and precision: all of them change the last bits."""
        kind = (
            self._torch.cuda.get_device_name(self._device)
            if self._device.type == "cuda"
            else self._device.type
        )
        threads = str(self._torch.get_num_threads()) if self._device.type == "cpu" else ""
        return {
            "engine": "torch",
            "version": str(self._torch.__version__),
            "device": kind,
            "threads": threads,
            "precision": self._precision,
        }

    @property
    def batch_px(self) -> int:
        """About 1 Mpx on a CPU (it is busy anyway), 8 on a GPU."""
        return 2**20 if self._device.type == "cpu" else 2**23

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        """Memory for a batch; pinned where it goes to a GPU."""
        plain = numpy_buffer(count, bands, size, dtype)
        if self._device.type != "cuda":
            return plain
        pixels = (
            self._torch.from_numpy(plain.pixels.transpose(0, 2, 3, 1))
            .pin_memory()
            .numpy()
            .transpose(0, 3, 1, 2)
        )
        return Buffer(pixels, self._torch.from_numpy(plain.valid).pin_memory().numpy())

    def run(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> Mapping[str, AnyArray]:
        """See `Backend`."""
        with self._torch.inference_mode():
            images = (
                self._normalized(pixels, valid, scaling)
                if self.takes_stored
                else self._torch.from_numpy(pixels).to(self._device)
            )
            with autocast(self._device, self._precision):
                raw: dict[str, torch.Tensor] = self._network(images)
            if self._take_channels and "logits" in raw:
                raw = {CHANNELS: raw["logits"].argmax(dim=1).to(self._torch.uint8)}
            return {name: _to_numpy(value) for name, value in raw.items()}

    def _normalized(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> torch.Tensor:
        stored = self._torch.from_numpy(pixels).to(self._device, non_blocking=True)
        mask = self._torch.from_numpy(valid).to(self._device, non_blocking=True)[:, None]
        gain, shift = (
            self._torch.from_numpy(values.copy()).to(self._device)[:, None, None]
            for values in (scaling.gain, scaling.shift)
        )
        images = stored.to(self._torch.float32).mul_(gain).add_(shift)
        return images.masked_fill_(~mask, 0.0).contiguous(memory_format=self._torch.channels_last)


def _to_numpy(value: torch.Tensor) -> AnyArray:
    """On the host; half-precision floats as float32."""
    value = value.detach()
    if value.is_floating_point() and value.element_size() < 4:
        value = value.float()
    array: AnyArray = value.cpu().numpy()
    return array


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

"""The engine torch: every network, every device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...core.arraytypes import AnyArray, BoolArray
from ...networks.device import autocast
from ..batches import Buffer
from .backend import CHANNELS, Scaling, numpy_buffer

if TYPE_CHECKING:
    import torch


class TorchBackend:
    """PyTorch: inference mode, channels last, bfloat16 where asked for, compiled where asked for.

    Compiling takes up to a minute per shape of a batch, and is off by default: above which number of chips it
    pays on a GPU was never measured (`benchmarks/gpu.py` does). On a CPU it was slower.

    On a GPU stored pixels travel (half the bytes of float32, from pinned memory), are normalized there, and
    the largest channel is taken there. On a CPU the caller does both in numpy: torch's argmax over channels
    costs more than a small network.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        device: torch.device,
        precision: str,
        labels_only: bool = False,
        *,
        compiled: bool = False,
    ) -> None:
        import torch  # lazy: loaded when a model runs, not when a command is parsed

        self._torch, self._device, self._precision = torch, device, precision
        self._network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._compiled = compiled
        if compiled:
            self._network.compile()
        self.takes_stored = device.type == "cuda"
        self._take_channels = labels_only and self.takes_stored

    @property
    def shares_batches(self) -> bool:
        """On a GPU."""
        return self._device.type != "cpu"

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
            "compiled": "yes" if self._compiled else "",
        }

    @property
    def batch_px(self) -> int:
        """About 1 Mpx on a CPU (it is busy anyway), 8 on a GPU."""
        return 2**20 if self._device.type == "cpu" else 2**23

    @property
    def chip_px(self) -> int:
        """512 px on a CPU, 1024 on a GPU."""
        return 512 if self._device.type == "cpu" else 1024

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
        images = images.masked_fill_(~mask, 0.0)
        if stored.is_floating_point():
            images = images.masked_fill_(images.isnan(), 0.0)  # bands that were not measured
        return images.contiguous(memory_format=self._torch.channels_last)


def _to_numpy(value: torch.Tensor) -> AnyArray:
    """On the host; half-precision floats as float32."""
    value = value.detach()
    if value.is_floating_point() and value.element_size() < 4:
        value = value.float()
    array: AnyArray = value.cpu().numpy()
    return array

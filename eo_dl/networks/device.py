"""The device on which networks compute, and in which precision: one rule for training and for prediction.

A score or a threshold holds for the precision in which it was measured, so training, judging and prediction
ask the same function, and "auto" means the same to all three.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import ConfigError, DeviceError

if TYPE_CHECKING:
    import torch

# torch is imported where a device is used: a configuration is checked, and `predict` parsed, without it.

Precision = Literal["auto", "32", "bf16", "16"]
DEVICES = "auto, cpu, cuda, cuda:N (GPU number N, from 0) or mps"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def check_device_name(name: str) -> str:
    """The name of a device, unchanged; whether this machine has the device is not asked.

    Raises:
        ConfigError: The name is none of auto, cpu, cuda, cuda:N and mps.
    """
    if not _DEVICE.fullmatch(name):
        raise ConfigError(f"`device` {name!r} is unknown; choose {DEVICES}")
    return name


def choose_device(name: str) -> torch.device:
    """The torch device of a name.

    Args:
        name: "cpu", "cuda", "cuda:N", "mps", or "auto": the first GPU, else Apple's, else the CPU.

    Returns:
        The device; "cuda" without a number is torch's current GPU.

    Raises:
        ConfigError: The name is unknown.
        DeviceError: This machine has no such device, or torch cannot use it.
    """
    import torch

    check_device_name(name)
    available = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if name == "auto":
        name = next(kind for kind, count in available.items() if count > 0)
    kind, _, number = name.partition(":")
    if int(number or 0) >= available[kind]:
        raise DeviceError(
            f"`device` {name}: torch {torch.__version__} finds no such device on this machine; "
            f"use auto or cpu"
        )
    return torch.device(name)


def choose_precision(name: str, device: torch.device, *, bfloat16: bool) -> str:
    """The precision of a name.

    "auto" is bfloat16 where the hardware computes in it and the output allows it, else float32: the
    coordinates of boxes and outlines need more than the 8 significant bits of bfloat16.

    Args:
        name: "auto", "32" (float32), "bf16" (bfloat16) or "16" (float16).
        device: Where the network computes.
        bfloat16: True where bfloat16 is precise enough for the output of the task (`OutputKind.bfloat16`).

    Returns:
        "32", "bf16" or "16".

    Raises:
        ConfigError: The name is unknown, or the device does not compute in that precision.
    """
    if name not in get_args(Precision):
        raise ConfigError(f"`precision` {name!r} is unknown; choose auto, 32, bf16 or 16")
    if name == "16" and device.type == "cpu":
        raise ConfigError("`precision` 16: float16 needs a GPU; use bf16, 32 or auto on a CPU")
    if name != "auto":
        return name
    return "bf16" if bfloat16 and computes_bf16(device) else "32"


def computes_bf16(device: torch.device) -> bool:
    """True where bfloat16 is faster than float32: a GPU from Ampere on, or a CPU with AVX-512 BF16 or AMX."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8  # before Ampere bfloat16 is emulated
    return device.type == "cpu" and (
        _cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported")
    )


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """A context in which networks compute in that precision ("32", "bf16" or "16")."""
    import torch

    if precision == "32":
        return contextlib.nullcontext()
    dtype = torch.float16 if precision == "16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of one device; `torch.manual_seed` seeds those of all.

    While no GPU is in use, `torch.manual_seed` notes the call with its whole stack for the GPU that may come:
    milliseconds, which is too much for every step.

    Args:
        seed: 64 bits.
        device: The device on which random numbers will be drawn.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _cpu_has(probe_name: str) -> bool:
    import torch

    # The probes are private in torch 2.6 to 2.15. Where one is gone the answer is no, which costs only speed.
    probe: Callable[[], bool] | None = getattr(torch.cpu, probe_name, None)
    return probe is not None and bool(probe())

"""Which engine runs a model: the fastest that this machine and this model have."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

from ...bundle import ONNX, Bundle
from ...core.extras import needs_extra
from ...errors import ConfigError
from ...networks.compute import Compute
from ...networks.device import choose_device, choose_precision
from .backend import Backend

BackendName = Literal["auto", "openvino", "onnxruntime", "torch"]
BACKENDS: tuple[str, ...] = get_args(BackendName)


def make_backend(name: str, bundle: Bundle, *, compute: Compute, labels_only: bool) -> Backend:
    """The engine of a name, for a model.

    "auto" is torch on a GPU. On a CPU it is OpenVINO, or ONNX Runtime where OpenVINO is not installed, and
    torch for a model without `model.onnx`.

    Args:
        name: "auto", "openvino", "onnxruntime" or "torch".
        bundle: The model.
        compute: Device and precision.
        labels_only: True if a class map is wanted and no probabilities.

    Raises:
        ConfigError: The name is unknown, or the engine does not run on that device or in that precision.
        DeviceError: This machine has no such device.
        BundleError: The engine needs `model.onnx`, and the bundle has none.
        MissingExtraError: The engine is not installed.
    """
    if name not in BACKENDS:
        raise ConfigError(f"`backend` {name!r} is unknown; choose {', '.join(BACKENDS)}")
    chosen = _fastest(bundle, compute) if name == "auto" else name
    with needs_extra("running a model"):
        return _MAKERS[chosen](_Wanted(bundle, compute, labels_only))


@dataclass(frozen=True)
class _Wanted:
    """What an engine is made for."""

    bundle: Bundle
    compute: Compute
    labels_only: bool


def _fastest(bundle: Bundle, compute: Compute) -> str:
    device = compute.device
    if device == "auto":
        device = "cpu" if not may_have_gpu() else "gpu"
    if device != "cpu" and find_spec("torch") is not None:
        return "torch"
    if ONNX in bundle.members:
        for engine in ("openvino", "onnxruntime"):
            if device == "cpu" and find_spec(engine) is not None:
                return engine
        if find_spec("onnxruntime") is not None:
            return "onnxruntime"
    return "torch"


def may_have_gpu() -> bool:
    """True if this machine has a GPU that torch could use. Takes milliseconds: torch is not imported."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    return _cuda_device_count() > 0


def _cuda_device_count() -> int:
    """Number of GPUs that the NVIDIA driver reports; 0 without a driver."""
    library = "nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _make_torch(wanted: _Wanted) -> Backend:
    from .torchbackend import TorchBackend  # lazy: imports torch

    bundle, compute = wanted.bundle, wanted.compute
    device = choose_device(compute.device)
    precision = choose_precision(compute.precision, device, bfloat16=bundle.task.output.bfloat16)
    return TorchBackend(bundle.make_network(), device, precision, wanted.labels_only)


def _make_openvino(wanted: _Wanted) -> Backend:
    from .openvinobackend import OpenVinoBackend  # lazy: imports openvino

    if wanted.compute.device not in ("auto", "cpu"):
        raise ConfigError(
            f"`device` {wanted.compute.device}: OpenVINO runs on the CPU here; choose cpu, or `backend` torch"
        )
    return OpenVinoBackend(wanted.bundle, wanted.compute.precision)


def _make_onnxruntime(wanted: _Wanted) -> Backend:
    from .onnxbackend import OnnxRuntimeBackend  # lazy: imports onnxruntime

    cuda = wanted.compute.device.startswith("cuda")
    return OnnxRuntimeBackend(wanted.bundle, wanted.compute.precision, cuda=cuda)


_MAKERS: dict[str, Callable[[_Wanted], Backend]] = {
    "torch": _make_torch,
    "openvino": _make_openvino,
    "onnxruntime": _make_onnxruntime,
}

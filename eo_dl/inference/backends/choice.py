"""Which engine runs a model: the fastest that this machine and this model have."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

import numpy as np

from ...bundle import ONNX, Bundle
from ...core.extras import needs_extra
from ...errors import ConfigError
from ...networks.compute import Compute
from ...networks.device import choose_device, choose_precision
from ...tasks import CHIPS, OBJECTS
from .averages import EnsembleBackend, Member, ViewsBackend
from .backend import Backend
from .onnxbackend import OnnxRuntimeBackend, onnxruntime_has_cuda

BackendName = Literal["auto", "openvino", "onnxruntime", "torch"]
BACKENDS: tuple[str, ...] = get_args(BackendName)


def make_backend(
    name: str, bundle: Bundle, *, compute: Compute, labels_only: bool, inner: str = ""
) -> Backend:
    """The engine of a name, for a model.

    "auto" is torch on a GPU, or ONNX Runtime where torch is not installed. On a CPU it is OpenVINO, or ONNX
    Runtime where OpenVINO is not installed. A model without `model.onnx` runs in torch.

    Args:
        name: "auto", "openvino", "onnxruntime" or "torch".
        bundle: The model.
        compute: Device and precision.
        labels_only: True if a class map is wanted and no probabilities.
        inner: Also give this value inside the network: `FEATURES` or `FEATURE_MAP` of `core.rawnames`.

    Raises:
        ConfigError: The name is unknown, or the engine does not run on that device or in that precision.
        DeviceError: This machine has no such device.
        BundleError: The engine needs `model.onnx`, and the bundle has none.
        MissingExtraError: The engine is not installed.
    """
    if name not in BACKENDS:
        raise ConfigError(f"`backend` {name!r} is unknown; choose {', '.join(BACKENDS)}")
    chosen = fastest(bundle, compute.device) if name == "auto" else name
    with needs_extra("running a model"):
        return _MAKERS[chosen](_Wanted(bundle, compute, labels_only, inner))


def make_engine(
    name: str,
    bundles: Sequence[Bundle],
    *,
    compute: Compute,
    labels_only: bool,
    views: int,
    inner: str = "",
) -> Backend:
    """One engine for one model or several, which sees each chip in one or several views.

    Args:
        name: As for `make_backend`.
        bundles: The models, which must be alike (`check_alike`).
        compute: Device and precision.
        labels_only: True if a class map is wanted and neither probabilities nor blending.
        views: Flips and turns of each chip: 1, 2, 4 or 8.
        inner: As for `make_backend`; that of the first model, in the first view.

    Raises:
        ConfigError: Also if several views or models are wanted of models that predict objects.
    """
    first = bundles[0]
    if len(bundles) == 1 and views == 1:
        return make_backend(name, first, compute=compute, labels_only=labels_only, inner=inner)
    if first.task.output == OBJECTS:
        raise ConfigError(
            f"{first.path}: predicts objects, for which probabilities cannot be averaged; omit `views` and "
            "further models"
        )
    multi_label = first.task.output == CHIPS and first.codec_for(CHIPS).rule.multi_label
    members = []
    for bundle in bundles:
        of_first = inner if bundle is first else ""
        engine = make_backend(name, bundle, compute=compute, labels_only=False, inner=of_first)
        if views > 1:
            engine = ViewsBackend(engine, views, multi_label=multi_label)
        mean = np.array(bundle.spec.normalization.mean, np.float32)
        std = np.array(bundle.spec.normalization.std, np.float32)
        members.append(Member(engine, mean, std, bundle.hash, bundle.spec.temperature))
    if len(members) == 1:
        return members[0].backend
    return EnsembleBackend(members, multi_label=multi_label)


def check_alike(bundles: Sequence[Bundle]) -> None:
    """Refuse models that cannot predict as one.

    Raises:
        ConfigError: Task, bands, classes, GSD or chip size differ from those of the first model.
    """
    first = bundles[0]
    for bundle in bundles[1:]:
        pairs = {
            "task": (first.spec.task, bundle.spec.task),
            "classes": (", ".join(first.classes.names), ", ".join(bundle.classes.names)),
            "GSD": (first.spec.gsd_m, bundle.spec.gsd_m),
            "chip size": (first.spec.chip_px, bundle.spec.chip_px),
        }
        for what, (expected, found) in pairs.items():
            if expected != found:
                raise _differ(first, bundle, f"{what} {found}", expected)
        if first.bands.names != bundle.bands.names:
            raise _differ(first, bundle, f"bands {bundle.bands.describe()}", first.bands.describe())


def _differ(first: Bundle, bundle: Bundle, found: str, expected: object) -> ConfigError:
    return ConfigError(
        f"{bundle.path}: {found}, but {first.path} has {expected}; models that predict as one must agree in "
        "task, bands, classes, GSD and chip size"
    )


@dataclass(frozen=True)
class _Wanted:
    """What an engine is made for."""

    bundle: Bundle
    compute: Compute
    labels_only: bool
    inner: str


def fastest(bundle: Bundle, device: str) -> str:
    """The engine that "auto" stands for.

    Args:
        bundle: The model.
        device: "auto" or the name of a device.

    Returns:
        "openvino", "onnxruntime" or "torch".
    """
    if ONNX not in bundle.members:
        return "torch"
    wants_gpu = device not in ("auto", "cpu") or (device == "auto" and may_have_gpu())
    if wants_gpu and find_spec("torch") is not None and not bundle.spec.graph_from:
        return "torch"
    if device not in ("auto", "cpu"):
        return "onnxruntime"
    if wants_gpu and find_spec("onnxruntime") is not None and onnxruntime_has_cuda():
        return "onnxruntime"
    for engine in ("openvino", "onnxruntime"):
        if find_spec(engine) is not None:
            return engine
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
    network = bundle.make_network()
    if not wanted.inner:
        return TorchBackend(network, device, precision, wanted.labels_only)
    from ...networks.featureoutput import WithFeatures  # lazy: imports torch

    return TorchBackend(WithFeatures(network, wanted.inner), device, precision, wanted.labels_only)


def _make_openvino(wanted: _Wanted) -> Backend:
    from .openvinobackend import OpenVinoBackend  # lazy: imports openvino

    if wanted.compute.device not in ("auto", "cpu"):
        raise ConfigError(
            f"`device` {wanted.compute.device}: OpenVINO runs on the CPU here; choose cpu, or `backend` torch"
        )
    compute = wanted.compute
    return OpenVinoBackend(wanted.bundle, compute.precision, inner=wanted.inner)


def _make_onnxruntime(wanted: _Wanted) -> Backend:
    compute = wanted.compute
    return OnnxRuntimeBackend(wanted.bundle, compute.precision, compute.device, inner=wanted.inner)


_MAKERS: dict[str, Callable[[_Wanted], Backend]] = {
    "torch": _make_torch,
    "openvino": _make_openvino,
    "onnxruntime": _make_onnxruntime,
}

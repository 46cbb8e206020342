"""The engine ONNX Runtime: on a CPU where OpenVINO is not installed, on a GPU where torch is not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from ...bundle import Bundle
from ...core.arraytypes import AnyArray
from ...errors import BundleError, ConfigError, DeviceError
from .onnxmember import GraphBackend, check_precision, onnx_graph

_CUDA = "CUDAExecutionProvider"


class OnnxRuntimeBackend(GraphBackend):
    """Runs a bundle's `model.onnx` in float32, or in int8 if it was exported so.

    Args:
        bundle: The model.
        precision: "auto" or "32".
        device: "cpu", "cuda" or "cuda:N", which need the package onnxruntime-gpu, or "auto": the first GPU if
            that package is installed, else the CPU.
        inner: Also give this value of the graph (`core.rawnames`).

    Raises:
        BundleError: The bundle holds no graph, or ONNX Runtime cannot run it.
        DeviceError: ONNX Runtime does not run on that device here.
        ConfigError: Another precision was requested.
    """

    def __init__(self, bundle: Bundle, precision: str, device: str, *, inner: str = "") -> None:
        import onnxruntime  # lazy: loaded when a model runs

        if precision not in ("auto", "32"):
            raise ConfigError(
                f"`precision` {precision}: ONNX Runtime computes in float32; choose 32 or auto, or `backend` "
                "openvino or torch"
            )
        check_precision(bundle, precision)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        options.log_severity_level = 3  # errors only
        self._device = _chosen_device(device)
        provider: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
        if self._device != "cpu":
            provider = (_CUDA, {"device_id": self._device.partition(":")[2] or "0"})
        graph = onnx_graph(bundle, inner=inner)
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=[provider])
        except Exception as error:  # its errors share no public base class
            raise _cannot_run(bundle, error) from error
        self._bundle = bundle
        self._version = onnxruntime.__version__
        graph_input = self._session.get_inputs()[0]
        self._input_name = graph_input.name
        count = graph_input.shape[0]
        super().__init__(
            names=[output.name for output in self._session.get_outputs()],
            most=count if isinstance(count, int) else None,
        )

    @property
    def shares_batches(self) -> bool:
        """On a GPU."""
        return self._device != "cpu"

    @property
    def identity(self) -> Mapping[str, str]:
        """Version, device and threads: all of them change the last bits."""
        return {
            "engine": "onnxruntime",
            "version": self._version,
            "device": self._device,
            "threads": str(os.cpu_count()) if self._device == "cpu" else "",
            "precision": "32" if self._bundle.spec.int8 is None else "int8",
        }

    def _infer(self, pixels: AnyArray) -> Sequence[AnyArray]:
        try:
            outputs: list[AnyArray] = self._session.run(
                self._names, {self._input_name: np.ascontiguousarray(pixels)}
            )
        except Exception as error:  # its errors share no public base class
            raise _cannot_run(self._bundle, error) from error
        return outputs


def onnxruntime_has_cuda() -> bool:
    """True if the installed ONNX Runtime runs on NVIDIA GPUs."""
    import onnxruntime  # lazy: loaded when a model runs

    return _CUDA in onnxruntime.get_available_providers()


def _chosen_device(name: str) -> str:
    """ "cpu", "cuda" or "cuda:N". ONNX Runtime itself would run on the CPU if it cannot use a GPU."""
    if name == "auto":
        return "cuda" if onnxruntime_has_cuda() else "cpu"
    if name == "cpu" or (name.startswith("cuda") and onnxruntime_has_cuda()):
        return name
    raise DeviceError(
        f"`device` {name}: ONNX Runtime does not run on it here; install onnxruntime-gpu for NVIDIA GPUs, or "
        "choose cpu, or `backend` torch"
    )


def _cannot_run(bundle: Bundle, error: Exception) -> BundleError:
    return BundleError(
        f"{bundle.path}: ONNX Runtime cannot run its model.onnx ({error}); choose `backend` torch"
    )

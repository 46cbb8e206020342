"""The engine ONNX Runtime: on a CPU where OpenVINO is not installed, on a GPU where torch is not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from ...bundle import Bundle
from ...core.arraytypes import AnyArray, BoolArray
from ...errors import BundleError, ConfigError
from ..batches import Buffer
from .backend import Scaling, numpy_buffer
from .onnxmember import onnx_graph, run_in_parts

_BATCH_PX = 2**20


class OnnxRuntimeBackend:
    """Runs a bundle's `model.onnx` in float32.

    Args:
        bundle: The model.
        precision: "auto" or "32".
        cuda: Run on the first GPU; needs the package onnxruntime-gpu.

    Raises:
        BundleError: The bundle holds no graph, or ONNX Runtime cannot run it.
        ConfigError: Another precision was requested.
    """

    takes_stored = False

    def __init__(self, bundle: Bundle, precision: str, *, cuda: bool = False) -> None:
        import onnxruntime  # lazy: loaded when a model runs

        if precision not in ("auto", "32"):
            raise ConfigError(
                f"`precision` {precision}: ONNX Runtime computes in float32; choose 32 or auto, or `backend` "
                "openvino or torch"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        options.log_severity_level = 3  # errors only
        kind = "CUDAExecutionProvider" if cuda else "CPUExecutionProvider"
        try:
            self._session = onnxruntime.InferenceSession(onnx_graph(bundle), options, providers=[kind])
        except Exception as error:  # its errors share no public base class
            raise _cannot_run(bundle, error) from error
        self._bundle = bundle
        self._version, self._device = onnxruntime.__version__, "cuda" if cuda else "cpu"
        self._names = [output.name for output in self._session.get_outputs()]
        graph_input = self._session.get_inputs()[0]
        self._input_name = graph_input.name
        count = graph_input.shape[0]
        self._most = count if isinstance(count, int) else None

    @property
    def identity(self) -> Mapping[str, str]:
        """Version, device and threads: all of them change the last bits."""
        return {
            "engine": "onnxruntime",
            "version": self._version,
            "device": self._device,
            "threads": str(os.cpu_count()) if self._device == "cpu" else "",
            "precision": "32",
        }

    @property
    def batch_px(self) -> int:
        """About 1 Mpx."""
        return _BATCH_PX

    @property
    def chip_px(self) -> int:
        """512 px: larger ones leave the processor's cache."""
        return 512

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        """Memory for a batch."""
        return numpy_buffer(count, bands, size, dtype)

    def run(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> Mapping[str, AnyArray]:
        """See `Backend`."""
        return run_in_parts(pixels, self._most, self._infer, self._names)

    def _infer(self, pixels: AnyArray) -> Sequence[AnyArray]:
        try:
            outputs: list[AnyArray] = self._session.run(
                self._names, {self._input_name: np.ascontiguousarray(pixels)}
            )
        except Exception as error:  # its errors share no public base class
            raise _cannot_run(self._bundle, error) from error
        return outputs


def _cannot_run(bundle: Bundle, error: Exception) -> BundleError:
    return BundleError(
        f"{bundle.path}: ONNX Runtime cannot run its model.onnx ({error}); choose `backend` torch"
    )

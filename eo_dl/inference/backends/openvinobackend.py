"""The engine OpenVINO: the fastest on a CPU, without torch."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...bundle import Bundle
from ...core.arraytypes import AnyArray
from ...errors import BundleError, ConfigError
from .onnxmember import GraphBackend, check_precision, onnx_graph


class OpenVinoBackend(GraphBackend):
    """Runs a bundle's `model.onnx` on the CPU.

    The graph is compiled once for each shape of a batch, of which a scene has at most two.

    Args:
        bundle: The model.
        precision: "auto", "32" or "bf16".
        inner: Also give this value of the graph (`core.rawnames`).

    Raises:
        BundleError: The bundle holds no graph, or OpenVINO cannot run it.
        ConfigError: The processor does not compute in that precision.
    """

    shares_batches = False

    def __init__(self, bundle: Bundle, precision: str, *, inner: str = "") -> None:
        import openvino  # lazy: loaded when a model runs

        self._openvino = openvino
        self._core = openvino.Core()
        self._precision = self._chosen(precision, bundle)
        content = onnx_graph(bundle, inner=inner)
        try:
            graph = self._core.read_model(io.BytesIO(content))
        except RuntimeError as error:
            raise _cannot_run(bundle, error) from error
        self._graph, self._bundle = graph, bundle
        count = graph.inputs[0].partial_shape[0]
        super().__init__(
            names=[output.get_any_name() for output in graph.outputs],
            most=None if count.is_dynamic else count.get_length(),
        )
        self._compiled: dict[tuple[int, ...], Any] = {}

    def _chosen(self, precision: str, bundle: Bundle) -> str:
        check_precision(bundle, precision)
        if bundle.spec.int8 is not None:
            return "int8"
        computes_bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "16":
            raise ConfigError("`precision` 16: float16 needs a GPU; use bf16, 32 or auto on a CPU")
        if precision != "auto":
            return precision
        return "bf16" if bundle.task.output.bfloat16 and computes_bf16 else "32"

    @property
    def identity(self) -> Mapping[str, str]:
        """Version, threads and precision: all of them change the last bits."""
        return {
            "engine": "openvino",
            "version": self._openvino.__version__.partition("-")[0],  # without the build
            "device": "cpu",
            "threads": str(os.cpu_count()),
            "precision": self._precision,
        }

    def _infer(self, pixels: AnyArray) -> Sequence[AnyArray]:
        # The buffers lie in memory channels last; the compiled graph takes them so, without a copy.
        rows_first = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        request = self._request(pixels.shape)
        try:
            request.infer([rows_first], share_inputs=True)
        except RuntimeError as error:
            raise _cannot_run(self._bundle, error) from error
        return [request.get_output_tensor(index).data.copy() for index in range(len(self._names))]

    def _request(self, shape: tuple[int, ...]) -> Any:
        """An inference request for batches of a shape (N, C, H, W), compiled on first use."""
        if shape not in self._compiled:
            try:
                self._compiled[shape] = self._compile(shape)
            except RuntimeError as error:
                raise _cannot_run(self._bundle, error) from error
        return self._compiled[shape]

    def _compile(self, shape: tuple[int, ...]) -> Any:
        openvino = self._openvino
        graph = self._graph.clone()
        graph.reshape({0: list(shape)})
        steps = openvino.preprocess.PrePostProcessor(graph)
        steps.input().tensor().set_layout(openvino.Layout("NHWC"))
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._precision == "bf16" else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": os.cpu_count() or 1,
            "ENABLE_CPU_PINNING": False,  # other threads read and write meanwhile
        }
        compiled = self._core.compile_model(steps.build(), "CPU", options)
        return compiled.create_infer_request()


def _cannot_run(bundle: Bundle, error: RuntimeError) -> BundleError:
    reason = str(error).strip().splitlines()[-1]
    return BundleError(
        f"{bundle.path}: OpenVINO cannot run its model.onnx ({reason}); choose `backend` onnxruntime or torch"
    )

"""Every network of every task as an ONNX graph, run by the engines that need no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eo_dl.bundle import ONNX, Bundle
from eo_dl.core.arraytypes import Float32Array
from eo_dl.core.rawnames import FEATURES
from eo_dl.errors import BundleError, ConfigError, DeviceError, ExportError
from eo_dl.export.bundlegraph import add_graph, checked_graph
from eo_dl.export.onnxgraph import GraphInput, compare, export_graph
from eo_dl.export.poolmatrices import PoolMatrices
from eo_dl.inference.backends.backend import Backend, Scaling
from eo_dl.inference.backends.choice import fastest, make_backend
from eo_dl.networks.compute import Compute
from eo_dl.tasks import OBJECTS, Task, load_task
from tests.tinynetworks import (
    BANDS,
    EVERY_NETWORK_FIRST_QUICK,
    SIZE,
    make_tiny_network,
    network_inputs,
    tiny_bundle,
    tiny_config,
)

SCALING = Scaling(np.ones(BANDS, np.float32), np.zeros(BANDS, np.float32))


def noise(count: int, side: int = SIZE) -> Float32Array:
    """Chips (N, C, H, W) of standard scores, in memory channels last as the readers fill them."""
    pixels = np.random.default_rng(5).standard_normal((count, side, side, BANDS)).astype(np.float32)
    return pixels.transpose(0, 3, 1, 2)


def engine(name: str, bundle: Bundle, precision: str = "32") -> Backend:
    return make_backend(name, bundle, compute=Compute("cpu", precision), labels_only=False)  # type: ignore[arg-type]


def answers(backend: Backend, images: Float32Array) -> dict[str, np.ndarray]:
    valid = np.ones((len(images), *images.shape[2:]), np.bool_)
    return {name: np.asarray(value) for name, value in backend.run(images, valid, SCALING).items()}


@EVERY_NETWORK_FIRST_QUICK
def test_three_engines_give_the_same(task: Task, tmp_path: Path) -> None:
    """Also batches of other sizes than the one with which the graph was written."""
    bundle, agreement = add_graph(tiny_bundle(task, tmp_path / "model.eodl"))
    assert ONNX in bundle.members and agreement.within_tolerance
    for count in (3, 1):
        images = noise(count)
        expected = answers(engine("torch", bundle), images)
        for name in ("openvino", "onnxruntime"):
            found = answers(engine(name, bundle), images)
            assert found.keys() == expected.keys()
            for key, values in expected.items():
                assert found[key].shape == values.shape
                if task.output == OBJECTS:
                    continue  # boxes of equal scores may change places; `compare` matches them
                np.testing.assert_allclose(found[key], values, atol=1e-4)
    codec = bundle.codec()
    graph = bundle.read(ONNX)
    assert compare(graph, bundle.make_network(), task, codec, noise(4)).within_tolerance


@EVERY_NETWORK_FIRST_QUICK
def test_three_engines_give_the_same_features(task: Task, tmp_path: Path) -> None:
    bundle, _ = add_graph(tiny_bundle(task, tmp_path / "model.eodl"))
    images = noise(3)
    found = {}
    for name in ("torch", "openvino", "onnxruntime"):
        backend = make_backend(name, bundle, compute=Compute("cpu", "32"), labels_only=False, inner=FEATURES)
        found[name] = answers(backend, images)[FEATURES]
        assert FEATURES not in answers(engine(name, bundle), images), "an output only where it is asked for"
    assert found["torch"].ndim == 2 and len(found["torch"]) == len(images)
    assert found["torch"].std(axis=0).max() > 0, "each chip has its own"
    for name in ("openvino", "onnxruntime"):
        np.testing.assert_allclose(found[name], found["torch"], atol=1e-4)


def test_a_fully_convolutional_graph_takes_chips_of_any_size(tmp_path: Path) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    assert bundle.spec.any_chip is not None
    images = noise(2, 2 * SIZE)
    expected = answers(engine("torch", bundle), images)["logits"]
    for name in ("openvino", "onnxruntime"):
        np.testing.assert_allclose(answers(engine(name, bundle), images)["logits"], expected, atol=1e-4)


def test_bfloat16_changes_few_labels(tmp_path: Path) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    backend = engine("openvino", bundle, "auto")
    if backend.identity["precision"] != "bf16":
        pytest.skip("this processor does not compute in bfloat16")
    images = noise(4)
    expected = answers(engine("torch", bundle), images)["logits"]
    found = answers(backend, images)["logits"]
    assert found.dtype == np.float32
    # An untrained network is undecided nearly everywhere; so compare the logits, not the labels.
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_engines_are_chosen_by_what_the_model_has(tmp_path: Path) -> None:
    plain = tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl")
    assert engine("auto", plain).identity["engine"] == "torch"
    with pytest.raises(BundleError, match=r"holds no model.onnx"):
        engine("openvino", plain)
    with_graph, _ = add_graph(plain)
    assert engine("auto", with_graph).identity["engine"] == "openvino"
    with pytest.raises(ConfigError, match="float16 needs a GPU"):
        engine("openvino", with_graph, "16")
    with pytest.raises(ConfigError, match="computes in float32"):
        engine("onnxruntime", with_graph, "bf16")
    with pytest.raises(ConfigError, match="OpenVINO runs on the CPU"):
        make_backend("openvino", with_graph, compute=Compute("cuda"), labels_only=True)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_onnx_runtime_does_not_fall_back_to_the_cpu_in_silence(tmp_path: Path, device: str) -> None:
    import onnxruntime

    if device != "mps" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has onnxruntime-gpu")
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    with pytest.raises(DeviceError, match=f"`device` {device}: ONNX Runtime"):
        make_backend("onnxruntime", bundle, compute=Compute(device), labels_only=True)


def test_a_gpu_without_torch_falls_to_an_engine_that_uses_it_or_to_the_fastest_of_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    choice = "eo_dl.inference.backends.choice"
    monkeypatch.setattr(f"{choice}.may_have_gpu", lambda: True)
    assert fastest(bundle, "auto") == "torch"
    monkeypatch.setattr(f"{choice}.find_spec", lambda name: None if name == "torch" else name)
    monkeypatch.setattr(f"{choice}.onnxruntime_has_cuda", lambda: False)
    assert fastest(bundle, "auto") == "openvino"
    assert fastest(bundle, "cuda") == "onnxruntime"
    monkeypatch.setattr(f"{choice}.onnxruntime_has_cuda", lambda: True)
    assert fastest(bundle, "auto") == "onnxruntime"
    assert fastest(bundle, "cpu") == "openvino"


def test_onnx_runtime_stands_in_where_openvino_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    monkeypatch.setattr(
        "eo_dl.inference.backends.choice.find_spec", lambda name: None if name == "openvino" else name
    )
    assert engine("auto", bundle).identity["engine"] == "onnxruntime"


def test_a_bundle_keeps_its_other_members(tmp_path: Path) -> None:
    before = tiny_bundle(load_task("classification"), tmp_path / "model.eodl")
    weights = before.state()
    after, _ = add_graph(before)
    assert set(after.members) == {*before.members, ONNX}
    assert all(np.array_equal(after.state()[name], value) for name, value in weights.items())
    assert after.spec.config == before.spec.config


@pytest.mark.parametrize(("cells", "height", "width"), [(2, 8, 8), (3, 8, 5), (6, 7, 16), ((2, 3), 4, 9)])
def test_pooling_by_matrices_is_adaptive_pooling(
    cells: int | tuple[int, int], height: int, width: int
) -> None:
    pool = torch.nn.AdaptiveAvgPool2d(cells)
    maps = torch.randn(2, 3, height, width, dtype=torch.float32)
    torch.testing.assert_close(PoolMatrices(pool)(maps), pool(maps))


def test_a_graph_that_predicts_something_else_is_refused() -> None:
    task = load_task("segmentation")
    network, other = make_tiny_network(task).eval(), make_tiny_network(task).eval()
    with torch.no_grad():
        other.head.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # type: ignore[operator]
    codec = task.make_codec(network_inputs(task).classes, tiny_config(task))
    graph = export_graph(other, GraphInput(BANDS, SIZE, any_size=False))
    agreement = compare(graph, network, task, codec, noise(2))
    assert not agreement.within_tolerance and "have another class" in agreement.text


def test_an_operation_that_onnx_lacks_is_named() -> None:
    task = load_task("segmentation")
    network = make_tiny_network(task).eval()

    class Unknown(torch.nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(maps)

    network.dropout = Unknown()
    codec = task.make_codec(network_inputs(task).classes, tiny_config(task))
    with pytest.raises(ExportError, match="bessel_j0"):
        checked_graph(network, task, codec, noise(1), any_size=False)

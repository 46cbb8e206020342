"""Models in 8-bit integers: what is quantized, what is refused, and that the cost is what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from affine import Affine

from eo_dl.bundle import ONNX, Bundle
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.errors import ConfigError, ExportError
from eo_dl.export.bundlegraph import add_graph
from eo_dl.export.int8graph import quantize_model
from eo_dl.inference.backends.choice import fastest, make_backend
from eo_dl.inference.predict import predict
from eo_dl.labels.reading import read_labels
from eo_dl.modelcard import model_card
from eo_dl.networks.compute import Compute
from eo_dl.tasks import load_task
from eo_dl_cli.main import run
from tests.making import NORTH_UP, rectangle, write_polygons, write_raster
from tests.tinynetworks import BAND_NAMES, BANDS, SIZE, tiny_bundle

GSD_M = 0.5  # of `tiny_bundle`


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    pixels = rng.normal(size=(BANDS, 4 * SIZE, 4 * SIZE)).astype(np.float32)
    path = tmp_path_factory.mktemp("scene") / "s.tif"
    return write_raster(path, pixels, names=BAND_NAMES, transform=NORTH_UP @ Affine.scale(GSD_M))


def cut_chips(scene: Path, out: Path, size_px: int) -> ChipSet:
    shapes = [rectangle(5, 5, 45, 30), rectangle(50, 60, 120, 100)]
    path = out.with_suffix(".gpkg")
    write_polygons(path, shapes, kind=["roof", "pond"])
    labels = read_labels(path, class_field="kind", classes=("roof", "pond"))
    return tile(scene, labels, out=out, size_px=size_px, split=Split(guard_px=0, block_m=SIZE * GSD_M))


@pytest.fixture(scope="module")
def chips(scene: Path) -> ChipSet:
    return cut_chips(scene, scene.with_name("chips"), SIZE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("model") / "model.eodl"
    plain = tiny_bundle(load_task("segmentation"), path)
    bundle, _ = add_graph(plain)
    return bundle


@pytest.fixture(scope="module")
def short(model: Bundle, chips: ChipSet, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return quantize_model(model, chips, tmp_path_factory.mktemp("int8") / "int8.eodl")


def test_convolutions_are_in_8_bits_and_the_engines_say_so(
    model: Bundle, short: Bundle, scene: Path, tmp_path: Path
) -> None:
    graph = onnx.load_model_from_string(short.read(ONNX))
    made = {output: node.op_type for node in graph.graph.node for output in node.output}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(made[node.input[0]] == "DequantizeLinear" for node in convolutions)
    assert len(short.read(ONNX)) < 0.5 * len(model.read(ONNX))
    for backend in ("openvino", "onnxruntime"):
        result = predict(short, scene, out=tmp_path / f"{backend}.tif", backend=backend)
        assert result.engine.startswith(backend) and result.engine.endswith("int8")
        with rasterio.open(result.path) as prediction:
            assert "precision int8" in prediction.tags()["backend"]
        with pytest.raises(ConfigError, match="computes in int8"):
            make_backend(backend, short, compute=Compute("cpu", "32"), labels_only=True)
    assert predict(model, scene, out=tmp_path / "plain.tif").engine.split()[-1] in ("32", "bf16")
    assert fastest(short, "cpu") == "openvino"


def test_the_cost_is_what_the_two_graphs_give(model: Bundle, short: Bundle, chips: ChipSet) -> None:
    measured = short.spec.int8
    assert measured is not None and measured.calibration_chips == len(chips.split("train"))
    assert measured.split == "test" and measured.scored_chips == len(chips.split("test"))
    changed, pixels = 0, 0
    sessions = [onnxruntime.InferenceSession(bundle.read(ONNX)) for bundle in (model, short)]
    with rasterio.open(chips.scenes[0].path) as source:
        stored = source.read()
    for record in chips.split("test"):
        rows, cols = record.window.slices
        answers = [
            session.run(["logits"], {"images": stored[None, :, rows, cols]})[0][0].argmax(axis=0)
            for session in sessions
        ]
        changed += int((answers[0] != answers[1]).sum())
        pixels += answers[0].size
    assert measured.changed == pytest.approx(changed / pixels) and measured.changed < 0.5
    assert measured.score == "mean_iou" and measured.value is not None
    card = model_card(short.spec)
    assert "computes in int8" in card and f"{measured.value:.4f}" in card


def test_a_graph_made_anew_is_in_float_again(short: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy.eodl"
    copy.write_bytes(short.path.read_bytes())
    again, _ = add_graph(Bundle(copy, short.spec))
    assert again.spec.int8 is None


def test_models_of_boxes_and_other_chips_are_refused(
    model: Bundle, short: Bundle, chips: ChipSet, scene: Path, tmp_path: Path
) -> None:
    detector = tiny_bundle(load_task("detection"), tmp_path / "boxes.eodl")
    out = tmp_path / "out.eodl"
    with pytest.raises(ExportError, match="coordinates of boxes need more than 8 bits"):
        quantize_model(detector, chips, out)
    with pytest.raises(ExportError, match="in int8 already"):
        quantize_model(short, chips, out)
    small = cut_chips(scene, tmp_path / "small", SIZE // 2)
    with pytest.raises(ConfigError, match="has chips of px 32"):
        quantize_model(model, small, out)
    assert not out.exists()


def test_the_command_prints_the_cost(
    model: Bundle, chips: ChipSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "export", str(model.path), "--int8"]
    out = str(tmp_path / "int8.eodl")
    assert run([*words, "--calibration", str(chips.path), "-o", out]) == 0
    assert "mean_iou on" in capsys.readouterr().out
    for wrong in (words, [*words, "-o", out], [*words[:-1], "--calibration", str(chips.path), "-o", out]):
        assert run(wrong) == 2
        assert "--int8 needs --calibration CHIPS and --out" in capsys.readouterr().err

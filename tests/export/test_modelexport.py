"""Models as files of other programs: plain ONNX with the contract, and what Deepness opens."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

from eo_dl.bundle import Bundle, load_model, save_bundle
from eo_dl.core.arraytypes import AnyArray, Float32Array
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.errors import ConfigError, ExportError, OutputExistsError
from eo_dl.export.bundlegraph import add_graph
from eo_dl.export.graphedits import metadata_of
from eo_dl.export.modelexport import export_model
from eo_dl.modelspec import NormalizationSpec, Provenance, band_specs, class_specs
from eo_dl.tasks import load_task
from tests.tinynetworks import BAND_NAMES, BANDS, EVERY_TASK, SIZE, tiny_bundle

MODEL_TYPES = {"Segmentor", "Detector", "Regressor", "Superresolution", "Recognition"}
DETECTOR_TYPES = {
    "YOLO_v5_or_v7_default",
    "YOLO_v6",
    "YOLO_v9",
    "YOLO_Ultralytics",
    "YOLO_Ultralytics_segmentation",
    "YOLO_Ultralytics_obb",
}


def deepness_reads(path: Path) -> dict[str, Any]:
    """The metadata as Deepness 0.6.5 parses it: every value is JSON, of these types.

    Raises `AssertionError` or `ValueError` where Deepness would refuse the file or show it wrongly.
    """
    model = onnx.load(path, load_external_data=False)
    (graph_input,) = model.graph.input
    (output,) = model.graph.output
    shape, output_shape = tensor_shape(graph_input), tensor_shape(output)
    assert len(shape) == 4 and shape[2] == shape[3] > 0, "one square input of fixed size"
    for tensor in (graph_input, output):
        assert tensor.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert not any(tensor.external_data for tensor in model.graph.initializer), "all weights in one file"
    texts = metadata_of(model)
    texts.pop("eo_dl")
    keys = {name: json.loads(text) for name, text in texts.items()}
    assert keys["model_type"].capitalize() in MODEL_TYPES
    names = keys["class_names"]
    assert [int(number) for number in names] == list(range(len(names))), "class ids from 0 on, none left out"
    assert all(isinstance(name, str) and name for name in names.values())
    assert len(set(names.values())) == len(names)
    if "resolution" in keys:
        assert isinstance(keys["resolution"], float) and keys["resolution"] > 0
    assert keys["tile_size"] == keys["tiles_size"] == shape[2]
    assert isinstance(keys["tiles_overlap"], int) and 0 <= keys["tiles_overlap"] < 100
    for key in ("standardization_mean", "standardization_std"):
        assert len(keys[key]) == shape[1] and all(isinstance(value, float) for value in keys[key])
    assert 0 not in keys["standardization_std"]
    if keys["model_type"] == "Segmentor":
        assert output_shape == [1, len(names), *shape[2:]], "a probability of each class for each pixel"
        assert isinstance(keys["seg_thresh"], float) and 0 <= keys["seg_thresh"] <= 1
        assert isinstance(keys["seg_small_segment"], int) and keys["seg_small_segment"] >= 0
    if keys["model_type"] == "Detector":
        assert keys["det_type"] in DETECTOR_TYPES
        assert output_shape[:2] == [1, 4 + len(names)] and len(output_shape) == 3
        for key in ("det_conf", "det_iou_thresh"):
            assert isinstance(keys[key], float) and 0 <= keys[key] <= 1
    return keys


def tensor_shape(tensor: onnx.ValueInfoProto) -> list[int]:
    """The fixed lengths of a tensor; 0 for a free one."""
    return [dim.dim_value for dim in tensor.type.tensor_type.shape.dim]


def deepness_input(stored: AnyArray, keys: dict[str, Any]) -> Float32Array:
    """What Deepness feeds: stored values divided by 255, whatever their type, then standardized."""
    mean = np.array(keys["standardization_mean"], np.float32)[:, None, None]
    std = np.array(keys["standardization_std"], np.float32)[:, None, None]
    return ((stored.astype(np.float32) / 255 - mean) / std).astype(np.float32)


def run(content: str | bytes, images: Float32Array) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: images}), strict=True))


def calibrated(bundle: Bundle, dtype: str, scale: float, **changes: Any) -> Bundle:
    """The bundle with bands of a data type, and a normalization in physical units."""
    bands = BandSet(
        tuple(
            Band(name, number, dtype=dtype, scale=scale, offset=-0.1 * number)
            for number, name in enumerate(BAND_NAMES, start=1)
        )
    )
    middle = np.iinfo(dtype).max * scale / 2
    mean = tuple(middle - 0.1 * number for number in range(1, BANDS + 1))
    std = tuple(middle / (2 + number) for number in range(BANDS))
    spec = bundle.spec.model_copy(
        update={
            "bands": band_specs(bands),
            "normalization": NormalizationSpec(mean=mean, std=std),
            **changes,
        }
    )
    extra = {"model.onnx": bundle.read("model.onnx")}
    return save_bundle(bundle.path, spec, bundle.state(), extra=extra, overwrite=True)


def stored_chip(dtype: str) -> np.ndarray:
    values = np.random.default_rng(3).integers(0, np.iinfo(dtype).max, (BANDS, SIZE, SIZE), endpoint=True)
    return values.astype(dtype)


def our_output(bundle: Bundle, stored: np.ndarray) -> dict[str, np.ndarray]:
    """Our own normalization and graph, for one chip."""
    valid = np.ones((SIZE, SIZE), np.bool_)
    normalized = bundle.normalization.apply(stored, valid, bundle.bands)
    return {name: value[0] for name, value in run(bundle.read("model.onnx"), normalized[None]).items()}


@pytest.mark.parametrize(("dtype", "scale"), [("uint8", 1.0), ("uint16", 1e-4)])
def test_deepness_gets_our_probabilities(tmp_path: Path, dtype: str, scale: float) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    bundle = calibrated(bundle, dtype, scale)
    path = export_model(bundle, tmp_path / "model.onnx", target="deepness")
    keys = deepness_reads(path)
    assert keys["model_type"] == "Segmentor"
    assert list(keys["class_names"].values()) == list(bundle.classes.names)
    assert keys["resolution"] == 50.0  # 0.5 m
    stored = stored_chip(dtype)
    expected = bundle.codec().decode(our_output(bundle, stored))
    found = run(str(path), deepness_input(stored, keys)[None])["probabilities"][0]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize(("dtype", "scale"), [("uint8", 1.0), ("uint16", 1e-4)])
def test_deepness_gets_our_boxes(tmp_path: Path, dtype: str, scale: float) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("detection"), tmp_path / "model.eodl"))
    bundle = calibrated(bundle, dtype, scale, thresholds={"score": 0.4})
    path = export_model(bundle, tmp_path / "model.onnx", target="deepness")
    keys = deepness_reads(path)
    assert (keys["model_type"], keys["det_type"], keys["det_conf"]) == ("Detector", "YOLO_Ultralytics", 0.4)
    stored = stored_chip(dtype)
    expected = our_output(bundle, stored)
    (rows,) = run(str(path), deepness_input(stored, keys)[None])["detections"]
    assert rows.shape == (4 + len(bundle.classes), bundle.spec.config["detections"])
    col, row, width, height = rows[:4]
    boxes = np.stack([col - width / 2, row - height / 2, col + width / 2, row + height / 2], axis=1)
    certain = expected["scores"] > 0.2
    assert certain.any()
    np.testing.assert_allclose(boxes[certain], expected["boxes"][certain], atol=0.05)
    np.testing.assert_allclose(rows[4:].max(0)[certain], expected["scores"][certain], atol=1e-3)
    assert np.array_equal(rows[4:].argmax(0)[certain], expected["channels"][certain])
    assert not rows[4:, expected["scores"] == 0].any()


@pytest.mark.parametrize("ids", [(1, 2, 3), (7, 0, 3)])
def test_class_0_is_the_background_for_deepness(tmp_path: Path, ids: tuple[int, int, int]) -> None:
    """Added where the model has none, moved to the front where it is elsewhere."""
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    classes = ClassSet(tuple(ClassInfo(number, f"class {number}", "#00ff00") for number in ids))
    bundle = calibrated(bundle, "uint8", 1.0, classes=class_specs(classes))
    path = export_model(bundle, tmp_path / "model.onnx", target="deepness")
    keys = deepness_reads(path)
    stored = stored_chip("uint8")
    expected = bundle.codec().decode(our_output(bundle, stored))
    found = run(str(path), deepness_input(stored, keys)[None])["probabilities"][0]
    if 0 not in ids:
        assert list(keys["class_names"].values()) == ["background", "class 1", "class 2", "class 3"]
        assert not found[0].any()
        np.testing.assert_allclose(found[1:], expected, atol=2e-5)
    else:
        assert list(keys["class_names"].values()) == ["class 0", "class 7", "class 3"]
        np.testing.assert_allclose(found, expected[[1, 0, 2]], atol=2e-5)


def test_without_a_gsd_deepness_asks_for_the_resolution(tmp_path: Path) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    bundle = calibrated(bundle, "uint8", 1.0, gsd_m=None)
    assert "resolution" not in deepness_reads(
        export_model(bundle, tmp_path / "model.onnx", target="deepness")
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", '"Classifier"'),
        ("class_names", '{"0": "background", "2": "wood"}'),
        ("class_names", '["background", "wood"]'),
        ("resolution", '"50 cm"'),
        ("tile_size", "16"),
        ("tiles_overlap", "12.5"),
        ("standardization_std", "[1.0]"),
        ("seg_thresh", "null"),
        ("seg_small_segment", "Segmentor"),
    ],
)
def test_the_rules_of_deepness_refuse_other_values(tmp_path: Path, key: str, value: str) -> None:
    """Else the tests above would prove nothing."""
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    path = export_model(bundle, tmp_path / "model.onnx", target="deepness")
    deepness_reads(path)
    model = onnx.load(path)
    (entry,) = [entry for entry in model.metadata_props if entry.key == key]
    entry.value = value
    onnx.save(model, path)
    with pytest.raises((AssertionError, ValueError, TypeError, AttributeError)):
        deepness_reads(path)


@pytest.mark.parametrize("name", ["classification", "instances", "localization"])
def test_what_deepness_cannot_take_is_refused(tmp_path: Path, name: str) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task(name), tmp_path / "model.eodl"))
    with pytest.raises(ExportError, match=f"Deepness has no counterpart for {bundle.task.title}"):
        export_model(bundle, tmp_path / "model.onnx", target="deepness")
    assert not (tmp_path / "model.onnx").exists()


@EVERY_TASK
def test_plain_onnx_carries_the_contract(task: Any, tmp_path: Path) -> None:
    bundle, _ = add_graph(tiny_bundle(task, tmp_path / "model.eodl"))
    bundle = calibrated(bundle, "uint16", 1e-4)
    path = export_model(bundle, tmp_path / "model.onnx")
    contract = json.loads(metadata_of(onnx.load(path))["eo_dl"])
    assert [band["name"] for band in contract["bands"]] == list(BAND_NAMES)
    assert [entry["name"] for entry in contract["classes"]] == list(bundle.classes.names)
    assert (contract["gsd_m"], contract["chip_px"], contract["margin_px"]) == (0.5, SIZE, 8)
    assert {"normalization", "thresholds", "task"} <= contract.keys()
    stored = stored_chip("uint16")
    gain, shift = (np.array(contract["input"][key], np.float32)[:, None, None] for key in ("gain", "shift"))
    found = run(str(path), (stored * gain + shift)[None])
    expected = our_output(bundle, stored)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key][0], value, atol=1e-4)


def test_a_bundle_without_a_graph_is_exported_from_its_weights(tmp_path: Path) -> None:
    bundle = tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl")
    path = export_model(bundle, tmp_path / "model.onnx")
    assert run(str(path), np.zeros((1, BANDS, SIZE, SIZE), np.float32))["logits"].shape[0] == 1
    assert "model.onnx" not in load_model(bundle.path).members, "the bundle stays as it is"


def test_outputs_are_checked_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "old.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        export_model("no.eodl", tmp_path / "model.pt")
    with pytest.raises(ConfigError, match="choose onnx, deepness, huggingface"):
        export_model("no.eodl", tmp_path / "model.onnx", target="tflite")  # type: ignore[arg-type]
    with pytest.raises(OutputExistsError):
        export_model("no.eodl", tmp_path / "old.onnx")


def test_a_folder_for_hugging_face_holds_all_that_a_hub_shows(tmp_path: Path) -> None:
    bundle, _ = add_graph(tiny_bundle(load_task("segmentation"), tmp_path / "model.eodl"))
    origin = Provenance(created="2026-11-30T04:00:00+00:00", licence="cc-by-4.0")
    bundle = calibrated(bundle, "uint8", 1.0, provenance=origin)
    folder = export_model(bundle, tmp_path / "hub", target="huggingface")
    names = {path.name for path in folder.iterdir()}
    assert names == {".gitattributes", "README.md", "item.json", "model.eodl", "model.onnx"}
    assert load_model(folder / "model.eodl").hash == bundle.hash
    front = yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert front["license"] == "cc-by-4.0" and front["pipeline_tag"] == "image-segmentation"
    item = json.loads((folder / "item.json").read_text(encoding="utf-8"))
    for name, asset in item["assets"].items():
        content = (folder / name).read_bytes()
        assert asset["file:checksum"] == f"1220{hashlib.sha256(content).hexdigest()}", name
    assert {"model.eodl", "model.onnx", "README.md"} == set(item["assets"])
    assert "*.eodl filter=lfs" in (folder / ".gitattributes").read_text()
    with pytest.raises(OutputExistsError):
        export_model(bundle, folder, target="huggingface")
    export_model(bundle, folder, target="huggingface", overwrite=True)

"""ONNX files of other programs as bundles: keys, layouts, and maps of a GeoTIFF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper

from eo_dl import predict
from eo_dl.bundle import load_model
from eo_dl.errors import BundleError, ConfigError
from eo_dl.export.modelexport import export_model
from eo_dl.export.modelimport import ForeignContract, import_model
from eo_dl.inference.backends.choice import make_backend
from eo_dl.inference.mapextras import MapExtras
from eo_dl.networks.compute import Compute
from eo_dl.networks.weightsfile import read_state
from tests.making import write_raster

PROBABILITIES = MapExtras(probabilities=True)

SIDE = 32
RGB = ("red", "green", "blue")
ENGINES = pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])


def write_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any],
    *,
    output: list[int | str | None],
    shape: tuple[int | str, ...] = (1, 3, SIDE, SIDE),
    keys: dict[str, Any] | None = None,
    opset: int = 17,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, {name: json.dumps(value) for name, value in (keys or {}).items()})
    onnx.save(model, path)
    return path


def write_class_map(path: Path, *, ending: str | None = None, **options: Any) -> Path:
    """A 1x1 convolution whose logits are 20 times a band, minus 10: where a band is bright, its class wins.

    The output is called "logits", as ours is.
    """
    kernel = (20 * np.eye(3, dtype=np.float32))[:, :, None, None]
    constants = {"kernel": kernel, "bias": np.full(3, -10, np.float32)}
    last = "logits" if ending is None else "raw"
    nodes = [helper.make_node("Conv", ["image", "kernel", "bias"], [last])]
    if ending == "Softmax":
        nodes.append(helper.make_node("Softmax", ["raw"], ["logits"], axis=1))
    elif ending is not None:
        nodes.append(helper.make_node(ending, ["raw"], ["logits"]))
    output = ["batch" if options.get("shape", (1,))[0] == "batch" else 1, 3, None, None]
    return write_graph(path, nodes, constants, output=output, **options)


def write_sigmoid(path: Path, **options: Any) -> Path:
    """The probability of one class: high where the first band is bright."""
    kernel = np.array([20, 0, 0], np.float32).reshape(1, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["image", "kernel", "bias"], ["raw"]),
        helper.make_node("Sigmoid", ["raw"], ["logits"]),
    ]
    constants = {"kernel": kernel, "bias": np.array([-10], np.float32)}
    return write_graph(path, nodes, constants, output=[1, 1, SIDE, SIDE], **options)


def write_boxes(path: Path, layout: str, rows: list[list[float]], **options: Any) -> Path:
    """Always the same boxes, whatever the input: rows of cx, cy, w, h, object score, class scores."""
    table = np.array(rows, np.float32)[None]
    if layout != "v5":
        table = np.concatenate([table[..., :4], table[..., 4:5] * table[..., 5:]], axis=2)
    if layout == "v8":
        table = table.transpose(0, 2, 1)
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["table", "nothing"], ["logits"]),
    ]
    constants = {"table": np.ascontiguousarray(table), "zero": np.array(0, np.float32)}
    return write_graph(path, nodes, constants, output=list(table.shape), **options)


def scene(path: Path, factor: int = 1, dtype: str = "uint8") -> tuple[Path, np.ndarray]:
    """Three bands in patches of which one is bright, and the number of that band (H, W)."""
    brightest = np.random.default_rng(1).integers(0, 3, (10, 12)).repeat(8, 0).repeat(8, 1)
    pixels = np.where(np.arange(3)[:, None, None] == brightest, 230, 20).astype(dtype) * factor
    write_raster(path, pixels.astype(dtype), names=RGB)
    return path, brightest


@ENGINES
@pytest.mark.parametrize("ending", [None, "Softmax", "Sigmoid"])
def test_a_class_map_of_another_program_becomes_a_map(
    tmp_path: Path, ending: str | None, engine: Any
) -> None:
    file = write_class_map(tmp_path / "x.onnx", ending=ending)
    contract = ForeignContract(bands=RGB, classes=("roof", "road", "pond"), gsd_m=1.0)
    bundle = import_model(file, tmp_path / "x.eodl", contract)
    assert "weights.safetensors" not in bundle.members
    assert bundle.classes.ids == (1, 2, 3)
    path, brightest = scene(tmp_path / "scene.tif")
    result = predict(bundle, path, out=tmp_path / "map.tif", backend=engine, extras=PROBABILITIES)
    with rasterio.open(result.path) as dataset:
        assert np.array_equal(dataset.read(1), brightest + 1)
    with rasterio.open(tmp_path / "map_prob.tif") as dataset:
        shares = dataset.read() * dataset.scales[0]
    assert np.allclose(shares.sum(0), 1, atol=0.02)
    assert shares.max(0).min() > 0.9


def test_probabilities_come_back_as_they_are(tmp_path: Path) -> None:
    """softmax(log p) = p: what Deepness shows, our probabilities show."""
    file = write_class_map(tmp_path / "x.onnx", ending="Softmax")
    bundle = import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, ("background", "a", "b")))
    assert bundle.classes.ids == (0, 1, 2) and bundle.classes.has_background
    images = np.random.default_rng(0).random((1, 3, SIDE, SIDE)).astype(np.float32)
    raw = 20 * images[0] - 10
    expected = np.exp(raw - raw.max(0)) / np.exp(raw - raw.max(0)).sum(0)
    backend = make_backend("onnxruntime", bundle, compute=Compute("cpu"), labels_only=False)
    found = backend.run(images, np.ones((1, SIDE, SIDE), np.bool_), None)  # type: ignore[arg-type]
    chip = {name: value[0] for name, value in found.items()}
    np.testing.assert_allclose(bundle.codec().decode(chip), expected, atol=1e-5)


@ENGINES
def test_one_channel_is_a_class_on_background(tmp_path: Path, engine: Any) -> None:
    file = write_sigmoid(tmp_path / "x.onnx")
    bundle = import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, ("roof",)))
    assert bundle.classes.names == ("background", "roof")
    path, brightest = scene(tmp_path / "scene.tif")
    result = predict(bundle, path, out=tmp_path / "map.tif", backend=engine)
    with rasterio.open(result.path) as dataset:
        assert np.array_equal(dataset.read(1) == 1, brightest == 0)


def test_keys_of_deepness_are_read(tmp_path: Path) -> None:
    keys = {
        "model_type": "Segmentor",
        "class_names": {"0": "_background", "1": "building", "2": "water"},
        "resolution": 21.0,
        "tiles_overlap": 20,
        "standardization_mean": [0.1, 0.2, 0.3],
        "standardization_std": [0.5, 0.5, 0.25],
    }
    file = write_class_map(tmp_path / "x.onnx", ending="Softmax", keys=keys)
    spec = import_model(file, tmp_path / "x.eodl", ForeignContract(RGB), licence="MIT").spec
    assert [info.name for info in spec.classes] == ["_background", "building", "water"]
    assert spec.classes[0].id == 0, "class 0 of Deepness is the background"
    assert spec.gsd_m == 0.21 and spec.margin_px == 3
    assert spec.normalization.mean == pytest.approx((25.5, 51, 76.5))
    assert spec.normalization.std == pytest.approx((127.5, 127.5, 63.75))
    assert spec.provenance.licence == "MIT" and spec.graph_from == "x.onnx"
    stated = ForeignContract(RGB, ("a", "b", "c"), gsd_m=0.5, margin_px=8, divisor=1.0)
    spec = import_model(file, tmp_path / "y.eodl", stated).spec
    assert [info.name for info in spec.classes] == ["a", "b", "c"], "what is stated comes first"
    assert (spec.gsd_m, spec.margin_px, spec.normalization.mean) == (0.5, 8, (0.1, 0.2, 0.3))


# cx, cy, w, h, object, two classes. The second row is a duplicate of the first, the third is another class.
ROWS = [
    [10.0, 12.0, 8.0, 6.0, 1.0, 0.9, 0.0],
    [10.5, 12.0, 8.0, 6.0, 1.0, 0.8, 0.0],
    [22.0, 20.0, 4.0, 10.0, 0.5, 0.0, 0.8],
    [5.0, 28.0, 4.0, 4.0, 0.1, 0.1, 0.1],
]


@ENGINES
@pytest.mark.parametrize("layout", ["v8", "v8 transposed", "v5"])
def test_layouts_of_yolo_become_objects(tmp_path: Path, layout: str, engine: Any) -> None:
    keys = {
        "model_type": "Detector",
        "class_names": {"0": "tree", "1": "car"},
        "resolution": 100.0,
        "det_conf": 0.3,
        "det_iou_thresh": 0.5,
    }
    file = write_boxes(tmp_path / "x.onnx", layout, ROWS, keys=keys)
    bundle = import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, margin_px=0))
    assert bundle.spec.thresholds == {"score": 0.3, "iou": 0.5}
    path = write_raster(tmp_path / "scene.tif", np.full((3, SIDE, SIDE), 90, np.uint8), names=RGB)
    result = predict(bundle, path, out=tmp_path / "map.gpkg", backend=engine)
    found = geopandas.read_file(result.path, layer="objects")
    assert sorted(found["class_name"]) == ["car", "tree"]
    with rasterio.open(path) as dataset:
        to_pixels = ~dataset.transform
        crs = dataset.crs
    for name, corners in (("tree", (6, 9, 14, 15)), ("car", (20, 15, 24, 25))):
        bounds = found[found["class_name"] == name].to_crs(crs).geometry.iloc[0].bounds
        col0, row1 = to_pixels * bounds[:2]
        col1, row0 = to_pixels * bounds[2:]
        assert (col0, row0, col1, row1) == pytest.approx(corners, abs=1e-3)
    scores = dict(zip(found["class_name"], found["score"], strict=True))
    assert scores == pytest.approx({"tree": 0.9, "car": 0.4}, abs=1e-5)


def test_keys_of_ultralytics_are_read(tmp_path: Path) -> None:
    file = write_boxes(tmp_path / "x.onnx", "v8", ROWS)
    model = onnx.load(file)
    helper.set_model_props(model, {"names": "{0: 'tree', 1: 'car'}", "task": "detect", "imgsz": "[32, 32]"})
    onnx.save(model, file)
    assert import_model(file, tmp_path / "x.eodl", ForeignContract(RGB)).classes.names == ("tree", "car")


def test_free_sizes_and_older_operators_are_settled(tmp_path: Path) -> None:
    file = write_class_map(tmp_path / "x.onnx", shape=("batch", 3, "h", "w"), opset=11)
    with pytest.raises(BundleError, match="choose it with `chip_px`"):
        import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, ("a", "b", "c")))
    bundle = import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, ("a", "b", "c"), chip_px=48))
    assert bundle.spec.chip_px == 48


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (ForeignContract((), ("a", "b", "c")), "name them in order with `bands`"),
        (ForeignContract(("red",), ("a", "b", "c")), "has 3 channels, `bands` names 1"),
        (ForeignContract(RGB), "name them in order with `classes`"),
        (ForeignContract(RGB, ("a", "b")), "expected 3 names, one per channel, found 2"),
        (ForeignContract(RGB, ("a", "b", "c"), chip_px=64), r"one side of chips, found \[32, 64\]"),
        (ForeignContract(RGB, ("a", "b", "c"), mean=(1.0,)), "`mean`: expected 3 numbers"),
    ],
)
def test_what_the_file_does_not_say_is_asked_for(
    tmp_path: Path, contract: ForeignContract, message: str
) -> None:
    file = write_class_map(tmp_path / "x.onnx")
    with pytest.raises((BundleError, ConfigError), match=message):
        import_model(file, tmp_path / "x.eodl", contract)
    assert not (tmp_path / "x.eodl").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model_type": "Superresolution"}, "of type Superresolution; expected Segmentor or Detector"),
        ({"class_names": {"0": "a", "2": "b"}}, "numbered from 0, found 0, 2"),
        ({"class_names": 3}, "class names by number"),
        ({"resolution": "fine"}, "a number for the key resolution"),
        ({"standardization_mean": 0.5}, "a list of numbers for the key standardization_mean"),
    ],
)
def test_keys_that_say_nonsense_are_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    file = write_class_map(tmp_path / "x.onnx", keys=keys)
    with pytest.raises(BundleError, match=message):
        import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, ("a", "b", "c")))


def test_files_that_are_no_graph_of_pixels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match="not an ONNX graph"):
        import_model(tmp_path / "x.onnx", tmp_path / "x.eodl", ForeignContract(RGB))
    with pytest.raises(BundleError, match="expected an ONNX file"):
        import_model(tmp_path / "missing.onnx", tmp_path / "x.eodl", ForeignContract(RGB))
    boxes = write_boxes(tmp_path / "boxes.onnx", "v8", ROWS, keys={"model_type": "Detector"})
    with pytest.raises(BundleError, match=r"for 7 classes, found \(1, 6, 4\)"):
        import_model(boxes, tmp_path / "x.eodl", ForeignContract(RGB, tuple("abcdefg")))
    batch = write_class_map(tmp_path / "batch.onnx", shape=(4, 3, SIDE, SIDE))
    with pytest.raises(BundleError, match="takes 4 chips at once"):
        import_model(batch, tmp_path / "x.eodl", ForeignContract(RGB, ("a", "b", "c")))


def test_an_imported_model_says_what_it_is(tmp_path: Path) -> None:
    file = write_class_map(tmp_path / "x.onnx")
    bundle = import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, ("a", "b", "c")))
    assert "the graph of x.onnx" in bundle.read("README.md").decode()
    assert "x.onnx" in bundle._repr_html_()
    item = json.loads(bundle.read("item.json"))
    assert item["properties"]["mlm:framework"] == "ONNX" and set(item["assets"]) == {
        "model.onnx",
        "README.md",
    }
    with pytest.raises(BundleError, match="has no weights for torch"):
        make_backend("torch", bundle, compute=Compute("cpu"), labels_only=True)
    with pytest.raises(BundleError, match="no weights to start from"):
        read_state(bundle.path)
    engine = make_backend("auto", bundle, compute=Compute("auto"), labels_only=True)
    assert engine.identity["engine"] in ("openvino", "onnxruntime")
    assert load_model(bundle.path).spec == bundle.spec


def test_what_was_exported_for_deepness_comes_back(tmp_path: Path) -> None:
    """Import, export for Deepness, import again: the same map."""
    file = write_class_map(tmp_path / "x.onnx", ending="Softmax")
    first = import_model(file, tmp_path / "x.eodl", ForeignContract(RGB, ("roof", "road", "pond"), gsd_m=1.0))
    exported = export_model(first, tmp_path / "y.onnx", target="deepness")
    again = import_model(exported, tmp_path / "y.eodl", ForeignContract(RGB))
    assert again.classes.names == ("background", "roof", "road", "pond")
    assert (again.spec.gsd_m, again.spec.margin_px) == (1.0, first.spec.margin_px)
    path, brightest = scene(tmp_path / "scene.tif")
    result = predict(again, path, out=tmp_path / "map.tif")
    with rasterio.open(result.path) as dataset:
        assert np.array_equal(dataset.read(1), brightest + 1)

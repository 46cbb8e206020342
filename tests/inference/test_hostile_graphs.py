"""A model of somebody else whose graph names a file of this machine: OpenVINO showed it in the map."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from eo_dl.bundle import save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassSet
from eo_dl.errors import BundleError
from eo_dl.export.modelimport import ForeignContract, import_model
from eo_dl.inference.predict import predict
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.tasks import load_task
from tests.making import noise, write_raster

SIDE = 32


def graph(path) -> bytes:
    """Gives the sum of the image and of whatever 8 KB of a file are as numbers."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 2, SIDE, SIDE])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", str(path)), ("offset", "0"), ("length", str(2 * SIDE * SIDE * 4))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 2, SIDE, SIDE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, SIDE, SIDE])
    made = helper.make_graph(
        [helper.make_node("Add", ["images", "w"], ["logits"])], "g", [images], [logits], [tensor]
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.bin"
    path.write_bytes(np.full(2 * SIDE * SIDE, 42, np.float32).tobytes())
    return path


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "auto"])
def test_graph_that_names_a_file_is_refused_by_every_engine(tmp_path, secret, backend):
    bands, classes = BandSet((Band("a", 1), Band("b", 2))), ClassSet.of_names(["background", "tree"])
    spec = ModelSpec(
        task="segmentation",
        config=load_task("segmentation").config(network="unet").model_dump(mode="json"),
        bands=band_specs(bands),
        classes=class_specs(classes),
        chip_px=SIDE,
        normalization=NormalizationSpec(mean=(0.0, 0.0), std=(1.0, 1.0)),
        graph_from="x.onnx",
    )
    model = save_bundle(tmp_path / "m.eodl", spec, None, extra={"model.onnx": graph(secret)})
    scene = write_raster(tmp_path / "scene.tif", noise(2, SIDE, SIDE), names=("a", "b"))
    with pytest.raises(BundleError, match=r"m\.eodl: its model\.onnx takes weights from other files"):
        predict(model, scene, out=tmp_path / "map.tif", backend=backend)
    assert not (tmp_path / "map.tif").exists()


def test_graph_that_names_a_file_is_not_imported(tmp_path, secret):
    (tmp_path / "x.onnx").write_bytes(graph(secret))
    with pytest.raises(BundleError, match="takes weights from other files"):
        import_model(tmp_path / "x.onnx", tmp_path / "m.eodl", ForeignContract(bands=("a", "b")))
    assert not (tmp_path / "m.eodl").exists()

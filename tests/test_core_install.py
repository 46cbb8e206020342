"""The core install: everything but training works without the packages of the extras."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from eo_dl.bundle import save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassSet
from eo_dl.core.extras import EXTRAS
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import open_scene
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.tasks.segmentation.config import SegmentationConfig

ROOT = Path(__file__).resolve().parents[1]

# Forbids the packages of the extras, and some that came with them, then runs command lines. All but
# the last have to work; the exit code is the last one's.
PROGRAM = """
import json
import sys

FORBIDDEN = set(sys.argv[1].split(","))


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
from eo_dl_cli.main import run

*before, last = json.loads(sys.argv[2])
for line in before:
    if run(line) != 0:
        sys.exit(f"failed: {line}")
sys.exit(run(last))
"""
FORBIDDEN = ",".join([*EXTRAS, "onnx", "torchmetrics", "huggingface_hub"])

# A network of one convolution of 1 x 1, from 4 bands to the logits blue and nir, as torch.onnx.export wrote
# it: without torch no graph can be made. Its features are the means of the bands.
GRAPH = base64.b64decode(
    "CAgSB3B5dG9yY2gaBjIuMTUuMDqSAwqPAQoGaW1hZ2VzCghjLndlaWdodAoGYy5iaWFzEgZsb2dpdHMaBy9jL0NvbnYiBENvbnYqEgoJ"
    "ZGlsYXRpb25zQAFAAaABByoMCgVncm91cBgBoAECKhUKDGtlcm5lbF9zaGFwZUABQAGgAQcqEQoEcGFkc0AAQABAAEAAoAEHKhAKB3N0"
    "cmlkZXNAAUABoAEHCj4KBmltYWdlcxIIZmVhdHVyZXMiClJlZHVjZU1lYW4qDQoEYXhlc0ACQAOgAQcqDwoIa2VlcGRpbXMYAKABAhIK"
    "bWFpbl9ncmFwaCo2CAIIBAgBCAEQAUIIYy53ZWlnaHRKIAAAgD8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA/KhYIAhABQgZjLmJp"
    "YXNKCAAAAAAAAAAAWjAKBmltYWdlcxImCiQIARIgCgcSBWJhdGNoCgIIBAoIEgZoZWlnaHQKBxIFd2lkdGhiMAoGbG9naXRzEiYKJAgB"
    "EiAKBxIFYmF0Y2gKAggCCggSBmhlaWdodAoHEgV3aWR0aEICEBE="
)
GRAPH_WITHOUT_FEATURES = GRAPH.replace(b"features", b"nameless")


Line = list[str | Path]
"""The words of one command line."""


def _run(folder: Path, lines: tuple[Line, ...]) -> subprocess.CompletedProcess[str]:
    """Runs the commands one after the other in one process: its start takes longer than most of them."""
    words = [[str(word) for word in line] for line in lines]
    command = [sys.executable, "-c", PROGRAM, FORBIDDEN, json.dumps(words)]
    path = os.pathsep.join([str(ROOT), *sys.path])
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )


def _works(folder: Path, *lines: Line) -> None:
    done = _run(folder, lines)
    assert done.returncode == 0, done.stderr


def _refusal(folder: Path, *lines: Line) -> str:
    """The last line of standard error of the last command, which is refused without a traceback."""
    done = _run(folder, lines)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def _class_map(sample_data: Path, path: Path) -> Path:
    """The land cover of the training scene as a class map, as `predict` writes one."""
    cover = geopandas.read_file(sample_data / "train_labels.gpkg", layer="landcover")
    classes = ClassSet.of_names(list(cover.sort_values("class_id").class_name.unique()), background=True)
    grid = open_scene(sample_data / "train.tif").grid
    shapes = zip(cover.geometry, cover.class_id, strict=True)
    ids = rasterize(shapes, (grid.height, grid.width), transform=grid.transform, dtype="uint8")
    with RasterWriter(path, grid, nodata=255, classes=classes) as writer:
        writer.write(0, ids)
    return path


def _model_without_network(path: Path, graph: bytes | None = None) -> Path:
    """A bundle with a single number for weights, which torch could not run, and perhaps a graph."""
    names = ("blue", "green", "red", "nir")
    bands = BandSet(tuple(Band(name, number, dtype="uint16") for number, name in enumerate(names, start=1)))
    classes = ClassSet.of_names(["building"], background=True)
    config = SegmentationConfig(backbone="test_resnet", decoder_channels=(32, 16, 16, 16, 16))
    spec = ModelSpec(
        task="segmentation",
        config=config.model_dump(mode="json"),
        bands=band_specs(bands),
        classes=class_specs(classes),
        gsd_m=1.0,
        chip_px=64,
        margin_px=8,
        normalization=NormalizationSpec(mean=(0.1,) * 4, std=(0.1,) * 4),
    )
    extra = {} if graph is None else {"model.onnx": graph}
    save_bundle(path, spec, {"weight": np.zeros(1, np.float32)}, extra=extra)
    return path


def test_chips_labels_evaluation_and_polygons_need_no_extra(sample_data: Path, tmp_path: Path) -> None:
    scene, labels = sample_data / "train.tif", sample_data / "train_labels.gpkg"
    layer = ["--layer", "landcover", "--class-field", "class_name"]
    class_map = _class_map(sample_data, tmp_path / "map.tif")
    _works(
        tmp_path,
        ["inspect", scene],
        ["tile", scene, "--labels", labels, *layer, "--size", "64", "-o", "chips"],
        ["labels", "check", labels, "--scene", scene, *layer, "-o", "findings.gpkg"],
        ["evaluate", class_map, labels, *layer, "-o", "report"],
        ["vectorize", class_map, "-o", "polygons.gpkg"],
    )
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert {score["name"]: score["value"] for score in report["scores"]}["mean_iou"] > 0.95
    assert len(geopandas.read_file(tmp_path / "polygons.gpkg", layer="objects")) > 50


def test_training_without_torch_names_the_extra(sample_data: Path, tmp_path: Path) -> None:
    labels = sample_data / "train_labels.gpkg"
    layer = ["--layer", "landcover", "--class-field", "class_name"]
    line = _refusal(
        tmp_path,
        ["tile", sample_data / "train.tif", "--labels", labels, *layer, "--size", "64", "-o", "c"],
        ["train", "c", "--task", "segmentation", "-o", "model.eodl"],
    )
    assert line.endswith('which is not installed; run: pip install "eo-dl[train]"')


def test_running_a_model_without_torch_names_the_extra(sample_data: Path, tmp_path: Path) -> None:
    model = _model_without_network(tmp_path / "model.eodl")
    line = _refusal(
        tmp_path, ["inspect", model], ["predict", model, sample_data / "test.tif", "-o", "map.tif"]
    )
    assert line.endswith('needs the package torch, which is not installed; run: pip install "eo-dl[train]"')


@pytest.mark.parametrize("backend", ["auto", "openvino", "onnxruntime"])
def test_a_model_with_a_graph_predicts_without_torch(sample_data: Path, tmp_path: Path, backend: str) -> None:
    model, scene = _model_without_network(tmp_path / "model.eodl", GRAPH), sample_data / "test.tif"
    _works(
        tmp_path,
        ["predict", model, scene, "-o", "map.tif", "--backend", backend, "--precision", "32"],
        ["predict", model, scene, "-o", "map.gpkg", "--backend", backend, "--probabilities"],
    )
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "map.tif") as prediction:
        stored, class_ids, valid = source.read(), prediction.read(1), source.dataset_mask() > 0
    # The normalization is the same for all bands, so the class is the band with the larger value.
    assert np.array_equal(class_ids[valid], (stored[3] > stored[0])[valid].astype(np.uint8))
    assert len(geopandas.read_file(tmp_path / "map.gpkg", layer="objects")) > 0


def test_labels_are_queued_and_checked_by_a_model_without_torch(sample_data: Path, tmp_path: Path) -> None:
    model, scene = _model_without_network(tmp_path / "model.eodl", GRAPH), sample_data / "train.tif"
    labels = sample_data / "train_labels.gpkg"
    layer = ["--layer", "landcover", "--class-field", "class_name"]
    _works(
        tmp_path,
        ["labels", "queue", model, scene, "-o", "queue.gpkg", "--count", "5", "--views", "2"],
        ["labels", "check", labels, "--scene", scene, *layer, "--model", model, "-o", "findings.gpkg"],
    )
    assert len(geopandas.read_file(tmp_path / "queue.gpkg", layer="queue")) == 5
    kinds = set(geopandas.read_file(tmp_path / "findings.gpkg", layer="findings")["kind"])
    assert {kind for kind in kinds if kind.startswith("suspected")}


def test_a_queue_that_needs_torch_says_why(sample_data: Path, tmp_path: Path) -> None:
    model = _model_without_network(tmp_path / "model.eodl", GRAPH)
    old = _model_without_network(tmp_path / "old.eodl", GRAPH_WITHOUT_FEATURES)
    scene = sample_data / "train.tif"
    reasons: dict[str, Line] = {
        "does not take chips of 40 x 40 px": [model, scene, "--size", "40"],
        "gives features by which chips could be compared": [old, scene],
    }
    for reason, words in reasons.items():
        line = _refusal(tmp_path, ["labels", "queue", *words, "-o", "queue.gpkg"])
        assert reason in line and line.endswith('run: pip install "eo-dl[train]"')


def test_a_raster_is_predicted_without_tables(sample_data: Path, tmp_path: Path) -> None:
    """pandas, geopandas and scipy take as long to load as a small scene takes to predict."""
    model = _model_without_network(tmp_path / "model.eodl", GRAPH)
    program = (
        "import sys; from eo_dl_cli.main import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    )
    line = ["predict", str(model), str(sample_data / "test.tif"), "-o", "map.tif"]
    done = subprocess.run(
        [sys.executable, "-c", program, *line], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "openvino" in loaded
    assert not loaded & {"torch", "pandas", "geopandas", "pyogrio", "scipy", "matplotlib"}


def test_geoparquet_without_pyarrow_names_the_extra(sample_data: Path, tmp_path: Path) -> None:
    class_map = _class_map(sample_data, tmp_path / "map.tif")
    line = _refusal(tmp_path, ["vectorize", class_map, "-o", "polygons.parquet"])
    assert line.endswith(
        'needs the package pyarrow, which is not installed; run: pip install "eo-dl[parquet]"'
    )
    pytest.importorskip("pyarrow", reason="writes the file that the core install cannot read")
    cover = geopandas.read_file(sample_data / "train_labels.gpkg", layer="landcover")
    cover.to_parquet(tmp_path / "labels.parquet")
    line = _refusal(tmp_path, ["inspect", "labels.parquet"])
    assert "labels.parquet" in line and line.endswith('pip install "eo-dl[parquet]"')


def test_every_extra_that_an_error_names_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])

"""The project of `labels start` in a real QGIS: every layer is in the legend, and the scene can be seen."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from eo_dl.curation import start_labels
from tests.making import write_raster

LOOK = """
import json, sys
from qgis.core import *
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], False); app.initQgis()
project = QgsProject.instance()
opened = project.read(sys.argv[1])
nodes = project.layerTreeRoot().findLayers()
layers = [node.layer() for node in nodes]
raster = next(layer for layer in project.mapLayers().values() if layer.type() == 1)
settings = QgsMapSettings()
settings.setLayers([layer for layer in layers if layer is not None])
settings.setDestinationCrs(project.crs())
settings.setExtent(raster.extent())
settings.setOutputSize(QSize(64, 64))
job = QgsMapRendererSequentialJob(settings); job.start(); job.waitForFinished()
image = job.renderedImage()
grays = [image.pixelColor(col, row).lightness() for row in range(4, 60, 4) for col in range(4, 60, 4)]
print(json.dumps({
    "opened": opened,
    "names": [None if layer is None else layer.name() for layer in layers],
    "valid": all(layer is not None and layer.isValid() for layer in layers),
    "grays": grays,
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 0.0001], ids=["plain", "scale tag"])
def test_the_project_shows_every_layer_and_the_scene(
    qgis_python: str, qgis_environment: dict[str, str], tmp_path: Path, scale: float
) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.integers(150, 2350, (3, 64, 64)).astype(np.uint16)
    scene = write_raster(tmp_path / "scene.tif", pixels, scales=(scale,) * 3)
    made = start_labels(scene, classes="roof", out=tmp_path / "labels.gpkg")
    done = subprocess.run(
        [qgis_python, "-c", LOOK, str(made.project)],
        env=qgis_environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    assert seen["opened"]
    assert seen["valid"]
    assert set(seen["names"]) == {"labels", "annotated", "scene"}
    grays = np.array(seen["grays"])
    assert 60 < grays.mean() < 200, "neither the white canvas nor a black scene"
    assert grays.std() > 20, "the noise of the scene is seen"

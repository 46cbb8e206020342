"""A sample in a real QGIS: a form with the classes to choose from, blind to the map; answers are kept."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.evaluation.design.assess import assess
from eo_dl.evaluation.design.sample import sample
from eo_dl.evaluation.design.sampledesign import SampleDesign
from eo_dl.io.rasterwriter import RasterWriter
from tests.making import CRS as UTM
from tests.making import NORTH_UP

LOOK = """
import json, sys
from qgis.core import *
app = QgsApplication([], False); app.initQgis()
layer = QgsVectorLayer(sys.argv[1] + "|layername=sample", "sample", "ogr")
fields = {f.name(): i for i, f in enumerate(layer.fields())}
setup = {name: layer.editorWidgetSetup(i) for name, i in fields.items()}
options = setup["reference"].config().get("map", [])
choices = [value for one in options for value in one.values()]
kinds = [c.value() for c in layer.renderer().categories()]
layer.startEditing()
for number, feature in enumerate(layer.getFeatures()):
    layer.changeAttributeValue(feature.id(), fields["reference"], choices[number % 3])
    layer.changeAttributeValue(feature.id(), fields["reference_2"], choices[0])
saved = layer.commitChanges()
print(json.dumps({
    "fields": list(fields),
    "widgets": {name: one.type() for name, one in setup.items()},
    "choices": choices,
    "aliases": {name: layer.attributeAlias(i) for name, i in fields.items()},
    "by": layer.renderer().classAttribute(),
    "kinds": kinds,
    "tip": layer.mapTipTemplate(),
    "saved": saved,
    "answers": [feature["reference"] for feature in layer.getFeatures()],
}))
"""


@pytest.mark.slow
def test_an_interpreter_answers_in_the_form(
    qgis_python: str, qgis_environment: dict[str, str], tmp_path: Path
) -> None:
    classes = ClassSet.of_names(["forest", "water"], background=True)
    ids = np.zeros((60, 60), np.uint8)
    ids[:30], ids[50:] = 1, 2
    with RasterWriter(
        tmp_path / "map.tif", PixelGrid(CRS(UTM), NORTH_UP, 60, 60), nodata=255, classes=classes
    ) as writer:
        writer.write(0, ids)
    sample(tmp_path / "map.tif", out=tmp_path / "s.gpkg", design=SampleDesign(count=45))
    (tmp_path / "look.py").write_text(LOOK)
    command = [qgis_python, str(tmp_path / "look.py"), str(tmp_path / "s.gpkg")]
    done = subprocess.run(
        command, env=qgis_environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["fields"] == ["fid", "unit", "reference", "reference_2", "agreed", "note"], (
        "nothing of the map"
    )
    answers = ("reference", "reference_2", "agreed")
    assert {found["widgets"][name] for name in answers} == {"ValueMap"}
    assert found["choices"] == ["background", "forest", "water", "not interpretable"]
    assert found["aliases"]["reference_2"] == "Class, second interpreter"
    assert found["by"] == "reference" and set(found["choices"]) <= set(found["kinds"])
    assert found["saved"] and found["answers"].count("forest") == 15
    result = assess(tmp_path / "s.gpkg")
    assert result.complete and result.answered == 45
    assert result.agreement.units == 45 and result.agreement.raw == pytest.approx(1 / 3)

"""The layer of findings in a real QGIS: coloured by severity, with a box to tick and a tip, and every finding
in its place.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from eo_dl.curation import check_labels
from eo_dl.labels.labeloptions import LabelOptions

LOOK = """
import json, sys
from qgis.core import *
app = QgsApplication([], False); app.initQgis()
layer = QgsVectorLayer(sys.argv[1] + "|layername=findings", "findings", "ogr")
kinds = [c.value() for c in layer.renderer().categories()]
context = QgsRenderContext(); layer.renderer().startRender(context, layer.fields())
shown = [layer.renderer().symbolForFeature(f, context) is not None for f in layer.getFeatures()]
layer.renderer().stopRender(context)
widgets = {f.name(): layer.editorWidgetSetup(i).type() for i, f in enumerate(layer.fields())}
layer.startEditing(); first = next(layer.getFeatures())
layer.changeAttributeValue(first.id(), layer.fields().indexFromName("done"), True)
saved = layer.commitChanges()
placed = [f.geometry() for f in layer.getFeatures() if f.hasGeometry()]
print(json.dumps({
    "valid": layer.isValid(),
    "crs": layer.crs().authid(),
    "by": layer.renderer().classAttribute(),
    "kinds": kinds,
    "shown": shown,
    "widgets": widgets,
    "tip": layer.mapTipTemplate(),
    "count": layer.featureCount(),
    "saved": saved,
    "boxes": [geometry.boundingBox().center().toString(1) for geometry in placed],
}))
"""


@pytest.mark.slow
def test_findings_open_styled_and_can_be_ticked_off(
    qgis_python: str, qgis_environment: dict[str, str], tmp_path: Path
) -> None:
    def square(x: float, y: float) -> shapely.Polygon:
        return shapely.box(500_000 + x, 5_200_000 + y, 500_010 + x, 5_200_010 + y)

    bow = shapely.Polygon(
        [(500_050, 5_200_000), (500_060, 5_200_006), (500_060, 5_200_000), (500_050, 5_200_010)]
    )
    names = ["roof"] * 5 + [None, "Roof"]
    shapes = [square(0, 0), square(0, 0), square(5, 0), bow, square(100, 0), square(200, 0), square(300, 0)]
    gpd.GeoDataFrame({"kind": names}, geometry=shapes, crs="EPSG:32633").to_file(tmp_path / "l.gpkg")
    report = check_labels(tmp_path / "l.gpkg", label_options=LabelOptions(class_field="kind"))
    report.write(tmp_path / "findings.gpkg")
    (tmp_path / "look.py").write_text(LOOK)
    command = [qgis_python, str(tmp_path / "look.py"), str(tmp_path / "findings.gpkg")]
    done = subprocess.run(
        command, env=qgis_environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["valid"] and found["crs"] == "EPSG:32633" and found["count"] == len(report.findings) > 5
    assert (
        found["by"] == "severity"
        and {"error", "warning", "note"} <= set(found["kinds"])
        and all(found["shown"])
    )
    assert found["widgets"]["done"] == "CheckBox" and found["widgets"]["fid"] == "Hidden"
    assert "text" in found["tip"] and found["saved"]
    assert "500005.0,5200005.0" in found["boxes"], "the twin, at its place"
    assert gpd.read_file(tmp_path / "findings.gpkg", layer="findings").loc[0, "done"]

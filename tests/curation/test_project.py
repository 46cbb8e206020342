"""A labelling project is ready to draw in, is read as labels, and says what is missing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import zipfile
from pathlib import Path

import pyogrio
import pytest
import shapely
from defusedxml.ElementTree import fromstring

from eo_dl.curation import labels_status, start_labels
from eo_dl.curation.project.status import FIRST_OBJECTS
from eo_dl.errors import ConfigError, LabelError, OutputExistsError
from eo_dl.labels import read_labels
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.labels.projectlayout import announced
from tests.making import CRS, add_features, noise, square, write_raster

NAMES = ["building", "tree's & <co>"]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "ortho.tif", noise(3, 256, 512, low=0, high=255))


def test_the_file_and_the_project_fit_each_other(tmp_path: Path, scene: Path) -> None:
    made = start_labels(scene, classes=NAMES, out=tmp_path / "labels.gpkg")
    assert made.project == tmp_path / "labels.qgz"
    said = announced(made.path)
    assert (
        said is not None
        and said.classes.names == tuple(NAMES)
        and said.scenes == (str(tmp_path / "./ortho.tif"),)
    )
    with zipfile.ZipFile(made.project) as archive:
        assert archive.namelist() == ["labels.qgs"]
        root = fromstring(archive.read("labels.qgs"))
    sources = {layer.findtext("datasource") for layer in root.iter("maplayer")}
    assert sources == {"./ortho.tif", "./labels.gpkg|layername=labels", "./labels.gpkg|layername=annotated"}
    with sqlite3.connect(made.path) as database:
        styles = dict(
            database.execute("SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault").fetchall()
        )
    database.close()
    assert styles.keys() == {"labels", "annotated"}
    form = fromstring(styles["labels"].partition("-->")[2].strip())
    choices = [one.get("value") for one in form.iter("Option") if one.get("value") in NAMES]
    assert choices == NAMES


def test_the_same_call_gives_the_same_bytes(tmp_path: Path, scene: Path) -> None:
    first = start_labels(scene, classes="a,b", out=tmp_path / "labels.gpkg")
    assert first.project is not None
    before = first.path.read_bytes(), first.project.read_bytes()
    start_labels(scene, classes="a,b", out=tmp_path / "labels.gpkg", overwrite=True)
    assert (first.path.read_bytes(), first.project.read_bytes()) == before


@pytest.mark.parametrize(
    ("geometry", "kind"), [("polygon", "MultiPolygon"), ("box", "Polygon"), ("point", "Point")]
)
def test_what_is_drawn_is_chosen(tmp_path: Path, scene: Path, geometry: str, kind: str) -> None:
    made = start_labels(scene, classes="a", out=tmp_path / "labels.gpkg", geometry=geometry)  # type: ignore[arg-type]
    assert pyogrio.read_info(made.path, layer="labels")["geometry_type"] == kind


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ("", "at least one class"),
        ("a,A", "too similar"),
        ("a=1", "plain names"),
        ("background,a", "background"),
        ("a,a\tb", "class name"),
        ("*", "class name"),
    ],
)
def test_class_names_that_make_trouble_are_refused(
    tmp_path: Path, scene: Path, classes: str, words: str
) -> None:
    with pytest.raises(LabelError, match=words):
        start_labels(scene, classes=classes, out=tmp_path / "labels.gpkg")
    assert not (tmp_path / "labels.gpkg").exists()


def test_nothing_is_overwritten_or_guessed(tmp_path: Path, scene: Path) -> None:
    (tmp_path / "labels.qgz").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"labels\.qgz"):
        start_labels(scene, classes="a", out=tmp_path / "labels.gpkg")
    assert not (tmp_path / "labels.gpkg").exists()
    with pytest.raises(ConfigError, match=r"\.gpkg"):
        start_labels(scene, classes="a", out=tmp_path / "labels.shp")
    with pytest.raises(ConfigError, match="polygon, box, point"):
        start_labels(scene, classes="a", out=tmp_path / "other.gpkg", geometry="line")  # type: ignore[arg-type]


def test_drawn_labels_are_read_with_the_ground_on_which_they_are_complete(
    tmp_path: Path, scene: Path
) -> None:
    path = start_labels(scene, classes=NAMES, out=tmp_path / "labels.gpkg").path
    add_features(path, "labels", [square(10, 10), square(30, 10)], class_name=["building", "building"])
    labels = read_labels(path)
    assert len(labels) == 2 and labels.annotated is None
    assert any("complete everywhere" in note for note in labels.notes)
    add_features(path, "annotated", [square(0, 0, 100)])
    labels = read_labels(path)
    assert labels.annotated is not None and shapely.area(labels.annotated.geometries).tolist() == [10_000]
    named = read_labels(path, layer="labels")
    assert named.annotated is not None and shapely.area(named.annotated.geometries).tolist() == [10_000], (
        "QGIS names the layer: it is the same project"
    )


def test_the_status_counts_and_says_what_is_missing(tmp_path: Path, scene: Path) -> None:
    path = start_labels(scene, classes="building,tree", out=tmp_path / "labels.gpkg").path
    empty = labels_status(path)
    assert not empty.ready and empty.objects == 0
    assert [one.count for one in empty.classes] == [0, 0]
    add_features(
        path,
        "labels",
        [square(15 * i, 10) for i in range(20)],
        class_name=["building"] * 19 + [None],
        reviewed=[True] * 3 + [False] * 17,
    )
    add_features(path, "annotated", [square(0, 0, 256)])
    found = labels_status(path)
    assert (found.objects, found.without_class, found.reviewed, found.annotated_areas) == (20, 1, 3, 1)
    assert found.outside_annotated == 2, "columns 270 and 285 lie beyond 256"
    assert found.classes[0].area_m2 == pytest.approx(1900, rel=2e-3)
    assert found.scene_share == pytest.approx(0.5) and found.chips == 1
    assert any(f"draw {FIRST_OBJECTS - 19} more" in text for text in found.advice)
    assert any(f"'tree' has 0 objects: draw {FIRST_OBJECTS} more" in text for text in found.advice)
    assert any("1 objects have no class" in text and "#20" in text for text in found.advice)
    json.dumps(found.values(), allow_nan=False)


def test_the_status_of_any_label_file(sample_data: Path) -> None:
    found = labels_status(
        sample_data / "train_labels.gpkg",
        scenes=[sample_data / "train.tif"],
        label_options=LabelOptions(layer="buildings", class_field="none"),
    )
    assert found.objects == 115 and found.scene_share == 1.0


LOOK = """
import json, sys
from qgis.core import *
app = QgsApplication([], False); app.initQgis()
project = QgsProject.instance(); read = project.read(sys.argv[1])
layers = {layer.name(): layer for layer in project.mapLayers().values()}
if len(sys.argv) > 2:
    labels = QgsVectorLayer(sys.argv[2] + "|layername=labels", "x", "ogr")
else:
    labels = layers["labels"]
place = labels.fields().indexFromName("class_name"); widget = labels.editorWidgetSetup(place)
new = QgsVectorLayerUtils.createFeature(labels, QgsGeometry())
wrong = QgsVectorLayerUtils.createFeature(labels, QgsGeometry()); wrong.setAttribute(place, "car")
print(json.dumps({
    "read": read,
    "valid": {name: layer.isValid() for name, layer in layers.items()},
    "order": [node.name() for node in project.layerTreeRoot().children()],
    "crs": project.crs().authid(),
    "snapping": project.snappingConfig().enabled(),
    "topology": project.topologicalEditing(),
    "widget": widget.type(),
    "choices": [list(entry.values())[0] for entry in widget.config()["map"]],
    "default": new.attribute("class_name"),
    "source": new.attribute("source"),
    "good": QgsVectorLayerUtils.validateAttribute(labels, new, place)[0],
    "bad": QgsVectorLayerUtils.validateAttribute(labels, wrong, place)[0],
    "colors": [category.symbol().color().name() for category in labels.renderer().categories()],
    "tip": labels.mapTipTemplate(),
    "checks": labels.geometryOptions().geometryChecks(),
}))
"""


@pytest.fixture
def look(tmp_path: Path) -> list[str]:
    """QGIS's own Python; skips, saying so, where there is none."""
    python = "/usr/bin/python3"
    if (
        not Path(python).exists()
        or subprocess.run(
            ["env", "-i", python, "-c", "import qgis.core"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("QGIS is not installed: apt-get install qgis python3-qgis")
    (tmp_path / "xdg").mkdir(mode=0o700)
    (tmp_path / "look.py").write_text(LOOK)
    settings = [
        "QT_QPA_PLATFORM=offscreen",
        f"XDG_RUNTIME_DIR={tmp_path / 'xdg'}",
        f"HOME={tmp_path}",
        "PATH=/usr/bin:/bin",
    ]
    return ["env", "-i", *settings, python, "-W", "ignore", str(tmp_path / "look.py")]


@pytest.mark.parametrize("through", ["project", "file"])
def test_qgis_opens_it_ready_to_draw(tmp_path: Path, scene: Path, look: list[str], through: str) -> None:
    made = start_labels(scene, classes=NAMES, out=tmp_path / "labels.gpkg")
    extra = [str(made.path)] if through == "file" else []
    done = subprocess.run(
        [*look, str(made.project), *extra], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["read"] and found["valid"] == {"labels": True, "annotated": True, "ortho": True}
    assert found["order"] == ["labels", "annotated", "ortho"] and found["crs"] == CRS
    assert found["snapping"] and found["topology"]
    assert found["widget"] == "ValueMap" and found["choices"] == NAMES
    assert (found["default"], found["source"]) == ("building", "hand")
    assert found["good"] and not found["bad"]
    assert found["colors"][:2] == [info.color for info in made.classes]
    assert "class_name" in found["tip"] and found["checks"] == ["QgsIsValidCheck"]

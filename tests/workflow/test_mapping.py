"""One call from labels to a map: everything lies in one folder, a stopped run continues, other inputs are
refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import yaml
from click.testing import CliRunner

from eo_dl import map_scenes, open_chip_set
from eo_dl.errors import Cancelled, ConfigError, OutputExistsError
from eo_dl.workflow import mapping
from eo_dl.workflow.mappingfolder import MappingFolder
from eo_dl_cli.main import cli
from tests.making import NORTH_UP, square, tiny_network, write_polygons, write_raster

SIDE_PX = 192
TRAINING = {
    "epochs": 1,
    "min_steps": 2,
    "batch_size": 2,
    "weights": "none",
    "baselines": False,
    "task_options": tiny_network("segmentation"),
}


@dataclass(frozen=True)
class Inputs:
    """A scene with roofs, which are triangles and brighter than the ground, and a quick training."""

    scene: Path
    labels: Path
    config: Path

    def run(self, out: Path, **options: object) -> mapping.MappingResult:
        return map_scenes(self.scene, self.labels, out=out, config=self.config, **options)  # type: ignore[arg-type]

    def line(self, out: Path, *options: str) -> list[str]:
        paths = ["--labels", str(self.labels), "--config", str(self.config), "-o", str(out)]
        return ["map", str(self.scene), *paths, *options]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    boxes = [square(col, row, 12) for row in range(6, 180, 24) for col in range(6, 180, 24)]
    roofs = [shapely.Polygon(list(box.exterior.coords)[:3]) for box in boxes]
    shape = (SIDE_PX, SIDE_PX)
    on_roof = rasterio.features.rasterize(roofs, shape, transform=NORTH_UP).astype(bool)
    pixels = np.random.default_rng(0).integers(1, 80, (3, *shape)).astype(np.uint8)
    pixels[:, on_roof] += 120
    scene = write_raster(folder / "scene.tif", pixels, transform=NORTH_UP, names=("red", "green", "blue"))
    labels = write_polygons(folder / "roofs.gpkg", roofs, kind=["roof"] * len(roofs))
    config = folder / "quick.yaml"
    config.write_text(yaml.safe_dump(TRAINING))
    return Inputs(scene, labels, config)


@pytest.fixture(scope="module")
def finished(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run, by the command line: stopped before the map was made, then continued."""
    out = tmp_path_factory.mktemp("work") / "town"

    def stop_at_the_map(done: int, total: int, what: str) -> None:
        if what.startswith("3/4 map"):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        inputs.run(out, on_progress=stop_at_the_map)
    assert not list(out.glob("map.tif")) and not (out / "report").exists(), "nothing half-made looks finished"
    before = (out / "chips" / "chips.json").stat().st_mtime_ns, (out / "model.eodl").stat().st_mtime_ns
    done = CliRunner().invoke(cli, inputs.line(out, "--json"))
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("kept from the run before") == 2
    after = (out / "chips" / "chips.json").stat().st_mtime_ns, (out / "model.eodl").stat().st_mtime_ns
    assert after == before, "what was finished is kept"
    (out.parent / "said.json").write_text(done.stdout)
    return out


def test_the_result_names_map_model_scores_and_report(inputs: Inputs, finished: Path) -> None:
    said = json.loads((finished.parent / "said.json").read_text())
    assert said["task"] == "segmentation"
    assert Path(said["map"]) == finished / "map.tif" and Path(said["model"]) == finished / "model.eodl"
    assert Path(said["report"]).is_file() and set(said["seconds"]) == set(mapping.STEPS)
    report = json.loads((finished / "report" / "report.json").read_text())
    of_report = {score["name"]: score["value"] for score in report["scores"] if score["class"] is None}
    assert {score["name"]: score["value"] for score in said["scores"]}.items() <= of_report.items()
    assert report["settings"]["only on"] == "the test chips of chips"
    with rasterio.open(finished / "map.tif") as made, rasterio.open(inputs.scene) as scene:
        assert (made.shape, made.transform) == (scene.shape, scene.transform)


def test_one_page_tells_the_whole_run_and_needs_no_other_file(finished: Path) -> None:
    said = json.loads((finished.parent / "said.json").read_text())
    assert Path(said["page"]) == finished / "index.html"
    page = (finished / "index.html").read_text()
    sources = re.findall(r"src='([^']{5})", page)
    assert len(sources) >= 4 and set(sources) == {"data:"} and "http" not in page and "<script" not in page
    assert 'type="range"' in page and "class='swipe'" in page, "a slider over the map"
    for heading in (
        "Map of scene.tif",
        "Where the map is wrong",
        "Course of the training",
        "Scenes",
        "Words",
    ):
        assert f"<h2>{heading}</h2>" in page, heading
    links = re.findall(r"href='([^']+)'", page)
    assert [link.removeprefix("./") for link in links] == ["report/report.html", "model.run/report.html"]
    assert all((finished / link).is_file() for link in links)


def test_a_finished_folder_is_returned_as_it_is(inputs: Inputs, finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != "map.json"}
    result = inputs.run(finished)
    assert result.map == finished / "map.tif" and result.scores
    after = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != "map.json"}
    assert after == before


@pytest.mark.parametrize(
    ("options", "named"),
    [({"size_px": 32}, "size_px: was None, now 32"), ({"seed": 3}, "seed: was 0, now 3")],
)
def test_other_inputs_are_refused(
    inputs: Inputs, finished: Path, options: dict[str, object], named: str
) -> None:
    with pytest.raises(
        ConfigError, match=f"{named}; restore them, choose another .* or start again"
    ) as refused:
        inputs.run(finished, **options)
    assert "\n" not in str(refused.value)


def test_labels_that_changed_are_refused(inputs: Inputs, finished: Path, tmp_path: Path) -> None:
    moved = write_polygons(tmp_path / "other.gpkg", [square(20, 20, 30)], kind=["roof"])
    with pytest.raises(ConfigError, match="cannot be continued, because these differ: labels"):
        map_scenes(inputs.scene, moved, out=finished, config=inputs.config)


def test_another_training_is_refused(inputs: Inputs, finished: Path) -> None:
    done = CliRunner().invoke(cli, inputs.line(finished, "--minutes", "7"))
    assert isinstance(done.exception, ConfigError) and "minutes: was None, now 7.0" in str(done.exception)


def test_a_dry_run_says_every_step_and_writes_nothing(inputs: Inputs, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, inputs.line(tmp_path / "new", "--dry-run", "--json"))
    assert done.exit_code == 0, done.stderr
    plan = json.loads(done.stdout)
    assert [step["step"] for step in plan["steps"]] == list(mapping.STEPS)
    assert all(step["seconds"] > 0 for step in plan["steps"])
    assert "task segmentation, because" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_question_keeps_the_chips_and_its_answer_continues(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = [square(col, row, 12) for row in range(6, 180, 24) for col in range(6, 180, 24)]
    outlines = [shapely.Polygon(list(box.exterior.coords)[:3]) for box in boxes[1::2]]
    labels = write_polygons(tmp_path / "mixed.gpkg", boxes[::2] + outlines, kind=["roof"] * len(boxes))
    out = tmp_path / "mixed"
    with pytest.raises(ConfigError, match="fit equally; choose one with `task`"):
        map_scenes(inputs.scene, labels, out=out)
    assert open_chip_set(out / "chips").records and not (out / "model.eodl").exists()

    class Reached(Exception):
        """The training was called."""

    def reached(*_: object, **options: object) -> None:
        assert options["config"].task == "detection"
        raise Reached

    monkeypatch.setattr(mapping, "train", reached)
    with pytest.raises(Reached):
        map_scenes(inputs.scene, labels, out=out, task="detection")


def test_a_folder_of_something_else_is_refused_and_kept(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match=r"no map.json of an earlier run; choose another folder"):
            inputs.run(tmp_path, overwrite=overwrite)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_starting_again_removes_results_and_nothing_else(tmp_path: Path) -> None:
    first = MappingFolder.begin(tmp_path / "town", {"seed": 0}, overwrite=False)
    first.finish("chips", 1.0)
    (first.path / "map.tif").write_text("old")
    (first.path / "model.run").mkdir()
    (first.path / "mine.qgz").write_text("project")
    again = MappingFolder.begin(first.path, {"seed": 1}, overwrite=True)
    assert not again.is_done("chips")
    assert sorted(path.name for path in again.path.iterdir()) == ["map.json", "mine.qgz"]


def test_a_run_killed_while_it_cleared_the_folder_clears_the_rest(tmp_path: Path) -> None:
    first = MappingFolder.begin(tmp_path / "town", {"seed": 0}, overwrite=False)
    first.finish("chips", 1.0)
    (first.path / "map.tif").write_text("old")
    first.note({"clearing": True})
    again = MappingFolder.begin(first.path, {"seed": 0}, overwrite=False)
    assert not again.is_done("chips") and not (again.path / "map.tif").exists()

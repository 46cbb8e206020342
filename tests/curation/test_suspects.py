"""Labels that a model doubts: planted mistakes are found, right labels are left alone, and what cannot be
judged is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from eo_dl import read_labels, tile, train
from eo_dl.bundle import Bundle
from eo_dl.chips.splits import Split
from eo_dl.core.classes import ClassSet
from eo_dl.core.labelset import LabelSet
from eo_dl.curation.checks import doubtedimages, doubtedobjects, doubtedpixels
from eo_dl.curation.checks.audit import audit_labels
from eo_dl.curation.checks.suspects import Doubts, check_with_model
from eo_dl.errors import LabelError
from eo_dl.io.scene import Scene, open_scene
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.networks.compute import Compute
from eo_dl.tasks import RASTER, load_task
from eo_dl.tasks.task import NetworkInputs
from eo_dl.training.trainconfig import TrainConfig
from tests.making import noise, rectangle, write_polygons, write_raster

SIDE = 200


def square(col: float, row: float, side: float = 12) -> shapely.Polygon:
    return rectangle(col, row, col + side, row + side)


PLACES = [(col, row) for row in range(10, 180, 30) for col in range(10, 180, 30)]
"""36 squares on a grid."""


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    names = ("red", "green", "blue")
    return open_scene(write_raster(tmp_path / "s.tif", noise(3, SIDE, SIDE), names=names))


def model(task_name: str, scene: Scene, names: Sequence[str] = ("roof", "shed")) -> Bundle:
    """A bundle without weights: what it would say is put in its place."""
    task = load_task(task_name)
    classes = ClassSet.of_names(list(names), background=task.output == RASTER)
    inputs = NetworkInputs(
        3, classes, 32, object_sizes_px=np.array([[8.0, 8.0]]), chip_covers=np.eye(len(names))
    )
    config = task.settle(task.config(backbone="test_resnet", network=task.networks[0]), inputs)
    spec = ModelSpec(
        task=task_name,
        config=config.model_dump(mode="json"),
        bands=band_specs(scene.bands),
        classes=class_specs(task.settled_classes(classes, config)),
        chip_px=32,
        normalization=NormalizationSpec(mean=(100.0,) * 3, std=(50.0,) * 3),
    )
    return Bundle(Path("model.eodl"), spec)


def drawn(folder: Path, shapes: Sequence[shapely.Geometry], names: Sequence[str]) -> LabelSet:
    return read_labels(write_polygons(folder / "labels.gpkg", shapes, kind=names), class_field="kind")


def by_kind(doubts: Doubts) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in doubts.findings:
        found.setdefault(one.kind, []).extend(one.feature_ids or ("",))
    return found


def truth_planes(noise: float = 0.0) -> np.ndarray:
    """(3, H, W) what a good model says of the squares: every other one is a shed."""
    ids = np.zeros((SIDE, SIDE), int)
    for number, (col, row) in enumerate(PLACES):
        ids[row : row + 12, col : col + 12] = 1 + number % 2
    planes = np.full((3, SIDE, SIDE), 0.05)
    np.put_along_axis(planes, ids[None], 0.9, axis=0)
    return np.asarray(planes + np.random.default_rng(0).uniform(-noise, noise, planes.shape))


def says(monkeypatch: pytest.MonkeyPatch, planes: np.ndarray) -> None:
    """The model of pixels gives these probabilities."""

    def predict(bundle: Bundle, scenes: Sequence[Scene], *, out: str, **_: Any) -> Any:
        path = Path(scenes[0].path).with_name("prob.tif")
        write_raster(path, planes.astype(np.float32))
        return SimpleNamespace(parts=(SimpleNamespace(probabilities=path),))

    monkeypatch.setattr(doubtedpixels, "predict", predict)


def test_a_model_of_pixels_finds_what_was_planted_and_nothing_else(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, truth_planes(0.04))
    names = [("roof", "shed")[number % 2] for number in range(36)]
    clean = check_with_model(
        drawn(tmp_path, [square(*place) for place in PLACES], names), [scene], model("segmentation", scene)
    )
    assert clean.findings == () and clean.notes == ()
    swapped = list(names)
    swapped[7], swapped[20] = "roof", "shed"
    shapes = [square(*place) for place in PLACES]
    extra = [square(25, 25, 8), square(130, 190, 9)]
    doubts = check_with_model(
        drawn(tmp_path, [*shapes[:-1], *extra], [*swapped[:-1], "roof", "shed"]),
        [scene],
        model("segmentation", scene),
    )
    found = by_kind(doubts)
    assert set(found["suspected class"]) == {"#8", "#21"}
    assert set(found["suspected object"]) == {"#36", "#37"}
    (gap,) = [one for one in doubts.findings if one.kind == "suspected gap"]
    col, row = PLACES[-1]
    assert (
        gap.geometry is not None
        and gap.geometry.equals(shapely.box(col, row, col + 12, row + 12))
        and gap.class_name == "shed"
    )


def test_of_objects_a_gap_across_blocks_is_one(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, truth_planes())
    monkeypatch.setattr(doubtedpixels, "_BLOCK_PX", 16)
    names = [("roof", "shed")[number % 2] for number in range(36)]
    shapes = [square(*place) for place in PLACES]
    doubts = check_with_model(drawn(tmp_path, shapes[1:], names[1:]), [scene], model("segmentation", scene))
    (gap,) = doubts.findings
    assert gap.geometry is not None and gap.geometry.area == 144


def test_ground_outside_annotated_is_no_gap_and_unknown_classes_are_said(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, truth_planes())
    shapes, names = [square(*place) for place in PLACES[:12]], ["roof", "shed"] * 6
    write_polygons(tmp_path / "l.gpkg", [*shapes, square(25, 25, 8)], kind=[*names, "pool"])
    write_polygons(tmp_path / "ground.gpkg", [square(0, 0, 66)])
    labels = read_labels(tmp_path / "l.gpkg", class_field="kind", annotated=tmp_path / "ground.gpkg")
    doubts = check_with_model(labels, [scene], model("segmentation", scene))
    assert [one.kind for one in doubts.findings if one.kind != "suspected gap"] == []
    assert all(
        one.geometry.within(shapely.box(0, 0, 66, 66)) for one in doubts.findings if one.geometry is not None
    )
    assert any("pool" in note for note in doubts.notes)


def test_a_label_raster_is_judged_pixel_by_pixel_and_its_edges_are_left_alone(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, truth_planes(0.04))
    ids = np.zeros((SIDE, SIDE), np.uint8)
    for number, (col, row) in enumerate(PLACES):
        ids[row + 1 : row + 13, col + 1 : col + 13] = 1 + number % 2
    col, row = PLACES[3]
    ids[row + 1 : row + 13, col + 1 : col + 13] = 1
    ids[25:34, 25:34] = 2
    mask = write_raster(tmp_path / "s_mask.tif", ids)
    labels = read_labels(mask, classes="background=0,roof=1,shed=2")
    doubts = check_with_model(labels, [scene], model("segmentation", scene))
    found = {one.kind: one for one in doubts.findings}
    assert len(doubts.findings) == 2 and set(found) == {"suspected class", "suspected object"}
    where = found["suspected class"].geometry
    assert where is not None and where.equals(shapely.box(col + 1, row + 1, col + 12, row + 12))


def detections(
    monkeypatch: pytest.MonkeyPatch,
    shapes: Sequence[shapely.Geometry],
    names: Sequence[str],
    scores: Sequence[float],
) -> None:
    def predict(bundle: Bundle, scenes: Sequence[Scene], *, out: str, **_: Any) -> Any:
        path = Path(scenes[0].path).with_name("found.gpkg")
        write_polygons(path, shapes, class_name=names, score=scores)
        return SimpleNamespace(parts=(SimpleNamespace(path=path),))

    monkeypatch.setattr(doubtedobjects, "predict", predict)


def test_a_model_of_objects_finds_what_was_planted_and_nothing_else(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [("roof", "shed")[number % 2] for number in range(36)]
    shapes = [square(*place) for place in PLACES]
    scores = [0.8 + 0.004 * number for number in range(36)]
    detections(monkeypatch, shapes, names, scores)
    assert check_with_model(drawn(tmp_path, shapes, names), [scene], model("detection", scene)).findings == ()
    swapped = list(names)
    swapped[31] = "roof"
    detections(
        monkeypatch,
        [*shapes, square(26, 26, 8), square(86, 86, 8)],
        [*names, "roof", "roof"],
        [*scores, 0.95, 0.3],
    )
    doubts = check_with_model(
        drawn(tmp_path, [*shapes, square(146, 146, 8)], [*swapped, "shed"]),
        [scene],
        model("detection", scene),
    )
    found = by_kind(doubts)
    assert found["suspected class"] == ["#32"] and found["suspected object"] == ["#37"]
    assert len(found["suspected gap"]) == 1, "the unsure one is no gap"


def test_a_model_that_overlooks_most_says_nothing_of_what_is_not_there(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [square(*place) for place in PLACES]
    detections(monkeypatch, shapes[:10], ["roof"] * 10, [0.9] * 10)
    doubts = check_with_model(drawn(tmp_path, shapes, ["roof"] * 36), [scene], model("detection", scene))
    assert doubts.findings == () and "28%" in doubts.notes[0] and "roof" in doubts.notes[0]
    detections(monkeypatch, [], [], [])
    assert (
        check_with_model(drawn(tmp_path, shapes, ["roof"] * 36), [scene], model("detection", scene)).findings
        == ()
    )


def test_a_model_of_images_finds_those_in_the_wrong_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes, names = [], []
    for number in range(20):
        name = ("field", "town")[number % 2]
        (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
        path = tmp_path / "set" / name / f"i{number}.tif"
        scenes.append(open_scene(write_raster(path, noise(3, 16, 16, seed=number))))
        names.append(name)
    labels = read_labels(tmp_path / "set")

    def predict(bundle: Bundle, scenes: Sequence[Scene], *, out: Path, **_: Any) -> None:
        town = np.array([0.9 if name == "town" else 0.1 for name in names]) + np.random.default_rng(
            0
        ).uniform(-0.05, 0.05, 20)
        town[4] = 0.97
        pd.DataFrame({"p_field": 1 - town, "p_town": town}).to_csv(out, index=False)

    monkeypatch.setattr(doubtedimages, "predict", predict)
    (found,) = check_with_model(
        labels, scenes, model("classification", scenes[0], ("field", "town"))
    ).findings
    assert found.image == "i4.tif" and found.class_name == "field" and "'town'" in found.text


def test_what_a_model_cannot_judge_is_refused(scene: Scene, tmp_path: Path, sample_data: Path) -> None:
    labels = drawn(tmp_path, [square(10, 10)], ["pool"])
    with pytest.raises(LabelError, match="same names"):
        check_with_model(labels, [scene], model("segmentation", scene))
    with pytest.raises(LabelError, match="judges labels of whole images"):
        check_with_model(labels, [scene], model("classification", scene))
    with pytest.raises(LabelError, match="`scenes`"):
        audit_labels(
            sample_data / "train_labels.gpkg",
            model=model("segmentation", scene),
            label_options=LabelOptions(layer="buildings", class_field="none"),
        )


@pytest.mark.slow
def test_a_trained_model_finds_swapped_classes_and_invented_objects(
    sample_data: Path, tmp_path: Path
) -> None:
    """Learnt on the train scene; on the other scene 8 of 96 fields and buildings carry the other's name."""
    labels = read_labels(
        sample_data / "train_labels.gpkg", layer="landcover", classes="building,field,other=*"
    )
    chips = tile(
        sample_data / "train.tif", labels, out=tmp_path / "chips", size_px=128, split=Split(block_m=160)
    )
    config = TrainConfig(task="segmentation", baselines=False)
    made = train(
        chips,
        "segmentation",
        epochs=4,
        compute=Compute(batch_size=4),
        backbone="resnet10t",
        config=config,
        out=tmp_path / "m.eodl",
    )
    frame = gpd.read_file(sample_data / "test_labels.gpkg", layer="landcover")
    frame = frame[frame["class_name"].isin(["building", "field"])].reset_index(drop=True)
    frame = frame[frame.area > 60].reset_index(drop=True)
    planted = np.random.default_rng(4).choice(len(frame), 8, replace=False)
    names = frame["class_name"].to_numpy().copy()
    names[planted] = np.where(names[planted] == "field", "building", "field")
    frame.assign(class_name=names).to_file(tmp_path / "swapped.gpkg")
    report = audit_labels(
        tmp_path / "swapped.gpkg",
        sample_data / "test.tif",
        model=made.model,
        label_options=LabelOptions(class_field="class_name"),
    )
    found = {i for one in report.findings if one.kind == "suspected class" for i in one.feature_ids}
    true = {f"#{place + 1}" for place in planted}
    precision, recall = len(found & true) / max(len(found), 1), len(found & true) / len(true)
    assert precision > 4 * 8 / len(frame), (precision, recall)
    assert recall > 0.5, (precision, recall)

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.bundle import Bundle
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.arrays import Chip, Objects
from eo_dl.core.chipviews import VIEWS
from eo_dl.core.classes import ClassSet
from eo_dl.core.labeloutlines import MapOutlines
from eo_dl.core.maplabels import MapLabels
from eo_dl.core.rawnames import FEATURE_MAP, FEATURES
from eo_dl.core.window import Window
from eo_dl.curation.queue.chipqueue import Ranking, queue_chips
from eo_dl.curation.queue.chipuncertainty import (
    OBJECTS,
    Uncertainty,
    multi_label_uncertainty,
    object_uncertainty,
    probability_uncertainty,
)
from eo_dl.curation.queue.reasons import reason
from eo_dl.curation.queue.selection import select
from eo_dl.errors import ConfigError, EoDlError, InputError
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.labels.reading import read_labels
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.networks.featureoutput import WithFeatures
from eo_dl.tasks import RASTER, Task, available_tasks, load_task
from eo_dl.tasks.task import NetworkInputs
from eo_dl.uncertainty.applicability import fit_applicability
from eo_dl.uncertainty.featurecells import cell_features
from tests.making import noise, rectangle, square, write_polygons, write_raster
from tests.tinynetworks import BANDS, EVERY_NETWORK, SIZE, make_tiny_network

SMALL: dict[str, dict[str, Any]] = {
    "segmentation": {"decoder_channels": (16, 16, 16, 16, 16)},
    "detection": {"pyramid_channels": 32, "head_channels": 32, "proposals": 50, "detections": 10},
    "instances": {
        "pyramid_channels": 32,
        "head_channels": 32,
        "proposals": 50,
        "detections": 10,
        "mask_channels": 16,
        "mask_layers": 1,
    },
    "localization": {"map_channels": 32, "head_channels": 32},
}
CLASSES = ClassSet.of_names(["a", "b"], background=True)


# Measures


def test_a_sure_chip_has_no_uncertainty_and_an_even_one_all_of_it() -> None:
    sure, even = np.zeros((3, 4, 5), np.float32), np.full((3, 4, 5), 1 / 3, np.float32)
    sure[1] = 1
    assert (
        probability_uncertainty([sure, sure]) == pytest.approx(probability_uncertainty([sure]))
        and probability_uncertainty([sure]).entropy == 0
    )
    told = probability_uncertainty([even])
    assert (told.entropy, told.margin, told.disagreement) == pytest.approx((1, 1, 0), abs=1e-6)
    other = np.roll(sure, 1, axis=0)
    torn = probability_uncertainty([sure, other])
    assert torn.disagreement == pytest.approx(np.log(2) / np.log(3), abs=1e-6), (
        "two sure views that contradict each other"
    )


@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 4))
def test_measures_are_those_of_every_pixel(seed: int, classes: int, views: int) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.dirichlet(np.ones(classes), (views, 3, 4)).transpose(0, 3, 1, 2)
    valid = rng.random((3, 4)) < 0.7
    valid[0, 0] = True
    entropies, margins, disagreements = [], [], []
    for row, col in np.argwhere(valid):
        mean = planes[:, :, row, col].mean(0)
        each = [-sum(p * np.log(p) for p in view if p > 0) for view in planes[:, :, row, col]]
        entropies.append(-sum(p * np.log(p) for p in mean if p > 0))
        margins.append(1 - (sorted(mean)[-1] - sorted(mean)[-2]))
        disagreements.append(entropies[-1] - np.mean(each))
    told = probability_uncertainty(list(planes), valid)

    def most(values: list[float]) -> float:
        quarter = sorted(values, reverse=True)[: -(-len(values) // 4)]
        return sum(quarter) / len(quarter)

    scaled = (most(entropies) / np.log(classes), most(margins), most(disagreements) / np.log(classes))
    assert (told.entropy, told.margin, told.disagreement) == pytest.approx(scaled, abs=1e-6)
    assert len(told.class_shares) == classes and sum(told.class_shares) == pytest.approx(1)


def test_a_small_unclear_thing_counts_more_than_a_large_slightly_unclear_one() -> None:
    roof, field = np.zeros((2, 10, 10)), np.full((2, 10, 10), 0.05)
    roof[0], field[1] = 1, 0.95
    roof[:, 2:6, 2:6] = 0.5
    assert probability_uncertainty([roof]).entropy > 2 * probability_uncertainty([field]).entropy


def test_what_it_is_unsure_about_is_told_of_the_unsure_pixels() -> None:
    planes = np.zeros((3, 4, 4))
    planes[0] = 1
    planes[:, 0, 0] = 0, 0.6, 0.4
    told = probability_uncertainty([planes], valid=np.arange(16).reshape(4, 4) < 4)
    assert told.class_shares == pytest.approx((0, 0.6, 0.4))
    assert object_uncertainty(
        [found((0, 0, 9, 9, 3, 0.5), (20, 0, 29, 9, 1, 0.5))], (1, 2, 3)
    ).class_shares == pytest.approx((0.5, 0, 0.5))
    assert multi_label_uncertainty([np.array([0.5, 1.0])]).class_shares == pytest.approx(
        (1, 0)
    ) and object_uncertainty([found()], (1, 2)).class_shares == (0, 0)


def test_the_reason_is_told_in_words() -> None:
    classes, values = ClassSet.of_names(["water", "road", "roof"]), np.array([0.1, 0.2, 0.3, 0.4])
    told = Uncertainty(0.4, 0, 0, (0.3, 0.6, 0.1))
    assert reason(told, "entropy", values, classes, 0.9) == (
        "more uncertain than 75 % of the chips, between road and water; unlike the chips labelled or ranked "
        "so far"
    )
    assert (
        reason(Uncertainty(0.1, 0, 0, (0.9, 0.1, 0)), "entropy", values, classes, 0.1)
        == "more uncertain than 0 % of the chips, about water"
    )
    assert (
        reason(Uncertainty(0, 0, 0, (0.0,) * 3), "margin", values, classes, 0.1)
        == "more uncertain than 0 % of the chips"
    )


def test_nothing_measured_is_nothing_to_ask_for() -> None:
    assert probability_uncertainty([np.full((2, 3, 3), 0.5)], np.zeros((3, 3), np.bool_)).entropy == 0


def test_of_labels_that_may_meet_the_least_sure_counts() -> None:
    assert multi_label_uncertainty([np.array([0.99, 0.5, 0.01])]).entropy == pytest.approx(1)
    assert multi_label_uncertainty([np.array([0.99, 0.9, 0.01])]).entropy < 0.5


def found(*boxes: tuple[float, float, float, float, int, float]) -> Objects:
    table = np.array(boxes, np.float64).reshape(-1, 6)
    return Objects(table[:, :4], table[:, 4].astype(np.int64), table[:, 5].astype(np.float32))


def test_an_object_that_a_turn_makes_vanish_is_disagreed_on() -> None:
    here, close = found((0, 0, 10, 10, 1, 0.9)), found((1, 0, 10, 10, 1, 0.8))
    assert object_uncertainty([here, close]).disagreement == pytest.approx(0.1 / OBJECTS, abs=1e-6)
    assert object_uncertainty([here, found()]).disagreement == pytest.approx(0.9 / OBJECTS, abs=1e-6)
    assert object_uncertainty([found(), here]).disagreement == pytest.approx(0.9 / OBJECTS, abs=1e-6), (
        "one that only the turned chip shows"
    )
    assert object_uncertainty([here, found((0, 0, 10, 10, 2, 0.9))]).disagreement == pytest.approx(
        1.8 / OBJECTS, abs=1e-6
    ), "of another class it is another one"
    assert object_uncertainty([found(), found()]).entropy == 0 and object_uncertainty(
        [found((0, 0, 9, 9, 1, 0.5))]
    ).entropy == pytest.approx(1 / OBJECTS)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_undone(view: Any) -> None:
    image = np.random.default_rng(0).random((2, 8, 8)).astype(np.float32)
    assert (view.undo(view.apply(image)) == image).all()
    box = np.zeros((8, 8), np.float32)
    box[1:3, 2:7] = 1
    rows, cols = np.nonzero(view.apply(box))
    seen = found((cols.min(), rows.min(), cols.max() + 1, rows.max() + 1, 1, 1.0))
    assert view.undo_objects(seen, 8).boxes.tolist() == [[2, 1, 7, 3]]


def test_all_views_differ() -> None:
    image = np.arange(9.0).reshape(3, 3)
    assert len({view.apply(image).tobytes() for view in VIEWS}) == 8


# Choice


def naive_choice(
    uncertainty: np.ndarray,
    points: np.ndarray,
    places: list[int],
    known: np.ndarray,
    count: int,
    diversity: float,
) -> list[int]:
    together = np.concatenate([points, known]).astype(np.float64)
    scaled = (together - together.mean(0)) / together.std(0)
    own, old = scaled[: len(points)], list(scaled[len(points) :])
    order: list[int] = []
    while len(order) < min(count, len(points)):
        left = [i for i in range(len(points)) if i not in order]
        distance = {
            i: min((float(np.linalg.norm(own[i] - centre)) for centre in old), default=-1.0) for i in left
        }
        largest = max(distance.values())
        values = {}
        for i in left:
            d = distance[i] / largest if distance[i] >= 0 and largest > 0 else 1.0
            rank = (sum(u < uncertainty[i] for u in uncertainty) + 1) / len(points)
            values[i] = (
                rank ** (1 - diversity) * d**diversity / (1 + sum(places[j] == places[i] for j in order))
            )
        best = max(left, key=lambda i: (round(values[i], 9), -i))
        order.append(best)
        old.append(own[best])
    return order


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.integers(0, 3))
def test_the_choice_is_the_greedy_one(seed: int, diversity: float, known: int) -> None:
    rng = np.random.default_rng(seed)
    points, old = rng.normal(size=(12, 3)).astype(np.float32), rng.normal(size=(known, 3)).astype(np.float32)
    uncertainty, places = rng.random(12), rng.integers(0, 4, 12)
    selection = select(uncertainty, points, old, places, count=7, diversity=diversity)
    assert selection.order.tolist() == naive_choice(uncertainty, points, places.tolist(), old, 7, diversity)
    assert (np.diff(selection.score) <= 1e-12).all() and (selection.score <= 1 + 1e-12).all(), (
        "a layer sorted by rank is sorted by score"
    )


def test_equal_chips_are_taken_in_their_order() -> None:
    nothing_known = np.empty((0, 2), np.float32)
    same = select(
        np.full(5, 0.5), np.zeros((5, 2), np.float32), nothing_known, np.arange(5), count=5, diversity=0.5
    )
    assert same.order.tolist() == [0, 1, 2, 3, 4]


def test_without_diversity_it_is_uncertainty_and_twins_come_late() -> None:
    uncertainty = np.array([0.9, 0.89, 0.1, 0.8])
    features = np.array([[0, 0], [0, 0], [5, 5], [9, 0]], np.float32)
    apart = np.arange(4)
    nobody = np.empty((0, 2), np.float32)
    assert select(uncertainty, features, nobody, apart, count=4, diversity=0.0).order.tolist() == [0, 1, 3, 2]
    assert select(uncertainty, features, nobody, apart, count=4, diversity=0.5).order.tolist() == [
        0,
        3,
        2,
        1,
    ], "a copy of what was taken tells nothing new"
    assert select(
        uncertainty, features, nobody, np.zeros(4, np.int64), count=9, diversity=0.0
    ).order.tolist() == [0, 1, 3, 2]


# Whole runs


class TinyBundle(Bundle):
    """An untrained model of a task that is not on disk."""

    @property
    def hash(self) -> str:
        return "0" * 64

    def make_network(self, **options: Any) -> Any:
        torch.manual_seed(0)
        return self.task.make_network(
            self.config, NetworkInputs(len(self.bands), self.classes, self.spec.chip_px)
        )


def tiny_model(task_name: str, scene: Path) -> TinyBundle:
    task = load_task(task_name)
    bands = open_scene(scene).bands
    classes = CLASSES if task.output == RASTER else CLASSES.without_background()
    inputs = NetworkInputs(
        len(bands), classes, 32, object_sizes_px=np.array([[8.0, 8.0], [12.0, 9.0]]), chip_covers=np.eye(2)
    )
    config = task.settle(
        task.config(**{"network": task.networks[0], "backbone": "test_resnet", **SMALL.get(task_name, {})}),
        inputs,
    )
    spec = ModelSpec(
        task=task_name,
        config=config.model_dump(mode="json"),
        bands=band_specs(bands),
        classes=class_specs(task.settled_classes(classes, config)),
        chip_px=32,
        normalization=NormalizationSpec(mean=(100.0,) * 3, std=(50.0,) * 3),
    )
    return TinyBundle(scene.with_name("tiny.eodl"), spec)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """5 x 4 chips of 32 px, the last one not measured."""
    pixels = noise(3, 128, 160)
    pixels[:, 96:, 128:] = 0
    return write_raster(tmp_path / "s.tif", pixels, nodata=0, names=("red", "green", "blue"))


@EVERY_NETWORK
def test_the_features_of_a_chip_are_its_own(task: Task, tmp_path: Path) -> None:
    """Those of classifiers without a timm backbone were all taken from the last chip of a batch."""
    network = WithFeatures(make_tiny_network(task)).eval()
    images = torch.randn(3, BANDS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = network(images)[FEATURES]
        alone = torch.cat([network(image[None])[FEATURES] for image in images])
    assert together.ndim == 2 and not torch.allclose(together[0], together[1])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("task", available_tasks())
def test_every_task_has_a_queue(task: str, scene: Path, tmp_path: Path) -> None:
    made = queue_chips(
        tiny_model(task, scene), scene, out=tmp_path / "queue.gpkg", count=5, ranking=Ranking(views=2)
    )
    assert (
        made.candidates == 19
        and len(made.picks) == 5
        and any("less than half" in note for note in made.notes)
    )
    table = gpd.read_file(tmp_path / "queue.gpkg", layer="queue")
    assert (
        table["rank"].tolist() == [1, 2, 3, 4, 5]
        and set(table["status"]) == {"to do"}
        and table.crs.to_epsg() == 32633
    )
    assert (
        (np.diff(table["score"]) <= 0).all()
        and table["score"].between(0, 1).all()
        and table["reason"].str.startswith("more uncertain than").all()
    )
    for shape, pick in zip(table.geometry, made.picks, strict=True):
        col0, row0, col1, row1 = pick.window.box
        assert shape.equals(rectangle(col0, row0, col1, row1))
    with sqlite3.connect(tmp_path / "queue.gpkg") as database:
        (style,) = database.execute(
            "SELECT styleQML FROM layer_styles WHERE f_table_name = 'queue'"
        ).fetchone()
    database.close()
    assert "graduatedSymbol" in style and 'attr="rank"' in style


def test_the_same_input_gives_the_same_queue_and_every_measure_works(scene: Path, tmp_path: Path) -> None:
    model = tiny_model("segmentation", scene)
    first, again = (
        queue_chips(model, scene, out=tmp_path / name, count=19, ranking=Ranking(views=2))
        for name in ("a.gpkg", "b.gpkg")
    )
    assert (
        first.picks == again.picks
        and (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    )
    for by in ("entropy", "margin", "disagreement"):
        made = queue_chips(
            model, scene, out=tmp_path / f"{by}.gpkg", count=19, ranking=Ranking(by, diversity=0, views=2)
        )
        best = max(made.picks, key=lambda pick: getattr(pick, by))
        assert made.picks[0] == best and {pick.window for pick in made.picks} == {
            pick.window for pick in first.picks
        }


def test_ground_outside_the_area_of_applicability_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise(3, 128, 160)
    pixels[:, 32:64, 96:128] = 255  # nothing like the noise of the rest
    path = write_raster(tmp_path / "s.tif", pixels, names=("red", "green", "blue"))
    model = tiny_model("segmentation", path)
    own = (noise(3, 32, 32 * 40, seed=7).astype(np.float32) - 100) / 50
    images = torch.from_numpy(own.reshape(3, 32, 40, 32).transpose(2, 0, 1, 3).copy())
    with torch.no_grad():
        maps = WithFeatures(model.make_network().eval(), FEATURE_MAP)(images)[FEATURE_MAP].numpy()
    known = fit_applicability(
        np.stack([cell_features(one, 32, whole=False).ravel() for one in maps]),
        [str(number % 8) for number in range(40)],
    )
    assert known is not None
    ranking = Ranking("dissimilarity", diversity=0, views=1)
    with pytest.raises(ConfigError, match="keeps nothing of its training ground"):
        queue_chips(model, path, out=tmp_path / "q.gpkg", ranking=ranking)
    monkeypatch.setattr(TinyBundle, "applicability", lambda self: known.applicability)
    made = queue_chips(model, path, out=tmp_path / "q.gpkg", count=3, ranking=ranking)
    assert (made.picks[0].window.col, made.picks[0].window.row) == (96, 32)
    assert made.picks[0].reason.startswith("outside the area of applicability")


def test_annotated_ground_is_not_asked_for_again(scene: Path, tmp_path: Path) -> None:
    model = tiny_model("segmentation", scene)
    write_polygons(tmp_path / "l.gpkg", [square(10, 10)], kind=["a"])
    labels = read_labels(tmp_path / "l.gpkg")
    drawn = queue_chips(
        model, scene, out=tmp_path / "q.gpkg", count=30, labels=labels, ranking=Ranking(views=1)
    )
    assert (
        drawn.candidates == 18
        and all(pick.window.box[:2] != (0, 0) for pick in drawn.picks)
        and any("only 18" in note for note in drawn.notes)
    )
    assert isinstance(labels, MapLabels) and labels.crs is not None
    west = np.array([rectangle(0, 0, 64, 128)], dtype=object)
    half = queue_chips(
        model,
        scene,
        out=tmp_path / "h.gpkg",
        count=30,
        labels=replace(labels, areas=MapOutlines(west, labels.crs, "west")),
        ranking=Ranking(views=1),
    )
    assert half.candidates == 11 and min(pick.window.col for pick in half.picks) == 64
    write_polygons(tmp_path / "aoi.gpkg", [rectangle(0, 0, 160, 64)])
    north = queue_chips(
        model,
        scene,
        out=tmp_path / "n.gpkg",
        count=30,
        labels=labels,
        aoi=tmp_path / "aoi.gpkg",
        ranking=Ranking(views=1),
    )
    assert north.candidates == 9 and max(pick.window.row for pick in north.picks) == 32


def test_a_chip_set_takes_its_ground_and_its_like_out(scene: Path, tmp_path: Path) -> None:
    write_polygons(tmp_path / "l.gpkg", [rectangle(2, 10, 60, 30)], kind=["a"])
    write_polygons(tmp_path / "done.gpkg", [rectangle(0, 0, 159, 64)])
    chips = tile(
        scene,
        tmp_path / "l.gpkg",
        out=tmp_path / "chips",
        size_px=32,
        annotated=tmp_path / "done.gpkg",
        split=Split(guard_px=0),
    )
    made = queue_chips(
        tiny_model("segmentation", scene),
        scene,
        out=tmp_path / "q.gpkg",
        count=30,
        chips=chips,
        ranking=Ranking(views=1),
    )
    assert made.candidates == 9 and min(pick.window.row for pick in made.picks) == 64
    assert max(pick.novelty for pick in made.picks) <= 1


def _chips_read(monkeypatch: pytest.MonkeyPatch) -> list[Chip]:
    """Every chip that is read from now on."""
    chips: list[Chip] = []
    read = SceneReader.read

    def recorded(self: SceneReader, window: Window) -> Chip:
        chips.append(read(self, window))
        return chips[-1]

    monkeypatch.setattr(SceneReader, "read", recorded)
    return chips


@pytest.fixture
def coarse_chips(scene: Path, tmp_path: Path) -> ChipSet:
    """Chips of 16 px at 2 m, cut from the north of the 1 m scene."""
    write_polygons(tmp_path / "l.gpkg", [rectangle(2, 10, 60, 30)], kind=["a"])
    write_polygons(tmp_path / "done.gpkg", [rectangle(0, 0, 159, 64)])
    return tile(
        scene,
        tmp_path / "l.gpkg",
        out=tmp_path / "chips",
        size_px=16,
        gsd_m=2.0,
        annotated=tmp_path / "done.gpkg",
        split=Split(guard_px=0),
    )


def test_chips_of_another_gsd_than_the_model_are_read_where_they_lie(
    scene: Path, tmp_path: Path, coarse_chips: ChipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of 2 m pixels were read as windows of 1 m pixels: other ground, and no error."""
    model = tiny_model("segmentation", scene)
    fine = TinyBundle(model.path, model.spec.model_copy(update={"gsd_m": 1.0}))
    chips = _chips_read(monkeypatch)
    queue_chips(fine, scene, out=tmp_path / "q.gpkg", chips=coarse_chips, ranking=Ranking(views=1))
    records = coarse_chips.split("train")
    assert records
    for record in records:
        footprint = coarse_chips.scenes[0].grid.footprint(record.window)
        read = [chip for chip in chips if chip.grid.footprint().equals(footprint)]
        assert read and read[0].pixels.shape == (3, 32, 32), f"{record.chip_id} was not read where it lies"


def test_options_for_the_new_scenes_do_not_touch_the_scenes_of_the_chip_set(
    scene: Path, tmp_path: Path, coarse_chips: ChipSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rasterio.open(scene) as named, rasterio.open(tmp_path / "bgr.tif", "w", **named.profile) as unnamed:
        unnamed.write(named.read()[::-1])
    model = tiny_model("segmentation", scene)
    chips = _chips_read(monkeypatch)
    queue_chips(
        model,
        open_scene(tmp_path / "bgr.tif", bands="red=3,green=2,blue=1"),
        out=tmp_path / "q.gpkg",
        chips=coarse_chips,
        ranking=Ranking(views=1),
    )
    orders: dict[int, set[tuple[int, ...]]] = {16: set(), 32: set()}
    for chip in chips:  # those of the set have 16 px, candidates 32 px; values are also sampled
        orders.setdefault(chip.grid.width, set()).add(tuple(band.number for band in chip.bands))
    assert orders[16] == {(1, 2, 3)} and orders[32] == {(3, 2, 1)}


def test_scenes_of_two_crs_come_in_one_layer_at_their_places(scene: Path, tmp_path: Path) -> None:
    from rasterio.warp import calculate_default_transform, reproject

    with rasterio.open(scene) as here:
        transform, width, height = calculate_default_transform(
            here.crs, "EPSG:32632", here.width, here.height, *here.bounds, resolution=1.0
        )
        profile = {
            **here.profile,
            "crs": "EPSG:32632",
            "transform": transform,
            "width": width,
            "height": height,
        }
        with rasterio.open(tmp_path / "west.tif", "w", **profile) as west:
            for band in (1, 2, 3):
                reproject(rasterio.band(here, band), rasterio.band(west, band), dst_nodata=0)
                west.set_band_description(band, here.descriptions[band - 1])
    made = queue_chips(
        tiny_model("segmentation", scene),
        [scene, tmp_path / "west.tif"],
        out=tmp_path / "q.gpkg",
        count=40,
        ranking=Ranking(views=1),
    )
    table = gpd.read_file(tmp_path / "q.gpkg", layer="queue")
    assert set(table["scene"]) == {"s.tif", "west.tif"} and {pick.scene for pick in made.picks} == set(
        table["scene"]
    )
    for name in ("s.tif", "west.tif"):
        with rasterio.open(tmp_path / name) as file:
            ground = shapely.box(*file.bounds).buffer(1)
            own = table[table["scene"] == name].to_crs(file.crs)
            assert own.within(ground).all() and own.area.between(31**2, 33**2).all()


def test_what_labels_have_annotated_counts_as_known(scene: Path, tmp_path: Path) -> None:
    write_polygons(tmp_path / "l.gpkg", [square(10, 10)], kind=["a"])
    west = np.array([rectangle(0, 0, 64, 128)], dtype=object)
    labels = read_labels(tmp_path / "l.gpkg")
    assert isinstance(labels, MapLabels) and labels.crs is not None
    labels = replace(labels, areas=MapOutlines(west, labels.crs, "west"))
    model = tiny_model("segmentation", scene)
    write_polygons(tmp_path / "east.gpkg", [rectangle(65, 0, 160, 128)])
    with_known = queue_chips(
        model, scene, out=tmp_path / "a.gpkg", count=11, labels=labels, ranking=Ranking(diversity=1, views=1)
    )
    without = queue_chips(
        model,
        scene,
        out=tmp_path / "b.gpkg",
        count=11,
        aoi=tmp_path / "east.gpkg",
        ranking=Ranking(diversity=1, views=1),
    )
    assert {p.window for p in with_known.picks} == {p.window for p in without.picks}
    assert with_known.picks[0].novelty == pytest.approx(1) and without.picks[0].novelty == 1
    assert [p.novelty for p in with_known.picks] != [p.novelty for p in without.picks], (
        "the first one is the farthest from what is labelled"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"out": "q.tif"}, ".gpkg"),
        ({"count": 0}, "`count`"),
        ({"by": "luck"}, "`by`"),
        ({"views": 9}, "`views`"),
        ({"views": 1, "by": "disagreement"}, "`views`"),
        ({"diversity": 2}, "`diversity`"),
        ({"size_px": 161}, "larger than every scene (at most 160 px)"),
        ({"aoi": "far.gpkg"}, "`aoi`: no chip lies inside it"),
        ({"labels": "all.gpkg"}, "annotated already"),
    ],
)
def test_bad_requests_are_one_line(scene: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    for name, col in (("far.gpkg", 100_000), ("all.gpkg", 0)):
        write_polygons(tmp_path / name, [rectangle(col, 0, col + 900, 1000)], kind=["a"])
    given = {"out": "q.gpkg", **options}
    placed = {
        name: tmp_path / value if name in ("out", "aoi", "labels") else value for name, value in given.items()
    }
    names = [name for name in ("by", "views", "diversity") if name in placed]
    ranked_by = {name: placed.pop(name) for name in names}
    with pytest.raises(InputError) as error:
        queue_chips(tiny_model("segmentation", scene), scene, ranking=Ranking(**ranked_by), **placed)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_existing_queue_is_kept(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "q.gpkg").write_bytes(b"mine")
    with pytest.raises(EoDlError, match="overwrite=True"):
        queue_chips(tiny_model("segmentation", scene), scene, out=tmp_path / "q.gpkg")

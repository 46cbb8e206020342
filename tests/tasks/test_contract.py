"""What every task must do, run over the folder list: a new head is tested by being there."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import shapely
import torch
from affine import Affine
from pyproj import CRS
from shapely.affinity import translate

from eo_dl.bundle import ONNX, load_model, save_bundle
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.arrays import Objects, Target
from eo_dl.core.classes import ClassSet
from eo_dl.core.labelset import LabelSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.pixellabels import PixelLabels
from eo_dl.errors import ConfigError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.export.bundlegraph import checked_graph
from eo_dl.inference.backends.backend import Scaling
from eo_dl.inference.backends.choice import make_backend
from eo_dl.inference.predict import predict
from eo_dl.io.vectorlayers import write_layer
from eo_dl.labels.reading import read_labels, read_values
from eo_dl.networks.compute import Compute
from eo_dl.networks.tasknetwork import TaskNetwork
from eo_dl.networks.weightsources import find_weights
from eo_dl.scores.score import find_score
from eo_dl.tasks import (
    CHIPS,
    OBJECTS,
    RASTER,
    VALUES,
    NetworkInputs,
    Task,
    available_tasks,
    codec_for,
    load_task,
)
from eo_dl.tasks.codecs import Answer
from eo_dl.training.setup.runsetup import initial_network
from eo_dl.training.trainconfig import TrainConfig
from tests.making import write_geotiff
from tests.tinynetworks import (
    BAND_NAMES,
    BANDS,
    EVERY_NETWORK,
    EVERY_NETWORK_FIRST_QUICK,
    EVERY_TASK,
    SIZE,
    make_tiny_network,
    network_inputs,
    tiny_config,
    tiny_spec,
)

CRS_OF_SCENE = CRS.from_epsg(32633)


def _chips() -> tuple[npt.NDArray[np.float32], list[PixelLabels]]:
    """Noise with squares of two classes, each bright in a band of its own; the last chip holds none."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(0, 0.3, (4, BANDS, SIZE, SIZE)).astype(np.float32), []
    for place, image in enumerate(images):
        boxes, ids = [], []
        for k in range(3 if place < 3 else 0):
            col, row, side, class_id = (
                4 + 20 * k,
                int(rng.integers(4, 40)),
                int(rng.integers(12, 17)),
                1 + (k + place) % 2,
            )
            image[class_id - 1, row : row + side, col : col + side] += 3
            boxes.append(shapely.box(col, row, col + side, row + side))
            ids.append(class_id)
        count = len(ids)
        labels.append(
            PixelLabels(
                ClassSet.of_names(["roof", "pond"]),
                np.array(boxes, object),
                np.array(ids, np.int64),
                np.zeros(count, bool),
                np.arange(count),
                feature_values=np.array(ids, float).reshape(-1, 1) * [2.0, -3.0],
            )
        )
    return images, labels


def _labels(task: Task) -> list[PixelLabels]:
    """The labels of `_chips`; of tasks for whole chips the first object's class all over the chip."""
    labels = _chips()[1]
    if task.output != CHIPS:
        return labels
    whole = np.array([shapely.box(0, 0, SIZE, SIZE)], object)
    return [replace(one.take(np.arange(1)), geometries=whole) if len(one) else one for one in labels]


def _targets(task: Task, labels: list[PixelLabels]) -> list[Target]:
    codec = task.make_codec(network_inputs(task).classes, tiny_config(task))
    return [codec.encode(one, SIZE, SIZE) for one in labels]


def _one(raw: dict[str, torch.Tensor], place: int) -> dict[str, npt.NDArray[np.generic]]:
    return {name: value[place].numpy() for name, value in raw.items()}


@EVERY_NETWORK
def test_the_loss_is_a_finite_number_with_gradients(task: Task) -> None:
    images, labels = _chips()[0], _labels(task)
    network = make_tiny_network(task).train()
    losses = network.loss(torch.from_numpy(images), _targets(task, labels))
    losses["loss"].backward()
    assert all(math.isfinite(value.item()) and value.ndim == 0 for value in losses.values())
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad
    )


@EVERY_NETWORK
@pytest.mark.parametrize("size", [32, SIZE])
def test_a_batch_of_one_and_chips_without_labels_survive(task: Task, size: int) -> None:
    images, labels = _chips()[0], _labels(task)
    codec = task.make_codec(network_inputs(task).classes, tiny_config(task))
    network = make_tiny_network(task).train()
    for place in (0, 3):  # with objects, without
        loss = network.loss(
            torch.from_numpy(images[place : place + 1, :, :size, :size]),
            [codec.encode(labels[place], size, size)],
        )["loss"]
        loss.backward()
        assert math.isfinite(loss.item())


@EVERY_NETWORK
@pytest.mark.parametrize(("height", "width"), [(SIZE, SIZE), (37, 81), (1, 1)])
def test_raw_predictions_keep_the_batch_and_decode(task: Task, height: int, width: int) -> None:
    inputs, network = network_inputs(task), make_tiny_network(task).eval()
    codec = task.make_codec(inputs.classes, tiny_config(task))
    with torch.inference_mode():
        raw = network(torch.zeros(2, BANDS, height, width))
    assert all(len(value) == 2 for value in raw.values())
    decoded = codec.decode(_one(raw, 0))
    if task.output == RASTER:
        assert isinstance(decoded, np.ndarray)
        assert decoded.shape == (len(inputs.classes), height, width)
        assert decoded.dtype == np.float32
        np.testing.assert_allclose(decoded.sum(0), 1, atol=1e-5)
        answer = codec.answer(_one(raw, 0))
        assert isinstance(answer, np.ndarray)
        assert answer.shape == (height, width)
        assert answer.dtype == np.uint8
        assert set(np.unique(answer)) <= set(inputs.classes.ids)
    elif task.output == VALUES:
        assert isinstance(decoded, np.ndarray)
        assert decoded.shape == (len(codec.band_names), height, width)
        assert decoded.dtype == np.float32
        assert len(codec.band_names) in (len(inputs.classes), 3 * len(inputs.classes))
        assert codec.answer(_one(raw, 0)).shape[1:] == (height, width)
    elif task.output == OBJECTS:
        assert isinstance(decoded, Objects)
        assert (decoded.boxes >= 0).all()
        assert (decoded.boxes[:, [0, 2]] <= width).all()
        assert (decoded.boxes[:, [1, 3]] <= height).all()
    else:
        assert isinstance(decoded, np.ndarray)
        assert decoded.shape == codec.answer(_one(raw, 0)).shape == (len(inputs.classes),)
        assert decoded.sum() == pytest.approx(1, abs=1e-5)


@EVERY_NETWORK
def test_predictions_of_a_chip_do_not_depend_on_its_neighbours_in_the_batch(task: Task) -> None:
    images = torch.from_numpy(_chips()[0])
    network = make_tiny_network(task).eval()
    with torch.inference_mode():
        together, alone = network(images), network(images[1:2])
    for name, value in together.items():
        torch.testing.assert_close(value[1], alone[name][0], rtol=1e-3, atol=1e-3)


def _score(task: Task, network: TaskNetwork, sure: float = 0.0) -> float:
    """The task's score of a network on the four chips; objects count from a score of `sure`."""
    with torch.inference_mode():
        raw = network.eval()(torch.from_numpy(_chips()[0]))
    codec = task.make_codec(network_inputs(task).classes, tiny_config(task))
    scorer = task.make_scorer(codec, 0.0)
    for index, target in enumerate(_targets(task, _labels(task))):
        answer = codec.answer(_one(raw, index))
        if isinstance(answer, Objects):
            answer = answer.take(np.flatnonzero(answer.scores >= sure))
        scorer.update(answer, codec.truth(target), str(index))
    return find_score(scorer.scores(), task.primary_score).value


def _train(task: Task, network: TaskNetwork, steps: int) -> None:
    """Up to `steps` steps on the four chips at once; enough once `predict`, which keeps objects from 0.5,
    would score 0.9.
    """
    targets, batch = _targets(task, _labels(task)), torch.from_numpy(_chips()[0])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(1, steps + 1):
        network.train()
        optimizer.zero_grad()
        network.loss(batch, targets)["loss"].backward()
        optimizer.step()
        if step % 10 == 0 and _score(task, network, sure=0.5) > 0.9:
            return


@cache
def _learnt(name: str, network_name: str) -> TaskNetwork:
    """A network that knows the four chips by heart, ready to predict."""
    task = replace(load_task(name), networks=(network_name,))
    network = make_tiny_network(task)
    _train(task, network, 60)
    return network.eval()


@EVERY_NETWORK_FIRST_QUICK
def test_four_tiny_chips_are_learnt_by_heart(task: Task) -> None:
    assert _score(task, _learnt(task.name, task.networks[0])) > 0.8


@EVERY_NETWORK_FIRST_QUICK
def test_the_graph_of_what_was_learnt_by_heart_predicts_the_same(task: Task, tmp_path: Path) -> None:
    """Chips with several objects and with none: the graph fixes no number of objects."""
    network = _learnt(task.name, task.networks[0])
    codec = task.make_codec(network_inputs(task).classes, tiny_config(task))
    images = np.concatenate([_chips()[0], np.zeros((1, BANDS, SIZE, SIZE), np.float32)])
    graph, agreement = checked_graph(network, task, codec, images, any_size=False)
    assert agreement.within_tolerance
    with torch.inference_mode():
        expected = network(torch.from_numpy(images))
    spec = tiny_spec(task, tiny_config(task), network_inputs(task).classes)
    bundle = save_bundle(tmp_path / "m.eodl", spec, network.state_dict(), extra={ONNX: graph})
    for name in ("openvino", "onnxruntime"):
        engine = make_backend(name, bundle, compute=Compute("cpu", "32"), labels_only=False)
        scaling = Scaling(np.ones(BANDS, np.float32), np.zeros(BANDS, np.float32))
        found = engine.run(images, np.ones((len(images), SIZE, SIZE), np.bool_), scaling)
        for index in range(len(images)):
            answer = codec.answer({key: value[index] for key, value in found.items()})
            same = codec.answer({key: value[index].numpy() for key, value in expected.items()})
            _assert_same_answer(answer, same)


def _assert_same_answer(answer: Answer, expected: Answer) -> None:
    if isinstance(answer, Objects) and isinstance(expected, Objects):
        sure, expected_sure = (one.take(one.scores >= 0.5) for one in (answer, expected))
        np.testing.assert_array_equal(sure.class_ids, expected_sure.class_ids)
        np.testing.assert_allclose(sure.boxes, expected_sure.boxes, atol=0.05)
    else:
        np.testing.assert_allclose(np.asarray(answer), np.asarray(expected), atol=1e-4)


def _scene_of_four(task: Task, folder: Path) -> tuple[Path, LabelSet]:
    """The four chips as one scene, two by two, and their labels as a layer of the map."""
    images = _chips()[0]
    grid = PixelGrid(
        CRS_OF_SCENE, Affine.translation(500_000, 5_000_000) @ Affine.scale(0.5, -0.5), 2 * SIZE, 2 * SIZE
    )
    pixels = np.concatenate(
        [np.concatenate([images[0], images[1]], 2), np.concatenate([images[2], images[3]], 2)], 1
    )
    write_geotiff(folder / "scene.tif", pixels, grid, descriptions=BAND_NAMES)
    names, outlines, numbers = [], [], []
    for place, labels in enumerate(_labels(task)):
        shifted = [translate(one, SIZE * (place % 2), SIZE * (place // 2)) for one in labels.geometries]
        outlines += shifted
        names += [labels.classes.by_id(int(class_id)).name for class_id in labels.class_ids]
        assert labels.feature_values is not None
        numbers.append(labels.feature_values)
    roof, pond = np.concatenate(numbers).T
    frame = geopandas.GeoDataFrame(
        {"class_name": names, "roof": roof, "pond": pond},
        geometry=grid.geometries_to_map(np.array(outlines, object)),
        crs=CRS_OF_SCENE.to_wkt(),
    )
    write_layer(folder / "truth.gpkg", frame)
    return folder / "scene.tif", _read_truth(task, folder / "truth.gpkg")


def _read_truth(task: Task, path: Path) -> LabelSet:
    """The labels of `_scene_of_four`, as classes or as numbers."""
    if task.output == VALUES:
        return read_values(path, ["roof", "pond"])
    return read_labels(path, class_field="class_name")


def _finds_one_object(task: Task) -> bool:
    if task.output != OBJECTS:
        return False
    return codec_for(OBJECTS, task, network_inputs(task).classes, tiny_config(task)).one_object is not None


@EVERY_TASK
def test_a_scene_of_the_chips_learnt_by_heart_is_predicted_and_evaluated(task: Task, tmp_path: Path) -> None:
    config, classes = tiny_config(task), network_inputs(task).classes
    scene, truth = _scene_of_four(task, tmp_path)
    spec = tiny_spec(task, config, classes).model_copy(update={"margin_px": 0})
    save_bundle(tmp_path / "model.eodl", spec, _learnt(task.name, task.networks[0]).state_dict())
    chips = (
        tile([scene], truth, out=tmp_path / "chips", size_px=SIZE, split=Split((1, 0, 0)))
        if _finds_one_object(task)
        else None
    )
    prediction = predict(
        tmp_path / "model.eodl",
        scene,
        out=(tmp_path / "map").with_suffix(task.output.default_suffix),
        compute=Compute(precision="32"),
    )
    report = evaluate(prediction, truth, chips=chips, split="train")
    assert report.score(task.primary_score).value > 0.8
    same_truth = _read_truth(task, tmp_path / "truth.gpkg")
    again = evaluate(prediction.path, same_truth, chips=chips, split="train")
    values = [
        {(score.name, score.class_name): score.value for score in one.scores} for one in (report, again)
    ]
    assert values[0] == pytest.approx(values[1], nan_ok=True)


@EVERY_TASK
def test_truth_scores_one_against_itself(task: Task) -> None:
    codec = task.make_codec(network_inputs(task).classes, tiny_config(task))
    scorer = task.make_scorer(codec, 0.0)
    for place, target in enumerate(_targets(task, _labels(task))):
        scorer.update(codec.truth(target), codec.truth(target), str(place))
    assert find_score(scorer.scores(), task.primary_score).value == pytest.approx(1)


@EVERY_NETWORK
def test_a_bundle_gives_back_the_same_network_bit_for_bit(task: Task, tmp_path: Path) -> None:
    config, classes = tiny_config(task), network_inputs(task).classes
    network, images = make_tiny_network(task, config), torch.from_numpy(_chips()[0])
    with torch.no_grad():
        # moves the running statistics away from their defaults
        network.train().loss(images, _targets(task, _labels(task)))
        before = network.eval()(images)
    save_bundle(tmp_path / "model.eodl", tiny_spec(task, config, classes), network.state_dict())
    bundle = load_model(tmp_path / "model.eodl")
    with torch.inference_mode():
        after = bundle.make_network()(images)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert bundle.config == config
    assert bundle.codec().classes == classes


@EVERY_TASK
def test_a_backbone_of_any_task_starts_this_one(task: Task, tmp_path: Path) -> None:
    for name in available_tasks():
        other = load_task(name)
        path = tmp_path / f"{name}.eodl"
        config, classes = tiny_config(other), network_inputs(other).classes
        donor = make_tiny_network(other, config)
        save_bundle(path, tiny_spec(other, config, classes), donor.state_dict())
        inputs = NetworkInputs(BANDS, network_inputs(task).classes, SIZE, weights=str(path))
        torch.manual_seed(1)
        network = task.make_network(tiny_config(task), inputs)
        assert network.weights_report is not None
        assert not network.weights_report.random
        given = donor.backbone.state_dict()
        assert all(
            torch.equal(value, given[key])
            for key, value in network.backbone.state_dict().items()
            if key in network.weights_report.matched
        )


@EVERY_NETWORK
def test_class_layers_are_those_that_have_the_size_of_the_classes(task: Task) -> None:
    more = task.output_classes(ClassSet.of_names(["roof", "pond", "road"]), {0: 0.7, 1: 0.1, 2: 0.1, 3: 0.1})
    own = make_tiny_network(task)
    other = task.make_network(tiny_config(task), replace(network_inputs(task), classes=more)).state_dict()
    differ = {name for name, value in own.state_dict().items() if other[name].shape != value.shape}
    assert all(name.startswith(own.class_layers) for name in differ)
    assert all(any(name.startswith(layer) for name in differ) for layer in own.class_layers)


@EVERY_NETWORK
def test_a_network_goes_on_where_one_of_its_kind_ended(task: Task, tmp_path: Path) -> None:
    """The same classes: all of it, so it answers the same; other classes: all but what belongs to them."""
    images, donor = torch.from_numpy(_chips()[0]), make_tiny_network(task)
    _train(task, donor, 2)
    donor.eval()
    save_bundle(
        tmp_path / "model.eodl",
        tiny_spec(task, tiny_config(task), network_inputs(task).classes),
        donor.state_dict(),
    )
    source = find_weights(str(tmp_path / "model.eodl"), "")
    asked = TrainConfig(task=task.name, weights=str(tmp_path / "model.eodl"), weights_for="network")
    assert source is not None
    same = initial_network(
        task, tiny_config(task), replace(network_inputs(task), weights=source), asked, seed=1
    ).eval()
    with torch.inference_mode():
        ours, theirs = same(images), donor(images)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    renamed = task.output_classes(ClassSet.of_names(["shed", "lake"]), {0: 0.8, 1: 0.1, 2: 0.1})
    other = initial_network(
        task, tiny_config(task), replace(network_inputs(task), classes=renamed, weights=source), asked, seed=1
    )
    given, report = donor.state_dict(), other.weights_report
    assert report is not None and report.rest_random
    for name, value in other.state_dict().items():
        if name.startswith(other.class_layers):
            assert name in report.rest_random
        elif value.is_floating_point():
            assert torch.equal(value, given[name]), name


@EVERY_TASK
def test_settling_twice_changes_nothing_and_unknown_keys_are_refused(task: Task) -> None:
    config = tiny_config(task)
    assert task.settle(config, NetworkInputs(1, network_inputs(task).classes, SIZE)) == config
    with pytest.raises(ValueError, match="extra"):
        task.config(bogus=1)  # type: ignore[call-arg]
    assert task.config.model_validate({}).network in task.networks
    assert task.config.model_validate_json(config.model_dump_json()) == config


@EVERY_TASK
def test_an_unknown_backbone_is_refused_by_name(task: Task) -> None:
    for wrong in ("resnet81", "hf-hub:someone/model", "local-dir:/tmp"):
        config = task.settle(task.config.model_validate({"backbone": wrong}), network_inputs(task))
        with pytest.raises(ConfigError, match="unknown backbone"):
            task.make_network(config, network_inputs(task))


def test_tasks_are_the_folders_and_unknown_ones_are_refused_with_the_nearest() -> None:
    assert {"segmentation", "detection"} <= set(available_tasks())
    with pytest.raises(ConfigError, match="did you mean 'segmentation'"):
        load_task("segmentatoin")


def test_tasks_codecs_and_bundles_need_no_torch() -> None:
    code = (
        "import sys, eo_dl.bundle\nfrom eo_dl.tasks import available_tasks, load_task\nfrom "
        "eo_dl.core.classes import ClassSet\nfor t in map(load_task, available_tasks()): "
        "t.make_codec(ClassSet.of_names(['a', 'b']), t.config())\nprint([m for m in ('torch', 'timm', "
        "'torchvision', 'lightning', 'albumentations', 'torchgeo') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"

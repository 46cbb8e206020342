"""From folders of images to a scored model: the whole road for classes of whole chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import eo_dl as eo
from eo_dl.core.chiprules import ChipClassRule
from eo_dl.core.classes import ClassSet
from eo_dl.tasks.classification.codec import ClassificationCodec
from eo_dl.training.judging.chipbaselines import chip_baselines, features_of
from eo_dl.training.setup.taskdata import prepare_data
from eo_dl.training.trainconfig import resolve_config

SIDE = 24


def _root(folder: Path) -> Path:
    """Forty images of two classes, which differ in texture and not in their mean; one of another size."""
    rng = np.random.default_rng(0)
    for number in range(40):
        name = ("even", "striped")[number % 2]
        pixels = np.full((SIDE, SIDE, 3), 120.0) + rng.normal(0, 4, (SIDE, SIDE, 3))
        if name == "striped":
            pixels[:, ::2] += 40
            pixels[:, 1::2] -= 40
        path = folder / name / f"{name}_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[: SIDE - (number == 39)].clip(0, 255).astype(np.uint8)).save(path)
    return folder


def test_folders_of_images_become_a_model(tmp_path: Path) -> None:
    root = _root(tmp_path / "root")
    chips = eo.tile(root, root, out=tmp_path / "chips", split=eo.Split((0.6, 0.2, 0.2)))
    assert chips.chip_px == SIDE
    assert sum(chips.object_counts("train").values()) == len(chips.split("train"))
    assert all(set(chips.object_counts(split)) == {1, 2} for split in ("train", "val", "test"))
    config = resolve_config(
        task="classification",
        settings=["task_options.network=small_cnn", "epochs=2", "min_steps=10", "lr=0.003"],
    )
    run = eo.train(chips, config=config, out=tmp_path / "model.eodl")
    assert run.primary == "mean_f1"
    assert {found.name for found in run.baselines} == {
        "majority class",
        "logistic regression on band means and spreads",
    }
    assert run.model.spec.margin_px == 0
    assert run.model.spec.config["multi_label"] is False
    assert run.scores[-1].overall("overall_accuracy").value > 0.8
    prediction = eo.predict(run.model, [scene.path for scene in chips.scenes], out=tmp_path / "table.csv")
    report = eo.evaluate(prediction, root, chips=chips)
    assert report.score("overall_accuracy").count == len(chips.split("test"))
    assert report.score("overall_accuracy").value == pytest.approx(
        run.scores[-1].overall("overall_accuracy").value
    )


def test_several_labels_decide_network_and_classes(tmp_path: Path) -> None:
    root = _root(tmp_path / "root")
    lines = [
        f"{path.name},{'even;wide' if path.parent.name == 'even' else 'striped'}"
        for path in sorted(root.rglob("*.png"))
    ]
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(lines))
    chips = eo.tile(root, tmp_path / "labels.csv", out=tmp_path / "chips")
    data = prepare_data(chips, resolve_config(task="classification", settings=["class_weights=sqrt_inverse"]))
    assert data.task_config.model_dump()["multi_label"] is True
    assert data.classes.names == ("even", "striped", "wide")
    weights = data.inputs.class_weights
    assert weights is not None and weights[0] == pytest.approx(weights[2])
    target = data.dataset("train")[0].target
    assert target.values is not None and target.values.sum() in (1, 2)


def test_baselines_of_chips_learn_what_means_and_spreads_tell() -> None:
    from eo_dl.chips.dataset import Sample
    from eo_dl.core.arrays import ChipTarget

    rng = np.random.default_rng(0)
    classes = ClassSet.of_names(["a", "b", "never"])
    samples = []
    for number in range(40):
        image = rng.normal(0, 1 + 2 * (number % 2), (2, 8, 8)).astype(np.float32)
        values = np.eye(3, dtype=np.float32)[number % 2]
        samples.append(Sample(image, np.ones((8, 8), bool), ChipTarget(values), str(number)))
    majority, regression = chip_baselines(ClassificationCodec(classes, ChipClassRule(False, 0.5)), samples)
    np.testing.assert_allclose(majority.answer(samples[0].image), [0.5, 0.5, 0])
    assert [int(regression.answer(sample.image).argmax()) for sample in samples] == [
        number % 2 for number in range(40)
    ]
    assert regression.answer(samples[0].image)[2] == 0
    several = chip_baselines(ClassificationCodec(classes, ChipClassRule(True, 0.5)), samples)[1].answer(
        samples[1].image
    )
    assert several[1] > 0.5 > several[0] and several[2] < 1e-6
    holes = samples[0].image.copy()
    holes[:, :4] = 0
    np.testing.assert_allclose(features_of(holes), features_of(samples[0].image[:, 4:]))

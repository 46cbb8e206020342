"""Soft labels of rules of thumb, end to end: they enter the loss as probabilities, and a model learns more
from them than what is most frequent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eo_dl import evaluate, predict, read_labels, tile, train
from eo_dl.chips.dataset import ChipDataset
from eo_dl.core.normalization import Normalization
from eo_dl.curation import weak_labels
from eo_dl.networks.compute import Compute
from eo_dl.tasks import load_task
from eo_dl.tasks.task import NetworkInputs
from eo_dl.training.trainconfig import TrainConfig

RULES = [
    "water: ndwi > 0.1 and nir < 0.15",
    "plants: ndvi > 0.45",
    "bare: ndvi < 0.4 and ndwi < 0.1",
    "plants: nir > 0.35 and red < 0.1",
]
CLASSES = "water=water,plants=woods|grass|field,bare=building|road"


def test_the_loss_of_a_weak_chip_is_that_of_its_probabilities(sample_data: Path, tmp_path: Path) -> None:
    """Cross-entropy against the soft target of the data set, pixel by pixel; the likeliest class in its place
    gives another loss.
    """
    weak_labels(sample_data / "test.tif", RULES, out=tmp_path / "weak.tif")
    chips = tile(
        sample_data / "test.tif", read_labels(tmp_path / "weak.tif"), out=tmp_path / "chips", size_px=64
    )
    task = load_task("segmentation")
    config = task.config(backbone="test_resnet", loss={"terms": {"cross_entropy": 1}})  # type: ignore[call-arg]
    inputs = NetworkInputs(len(chips.bands), chips.classes, 64)
    config = task.settle(config, inputs)
    codec = task.make_codec(task.settled_classes(chips.classes, config), config)
    data = ChipDataset(chips, chips.split("train"), codec, Normalization.of(chips.statistics))
    sample = next(
        one
        for one in map(data.__getitem__, range(len(data)))
        if one.target.soft is not None and ((one.target.soft > 0.05) & (one.target.soft < 0.95)).mean() > 0.02
    )
    assert sample.target.soft is not None
    torch.manual_seed(0)
    network = task.make_network(config, inputs).eval()
    images = torch.from_numpy(sample.image[None])
    with torch.no_grad():
        given = float(network.loss(images, [sample.target])["loss"])
        logits = next(iter(network(images).values()))[0].double().numpy()
    logp = logits - np.log(np.exp(logits).sum(axis=0))
    total = sample.target.soft.sum(axis=0)
    known = total > 0.5
    soft = -(sample.target.soft / np.maximum(total, 0.5) * logp).sum(axis=0)[known].mean()
    hard = -np.take_along_axis(logp, sample.target.soft.argmax(axis=0)[None], axis=0)[0][known].mean()
    assert given == pytest.approx(soft, rel=1e-4)
    assert abs(hard - soft) > 1e-3 * soft, "otherwise this would tell nothing"


@pytest.mark.slow
def test_a_model_of_weak_labels_beats_the_most_frequent_class_on_hand_labels(
    sample_data: Path, tmp_path: Path
) -> None:
    weak_labels(sample_data / "train.tif", RULES, out=tmp_path / "weak.tif")
    chips = tile(
        sample_data / "train.tif", read_labels(tmp_path / "weak.tif"), out=tmp_path / "chips", size_px=128
    )
    config = TrainConfig(task="segmentation", baselines=False)
    made = train(
        chips,
        "segmentation",
        epochs=6,
        compute=Compute(batch_size=4),
        config=config,
        out=tmp_path / "m.eodl",
    )
    found = predict(made.model, sample_data / "test.tif", out=tmp_path / "map.tif")
    hand = read_labels(
        sample_data / "test_labels.gpkg", layer="landcover", class_field="class_name", classes=CLASSES
    )
    report = evaluate(found, hand)
    iou = next(score for score in report.scores if score.name == "mean_iou" and score.class_name is None)
    areas = [
        sum(one.area for one in hand.features.geometries[hand.features.class_ids == info.id])
        for info in hand.classes
    ]
    # IoU of the one class that is everywhere, 0 of the others
    majority = max(areas) / sum(areas) / sum(area > 0 for area in areas)
    assert iou.low is not None and iou.low > majority + 0.05, (iou, majority)

"""Which weights a backbone starts from where nobody chose any."""

from __future__ import annotations

from typing import Any

import pytest

from eo_dl.training.setup import initialweights
from eo_dl.training.setup.initialweights import with_weights
from eo_dl.training.trainconfig import TrainConfig


def _config(task: str = "segmentation", **settings: Any) -> TrainConfig:
    return TrainConfig.model_validate({"task": task, **settings})


@pytest.mark.parametrize(
    "bands",
    [("red", "green", "blue"), ("nir", "red", "green"), ("B02", "B03", "B04", "B8A"), ("blue", "dsm")],
)
def test_visible_bands_start_from_imagenet(bands: tuple[str, ...]) -> None:
    config, notes = with_weights(_config(), bands)
    assert config.weights == "imagenet"
    assert notes == ()


@pytest.mark.parametrize("bands", [("vv", "vh"), ("dsm",), ("", "", ""), ("nir", "swir16")])
def test_others_start_from_random_weights_and_it_is_said(bands: tuple[str, ...]) -> None:
    config, notes = with_weights(_config(), bands)
    assert config.weights == "none"
    assert "is red, green or blue" in notes[0]


def test_weights_that_would_be_downloaded_are_not_chosen() -> None:
    config, notes = with_weights(_config(task_options={"backbone": "resnet18"}), ("red", "green", "blue"))
    assert config.weights == "none"
    assert "no weights of resnet18 are installed" in notes[0]


def test_a_choice_is_kept_and_a_network_without_a_backbone_starts_without_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, notes = with_weights(_config(weights="none"), ("red", "green", "blue"))
    assert (config.weights, notes) == ("none", ())
    monkeypatch.setattr(initialweights, "packaged_file", lambda backbone: pytest.fail("not asked"))
    config, notes = with_weights(
        _config("classification", task_options={"network": "small_cnn"}), ("red", "green", "blue")
    )
    assert (config.weights, notes) == ("none", ())

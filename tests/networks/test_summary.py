from __future__ import annotations

import pytest
import torch

from eo_dl.core.classes import ClassSet
from eo_dl.networks.backbones import make_backbone
from eo_dl.networks.networksummary import summarize
from eo_dl.networks.receptivefield import receptive_fields
from eo_dl.tasks import NetworkInputs, available_tasks, load_task
from eo_dl.training.modelview import show_network
from eo_dl.training.trainconfig import TrainConfig, resolve_config


def _fields(module: torch.nn.Module, channels: int = 1) -> list[int | None]:
    return receptive_fields(module, channels, lambda network, image: [network(image)])


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([torch.nn.Conv2d(1, 2, 3, padding=1)], 3),
        (
            [
                torch.nn.Conv2d(1, 2, 3, padding=2, dilation=2),
                torch.nn.ReLU(),
                torch.nn.Conv2d(2, 2, 3, padding=1),
            ],
            7,
        ),
        (
            [
                torch.nn.Conv2d(1, 2, 7, 2, 3),
                torch.nn.BatchNorm2d(2),
                torch.nn.MaxPool2d(3, 2, 1),
                torch.nn.Conv2d(2, 1, 3, padding=1),
            ],
            19,
        ),
        ([torch.nn.Conv2d(1, 2, 1), torch.nn.AdaptiveAvgPool2d(1)], None),
    ],
)
def test_the_receptive_field_of_a_chain_is_the_sum_of_its_steps(
    layers: list[torch.nn.Module], expected: int | None
) -> None:
    assert _fields(torch.nn.Sequential(*layers)) == [expected]


def test_the_receptive_field_of_a_resnet_is_the_one_known() -> None:
    """By the rule over layers (Araujo et al. 2019): 435 px at the last map of a ResNet-18."""
    assert receptive_fields(make_backbone("resnet18", 3), 3, lambda e, image: list(e(image))) == [
        7,
        43,
        99,
        211,
        435,
    ]


def test_what_a_branch_is_scaled_by_does_not_hide_it() -> None:
    """ConvNeXt multiplies the branch with a 7 x 7 convolution by a small number: 4 px of the stem, and 6
    steps of 4 px.
    """
    assert receptive_fields(make_backbone("test_convnext", 3), 3, lambda e, image: list(e(image)))[0] == 28


def test_the_network_is_left_as_it_was() -> None:
    network = make_backbone("test_resnet", 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    receptive_fields(network, 2, lambda e, image: list(e(image)))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("task", available_tasks())
def test_a_summary_counts_every_weight_once(task: str) -> None:
    config = resolve_config(None, task=task, overrides={"task_options.backbone": "test_resnet"})
    view = show_network(config, ("red", "nir"), 3, 64, depth=1)
    top = [row for row in view.network.layers if row.depth == 0]
    assert sum(row.parameters for row in top) == view.network.parameters == view.network.trainable > 0
    backbone = next(row for row in top if row.name == "backbone")
    assert [shape[1] for shape in backbone.shapes] == sorted(
        (shape[1] for shape in backbone.shapes), reverse=True
    )
    assert view.values["in_channels"] == 2
    assert all(row.receptive_px is None or row.receptive_px > row.stride_px for row in view.network.maps)
    assert "all trainable" in dict(view.totals)["weights"]


def test_a_unet_sees_further_than_its_encoders_finest_map() -> None:
    task = load_task("segmentation")
    inputs = NetworkInputs(3, ClassSet.of_names(["a", "b"]), 64)
    network = task.make_network(
        task.settle(task.config.model_validate({"network": "unet", "backbone": "test_resnet"}), inputs),
        inputs,
    )
    found = summarize(network, 3, 64)
    output = found.maps[-1]
    assert (output.name, output.stride_px, output.channels) == ("output", 1, 2)
    assert output.receptive_px is None or output.receptive_px > (found.maps[0].receptive_px or 0)
    assert found.bytes >= 4 * found.parameters
    assert next(row for row in found.layers if row.name == "head").shapes == ((2, 64, 64),)


def test_frozen_weights_are_shown_as_such(tmp_path: object) -> None:
    import pathlib

    path = pathlib.Path(str(tmp_path)) / "weights.pth"
    torch.save(make_backbone("test_resnet", 3).state_dict(), path)
    config = TrainConfig(
        task="segmentation", task_options={"backbone": "test_resnet"}, weights=str(path), freeze="backbone"
    )
    view = show_network(config, size_px=64)
    backbone = next(row for row in view.network.layers if row.name == "backbone")
    assert backbone.trainable == 0 < backbone.parameters
    assert view.network.trainable == view.network.parameters - backbone.parameters
    assert "tensors of the backbone from weights.pth" in view.notes[0]

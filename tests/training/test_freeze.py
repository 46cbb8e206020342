"""What learns, when, and how fast; and that a resumed run neither knows nor cares that it was stopped while
something was frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from eo_dl.core.classes import ClassSet
from eo_dl.errors import ConfigError
from eo_dl.networks.backbones import channels_of, make_backbone
from eo_dl.networks.weights import WeightsReport
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.training.loop.optimizers import make_optimizer, set_rate
from eo_dl.training.setup.freeze import (
    SCALE,
    apply_freeze,
    check_freeze,
    frozen_stages,
    parameter_groups,
    stages_of,
)
from eo_dl.training.trainconfig import TrainConfig

from .conftest import TinyNetwork, World
from .test_module import Killed, kill_after, same

New = Callable[..., World]


def _config(**settings: Any) -> TrainConfig:
    return TrainConfig(task="segmentation", weights="somewhere", **settings)


def _unet() -> Any:
    task = load_task("segmentation")
    inputs = NetworkInputs(3, ClassSet.of_names(["a", "b"]), 64)
    return task.make_network(task.settle(task.config(network="unet", backbone="test_resnet"), inputs), inputs)


@pytest.mark.parametrize(
    "name",
    ["test_resnet", "resnet18", "test_convnext", "efficientnet_b0", "mobilenetv3_small_050", "regnetx_002"],
)
def test_stages_go_from_the_image_on_and_leave_nothing_out(name: str) -> None:
    backbone = make_backbone(name, 3)
    stages = stages_of(backbone)
    assert set(stages) == {key for key, _ in backbone.named_parameters()}
    order = list(stages.values())
    assert order == sorted(order)
    assert order[0] == 0
    assert set(order) == set(range(order[-1] + 1))
    assert order[-1] == len(channels_of(backbone)) - 1


def test_the_blocks_of_a_resnet_are_its_stages() -> None:
    stages = stages_of(make_backbone("resnet18", 3))
    assert [stages[name] for name in ("conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias")] == [
        0,
        1,
        4,
    ]


@pytest.mark.parametrize(
    ("settings", "frozen"),
    [
        ({}, [0, 0, 0, 0, 0, 0]),
        ({"freeze": "backbone"}, [5, 5, 5, 5, 5, 5]),
        ({"freeze": "backbone", "unfreeze_epoch": 2}, [5, 5, 0, 0, 0, 0]),
        ({"freeze": "backbone", "unfreeze_epoch": 1, "unfreeze_every": 2}, [5, 4, 4, 3, 3, 2]),
        ({"freeze": "probe", "unfreeze_epoch": 1}, [5, 5, 5, 5, 5, 5]),
    ],
)
def test_stages_are_unfrozen_by_the_number_of_the_epoch(settings: dict[str, Any], frozen: list[int]) -> None:
    assert [frozen_stages(_config(**settings), epoch, 5) for epoch in range(6)] == frozen


def test_a_frozen_backbone_keeps_everything_and_the_rest_learns() -> None:
    torch.manual_seed(0)
    network, config = _unet(), _config(freeze="backbone", unfreeze_epoch=1, weight_decay=0.1)
    optimizer = make_optimizer(network, config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for epoch in (0, 1):
        apply_freeze(network, config, epoch)
        network(torch.randn(2, 3, 64, 64))["logits"].square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        assert any(name.startswith("decoder.") for name in moved)
        assert any(name.startswith("backbone.") for name in moved) == (epoch == 1)
    assert network.backbone.bn1.training


def test_what_the_weights_left_random_is_not_frozen() -> None:
    network = _unet()
    network.weights_report = WeightsReport("file", "", (), (), ("layer4.0.conv1.weight",), ())
    apply_freeze(network, _config(freeze="backbone"), 0)
    assert [name for name, p in network.backbone.named_parameters() if p.requires_grad] == [
        "layer4.0.conv1.weight"
    ]


def test_batch_normalization_rests_where_asked_and_only_it() -> None:
    network = _unet()
    apply_freeze(network, _config(freeze_norm=True), 0)
    norms = [m for m in network.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(m.training or m.weight.requires_grad for m in norms)
    assert network.backbone.conv1[0].weight.requires_grad
    assert all(m.training for m in network.decoder.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_rates_fall_from_the_head_to_the_image_and_follow_the_schedule() -> None:
    network, config = _unet(), _config(backbone_lr_scale=0.5, layer_decay=0.1)
    groups = parameter_groups(network, config)
    scale = {id(p): group[SCALE] for group in groups for p in group["params"]}
    assert len(scale) == len(list(network.parameters()))
    assert scale[id(network.head.weight)] == 1
    assert scale[id(network.backbone.layer4[0].conv1.weight)] == 0.5
    assert scale[id(network.backbone.layer3[0].conv1.weight)] == pytest.approx(0.05)
    assert scale[id(network.backbone.conv1[0].weight)] == pytest.approx(0.5e-4)
    optimizer = make_optimizer(network, config)
    set_rate(optimizer, 2.0)
    assert {group["lr"] for group in optimizer.param_groups} == {
        2.0 * group[SCALE] for group in optimizer.param_groups
    }
    assert len(parameter_groups(network, _config())) == 2


def test_freezing_without_weights_and_probing_a_unet_are_refused() -> None:
    with pytest.raises(ConfigError, match="would keep random weights"):
        check_freeze(_unet(), TrainConfig(freeze="backbone", weights="none"))
    with pytest.raises(ConfigError, match="one linear layer"):
        check_freeze(_unet(), _config(freeze="probe"))
    task = load_task("classification")
    inputs = NetworkInputs(3, ClassSet.of_names(["a", "b"]), 64)
    config = task.settle(task.config.model_validate({"network": "pooled", "backbone": "test_resnet"}), inputs)
    check_freeze(task.make_network(config, inputs), _config(freeze="probe"))


class _TwoStages(TinyNetwork):
    """With a backbone of two stages, both with something to forget."""

    def __init__(self, plain: bool = False) -> None:
        super().__init__(plain)
        further = torch.nn.Sequential(
            torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        )
        self.backbone = torch.nn.Sequential(self.backbone, further)


@pytest.mark.parametrize(("optimizer", "stopped_at"), [("adamw", 3), ("momentum", 7), ("adamw", 12)])
def test_a_run_killed_while_something_is_frozen_goes_on_to_the_same_bits(
    new_world: New, optimizer: str, stopped_at: int
) -> None:
    settings: dict[str, Any] = {
        "optimizer": optimizer,
        "epochs": 4,
        "freeze": "backbone",
        "unfreeze_epoch": 1,
        "unfreeze_every": 1,
        "weights": "somewhere",
    }
    settings |= {"backbone_lr_scale": 0.5, "layer_decay": 0.5, "checkpoint_steps": 1}
    unbroken, killed = new_world("unbroken", **settings), new_world("killed", **settings)
    unbroken.new_network = killed.new_network = _TwoStages
    unbroken.train()
    with pytest.raises(Killed):
        killed.train(on_progress=kill_after(stopped_at))
    killed.train(resume=True)
    assert same(killed.weights(), unbroken.weights())


def test_an_epoch_in_which_the_backbone_rests_leaves_it_as_it_was(new_world: New) -> None:
    world = new_world(epochs=1, freeze="backbone", unfreeze_epoch=1, weights="somewhere", weight_decay=0.5)
    torch.manual_seed(11)
    fresh = TinyNetwork().state_dict()
    world.train()
    for name, value in world.weights().items():
        assert torch.equal(value, fresh[name]) == name.startswith("backbone."), name

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.classes import ClassSet
from eo_dl.tasks import OBJECTS, RASTER
from eo_dl.training.loop.optimizers import make_optimizer, plateau_drops, rate_at, restore_optimizer
from eo_dl.training.setup.classweights import LARGEST_RATIO, class_weights
from eo_dl.training.setup.freeze import parameter_groups
from eo_dl.training.trainconfig import TrainConfig, batch_size_for


def test_the_rate_rises_then_falls_to_zero() -> None:
    config = TrainConfig(lr=0.1, warmup=0.1)
    rates = [rate_at(step, 100, config) for step in range(101)]
    assert all(a < b for a, b in itertools.pairwise(rates[:11]))
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert math.isclose(max(rates), 0.1)
    assert rates[100] == 0


def test_a_constant_rate_stays() -> None:
    config = TrainConfig(lr=0.1, warmup=0, schedule="constant")
    assert {rate_at(step, 50, config) for step in range(1, 60)} == {0.1}


def test_one_cycle_is_that_of_torch() -> None:
    config = TrainConfig(lr=0.1, schedule="onecycle")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=60)
    for step in range(60):
        assert math.isclose(rate_at(step, 60, config), theirs.get_last_lr()[0], rel_tol=1e-6), step
        optimizer.step()
        if step < 59:
            theirs.step()


def test_steps_go_down_by_the_factor_every_so_many_epochs() -> None:
    config = TrainConfig(lr=1.0, warmup=0, schedule="step", decay_epochs=2, decay_factor=0.5)
    assert [rate_at(step, 60, config, epoch=step // 10) for step in (1, 19, 20, 39, 40, 59)] == [
        1,
        1,
        0.5,
        0.5,
        0.25,
        0.25,
    ]


def test_on_a_plateau_the_rate_falls_as_often_as_patience_ran_out() -> None:
    config = TrainConfig(lr=1.0, warmup=0, schedule="plateau", decay_factor=0.1)
    assert [
        plateau_drops(scores, 2)
        for scores in ([0.5], [0.5, 0.4, 0.5], [0.5, 0.4, 0.6, 0.1], [0.5] * 5, [math.nan] * 4)
    ] == [0, 1, 0, 2, 2]
    assert rate_at(9, 60, config, drops=2) == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "plateau", "onecycle"])
def test_every_schedule_warms_up(
    schedule: Literal["constant", "step", "cosine", "plateau", "onecycle"],
) -> None:
    config = TrainConfig(lr=1.0, warmup=0.3, schedule=schedule)
    rates = [rate_at(step, 100, config, epoch=step // 40) for step in range(30)]
    assert all(a < b for a, b in itertools.pairwise(rates[:29]))
    assert rates[0] < 0.05 and rates[29] > 0.95


Stepper = Callable[[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]
# One step of each optimizer from its paper, with lr 0.1 and no decay: (weights, gradient, memory) -> new
# weights.
STEPS: dict[str, Stepper] = {
    "sgd": lambda w, g, m: w - 0.1 * g,
    "momentum": lambda w, g, m: w - 0.1 * (g + 0.9 * _kept(m, "v", lambda v: 0.9 * v + g)),
    "adagrad": lambda w, g, m: w - 0.1 * g / (_kept(m, "s", lambda s: s + g**2).sqrt() + 1e-10),
    "rmsprop": lambda w, g, m: w - 0.1 * g / (_kept(m, "s", lambda s: 0.99 * s + 0.01 * g**2).sqrt() + 1e-8),
    "adam": lambda w, g, m: _adam(w, g, m),
    "adamw": lambda w, g, m: _adam(w, g, m),
}


def _kept(
    memory: dict[str, torch.Tensor], name: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    memory[name] = change(memory.get(name, torch.zeros(3, dtype=torch.float64)))
    return memory[name]


def _adam(weights: torch.Tensor, gradient: torch.Tensor, memory: dict[str, torch.Tensor]) -> torch.Tensor:
    n = _kept(memory, "n", lambda n: n + 1)
    first = _kept(memory, "m", lambda m: 0.9 * m + 0.1 * gradient) / (1 - 0.9**n)
    second = _kept(memory, "v", lambda v: 0.999 * v + 0.001 * gradient**2) / (1 - 0.999**n)
    return weights - 0.1 * first / (second.sqrt() + 1e-8)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_optimizer_steps_as_its_paper_says(name: str) -> None:
    network = torch.nn.Linear(3, 1, bias=False).double()
    config = TrainConfig.model_validate({"optimizer": name, "lr": 0.1, "weight_decay": 0})
    optimizer = make_optimizer(network, config)
    expected, memory = network.weight.detach()[0].clone(), dict[str, torch.Tensor]()
    for _ in range(4):
        gradient = 2 * expected * torch.tensor([1.0, 5.0, 0.2], dtype=torch.float64)
        network.weight.grad = (
            2 * network.weight.detach() * torch.tensor([[1.0, 5.0, 0.2]], dtype=torch.float64)
        )
        optimizer.step()
        expected = STEPS[name](expected, gradient, memory)
        assert torch.allclose(network.weight.detach()[0], expected, rtol=1e-6), name


def _network_and_batch() -> tuple[torch.nn.Module, torch.Tensor]:
    """Weights that lie in memory as a training on a CPU has them."""
    torch.manual_seed(3)
    # No bias before the batch normalization: its gradient is noise, of which Adam makes whole steps.
    first = torch.nn.Conv2d(3, 5, 3, bias=False)
    network = torch.nn.Sequential(first, torch.nn.BatchNorm2d(5), torch.nn.ReLU(), torch.nn.Conv2d(5, 2, 3))
    network.to(memory_format=torch.channels_last)
    return network, torch.randn(4, 3, 9, 9).contiguous(memory_format=torch.channels_last)


def _steps(network: torch.nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor) -> None:
    for _ in range(5):
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()


def _plain_adamw(network: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Tensor by tensor, as in checkpoints of older versions."""
    return torch.optim.AdamW(parameter_groups(network, config), lr=config.peak_lr, foreach=False)


def _close(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.allclose(value, theirs[name], atol=1e-6) for name, value in one.state_dict().items())


def test_the_fused_optimizer_steps_as_the_plain_one() -> None:
    config = TrainConfig(lr=0.01)
    (fused, images), (plain, _) = _network_and_batch(), _network_and_batch()
    _steps(fused, make_optimizer(fused, config), images)
    _steps(plain, _plain_adamw(plain, config), images)
    assert _close(fused, plain)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_checkpoint_of_an_optimizer_that_was_not_fused_is_continued(layout: torch.memory_format) -> None:
    config = TrainConfig(lr=0.01)
    plain, images = _network_and_batch()
    before = _plain_adamw(plain, config)
    _steps(plain, before, images)
    fused, _ = _network_and_batch()
    fused.load_state_dict(plain.state_dict())
    saved = copy.deepcopy(before.state_dict())
    for moments in saved["state"].values():
        for name, value in moments.items():
            if value.ndim == 4:
                moments[name] = value.contiguous(memory_format=layout)
    optimizer = make_optimizer(fused, config)
    restore_optimizer(optimizer, saved)
    assert all(group["fused"] for group in optimizer.param_groups)
    _steps(plain, before, images)
    _steps(fused, optimizer, images)
    assert _close(fused, plain)


def test_with_float16_the_gradients_are_clipped_before_a_plain_step() -> None:
    for precision, fused in (("16", False), ("bf16", True), ("32", True), ("auto", True)):
        config = TrainConfig.model_validate({"precision": precision})
        groups = make_optimizer(_network_and_batch()[0], config).param_groups
        assert {bool(group["fused"]) for group in groups} == {fused}, precision


def test_only_adamw_takes_the_decay_from_the_weights() -> None:
    moved = {}
    for name in ("adam", "adamw"):
        network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(network.weight)
        network.weight.grad = torch.zeros(1, 1)
        make_optimizer(
            network, TrainConfig.model_validate({"optimizer": name, "lr": 0.1, "weight_decay": 0.5})
        ).step()
        moved[name] = float(network.weight.detach())
    assert moved["adamw"] == pytest.approx(0.95)
    assert moved["adam"] == pytest.approx(0.9)  # a whole step of Adam, whatever the size of the decay


def test_biases_and_norms_do_not_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    decaying, free = make_optimizer(network, TrainConfig()).param_groups
    assert [p.ndim for p in decaying["params"]] == [4]
    assert decaying["weight_decay"] > 0 == free["weight_decay"]
    assert len(free["params"]) == 3


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=6),
    st.sampled_from(["sqrt_inverse", "inverse", "effective"]),
)
def test_rarer_classes_weigh_more_and_the_mean_over_pixels_is_one(shares: list[float], kind: str) -> None:
    classes = ClassSet.of_names([f"c{i}" for i in range(len(shares))])
    weights = class_weights(kind, classes, dict(zip(classes.ids, shares, strict=True)))
    share = np.array(shares)
    if not (share > 0).any():
        assert weights is None
        return
    assert weights is not None
    there = np.array(weights)[share > 0]
    order = np.argsort(share[share > 0], kind="stable")
    assert (np.diff(there[order]) <= 1e-5).all()
    assert there.max() <= LARGEST_RATIO * there.min() * (1 + 1e-4)
    assert math.isclose((there * share[share > 0]).sum() / share.sum(), 1, abs_tol=1e-4)


def test_class_weights_by_their_definitions() -> None:
    classes, shares = ClassSet.of_names(["a", "b", "c"]), np.array([0.6, 0.3, 0.1])
    count = 10_000_000
    # Cui et al. 2019, equation 2
    effective = (1 - (1 - 1 / count)) / (1 - (1 - 1 / count) ** (count * shares))
    for kind, raw in (("inverse", 1 / shares), ("sqrt_inverse", shares**-0.5), ("effective", effective)):
        expected = raw / (raw * shares).sum()
        assert class_weights(kind, classes, dict(zip(classes.ids, shares, strict=True))) == pytest.approx(
            expected, rel=1e-3
        ), kind


def test_equal_shares_weigh_alike_and_none_is_none() -> None:
    classes = ClassSet.of_names(["a", "b"])
    assert class_weights("sqrt_inverse", classes, {1: 0.5, 2: 0.5}) == (1, 1)
    assert class_weights("none", classes, {1: 0.1, 2: 0.9}) is None


def test_a_step_holds_about_as_many_pixels_whatever_the_chip() -> None:
    assert [batch_size_for(None, px, RASTER) for px in (16, 64, 128, 256, 1024)] == [32, 32, 8, 4, 4]
    assert batch_size_for(None, 64, OBJECTS) == 16
    assert batch_size_for(7, 64, OBJECTS) == 7

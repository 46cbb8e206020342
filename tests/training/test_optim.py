from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.classes import ClassSet
from eo_dl.errors import ConfigError, DeviceError
from eo_dl.training.classweights import LARGEST_RATIO, class_weights
from eo_dl.training.config import TrainConfig, batch_size_for
from eo_dl.training.device import choose_device, choose_precision
from eo_dl.training.optim import make_optimizer, rate_at


def test_the_rate_rises_then_falls_to_a_hundredth() -> None:
    config = TrainConfig(lr=0.1, warmup=0.1)
    rates = [rate_at(step, 100, config) for step in range(101)]
    assert all(a < b for a, b in itertools.pairwise(rates[:11]))
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert math.isclose(max(rates), 0.1)
    assert math.isclose(rates[100], 0.001)


def test_a_constant_rate_stays() -> None:
    config = TrainConfig(lr=0.1, warmup=0, schedule="constant")
    assert {rate_at(step, 50, config) for step in range(1, 60)} == {0.1}


def test_biases_and_norms_do_not_decay() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    decaying, free = make_optimizer(network, TrainConfig()).param_groups
    assert [p.ndim for p in decaying["params"]] == [4]
    assert decaying["weight_decay"] > 0 == free["weight_decay"]
    assert len(free["params"]) == 3


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.sampled_from(["sqrt_inverse", "inverse", "effective"]))
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


def test_equal_shares_weigh_alike_and_none_is_none() -> None:
    classes = ClassSet.of_names(["a", "b"])
    assert class_weights("sqrt_inverse", classes, {1: 0.5, 2: 0.5}) == (1, 1)
    assert class_weights("none", classes, {1: 0.1, 2: 0.9}) is None


def test_a_device_that_is_not_there_is_one_line() -> None:
    assert choose_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--device cuda: this machine has none") as caught:
            choose_device("cuda")
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="gpu"):
        choose_device("gpu")


def test_precision_is_what_the_device_can() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) in ("32", "bf16")
    assert choose_precision("bf16", cpu) == "bf16"
    with pytest.raises(ConfigError, match="precision 16"):
        choose_precision("16", cpu)
    with pytest.raises(ConfigError, match="precision '8'"):
        choose_precision("8", cpu)


def test_a_step_holds_about_as_many_pixels_whatever_the_chip() -> None:
    assert [batch_size_for(None, px, "raster") for px in (16, 64, 128, 256, 1024)] == [32, 32, 8, 4, 4]
    assert batch_size_for(None, 64, "objects") == 16
    assert batch_size_for(7, 64, "objects") == 7

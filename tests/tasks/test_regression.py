from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.arrays import ValueTarget
from eo_dl.core.classes import ClassSet
from eo_dl.core.valueinfo import ValueInfo
from eo_dl.errors import ConfigError
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.tasks.regression.codec import RegressionCodec
from eo_dl.tasks.regression.config import LOSSES, RegressionConfig
from eo_dl.tasks.regression.links import value_of
from eo_dl.tasks.regression.network import ValueNetwork
from eo_dl.tasks.segmentation.config import settled_decoder
from tests.making import pixel_labels, tiny_network

TASK = load_task("regression")
HEIGHT = ClassSet.of_values({"height": ValueInfo("m", 0, None)})
INFOS = st.sampled_from([ValueInfo(), ValueInfo("m", 0, None), ValueInfo("", None, 4), ValueInfo("", 0, 1)])


def _network(loss: str, classes: ClassSet = HEIGHT, seed: int = 0) -> ValueNetwork:
    values = {**tiny_network("regression"), "loss": loss, "moments": ((8.0, 5.0),) * len(classes)}
    config = TASK.config.model_validate(values)
    assert isinstance(config, RegressionConfig)
    torch.manual_seed(seed)
    inputs = NetworkInputs(3, classes, 32)
    return ValueNetwork(settled_decoder(config, inputs), inputs)


@settings(max_examples=80, deadline=None)
@given(INFOS, st.floats(-2, 6), st.floats(0.01, 5))
def test_a_value_stays_in_its_range_grows_and_is_the_mean_at_zero(
    info: ValueInfo, mean: float, std: float
) -> None:
    raw = torch.linspace(-40, 40, 401, dtype=torch.float64)
    value = value_of(raw, info, mean, std)
    low = -np.inf if info.low is None else info.low
    high = np.inf if info.high is None else info.high
    assert (value >= low).all() and (value <= high).all()
    assert (value.diff() >= 0).all()
    span = 1.0 if np.isinf(high - low) else high - low
    reachable = min(max(mean, low + 0.02 * (std if np.isinf(high - low) else span)), high)
    if np.isinf(high - low) or 0.02 * span <= mean - low <= 0.98 * span:
        limit = mean if info.high is None or np.isfinite(high - low) else min(mean, high - 0.02 * std)
        expected = max(limit, reachable) if info.high is None else limit
        assert float(value[200]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mean", [1e5, 0.3])
def test_the_last_layer_neither_overflows_nor_loses_its_gradient(mean: float) -> None:
    for info in (ValueInfo(), ValueInfo("", 0, None), ValueInfo("", None, 2e5), ValueInfo("", 0, 2e5)):
        raw = torch.linspace(-3, 3, 7, requires_grad=True)
        value = value_of(raw, info, mean, 0.5)
        value.sum().backward()
        assert torch.isfinite(value).all()
        assert raw.grad is not None and (raw.grad[3] > 1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_unknown_numbers_change_neither_loss_nor_gradient(loss: str) -> None:
    network = _network(loss).eval()
    images = torch.randn(2, 3, 32, 32)
    known = np.random.default_rng(0).uniform(0, 20, (1, 32, 32)).astype(np.float32)
    nothing = np.full_like(known, np.nan)
    half = known.copy()
    half[:, :16] = np.nan
    one = network.loss(images[:1], [ValueTarget(half)])["loss"]
    two = network.loss(images, [ValueTarget(half), ValueTarget(nothing)])["loss"]
    torch.testing.assert_close(one, two)
    none = network.loss(images[:1], [ValueTarget(nothing)])["loss"]
    none.backward()
    assert none.item() == 0
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("loss", ["gaussian_nll", "quantiles"])
def test_ends_of_intervals_enclose_the_value_and_stay_in_its_range(loss: str) -> None:
    network = _network(loss, ClassSet.of_values({"a": ValueInfo("", 0, 10), "b": ValueInfo()})).eval()
    with torch.no_grad():
        network.head.weight.mul_(20)
        planes = network(torch.randn(2, 3, 32, 40))["values"]
    value, low, high = planes.chunk(3, dim=1)
    assert planes.shape == (2, 6, 32, 40)
    assert (low <= value).all() and (value <= high).all()
    assert (low[:, 0] >= 0).all() and (high[:, 0] <= 10).all()


@pytest.mark.parametrize(("loss", "inside"), [("gaussian_nll", 0.9), ("quantiles", 0.9)])
def test_the_interval_of_pure_noise_holds_its_share(loss: str, inside: float) -> None:
    """One number in, noise out: what is left to learn is the distribution."""
    network = _network(loss, ClassSet.of_values({"a": ValueInfo()})).train()
    noise = np.random.default_rng(0).normal(8, 5, (4, 1, 32, 32)).astype(np.float32)
    images = torch.zeros(4, 3, 32, 32)
    optimizer = torch.optim.Adam(network.head.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        network.loss(images, [ValueTarget(one) for one in noise])["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        _, low, high = network(images)["values"].chunk(3, dim=1)
    share = float(((low.numpy() <= noise) & (noise <= high.numpy())).mean())
    assert share == pytest.approx(inside, abs=0.06)


def test_moments_of_another_number_of_values_are_refused() -> None:
    config = TASK.config.model_validate({**tiny_network("regression"), "moments": ((1.0, 2.0),) * 2})
    with pytest.raises(ConfigError, match="for each of 1 values, found 2"):
        TASK.make_network(config, NetworkInputs(3, HEIGHT, 32))


def test_settling_takes_the_moments_of_the_train_chips_once() -> None:
    inputs = NetworkInputs(3, HEIGHT, 32, value_moments=((7.0, 2.0),))
    settled = TASK.settle(TASK.config.model_validate({}), inputs)
    again = TASK.settle(settled, NetworkInputs(3, HEIGHT, 32, value_moments=((1.0, 1.0),)))
    assert settled == again
    assert settled.model_dump()["moments"] == ((7.0, 2.0),)


def test_a_chip_is_encoded_as_its_numbers() -> None:
    labels = pixel_labels(HEIGHT, (shapely.box(0, 0, 2, 2), 1, False), (shapely.box(1, 0, 3, 1), 1, True))
    numbered = replace(labels, feature_values=np.array([[4.5], [9.0]]))
    codec = RegressionCodec(HEIGHT, False, (1.0,))
    target = codec.encode(numbered, 2, 3)
    np.testing.assert_array_equal(codec.truth(target)[0], [[4.5, np.nan, np.nan], [4.5, 4.5, np.nan]])
    assert codec.band_names == ("height",)
    assert RegressionCodec(HEIGHT, True, (1.0,)).band_names == ("height", "height low", "height high")

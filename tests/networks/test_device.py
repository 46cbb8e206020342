"""One rule for device and precision, whoever asks: the configuration, training, judging, prediction."""

from __future__ import annotations

import re

import pytest
import torch

from eo_dl.errors import ConfigError, DeviceError
from eo_dl.networks import device as device_module
from eo_dl.networks.compute import Compute
from eo_dl.networks.device import check_device_name, choose_device, choose_precision
from eo_dl.tasks import CHIPS, OBJECTS, RASTER
from eo_dl.training.trainconfig import TrainConfig, resolve_config

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_every_device_of_the_help_is_accepted_by_the_configuration(name: str) -> None:
    assert resolve_config(task="segmentation", compute=Compute(device=name)).device == name


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "cpu:1", ""])
def test_an_unknown_device_is_refused_in_one_line(name: str) -> None:
    for check in (
        check_device_name,
        choose_device,
        lambda wrong: resolve_config(compute=Compute(device=wrong)),
    ):
        with pytest.raises(ConfigError, match="cuda:N") as caught:
            check(name)
        assert "\n" not in str(caught.value) and repr(name) in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_one_line(name: str) -> None:
    with pytest.raises(DeviceError, match=re.escape(f"`device` {name}: torch")) as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)
    assert choose_device("auto").type in ("cpu", "mps") and choose_device("cpu") == CPU


def test_a_gpu_number_beyond_the_last_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1) and choose_device("auto").type == "cuda"
    with pytest.raises(DeviceError, match="cuda:2"):
        choose_device("cuda:2")


def test_auto_is_bfloat16_for_class_maps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "computes_bf16", lambda device: True)
    assert choose_precision("auto", CPU, bfloat16=RASTER.bfloat16) == "bf16"
    for kind in (OBJECTS, CHIPS):
        assert choose_precision("auto", CPU, bfloat16=kind.bfloat16) == "32"
        assert choose_precision("bf16", CPU, bfloat16=kind.bfloat16) == "bf16"  # what is asked for is done
    monkeypatch.setattr(device_module, "computes_bf16", lambda device: False)
    assert choose_precision("auto", CPU, bfloat16=True) == "32"


def test_a_precision_that_is_unknown_or_not_for_the_device_is_refused() -> None:
    for wrong in ("16", "fp8"):
        with pytest.raises(ConfigError, match=f"`precision` '?{wrong}"):
            choose_precision(wrong, CPU, bfloat16=True)


def test_the_configuration_keeps_device_and_precision_through_yaml() -> None:
    config = TrainConfig(task="detection", device="cuda:3", precision="bf16")
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config

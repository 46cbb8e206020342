from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from eo_dl.chips.augment import AugmentConfig
from eo_dl.chips.chipset import ChipSet
from eo_dl.errors import ConfigError
from eo_dl.io.yamlfiles import load_yaml
from eo_dl.networks.compute import Compute
from eo_dl.tasks import available_tasks, load_task
from eo_dl.training.configyaml import config_yaml
from eo_dl.training.setup.runsetup import prepare_run
from eo_dl.training.trainconfig import TrainConfig, complete, differences, resolve_config, upgraded
from eo_dl_cli.train import command

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_what_is_named_goes_before_settings_and_those_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("task: segmentation\nepochs: 3\nlr: 1e-3\nbatch_size: 5\ntask_options: {dropout: 0.1}\n")
    config = resolve_config(
        file,
        settings=["epochs=4", "batch_size=6", "augment.noise=0", "task_options.decoder_channels=[16]"],
        overrides={"epochs": 7, "task_options.backbone": "resnet34"},
    )
    assert (config.epochs, config.batch_size, config.lr, config.augment.noise) == (7, 6, 1e-3, 0)
    assert config.task_options == {"dropout": 0.1, "decoder_channels": [16], "backbone": "resnet34"}


def test_its_yaml_reads_back_as_the_same() -> None:
    config = resolve_config(
        None, task="detection", settings=["task_options.score=0.1", "precision=32", "patience=null"]
    )
    text = config_yaml(config)
    assert TrainConfig.model_validate(yaml.safe_load(text)) == complete(config)
    assert (
        resolve_config(TrainConfig.model_validate(yaml.safe_load(config_yaml(TrainConfig()))))
        == TrainConfig()
    )
    assert config.precision == "32"
    assert config.patience is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["epoch=3"], "epochs"),
        (["augment.nois=3"], "noise"),
        (["epochs=0"], "epochs"),
        (["batch_size=1"], "batch_size"),
        (["lr=nan"], "lr"),
        (["precision=64"], "precision"),
        (["epochs"], "KEY=VALUE"),
        (["epochs.more=3"], "epochs"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        resolve_config(TrainConfig(task="segmentation"), settings=settings)
    assert "\n" not in str(caught.value)


def test_differences_name_the_nested_key() -> None:
    old, new = (
        {"config": {"b": 1, "c": 2, "workers": 1}, "d": 3},
        {"config": {"b": 1, "c": 5, "workers": 4}, "d": 3},
    )
    assert differences(old, new) == ["config.c: was 2, now 5"]
    assert differences(old, old) == []


@pytest.mark.parametrize("task", available_tasks())
def test_the_config_file_of_a_task_is_complete_and_right(task: str) -> None:
    file = CONFIGS / f"{task}.yaml"
    given = load_yaml(file)
    config = resolve_config(file)
    assert config.task == task
    assert set(given) == set(TrainConfig.model_fields)
    assert set(given["augment"]) == set(type(config.augment).model_fields)
    kind = load_task(task).config
    assert set(given["task_options"]) == set(kind.model_fields)
    assert kind.model_validate(config.task_options) == kind.model_validate(
        {"network": load_task(task).networks[0]}
    )
    assert config.model_dump(exclude={"task", "task_options"}) == TrainConfig().model_dump(
        exclude={"task", "task_options"}
    )


def test_the_configuration_of_an_older_model_is_read() -> None:
    old = {"task": "segmentation", "epochs": 20, "max_minutes": 8}
    assert TrainConfig.model_validate(upgraded(old)).minutes == 8
    assert "max_minutes" in old


def test_a_mapping_is_a_configuration_and_stays_as_it_is() -> None:
    given = {"lr": 0.01, "task_options": {"decoder_channels": [16]}, "augment.noise": 0}
    config = resolve_config(
        given,
        task="segmentation",
        compute=Compute(batch_size=6, device="cpu"),
        overrides={"task_options.backbone": "resnet34", "lr": 0.02, "epochs": None},
    )
    assert (config.lr, config.batch_size, config.device, config.augment.noise) == (0.02, 6, "cpu", 0)
    assert config.task_options == {"decoder_channels": [16], "backbone": "resnet34"}
    assert config.epochs == TrainConfig().epochs
    assert given == {"lr": 0.01, "task_options": {"decoder_channels": [16]}, "augment.noise": 0}


def test_what_compute_leaves_open_is_left_to_the_configuration() -> None:
    config = resolve_config({"device": "cpu", "precision": "32"}, task="segmentation", compute=Compute())
    assert (config.device, config.precision) == ("cpu", "32")


def test_one_chip_per_batch_is_refused_in_one_place() -> None:
    """Batch normalization has nothing to go by in a batch of one; a prediction has no such limit."""
    assert Compute(batch_size=1).batch_size == 1
    for given in ({"compute": Compute(batch_size=1)}, {"settings": ["batch_size=1"]}):
        with pytest.raises(ConfigError, match="batch_size"):
            resolve_config(task="segmentation", **given)


@pytest.mark.parametrize("task", available_tasks())
def test_a_config_file_is_what_print_config_shows(task: str) -> None:
    """To renew one: eo-dl train chips --task TASK --print-config > configs/TASK.yaml"""
    shown = CliRunner().invoke(command, ["chips", "--task", task, "--print-config", "-q"])
    assert (CONFIGS / f"{task}.yaml").read_text() == shown.stdout


def test_every_option_of_training_has_a_description_of_its_own() -> None:
    descriptions = [
        field.description or name
        for model in (TrainConfig, AugmentConfig)
        for name, field in model.model_fields.items()
    ]
    assert all(description.endswith(".") for description in descriptions)
    assert len(set(descriptions)) == len(descriptions)


def test_a_task_has_a_rate_of_its_own_unless_one_is_stated(small_chips: ChipSet) -> None:
    for task, expected in (("detection", 0.001), ("segmentation", 0.002)):
        usual = prepare_run(small_chips, TrainConfig(task=task, device="cpu")).config
        stated = prepare_run(small_chips, TrainConfig(task=task, device="cpu", lr=0.01)).config
        assert (usual.peak_lr, usual.lr, stated.peak_lr) == (expected, expected, 0.01)

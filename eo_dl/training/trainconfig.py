"""`TrainConfig`: everything that training can be told, with every default in this one place."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..chips.augment import AugmentConfig
from ..errors import ConfigError
from ..io.yamlfiles import load_yaml, parse_yaml, validate
from ..networks.compute import Compute
from ..networks.device import Precision, check_device_name
from ..tasks import OutputKind, TaskConfig, available_tasks, load_task


def _as_text(value: object) -> object:
    # YAML reads `precision: 32` as a number.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TrainConfig(BaseModel):
    """How a network is trained. Unknown keys are refused.

    `task_options` are the task's own (`Task.config`): network, backbone and the like. `weights` is "none",
    "imagenet", a name of `eo-dl model backbones`, or the path of a file to start the backbone from
    (docs/transfer.md). `weights_for`: what they start: the backbone, or of a model of the same task and
    network all of it ("network") but the layers of its classes, and those too where the classes are the same.
    `normalization`: by the train chips ("data"), or as the weights were trained ("weights").

    Length: an epoch is one pass over the train chips, or as many passes as give `min_steps` steps (few chips
    would otherwise make epochs of two steps, each followed by a validation). With `max_minutes` the number of
    epochs is cut after the first one to what fits, and the learning rate falls accordingly; the result then
    depends on the speed of the machine, so two such runs are not equal to the bit (a resumed one keeps its
    plan).

    `optimizer`: "momentum" is SGD with Nesterov's momentum of `momentum`. `warmup` is the share of all steps
    in which the learning rate rises ("onecycle" has its own). `decay_epochs` and `decay_factor`: "step"
    lowers the rate by the factor every so many epochs, "plateau" after so many without a better validation
    score. `accumulate`: gradients of so many batches make one step of the optimizer. `ema`: decay of the
    moving average of the weights (e.g. 0.999), which is then what is validated and kept. `picture_epochs`:
    pictures of predictions in TensorBoard every so many epochs.

    `devices` a machine and `nodes` (None: one, or what torchrun or SLURM started); `batch_size` is that of
    each process.

    `freeze`: "backbone" keeps the backbone as the weights made it, "probe" too, and refuses a network that has
    more than one linear layer beside it. `unfreeze_epoch`: after so many epochs the backbone learns too, at
    once, or with `unfreeze_every` its stages one by one, from the last to the first, every so many epochs.
    `freeze_norm`: batch normalization of the backbone stays as the weights made it, all the time.
    `backbone_lr_scale`: the backbone's learning rate as a part of the others'; `layer_decay`: and each stage
    nearer to the image this part of the stage behind it.

    `patience` epochs without a better validation score end the run (None: never). `checkpoint_steps`: a
    checkpoint every so many steps, and after every epoch. `workers` None: 0 on a CPU, where the network is
    far slower than reading, else up to 4. `batch_size` None: as many chips as make `BATCH_PX` pixels (half of
    that for objects, whose networks are heavier), 4 to 32; at least 2, because batch normalization has
    nothing to go by in a batch of one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    task: str | None = None
    task_options: dict[str, Any] = Field(default_factory=dict)
    weights: str = "none"
    weights_for: Literal["backbone", "network"] = "backbone"
    normalization: Literal["data", "weights"] = "data"

    epochs: int = Field(20, ge=1)
    min_steps: int = Field(24, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    batch_size: int | None = Field(None, ge=2)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    optimizer: Literal["adamw", "adam", "rmsprop", "adagrad", "momentum", "sgd"] = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["cosine", "constant", "step", "onecycle", "plateau"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    decay_epochs: int = Field(5, ge=1)
    decay_factor: float = Field(0.3, gt=0, lt=1)
    clip_norm: float | None = Field(5.0, gt=0)
    accumulate: int = Field(1, ge=1)
    ema: float | None = Field(None, gt=0, lt=1)
    freeze: Literal["none", "backbone", "probe"] = "none"
    unfreeze_epoch: int | None = Field(None, ge=1)
    unfreeze_every: int | None = Field(None, ge=1)
    freeze_norm: bool = False
    backbone_lr_scale: float = Field(1.0, gt=0, le=1)
    layer_decay: float = Field(1.0, gt=0, le=1)
    patience: int | None = Field(10, ge=1)
    class_weights: Literal["none", "sqrt_inverse", "inverse", "effective"] = "sqrt_inverse"
    augment: AugmentConfig = Field(default_factory=AugmentConfig)

    seed: int = Field(0, ge=0)
    device: Annotated[str, AfterValidator(check_device_name)] = "auto"
    precision: Annotated[Precision, BeforeValidator(_as_text)] = "auto"
    workers: int | None = Field(None, ge=0)
    checkpoint_steps: int = Field(100, ge=1)
    picture_epochs: int | None = Field(5, ge=1)
    baselines: bool = True
    devices: int | None = Field(None, ge=1)
    nodes: int | None = Field(None, ge=1)
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"

    def as_yaml(self) -> str:
        """All of it, defaults included."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


BATCH_PX = 8 * 128 * 128
"""Pixels in a step: with more, a CPU makes too few steps in the minutes that a person waits; with fewer, steps are too rough."""


def batch_size_for(asked: int | None, chip_px: int, output: OutputKind) -> int:
    """Chips in a step for chips of `chip_px` a side and a task's output kind."""
    if asked is not None:
        return asked
    return min(32, max(4, BATCH_PX // output.step_cost // chip_px**2))


# What may differ between a killed run and the one that continues it: none of it changes a weight.
_FREE_ON_RESUME = frozenset(
    {
        "config.workers",
        "config.checkpoint_steps",
        "config.baselines",
        "config.device",
        "config.picture_epochs",
    }
)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Keys in which two configurations (as plain dicts) differ, as "epochs: was 30, now 40"; nested keys are
    dotted.
    """
    found: list[str] = []
    for key in sorted({*old, *new}):
        before, after, name = old.get(key), new.get(key), prefix + key
        if name in _FREE_ON_RESUME or before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{name}.")
        else:
            found.append(f"{name}: was {before!r}, now {after!r}")
    return found


def task_name(config: TrainConfig) -> str:
    """The task's name. Raises `ConfigError` where none is given."""
    if config.task is None:
        raise ConfigError(
            f"no task; set `task` to one of {', '.join(available_tasks())}, or write `task:` in the configuration file"
        )
    return config.task


def task_config_of(config: TrainConfig) -> TaskConfig:
    """The task's own options, defaults filled in. Raises `ConfigError` for unknown ones, with the nearest
    right name.
    """
    task = load_task(task_name(config))
    return validate(task.config, {"network": task.networks[0], **config.task_options}, "task_options")


def complete(config: TrainConfig) -> TrainConfig:
    """With every option of the task said."""
    return (
        config.model_copy(update={"task_options": task_config_of(config).model_dump(mode="json")})
        if config.task is not None
        else config
    )


def resolve_config(
    config: TrainConfig | Mapping[str, object] | str | Path | None = None,
    *,
    task: str | None = None,
    settings: Sequence[str] = (),
    compute: Compute = Compute(),
    overrides: Mapping[str, object] | None = None,
) -> TrainConfig:
    """The configuration of a training, from least to most specific: `config`, `settings`, the others.

    Args:
        config: A configuration, the YAML file of one, or a mapping of its keys; nested keys may be dotted
            ("task_options.backbone").
        task: Name of the task.
        settings: Further keys as texts, "key.key=value".
        compute: Device, precision, batch size and workers; what it leaves at "auto" is not overridden.
        overrides: Further keys with their values; those that are None are not overridden.

    Raises:
        ConfigError: A key is unknown (the nearest known one is named), or a value is out of range.
    """
    tree = _config_tree(config)
    for setting in settings:
        _put(tree, *_parsed(setting))
    for key, value in {"task": task, **(overrides or {}), **compute.stated()}.items():
        if value is not None:
            _put(tree, key, value)
    resolved = validate(TrainConfig, tree, str(config) if isinstance(config, str | Path) else "configuration")
    complete(resolved)  # a wrong option of the task is reported now, not after the chips were read
    return resolved


def _config_tree(config: TrainConfig | Mapping[str, object] | str | Path | None) -> dict[str, Any]:
    """A configuration as nested plain values."""
    if config is None:
        return {}
    if isinstance(config, TrainConfig):
        return config.model_dump(mode="json")
    if isinstance(config, str | Path):
        return load_yaml(config)
    tree: dict[str, Any] = {}
    for key, value in config.items():
        _put(tree, key, copy.deepcopy(value))  # later keys change the tree, not the caller's mapping
    return tree


def _parsed(setting: str) -> tuple[str, object]:
    key, sign, text = setting.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"`settings` {setting}: expected KEY=VALUE, e.g. `lr=0.0005` or `task_options.dropout=0.1`"
        )
    return key.strip(), parse_yaml(f"value: {text}", f"`settings` {setting}").get("value")


def _put(tree: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        below = tree.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{key}: {parent} is a value and has no keys below it")
        tree = below
    tree[last] = value

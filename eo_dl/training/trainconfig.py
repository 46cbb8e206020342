"""`TrainConfig`: all options of training, with their defaults in this one place."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..chips.augment import AugmentConfig
from ..errors import ConfigError
from ..io.yamlfiles import load_yaml, parse_yaml, validate
from ..networks.compute import Compute
from ..networks.device import Precision, check_device_name
from ..tasks import USUAL_LR, OutputKind, Task, TaskConfig, load_task


def _as_text(value: object) -> object:
    # YAML reads `precision: 32` as a number.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _off_as_text(value: object) -> object:
    # YAML reads `cache: off` as false.
    return "off" if value is False else value


AUTO = "auto"
"""`weights` that depend on what is installed and on the bands of the chips (`setup.initialweights`)."""


class TrainConfig(BaseModel):
    """How a network is trained. Unknown keys are refused.

    The text under each field is also its comment in `configs/*.yaml` and `eo-dl train --print-config`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    task: str | None = None
    """What is predicted, e.g. segmentation or detection; `eo-dl train --help` lists the tasks."""
    weights: str = AUTO
    """Initial weights of the backbone: auto (those of ImageNet if they are installed and the chips have a
    red, green or blue band, else none), none, imagenet, a name listed by `eo-dl model backbones`, a timm name
    with its tag (resnet18.a1_in1k), or a file (safetensors, state dict, checkpoint, or a model of any
    task)."""
    weights_for: Literal["backbone", "network"] = "backbone"
    """What starts from `weights`: the backbone, or the whole network. The latter needs a model of the same
    task and network; its class layers are used if the classes are the same."""
    normalization: Literal["data", "weights"] = "data"
    """Statistics that normalize the pixels: those of the train chips (data), or those with which the weights
    were trained (weights)."""
    task_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task."""

    minutes: float | None = Field(None, gt=0)
    """Time for training, minutes. The learning rate follows the share of the time that is used, so a short
    run ends as well as a long one; the number of steps then depends on the speed of the machine. null: no
    limit if `epochs` is set, otherwise 10 on a CPU and 30 on a GPU."""
    epochs: int | None = Field(None, ge=1)
    """Number of epochs. null: as many as there is time for if `minutes` is set, otherwise 20, and with few
    chips as many as make 1000 steps."""
    min_steps: int = Field(24, ge=1)
    """Minimum number of batches per epoch: with few chips, an epoch is several passes over them."""
    batch_size: int | None = Field(None, ge=2)
    """Chips per batch and process, at least 2 (batch normalization cannot work on one). null: chosen by the
    size of the chips, 4 to 32."""
    lr: float | None = Field(None, gt=0)
    """Peak learning rate. null: 0.001 for detection and instances, otherwise 0.002."""
    weight_decay: float = Field(1e-2, ge=0)
    """Weight decay; biases and normalization layers are exempt."""
    optimizer: Literal["adamw", "adam", "rmsprop", "adagrad", "momentum", "sgd"] = "adamw"
    """Optimizer: adamw, adam, rmsprop, adagrad, momentum (SGD with Nesterov momentum) or sgd."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of the optimizer `momentum`."""
    schedule: Literal["cosine", "constant", "step", "onecycle", "plateau"] = "cosine"
    """Learning rate schedule after the warm-up: cosine, constant, step, onecycle or plateau."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps in which the learning rate rises; onecycle has its own."""
    decay_epochs: int = Field(5, ge=1)
    """Epochs after which the rate is lowered: of training (step), or without a better validation score
    (plateau)."""
    decay_factor: float = Field(0.3, gt=0, lt=1)
    """Factor by which step and plateau lower the rate."""
    clip_norm: float | None = Field(5.0, gt=0)
    """Maximum norm of the gradient. null: no clipping."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients are accumulated for one step of the optimizer."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, e.g. 0.999, which is then validated and kept.
    null: the weights themselves."""

    freeze: Literal["none", "backbone", "probe"] = "none"
    """Keep the pretrained backbone fixed: none, backbone, or probe (a linear probe: as backbone, and refused
    unless a single linear layer is trained)."""
    unfreeze_epoch: int | None = Field(None, ge=1)
    """Epochs after which a frozen backbone is trained too. null: never."""
    unfreeze_every: int | None = Field(None, ge=1)
    """Then unfreeze one stage of the backbone every so many epochs, the last stage first. null: all at
    once."""
    freeze_norm: bool = False
    """Keep the batch normalization of the backbone fixed for the whole run."""
    backbone_lr_scale: float = Field(1.0, gt=0, le=1)
    """Learning rate of the backbone, as a fraction of the base rate."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of each backbone stage, as a fraction of that of the following stage."""

    patience: int | None = Field(None, ge=1)
    """Epochs without a better validation score after which training stops, whatever the learning rate is by
    then. null: never; the weights of the best epoch are kept all the same."""
    class_weights: Literal["none", "sqrt_inverse", "inverse", "effective"] = "none"
    """Class weights in the loss, from the class shares of the train split: none, sqrt_inverse, inverse or
    effective. Weights find more of rare classes, and make the probabilities of rare classes too large."""
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    """Random variation of the train chips."""

    seed: int = Field(0, ge=0)
    """Random seed; the same seed gives the same weights on one machine's CPU."""
    licence: str = Field("", max_length=2000)
    """Licence of the model, which is kept in it, e.g. CC-BY-4.0. Empty: none is stated."""
    device: Annotated[str, AfterValidator(check_device_name)] = "auto"
    """Device: auto (a GPU if there is one), cpu, cuda, cuda:N or mps."""
    precision: Annotated[Precision, BeforeValidator(_as_text)] = "auto"
    """Precision: auto (bfloat16 for class maps if the hardware supports it, else float32), 32, bf16 or 16."""
    workers: int | None = Field(None, ge=0)
    """Processes that read chips. null: 0 on a CPU, where the network is far slower than reading, and up to 4
    for a GPU."""
    cache: Annotated[Literal["auto", "off", "memory", "disk"], BeforeValidator(_off_as_text)] = "auto"
    """Where chips are kept once they were read: memory (at most half of what is free), disk (a file in the
    run's folder, removed at the end), off, or auto (memory, if they fit into a quarter of what is free).
    Results are the same."""
    checkpoint_steps: int = Field(100, ge=1)
    """Batches between two checkpoints; there is one after every epoch too."""
    picture_epochs: int | None = Field(5, ge=1)
    """Epochs between two pictures of predictions in TensorBoard. null: no pictures."""
    baselines: bool = True
    """Score simple baselines beside the network."""
    devices: int | None = Field(None, ge=1)
    """Processes (GPUs) per machine. null: one, or as many as torchrun or SLURM started."""
    nodes: int | None = Field(None, ge=1)
    """Machines. null: one, or as many as torchrun or SLURM started."""
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    """How several processes work together: auto, ddp or ddp_find_unused_parameters_true."""

    @property
    def peak_lr(self) -> float:
        """The peak learning rate; that of most tasks until `with_rate` has settled it."""
        return USUAL_LR if self.lr is None else self.lr


def with_rate(config: TrainConfig, task: Task) -> TrainConfig:
    """The configuration with the learning rate that suits its task, if it states none."""
    return config if config.lr is not None else config.model_copy(update={"lr": task.lr})


BATCH_PX = 8 * 128 * 128
"""Pixels per batch by default. With more, a CPU takes too few steps in the minutes that users wait; with
fewer, the gradients are too noisy."""


def batch_size_for(batch_size: int | None, chip_px: int, output: OutputKind) -> int:
    """Chips per batch of one process.

    Args:
        batch_size: As configured; None: about `BATCH_PX` pixels, fewer for tasks with heavier networks; 4 to
            32 chips.
        chip_px: Side of a chip, pixels.
        output: Output kind of the task.
    """
    if batch_size is not None:
        return batch_size
    pixels = BATCH_PX // output.step_cost
    return min(32, max(4, pixels // chip_px**2))


# What may differ between a stopped run and the one that continues it: none of it changes a weight.
_FREE_ON_RESUME = frozenset(
    {
        "config.workers",
        "config.cache",
        "config.checkpoint_steps",
        "config.baselines",
        "config.device",
        "config.picture_epochs",
    }
)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keys in which two runs (as plain values) differ, as "epochs: was 30, now 40"; nested keys are
    dotted."""
    changed: list[str] = []
    for key in sorted({*old, *new}):
        before, after, name = old.get(key), new.get(key), prefix + key
        if name in _FREE_ON_RESUME or before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            changed += differences(before, after, f"{name}.")
        else:
            changed.append(f"{name}: was {before!r}, now {after!r}")
    return changed


def task_name(config: TrainConfig) -> str:
    """The name of the task.

    Raises:
        ConfigError: The configuration names no task.
    """
    if config.task is None:
        raise ConfigError("train: `task` is missing; choose one, e.g. segmentation or detection")
    return config.task


def task_config_of(config: TrainConfig) -> TaskConfig:
    """The options of the task, with their defaults.

    Raises:
        ConfigError: No task, or an unknown option; the message names the nearest known one.
    """
    task = load_task(task_name(config))
    return validate(task.config, {"network": task.networks[0], **config.task_options}, "task_options")


def complete(config: TrainConfig) -> TrainConfig:
    """The configuration with every option of its task, if it has one."""
    if config.task is None:
        return config
    task_options = task_config_of(config).model_dump(mode="json")
    return config.model_copy(update={"task_options": task_options})


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a model of an older version under the names of this one."""
    current = dict(values)
    if "max_minutes" in current:  # the older name of `minutes`
        current["minutes"] = current.pop("max_minutes")
    return current


def resolve_config(
    config: TrainConfig | Mapping[str, object] | str | Path | None = None,
    *,
    task: str | None = None,
    settings: Sequence[str] = (),
    compute: Compute = Compute(),
    overrides: Mapping[str, object] | None = None,
) -> TrainConfig:
    """The configuration of a training.

    The parameters override each other in this order: `config`, `settings`, all others.

    Args:
        config: A configuration, the YAML file of one, or a mapping of its keys; nested keys may be dotted
            ("task_options.backbone").
        task: Name of the task.
        settings: Further keys as texts, "key.key=value".
        compute: Device, precision, batch size and workers; fields at their default override nothing.
        overrides: Further values by dotted key; None overrides nothing.

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

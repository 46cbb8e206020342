"""Which weights are trained, when, and how fast: frozen backbones, staged unfreezing, slower early stages.

All of it follows from the configuration and the number of the epoch, so a resumed run has no state of it to
restore. A frozen part keeps its weights and the running statistics of its batch normalization. Layers that
the weights file left random are never frozen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import ConfigError
from ...networks.tasknetwork import TaskNetwork
from ..trainconfig import TrainConfig

Groups = list[dict[str, Any]]
"""Parameter groups of an optimizer."""
SCALE = "lr_scale"
"""Key of a parameter group: its learning rate as a fraction of that of the step."""
_BACKBONE = "backbone."


def check_freeze(network: torch.nn.Module, config: TrainConfig) -> None:
    """Check that the network can be frozen as configured.

    Raises:
        ConfigError: There are no pretrained weights to keep, or the network is no linear probe.
    """
    if config.freeze != "none" and config.weights == "none":
        raise ConfigError(
            f"`freeze={config.freeze}`: would keep random weights; choose `weights`, or `freeze=none`"
        )
    if config.freeze == "probe" and not is_linear_probe(network):
        raise ConfigError(
            "`freeze=probe`: needs a network that is a backbone and one linear layer, e.g. 'pooled' of image "
            "classification; for other networks choose `freeze=backbone`"
        )


def is_linear_probe(network: torch.nn.Module) -> bool:
    """True if the network is a backbone and a single linear layer."""
    if not hasattr(network, "backbone"):
        return False
    names = [name for name, _ in network.named_parameters()]
    layers = {name.rpartition(".")[0] for name in names if not name.startswith(_BACKBONE)}
    return len(layers) == 1 and isinstance(network.get_submodule(layers.pop()), torch.nn.Linear)


def stages_of(backbone: torch.nn.Module) -> dict[str, int]:
    """The stage of each parameter, from 0 next to the image.

    A stage of a timm backbone ends with one of its feature maps; in other backbones each layer is a stage.
    Parameters between two feature maps belong to the later one.
    """
    names = [name for name, _ in backbone.named_parameters()]
    ends = _stage_ends(backbone, names)
    stages: dict[str, int] = {}
    stage, inside = 0, False
    for name in names:
        # timm joins the names of nested modules with "_"
        path = f"{name.replace('.', '_')}_"
        matching = [index for index, end in enumerate(ends) if path.startswith(f"{end}_")]
        if matching:
            stage, inside = max(matching), True
        elif inside:  # behind the end of a stage and before that of the next one
            stage, inside = min(stage + 1, len(ends) - 1), False
        stages[name] = stage
    return stages


def frozen_stages(config: TrainConfig, epoch: int, count: int) -> int:
    """How many of `count` stages, counted from the image, are frozen in an epoch (from 0)."""
    if config.freeze == "none":
        return 0
    if config.freeze == "probe" or config.unfreeze_epoch is None or epoch < config.unfreeze_epoch:
        return count
    if config.unfreeze_every is None:
        return 0
    unfrozen = 1 + (epoch - config.unfreeze_epoch) // config.unfreeze_every
    return max(0, count - unfrozen)


def apply_freeze(network: TaskNetwork, config: TrainConfig, epoch: int) -> None:
    """Prepare the network for an epoch: train mode for what is trained, eval mode for frozen batch
    normalization.

    Args:
        network: Changed in place; call it at the start of every epoch.
        config: The configuration.
        epoch: Number of the epoch, from 0.
    """
    network.train()
    if config.freeze == "none" and not config.freeze_norm:
        return
    stages = stages_of(network.backbone)
    frozen = frozen_stages(config, epoch, max(stages.values(), default=-1) + 1)
    random = set() if network.weights_report is None else set(network.weights_report.random)
    trained = {name for name, stage in stages.items() if stage >= frozen or name in random}
    for name, parameter in network.backbone.named_parameters():
        parameter.requires_grad_(name in trained)
    for name, module in network.backbone.named_modules():
        if not isinstance(module, _BatchNorm):
            continue
        parameters = [f"{name}.{part}" for part, _ in module.named_parameters()]
        is_frozen = bool(parameters) and trained.isdisjoint(parameters)
        if config.freeze_norm or is_frozen:
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad_(False)


def parameter_groups(network: torch.nn.Module, config: TrainConfig) -> Groups:
    """The parameters in groups for an optimizer.

    Biases and normalization layers have no weight decay, because shifts and gains are no weights. Stages of
    the backbone have a fraction of the learning rate, where configured. Frozen parameters are in the groups
    too: they get no gradient, and an optimizer does not move what has none.
    """
    scales = _rate_scales(network, config)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        scale, decays = scales.get(name, 1.0), parameter.ndim > 1
        weight_decay = config.weight_decay if decays else 0.0
        new_group = {"params": [], "weight_decay": weight_decay, SCALE: scale}
        groups.setdefault((scale, not decays), new_group)["params"].append(parameter)
    by_rate = sorted(groups, key=lambda key: (-key[0], key[1]))
    return [groups[key] for key in by_rate]


def _stage_ends(backbone: torch.nn.Module, names: list[str]) -> list[str]:
    """The name of the module with which each stage ends."""
    info = getattr(backbone, "feature_info", None)  # only timm's backbones have it
    if info is not None:
        return [name.replace(".", "_") for name in info.module_name()]
    return list(dict.fromkeys(name.split(".")[0] for name in names))


def _rate_scales(network: torch.nn.Module, config: TrainConfig) -> dict[str, float]:
    """The learning rate of each backbone parameter as a fraction; {} where all are 1."""
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, torch.nn.Module):
        return {}
    if config.backbone_lr_scale == 1.0 and config.layer_decay == 1.0:
        return {}
    stages = stages_of(backbone)
    last = max(stages.values(), default=0)
    return {
        f"{_BACKBONE}{name}": config.backbone_lr_scale * config.layer_decay ** (last - stage)
        for name, stage in stages.items()
    }

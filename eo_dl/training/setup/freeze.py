"""What of a network learns, when, and how fast: frozen backbones, staged unfreezing, slower lower layers.

All of it follows from the configuration and the number of the epoch, so a resumed run has no state of it to
restore. A frozen part keeps everything: its weights, and the running statistics of its batch normalization
too. What the weights file left random is never frozen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import ConfigError
from ...networks.tasknetwork import TaskNetwork
from ..trainconfig import TrainConfig

Groups = list[dict[str, Any]]
SCALE = "lr_scale"
"""Key of an optimizer's group: by how much its learning rate differs from that of the step."""


def check_freeze(network: torch.nn.Module, config: TrainConfig) -> None:
    """Raises `ConfigError` where the network cannot be frozen as asked: nothing to keep, or no linear probe."""
    if config.freeze != "none" and config.weights == "none":
        raise ConfigError(
            f"`freeze={config.freeze}`: would keep random weights; choose `weights`, or `freeze=none`"
        )
    if config.freeze == "probe" and not is_linear_probe(network):
        raise ConfigError(
            "freeze=probe: needs a network that is a backbone and one linear layer, e.g. 'pooled' of image "
            "classification; for other networks set `freeze` to backbone"
        )


def is_linear_probe(network: torch.nn.Module) -> bool:
    """True where all that is learnt beside the backbone is one linear layer."""
    rest = {
        name.rpartition(".")[0] for name, _ in network.named_parameters() if not name.startswith("backbone.")
    }
    return (
        hasattr(network, "backbone")
        and len(rest) == 1
        and isinstance(network.get_submodule(next(iter(rest))), torch.nn.Linear)
    )


def stages_of(backbone: torch.nn.Module) -> dict[str, int]:
    """Each parameter's stage, 0 the one next to the image: the feature maps cut a timm backbone into stages,
    the layers any other one.
    """
    names = [name for name, _ in backbone.named_parameters()]
    info = getattr(backbone, "feature_info", None)
    ends = (
        [name.replace(".", "_") for name in info.module_name()]
        if info is not None
        else list(dict.fromkeys(name.split(".")[0] for name in names))
    )
    stages: dict[str, int] = {}
    reached, inside = 0, False
    for name in names:
        within = [
            place for place, end in enumerate(ends) if f"{name.replace('.', '_')}_".startswith(f"{end}_")
        ]
        if within:
            reached, inside = max(within), True
        elif inside:  # behind the end of a stage and before that of the next one
            reached, inside = min(reached + 1, len(ends) - 1), False
        stages[name] = reached
    return stages


def frozen_stages(config: TrainConfig, epoch: int, count: int) -> int:
    """How many of `count` stages, from the image on, do not learn in epoch `epoch` (from 0)."""
    if config.freeze == "none":
        return 0
    if config.freeze == "probe" or config.unfreeze_epoch is None or epoch < config.unfreeze_epoch:
        return count
    if config.unfreeze_every is None:
        return 0
    return max(0, count - 1 - (epoch - config.unfreeze_epoch) // config.unfreeze_every)


def apply_freeze(network: TaskNetwork, config: TrainConfig, epoch: int) -> None:
    """Train mode for what learns in this epoch, and rest for what does not. Call at the start of every epoch."""
    network.train()
    if config.freeze == "none" and not config.freeze_norm:
        return
    stages = stages_of(network.backbone)
    frozen = frozen_stages(config, epoch, max(stages.values(), default=-1) + 1)
    loose = set(network.weights_report.random) if network.weights_report is not None else set()
    for name, parameter in network.backbone.named_parameters():
        parameter.requires_grad_(stages[name] >= frozen or name in loose)
    for name, module in network.backbone.named_modules():
        if not isinstance(module, _BatchNorm):
            continue
        own = [f"{name}.{part}" for part, _ in module.named_parameters()]
        if config.freeze_norm or (own and all(stages[part] < frozen and part not in loose for part in own)):
            module.eval()
            for parameter in module.parameters():
                parameter.requires_grad_(False)


def parameter_groups(network: torch.nn.Module, config: TrainConfig) -> Groups:
    """Groups for an optimizer: without weight decay on biases and norms (a shift or a gain is no weight), and
    slower towards the image where asked.

    All parameters are in them, frozen ones too: those get no gradient, and an optimizer does not move what
    has none.
    """
    scales = _scales(network, config)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        scale, decays = scales.get(name, 1.0), parameter.ndim > 1
        group = groups.setdefault(
            (scale, not decays),
            {"params": [], "weight_decay": config.weight_decay if decays else 0.0, SCALE: scale},
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups, key=lambda key: (-key[0], key[1]))]


def _scales(network: torch.nn.Module, config: TrainConfig) -> dict[str, float]:
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, torch.nn.Module) or (
        config.backbone_lr_scale == 1.0 and config.layer_decay == 1.0
    ):
        return {}
    stages = stages_of(backbone)
    last = max(stages.values(), default=0)
    return {
        f"backbone.{name}": config.backbone_lr_scale * config.layer_decay ** (last - stage)
        for name, stage in stages.items()
    }

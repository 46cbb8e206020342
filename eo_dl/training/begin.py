"""The network as a training begins: random, or started by weights, and such that it can be frozen as asked."""

from __future__ import annotations

import torch

from ..errors import ConfigError
from ..networks.network import TaskNetwork
from ..networks.weights import load_rest
from ..tasks import NetworkInputs, Task, TaskConfig
from .config import TrainConfig
from .freeze import check_freeze


def begin_network(task: Task, task_config: TaskConfig, inputs: NetworkInputs, config: TrainConfig, seed: int) -> TaskNetwork:
    """Random numbers are those of `seed`, and nobody else's are used up. Raises `ConfigError` and `BundleError` for backbones and weights that do not fit."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = task.make_network(task_config, inputs)
    if config.weights_for == "network":
        if isinstance(inputs.weights, str) or network.weights_report is None:
            raise ConfigError("weights_for=network: there is no model to start from; give --weights MODEL.eodl")
        network.weights_report = load_rest(network, network.class_layers, inputs.weights, inputs.classes, network.weights_report)
    check_freeze(network, config)
    return network

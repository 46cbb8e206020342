"""The task of a training whose configuration names none: the one that the labels are meant for."""

from __future__ import annotations

import logging

from ..chips.chipset import ChipSet
from ..tasks.taskguess import guess_task
from .trainconfig import TrainConfig, resolve_config

log = logging.getLogger(__name__)


def with_task(config: TrainConfig, chips: ChipSet) -> TrainConfig:
    """The configuration with a task: its own, or the one that the labels are meant for, which is logged.

    Args:
        config: The configuration.
        chips: The chips with their labels.

    Raises:
        ConfigError: Two tasks fit the labels equally, or an option of the configuration is none of the task.
    """
    if config.task is not None:
        return config
    guess = guess_task(chips)
    log.info(guess.describe())
    return resolve_config(config, task=guess.task)

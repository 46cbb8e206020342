"""The contract of a task: what every head gives, and all that the rest of the house knows about it.

A task is one folder of `eo_dl/tasks/` whose `__init__` holds one value `TASK: Task`. Its three parts are
the config (pydantic: every default lives there), the `Codec` (numpy: labels <-> arrays) and the network
(torch: `networks.network.TaskNetwork`). Importing a task folder or its codec never imports torch; only
calling `Task.make_network` does.

How training uses it:

    config = task.settle(task.config(...), inputs)        # data-driven values (anchor sizes) are filled in
    network = task.make_network(config, inputs)           # config is what goes into the bundle
    codec = task.make_codec(inputs.classes, config)
    codec.encode(labels, height, width) -> Target         # in the data set
    network.loss(images, targets)["loss"].backward()      # network.train()
    raw = network(images)                                 # network.eval(); dict of (N, ...) tensors
    scorer.update(codec.answer(one_chip_of(raw)), codec.truth(target), place)

and inference: `Bundle.make_network()`, then `decode` (or, for raster tasks, `labels`) of each chip's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from ..core.arrays import Objects, Target
from ..core.classes import ClassSet
from ..core.labelset import PixelLabels
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..networks.tasknetwork import TaskNetwork
    from ..networks.weightsources import WeightsSource
    from ..scores.score import Score

OutputKind = Literal["raster", "objects", "chips"]
RawArrays = Mapping[str, npt.NDArray[np.generic]]
"""What the network said about one chip: the tensors of `forward` without their batch axis."""
Decoded = npt.NDArray[np.float32] | Objects
"""Probabilities (K, H, W) or (K,), or `Objects` in chip pixels."""
Answer = npt.NDArray[np.generic] | Objects
"""What a scorer compares: (H, W) uint8 class ids with 255 = ignore, or `Objects`, or chip values."""


class TaskConfig(BaseModel):
    """What every task can be told; each task adds its own. Unknown keys are refused.

    `backbone` is a timm name ("resnet18", "efficientnet_b0", ...); `network` one of the task's architectures.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    network: str
    backbone: str = "resnet18"


ConfigT = TypeVar("ConfigT", bound=TaskConfig)


@dataclass(frozen=True)
class NetworkInputs:
    """What the data decide about a network.

    `classes` in channel order (the task's `output_classes`). `class_weights` (K,) for the loss and
    `object_sizes_px` (N, 2) widths and heights of train boxes: only for training, None when a bundle is
    opened. `weights`: "none", the path of a file, or the source to start the encoder from
    (`networks.sources.find_weights`). `chip_covers` (N, K), for chips as a whole: the share of each train
    chip's known ground that each class covers (overlaps count for both).
    """

    in_channels: int
    classes: ClassSet
    chip_px: int
    class_weights: tuple[float, ...] | None = None
    object_sizes_px: npt.NDArray[np.floating] | None = None
    weights: str | WeightsSource = "none"
    chip_covers: npt.NDArray[np.floating] | None = None


@runtime_checkable
class Codec(Protocol):
    """Labels to arrays and arrays to predictions, in numpy only."""

    @property
    def classes(self) -> ClassSet:
        """The network's classes in channel order."""
        ...

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """The target of a chip of `height` x `width`; `labels` lie in its pixels."""
        ...

    def decode(self, raw: RawArrays) -> Decoded:
        """Probabilities or objects of one chip."""
        ...

    def answer(self, raw: RawArrays) -> Answer:
        """The prediction in the form that `truth` has."""
        ...

    def truth(self, target: Target) -> Answer:
        """The target in the form that a scorer compares with `answer`."""
        ...


@runtime_checkable
class RasterCodec(Codec, Protocol):
    """A codec of output kind `raster`."""

    def labels(self, raw: RawArrays) -> npt.NDArray[np.uint8]:
        """(H, W) class ids of the largest channel, without the cost of probabilities."""
        ...


@runtime_checkable
class ChipCodec(Codec, Protocol):
    """A codec of output kind `chips`: `decode`, `answer` and `truth` are (K,), the truth with NaN where
    nothing is known.
    """

    @property
    def several(self) -> bool:
        """True where a chip may have several classes, so that probabilities do not sum to 1."""
        ...

    @property
    def min_cover(self) -> float:
        """The share of a chip's known ground that a class must cover to be the chip's class."""
        ...


@runtime_checkable
class OneObjectCodec(Codec, Protocol):
    """A codec of output kind `objects` for one object a chip, or none (`Task.one_object`)."""

    @property
    def several(self) -> Literal["largest", "ignore"]:
        """What a chip with several objects holds: the one of which most is seen, or nothing that counts."""
        ...

    @property
    def min_visible(self) -> float:
        """An object of which less of its box is seen counts neither way."""
        ...


class Scorer(Protocol):
    """Adds up predictions against truth, place by place."""

    def update(self, predicted: Answer, truth: Answer, place: str = "") -> None:
        """Count one chip; `place` names its block of ground (for intervals)."""
        ...

    def scores(self) -> list[Score]:
        """All scores so far; NaN = not defined."""
        ...

    def draws(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """The overall scores by name in each of R resamplings of the places, (R,); {} with too few places."""
        ...


def _as_they_are(classes: ClassSet, config: TaskConfig) -> ClassSet:
    return classes


def _nothing_to_say(config: TaskConfig, objects: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Task:
    """A task by its parts.

    `networks`: the architectures that `config.network` may name. `settle` returns the config with everything
    that the data decide filled in; `make_network` refuses a config that is not settled, so that the bundle
    always says all. `output_classes(classes, class_shares)` gives the network's classes from those of the
    labels and the train split's pixel shares by class id (0 = background), and `settled_classes` what is left
    of them once the config is settled. `remarks(config, objects)` says what the task makes of the chips,
    given the number of objects of each by split. `one_object`: a chip has one object or none (of output kind
    `objects`), so that a box that is always the same is worth comparing with.
    """

    name: str
    output: OutputKind
    config: type[TaskConfig]
    networks: tuple[str, ...]
    primary_score: str
    make_codec: Callable[[ClassSet, TaskConfig], Codec]
    make_network: Callable[[TaskConfig, NetworkInputs], TaskNetwork]
    make_scorer: Callable[[ClassSet], Scorer]
    settle: Callable[[TaskConfig, NetworkInputs], TaskConfig]
    output_classes: Callable[[ClassSet, Mapping[int, float]], ClassSet]
    settled_classes: Callable[[ClassSet, TaskConfig], ClassSet] = _as_they_are
    remarks: Callable[[TaskConfig, Mapping[str, Sequence[int]]], tuple[str, ...]] = _nothing_to_say
    one_object: bool = False


def settled_as_is(config: TaskConfig, inputs: NetworkInputs) -> TaskConfig:
    """`Task.settle` for tasks whose config does not depend on the data."""
    return config


def config_of(kind: type[ConfigT], config: TaskConfig) -> ConfigT:
    """`config` as the task's own type. Raises `ConfigError` for that of another task."""
    if not isinstance(config, kind):
        raise ConfigError(
            f"a {kind.__name__} was expected, found {type(config).__name__}; take it from the task that makes the network"
        )
    return config


def check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    """Raises `ConfigError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(f"{what} {value!r} is not known; choose one of {', '.join(choices)}")

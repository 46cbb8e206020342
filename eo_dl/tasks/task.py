"""`Task`: all that the rest of the house knows about a head.

A task is one folder of `eo_dl/tasks/` whose `__init__` holds one value `TASK: Task`. Its three parts are the
config (pydantic, holds every default), the codec (numpy: labels to arrays and arrays to predictions) and the
network (torch: `networks.tasknetwork.TaskNetwork`). Importing a task folder or its codec never imports torch;
only calling `Task.make_network` does.

Training uses it like this:

    config = task.settle(task.config(...), inputs)        # fills in what the data decide (anchor sizes)
    network = task.make_network(config, inputs)           # config is what goes into the bundle
    codec = task.make_codec(inputs.classes, config)
    scorer = task.make_scorer(codec, min_score)
    target = codec.encode(labels, height, width)          # in the data set
    network.loss(images, targets)["loss"].backward()      # network.train()
    raw = network(images)                                 # network.eval(); dict of (N, ...) tensors
    scorer.update(codec.answer(raw_of_one_chip), codec.truth(target), block)

and inference: `Bundle.make_network()`, then `codec.answer` or `codec.decode` of each chip's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar

from ..core.arrays import BoxTarget, ChipTarget, MaskTarget, Objects, TargetT, ValueTarget
from ..core.arraytypes import Float32Array, Float64Array, FloatArray
from ..core.classes import ClassSet
from ..errors import ConfigError
from .codecs import ChipCodec, ClassMap, CodecT, ObjectCodec, RasterCodec, ValueCodec
from .outputkind import OutputKind

if TYPE_CHECKING:
    from ..networks.tasknetwork import TaskNetwork
    from ..networks.weightsources import WeightsSource
    from ..scores.score import Score


USUAL_LR = 0.002
"""Peak learning rate of most tasks."""


class TaskConfig(BaseModel):
    """Options that all tasks have; each task adds its own. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    network: str
    """One of the task's architectures."""
    backbone: str = "tf_efficientnet_lite0"
    """A timm model, e.g. "resnet18". The ImageNet weights of "tf_efficientnet_lite0" are part of the
    installation."""

    on_cpu: ClassVar[Mapping[str, object]] = {}
    """Values of options that are None, where the network is trained on a CPU: thin layers, because more steps
    in the same time are worth more than wide ones."""
    on_gpu: ClassVar[Mapping[str, object]] = {}
    """The same for a GPU."""

    @property
    def uses_backbone(self) -> bool:
        """False for a network that is built without a timm model."""
        return True

    def with_widths(self, inputs: NetworkInputs) -> Self:
        """The config with a value for each option that depends on the device and that nobody set."""
        widths = self.on_cpu if inputs.on_cpu else self.on_gpu
        missing = {name: value for name, value in widths.items() if getattr(self, name) is None}
        return self.model_copy(update=missing)


@dataclass(frozen=True)
class NetworkInputs:
    """What the data decide about a network."""

    in_channels: int
    """Bands of the images."""
    classes: ClassSet
    """Classes in channel order, as `Task.output_classes` gives them."""
    chip_px: int
    """Side of a chip, pixels."""
    class_weights: tuple[float, ...] | None = None
    """(K,) weights of the classes in the loss; None outside training."""
    object_sizes_px: FloatArray | None = None
    """(N, 2) widths and heights of the train boxes; None outside training."""
    value_moments: tuple[tuple[float, float], ...] | None = None
    """Mean and standard deviation of each value over the train pixels; None outside training."""
    weights: str | WeightsSource = "none"
    """Initial weights of the backbone: "none", the path of a file, or a source
    (`networks.weightsources.find_weights`)."""
    on_cpu: bool = False
    """True where the network is trained on a CPU: layers whose width nobody chose are then thin."""
    chip_covers: FloatArray | None = None
    """(N, K), for whole chips: the share of each train chip's known ground that each class covers. Where
    classes overlap the ground counts for both."""


AnswerT = TypeVar("AnswerT", default=Any)
AnswerT_contra = TypeVar("AnswerT_contra", contravariant=True, default=Any)
ConfigT = TypeVar("ConfigT", bound=TaskConfig, default=TaskConfig)
AnyCodecT = TypeVar("AnyCodecT")


class Scorer(Protocol[AnswerT_contra]):
    """Accumulates scores of predictions against the reference, chip by chip."""

    def update(self, predicted: AnswerT_contra, truth: AnswerT_contra, place: str = "") -> None:
        """Add one chip; `place` names its block of ground, over which intervals are taken."""
        ...

    def scores(self) -> list[Score]:
        """All scores so far; NaN where undefined."""
        ...

    def draws(self) -> Mapping[str, Float64Array]:
        """The overall scores by name in each of R resamplings of the blocks, (R,); {} with too few blocks."""
        ...


def _unchanged_classes(classes: ClassSet, config: object) -> ClassSet:
    return classes


def _no_remarks(config: object, objects: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Task(Generic[ConfigT, CodecT, TargetT, AnswerT]):
    """A head by its parts. `Task` alone stands for any of them, `RasterTask` etc. for those of one kind."""

    name: str
    """Name of the folder, and what `task` takes."""
    title: str
    """The usual name, in lower case: "semantic segmentation"."""
    pipeline_tag: str
    """The task as Hugging Face calls it, for the model card."""
    output: OutputKind[CodecT]
    """The form of the predictions."""
    config: type[ConfigT]
    """Its options with their defaults."""
    networks: tuple[str, ...]
    """The architectures that `config.network` may name."""
    primary_score: str
    """The score by which the best epoch is chosen."""
    make_codec: Callable[[ClassSet, ConfigT], CodecT]
    """(classes, config) to the codec."""
    make_network: Callable[[ConfigT, NetworkInputs], TaskNetwork[TargetT]]
    """(config, inputs) to the network. Raises `ConfigError` unless the config is settled."""
    make_scorer: Callable[[CodecT, float], Scorer[AnswerT]]
    """(codec, min_score) to an empty scorer; objects with a lower score than `min_score` do not count."""
    settle: Callable[[ConfigT, NetworkInputs], ConfigT]
    """(config, inputs) to the config with everything that the data decide filled in."""
    output_classes: Callable[[ClassSet, Mapping[int, float]], ClassSet]
    """(classes, shares) to the network's classes, from those of the labels and their shares of the train
    pixels by class id (0 = background)."""
    settled_classes: Callable[[ClassSet, ConfigT], ClassSet] = _unchanged_classes
    """(classes, config) to the classes that remain once the config is settled."""
    remarks: Callable[[ConfigT, Mapping[str, Sequence[int]]], tuple[str, ...]] = _no_remarks
    """(config, counts) to notes on the chips, given the number of objects per chip by split."""
    lr: float = USUAL_LR
    """Peak learning rate where nobody chose one."""


RasterTask = Task[ConfigT, RasterCodec, MaskTarget, ClassMap]
ObjectTask = Task[ConfigT, ObjectCodec, BoxTarget, Objects]
ChipTask = Task[ConfigT, ChipCodec, ChipTarget, Float32Array]
ValueTask = Task[ConfigT, ValueCodec, ValueTarget, Float32Array]


def codec_for(kind: OutputKind[AnyCodecT], task: Task, classes: ClassSet, config: TaskConfig) -> AnyCodecT:
    """The codec of a task, typed by the output kind. Raises `ConfigError` for a task of another kind."""
    if task.output != kind:
        raise ConfigError(f"task {task.name} gives {task.output.gives}, not {kind.gives}")
    codec: AnyCodecT = task.make_codec(classes, config)
    return codec

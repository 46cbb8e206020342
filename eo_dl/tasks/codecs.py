"""Codecs: labels to arrays and arrays to predictions, in numpy only. One protocol per kind of output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from typing_extensions import TypeVar

from ..core.arrays import BoxTarget, ChipTarget, MaskTarget, Objects, TargetT, ValueTarget
from ..core.arraytypes import AnyArray, Float32Array, UInt8Array
from ..core.chiprules import ChipClassRule, OneObjectRule
from ..core.classes import ClassSet
from ..core.pixellabels import PixelLabels

RawArrays = Mapping[str, AnyArray]
"""The output of a network for one chip: the tensors of `forward` without their batch axis."""
ClassMap = UInt8Array
"""(H, W) class ids, 255 = ignore."""
Answer = ClassMap | Objects | Float32Array
"""A prediction in the form that scorers compare: a class map, objects, class probabilities (K,), or numbers
(K, H, W), of which a prediction may have 3 K: the values and the ends of their intervals."""
VALUES_NAME = "values"
"""Name of the raw output of networks that give numbers."""
AnswerT_co = TypeVar("AnswerT_co", covariant=True, default=Any)


class Codec(Protocol[TargetT, AnswerT_co]):
    """What codecs of all tasks have in common."""

    @property
    def classes(self) -> ClassSet:
        """The network's classes in channel order."""
        ...

    def encode(self, labels: PixelLabels, height: int, width: int) -> TargetT:
        """The target of a chip of `height` x `width`; `labels` lie in its pixels."""
        ...

    def answer(self, raw: RawArrays) -> AnswerT_co:
        """The prediction for one chip, in the form that scorers compare."""
        ...

    def truth(self, target: TargetT) -> AnswerT_co:
        """The target in the form that scorers compare."""
        ...


class RasterCodec(Codec[MaskTarget, ClassMap], Protocol):
    """A codec of class maps. `answer` takes the largest channel, without the cost of probabilities."""

    @property
    def temperature(self) -> tuple[float, ...]:
        """What logits are divided by to give probabilities (`uncertainty.temperature`): one number."""
        ...

    def decode(self, raw: RawArrays) -> Float32Array:
        """(K, H, W) probabilities that sum to 1 per pixel."""
        ...

    def calibrated(self, temperature: Sequence[float]) -> Self:
        """The codec with another temperature. Answers stay as they are."""
        ...


class ObjectCodec(Codec[BoxTarget, Objects], Protocol):
    """A codec of objects."""

    @property
    def one_object(self) -> OneObjectRule | None:
        """How the one object of a chip is chosen; None where a chip may have any number of objects."""
        ...

    def decode(self, raw: RawArrays) -> Objects:
        """The objects of one chip, in its pixels, highest score first."""
        ...


class ChipCodec(Codec[ChipTarget, Float32Array], Protocol):
    """A codec of classes of whole chips. `truth` is NaN where a class is unknown."""

    @property
    def rule(self) -> ChipClassRule:
        """How the classes of a chip follow from its labels."""
        ...

    @property
    def temperature(self) -> tuple[float, ...]:
        """What logits are divided by to give probabilities (`uncertainty.temperature`): one number, or one
        per class where a chip may have several.
        """
        ...

    def decode(self, raw: RawArrays) -> Float32Array:
        """(K,) probabilities; they sum to 1 unless a chip may have several classes."""
        ...

    def calibrated(self, temperature: Sequence[float]) -> Self:
        """The codec with other temperatures."""
        ...


class ValueCodec(Codec[ValueTarget, Float32Array], Protocol):
    """A codec of maps of values: numbers with a unit. `truth` is NaN where a number is not known."""

    @property
    def has_intervals(self) -> bool:
        """True where a prediction also has the ends of an interval for each value."""
        ...

    @property
    def spreads(self) -> tuple[float, ...]:
        """(K,) the standard deviation of each value over the train chips; 1 where it is not known."""
        ...

    @property
    def band_names(self) -> tuple[str, ...]:
        """The planes of a prediction, in order: the values, then the lower and the upper ends."""
        ...

    def decode(self, raw: RawArrays) -> Float32Array:
        """(K, H, W) numbers, or (3 K, H, W) with the ends of their intervals."""
        ...


CodecT = TypeVar("CodecT", default=Any)
"""The codec of a task or an output kind; left out where any will do."""

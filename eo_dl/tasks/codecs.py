"""Codecs: labels to arrays and arrays to predictions, in numpy only. One protocol per kind of output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from typing_extensions import TypeVar

from ..core.arrays import BoxTarget, ChipTarget, MaskTarget, Objects, TargetT
from ..core.arraytypes import AnyArray, Float32Array, UInt8Array
from ..core.chiprules import ChipClassRule, OneObjectRule
from ..core.classes import ClassSet
from ..core.pixellabels import PixelLabels

RawArrays = Mapping[str, AnyArray]
"""The output of a network for one chip: the tensors of `forward` without their batch axis."""
ClassMap = UInt8Array
"""(H, W) class ids, 255 = ignore."""
Answer = ClassMap | Objects | Float32Array
"""A prediction in the form that scorers compare: a class map, objects, or class probabilities (K,)."""
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

    def decode(self, raw: RawArrays) -> Float32Array:
        """(K, H, W) probabilities that sum to 1 per pixel."""
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

    def decode(self, raw: RawArrays) -> Float32Array:
        """(K,) probabilities; they sum to 1 unless a chip may have several classes."""
        ...


CodecT = TypeVar("CodecT", default=Any)
"""The codec of a task or an output kind; left out where any will do."""

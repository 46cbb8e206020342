"""Engines made of others: several views of each chip, or several models, as one.

Probabilities are averaged, and handed on as the logits that give them, so that decoders see one network;
values are averaged as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arraytypes import AnyArray, BoolArray, Float32Array
from ...core.chipviews import VIEWS, channels_last
from ...core.rawnames import FEATURE_MAP, FEATURES
from ...tasks.codecs import VALUES_NAME
from ...uncertainty.temperature import UNCHANGED, tempered
from ..batches import Buffer
from .backend import Backend, Scaling, numpy_buffer

LOGITS = "logits"
_LEAST = 1e-7  # probabilities below would be infinite as logits


class ViewsBackend:
    """An engine that looks at each chip in several flips and turns.

    Args:
        backend: The engine.
        views: 2 (unchanged, mirrored), 4 (also upside down and transposed) or 8 (all flips and turns).
        multi_label: True if a class's probability is a sigmoid of its logit; else they are a softmax.
    """

    def __init__(self, backend: Backend, views: int, *, multi_label: bool) -> None:
        self._backend, self._views, self._multi_label = backend, VIEWS[:views], multi_label
        self.takes_stored, self.shares_batches = backend.takes_stored, backend.shares_batches
        self.batch_px, self.chip_px = backend.batch_px, backend.chip_px

    @property
    def identity(self) -> Mapping[str, str]:
        """That of the engine, and the number of views."""
        return {**self._backend.identity, "views": str(len(self._views))}

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        """Memory for a batch."""
        return self._backend.buffer(count, bands, size, dtype)

    def run(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> Mapping[str, AnyArray]:
        """See `Backend`."""
        answers = _Answers(self._multi_label)
        for view in self._views:
            seen = channels_last(view.apply(pixels))
            raw = self._backend.run(seen, np.ascontiguousarray(view.apply(valid)), scaling)
            of_view = answers.numbers(raw, UNCHANGED)
            if of_view.ndim == 4:  # a map lies in the frame of the view
                of_view = np.asarray(view.undo(of_view), np.float32)
            answers.add(of_view, raw)
        return answers.mean(UNCHANGED)


@dataclass(frozen=True)
class Member:
    """A model of an ensemble."""

    backend: Backend
    """What runs it."""
    mean: Float32Array
    """(C,) its normalization."""
    std: Float32Array
    """(C,) its normalization."""
    name: str
    """Hash of its file."""
    temperature: tuple[float, ...] = UNCHANGED
    """What calibrates its probabilities."""


class EnsembleBackend:
    """Several models as one, each with its own normalization and calibration.

    The logits that are handed on give the mean of the calibrated probabilities where they are divided by the
    temperature of the first model, as its codec does.

    Args:
        members: The models; the first one's normalization is that of the chips that arrive.
        multi_label: True if a class's probability is a sigmoid of its logit; else they are a softmax.
    """

    takes_stored = False

    def __init__(self, members: Sequence[Member], *, multi_label: bool) -> None:
        self._members, self._multi_label = tuple(members), multi_label
        first, bands = members[0].backend, len(members[0].mean)
        self._unchanged = Scaling(np.ones(bands, np.float32), np.zeros(bands, np.float32))
        self.batch_px, self.chip_px = first.batch_px, first.chip_px
        self.shares_batches = first.shares_batches

    @property
    def identity(self) -> Mapping[str, str]:
        """That of the first model's engine, and the other models."""
        others = " ".join(member.name for member in self._members[1:])
        return {**self._members[0].backend.identity, "with models": others}

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        """Memory for a batch."""
        return numpy_buffer(count, bands, size, dtype)

    def run(self, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> Mapping[str, AnyArray]:
        """See `Backend`."""
        answers = _Answers(self._multi_label)
        for member in self._members:
            # An engine that normalizes by itself leaves pixels as they are with a gain of 1.
            raw = member.backend.run(self._renormalized(pixels, valid, member), valid, self._unchanged)
            answers.add(answers.numbers(raw, member.temperature), raw)
        return answers.mean(self._members[0].temperature)

    def _renormalized(self, pixels: AnyArray, valid: BoolArray, member: Member) -> AnyArray:
        first = self._members[0]
        if np.array_equal(first.mean, member.mean) and np.array_equal(first.std, member.std):
            return pixels
        gain = (first.std / member.std)[:, None, None]
        shift = ((first.mean - member.mean) / member.std)[:, None, None]
        changed = np.asarray(pixels, np.float32) * gain + shift
        return np.where(valid[:, None], changed, np.float32(0))


class _Answers:
    """What several views or models say of the same chips: probabilities, or values as they are."""

    def __init__(self, multi_label: bool) -> None:
        self._multi_label = multi_label
        self._are_values = False
        self._all: list[Float32Array] = []
        self._inner: dict[str, AnyArray] = {}

    def numbers(self, raw: Mapping[str, AnyArray], temperature: tuple[float, ...]) -> Float32Array:
        """What can be averaged of one answer: probabilities at a temperature, or values."""
        self._are_values = VALUES_NAME in raw
        if self._are_values:
            return np.asarray(raw[VALUES_NAME], np.float32)
        logits = tempered(np.asarray(raw[LOGITS], np.float32), temperature, axis=1)
        return to_probabilities(logits, self._multi_label)

    def add(self, numbers: Float32Array, raw: Mapping[str, AnyArray]) -> None:
        """Take the numbers of a view, turned back, or of a model."""
        if not self._all:  # the first view is the chip as it is
            self._inner = {name: raw[name] for name in (FEATURES, FEATURE_MAP) if name in raw}
        self._all.append(numbers)

    def mean(self, temperature: tuple[float, ...]) -> Mapping[str, AnyArray]:
        """The mean, under the name of the network's own output: logits that give it at a temperature."""
        mean = np.mean(self._all, axis=0)
        if self._are_values:
            return {VALUES_NAME: mean, **self._inner}
        undone = [1 / one for one in temperature]
        logits = tempered(to_logits(mean, self._multi_label), undone, axis=1)
        return {LOGITS: np.asarray(logits, np.float32), **self._inner}


def to_probabilities(logits: AnyArray, multi_label: bool) -> Float32Array:
    """Class probabilities of logits (N, K, ...), over the second axis."""
    values = np.asarray(logits, np.float32)
    if multi_label:
        return np.asarray(1 / (1 + np.exp(-values)), np.float32)
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def to_logits(probabilities: Float32Array, multi_label: bool) -> Float32Array:
    """Logits that give these probabilities."""
    bounded = np.clip(probabilities, _LEAST, 1)
    logits = np.log(bounded)
    if multi_label:
        logits = logits - np.log(np.clip(1 - probabilities, _LEAST, 1))
    return np.asarray(logits, np.float32)

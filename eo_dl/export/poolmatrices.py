"""Adaptive pooling as matrix products, because ONNX knows pooling in windows of one size only."""

from __future__ import annotations

from typing import TypeVar

import torch

NetworkT = TypeVar("NetworkT", bound=torch.nn.Module)


def with_exportable_pools(network: NetworkT) -> NetworkT:
    """The network, changed in place, with `PoolMatrices` for each adaptive pooling to more than one cell."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
                setattr(parent, name, PoolMatrices(child))
    return network


class PoolMatrices(torch.nn.Module):
    """The means of an `AdaptiveAvgPool2d`, for maps of one size: rows' means by columns' means.

    A mean over a window of the map is a product with a matrix of weights from each side.
    """

    def __init__(self, pool: torch.nn.AdaptiveAvgPool2d) -> None:
        super().__init__()
        size = pool.output_size
        rows, cols = size if isinstance(size, tuple) else (size, size)
        if rows is None or cols is None:
            raise ValueError(f"adaptive pooling to {size} keeps a side as it is")
        self.rows, self.cols = rows, cols

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, rows, cols)."""
        height, width = int(maps.shape[-2]), int(maps.shape[-1])
        over_rows, over_cols = _weights(self.rows, height), _weights(self.cols, width)
        return torch.matmul(torch.matmul(over_rows, maps), over_cols.T)


def _weights(cells: int, length: int) -> torch.Tensor:
    """(cells, length) weights of means from floor(k length / cells) to ceil((k + 1) length / cells)."""
    weights = torch.zeros(cells, length)
    for cell in range(cells):
        start = cell * length // cells
        stop = -(-(cell + 1) * length // cells)
        weights[cell, start:stop] = 1 / (stop - start)
    return weights

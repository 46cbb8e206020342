"""What a model keeps of its training, so that a scene can be compared with it: features of train blocks."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
import torch

from ...chips.dataset import Sample
from ...core.arraytypes import AnyArray, Float32Array
from ...core.rawnames import FEATURE_MAP
from ...modelspec import ApplicabilitySpec
from ...networks.device import autocast
from ...networks.featureoutput import WithFeatures
from ...networks.tasknetwork import TaskNetwork
from ...tasks import CHIPS, RASTER
from ...uncertainty.applicability import fit_applicability, outside
from ...uncertainty.featurecells import cell_features
from ..setup.runsetup import RunSetup

log = logging.getLogger(__name__)

_MOST_TRAIN_PX, _MOST_HELD_OUT_PX = 192 * 256**2, 64 * 256**2
"""Pixels of the chips that are looked at."""
_LEAST_VALID = 0.5
"""Share of valid pixels of a cell that counts."""
_DIGITS = 4


@dataclass(frozen=True)
class TrainedFeatures:
    """What goes into a bundle."""

    spec: ApplicabilitySpec
    content: bytes
    """The arrays, as a safetensors file."""


@dataclass(frozen=True)
class _Cells:
    """N cells of ground."""

    features: Float32Array
    """(N, D)."""
    blocks: list[str]
    """(N) their blocks of ground."""
    cell_px: int
    """Side of a cell."""


def trained_features(network: TaskNetwork, setup: RunSetup) -> TrainedFeatures | None:
    """What is kept of the train chips; None for objects and values, or with fewer than three blocks.

    Args:
        network: The network with its final weights, on the device of the run; it is not changed.
        setup: The run.
    """
    data = setup.data
    if data.task.output not in (RASTER, CHIPS):
        return None
    with WithFeatures(network.eval(), FEATURE_MAP) as watched:
        train = _cells(watched, setup, "train", _MOST_TRAIN_PX)
        fitted = fit_applicability(train.features, train.blocks, seed=data.config.seed)
        if fitted is None:
            return None
        shares = {}
        for split in ("val", "test"):
            if data.records[split]:
                cells = _cells(watched, setup, split, _MOST_HELD_OUT_PX)
                unlike = outside(fitted.applicability.dissimilarity(cells.features))
                shares[split] = round(float(unlike.mean()), _DIGITS)
    content = safetensors.numpy.save(fitted.applicability.arrays())
    spec = ApplicabilitySpec(
        threshold=fitted.applicability.threshold,
        index=fitted.threshold_index,
        core=len(fitted.applicability.core),
        samples=fitted.samples,
        blocks=fitted.blocks,
        kilobytes=round(len(content) / 1000, 1),
        cell_px=train.cell_px,
        outside=shares,
    )
    return TrainedFeatures(spec, content)


def _cells(network: WithFeatures, setup: RunSetup, split: str, most_px: int) -> _Cells:
    """The cells of some chips of a split, evenly spread over it."""
    data = setup.data
    chip_px, whole = data.chips.chip_px, data.task.output == CHIPS
    records, dataset = data.records[split], data.dataset(split)
    count = min(len(records), max(most_px // chip_px**2, 1))
    chosen = np.linspace(0, len(records) - 1, count).round().astype(int).tolist()
    features: list[Float32Array] = []
    blocks: list[str] = []
    cell_px = chip_px
    for start in range(0, count, data.batch_size):
        samples = [dataset[index] for index in chosen[start : start + data.batch_size]]
        for sample, feature_map in zip(samples, _feature_maps(network, setup, samples), strict=True):
            cells = cell_features(feature_map, chip_px, whole)
            cell_px = -(-chip_px // cells.shape[1])
            kept = cells[:, _mostly_valid(sample.valid, cells.shape[1])].T
            features.append(kept)
            blocks += [data.blocks[sample.chip_id]] * len(kept)
    return _Cells(np.concatenate(features), blocks, cell_px)


def _feature_maps(network: WithFeatures, setup: RunSetup, samples: list[Sample]) -> Float32Array:
    """(N, D, h, w) of chips."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples])).to(setup.device)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(setup.device, setup.precision):
        maps = network(images)[FEATURE_MAP]
    return np.asarray(maps.float().cpu().numpy(), np.float32)


def _mostly_valid(valid: AnyArray, cells: int) -> AnyArray:
    """(cells, cells) True for the cells of a chip (H, W) of which enough was measured."""
    rows = np.array_split(np.asarray(valid, np.float32), cells, axis=0)
    shares = [[part.mean() for part in np.array_split(row, cells, axis=1)] for row in rows]
    return np.asarray(np.array(shares) >= _LEAST_VALID)

"""Stand-ins for a trained model: a bundle without a file of weights, and engines whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from affine import Affine
from scipy import ndimage

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassSet
from eo_dl.inference.backends.backend import Scaling, numpy_buffer
from eo_dl.inference.batches import Buffer
from eo_dl.modelspec import (
    CalibrationSpec,
    ModelSpec,
    NormalizationSpec,
    PredictionSetsSpec,
    Provenance,
    QuantilesSpec,
    band_specs,
    class_specs,
)
from eo_dl.tasks import load_task
from tests.making import NORTH_UP, write_raster


class StandInBundle(Bundle):
    """A bundle that is not on disk."""

    @property
    def hash(self) -> str:
        return "0" * 64


def _make_bundle(
    task: str = "segmentation",
    *,
    bands: tuple[str, ...] = ("gray",),
    classes: ClassSet | None = None,
    chip_px: int = 32,
    margin_px: int = 4,
    gsd_m: float | None = None,
    mean: float = 0.0,
    std: float = 1.0,
    valid: Literal["all", "any"] = "all",
    thresholds: dict[str, float] | None = None,
    trained_on: Sequence[tuple[float, float, float]] = (),
    dtype: str = "float32",
    provenance: Provenance | None = None,
    calibration: CalibrationSpec | None = None,
    sets: PredictionSetsSpec | None = None,
) -> Bundle:
    named = not bands[0].startswith("band_")
    numbered = enumerate(bands, start=1)
    known = BandSet(tuple(Band(name, number, named=named, dtype=dtype) for number, name in numbered))
    config = load_task(task).config.model_validate({}).model_dump(mode="json")
    spec = ModelSpec(
        task=task,
        config=config,
        bands=band_specs(known),
        classes=class_specs(
            classes or ClassSet.of_names([f"c{i}" for i in range(1, 6)], background=task == "segmentation")
        ),
        gsd_m=gsd_m,
        valid=valid,
        chip_px=chip_px,
        margin_px=margin_px,
        normalization=NormalizationSpec(mean=(mean,) * len(bands), std=(std,) * len(bands)),
        thresholds=thresholds or {},
        quantiles=tuple(QuantilesSpec(p02=low, p50=middle, p98=high) for low, middle, high in trained_on),
        provenance=provenance or Provenance(),
        calibration=calibration,
        prediction_sets=sets,
    )
    return StandInBundle(Path("stand_in.eodl"), spec)


class Echo:
    """Says what it is shown: the first band's value, as a class id, is the class. Counts its batches."""

    takes_stored = False
    shares_batches = False
    batch_px = 4 * 32**2
    chip_px = 32

    def __init__(self, classes: ClassSet) -> None:
        self.ids = classes.id_of_channel
        self.batches: list[int] = []

    @property
    def identity(self) -> Mapping[str, str]:
        return {"engine": "echo", "device": "cpu"}  # not in the order of the alphabet

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        return numpy_buffer(count, bands, size, dtype)

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        assert pixels.dtype == np.float32
        self.batches.append(len(pixels))
        return {"logits": np.where(pixels[:, :1] == self.ids[:, None, None], np.float32(30), np.float32(0))}


class Certainty(Echo):
    """Two classes; the first band, 0 to 1, is the probability of the second."""

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        p = np.clip(pixels[:, 0].astype(np.float64), 1e-9, 1 - 1e-9)
        return {"logits": np.stack([np.zeros_like(p), np.log(p / (1 - p))], axis=1).astype(np.float32)}


class Blobs(Echo):
    """A detector that finds every connected patch of one value in the first band.

    The value is the class id.
    """

    most = 200

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        self.batches.append(len(pixels))
        boxes, scores = (
            np.zeros((len(pixels), self.most, 4), np.float32),
            np.zeros((len(pixels), self.most), np.float32),
        )
        channels = np.zeros((len(pixels), self.most), np.int64)
        for chip, image in enumerate(pixels[:, 0]):
            found = 0
            for channel, value in enumerate(self.ids.tolist()):
                for rows, cols in ndimage.find_objects(ndimage.label(image == value)[0]):
                    boxes[chip, found] = cols.start, rows.start, cols.stop, rows.stop
                    scores[chip, found], channels[chip, found] = 0.9, channel
                    found += 1
        return {"boxes": boxes, "scores": scores, "channels": channels}


def _write_scene(
    path: Path,
    pixels: np.ndarray,
    *,
    names: Sequence[str] = ("gray",),
    gsd_m: float = 1.0,
    transform: Affine | None = None,
    **options: Any,
) -> Path:
    """`write_raster`, of one gray band unless named otherwise, with pixels of `gsd_m`."""
    if transform is None:
        transform = NORTH_UP @ Affine.scale(gsd_m)
    return write_raster(path, pixels, names=names, transform=transform, **options)


@pytest.fixture
def make_bundle() -> Callable[..., Bundle]:
    return _make_bundle


@pytest.fixture
def write_scene() -> Callable[..., Path]:
    return _write_scene


@pytest.fixture
def use_engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Echo], Bundle], Echo]:
    """Puts an engine in the place of torch for the rest of a test."""

    def use(kind: type[Echo], bundle: Bundle) -> Echo:
        engine = kind(bundle.classes)
        monkeypatch.setattr("eo_dl.inference.backends.choice.make_backend", lambda *args, **kwargs: engine)
        return engine

    return use


@pytest.fixture
def engines() -> dict[str, type[Echo]]:
    return {"echo": Echo, "certainty": Certainty, "blobs": Blobs}

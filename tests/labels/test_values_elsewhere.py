"""Verbs that work on classes say so where they are given numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eo_dl.chips.tile import tile
from eo_dl.curation.checks.checking import check_labels
from eo_dl.errors import LabelError
from eo_dl.exchange.converting import convert_labels
from eo_dl.exchange.exporting import export_labels
from eo_dl.labels.reading import read_values
from tests.making import noise, write_raster


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "scene.tif", noise(1, 96, 96))


@pytest.fixture
def heights(tmp_path: Path) -> Path:
    numbers = np.random.default_rng(0).uniform(0, 9, (96, 96)).astype(np.float32)
    return write_raster(tmp_path / "height.tif", numbers)


def test_checking_and_converting_refuse_a_raster_of_numbers(
    tmp_path: Path, scene: Path, heights: Path
) -> None:
    with pytest.raises(LabelError, match="a label raster has whole numbers"):
        convert_labels(heights, out=tmp_path / "out", out_format="coco", images=scene)
    report = check_labels(heights, scenes=scene)
    assert [finding.kind for finding in report.findings] == ["unreadable"]


def test_exporting_chips_of_numbers_is_refused(tmp_path: Path, scene: Path, heights: Path) -> None:
    chips = tile([scene], read_values(heights, "height:m"), out=tmp_path / "chips", size_px=32)
    with pytest.raises(LabelError, match=r"its labels are numbers \(height\)"):
        export_labels(chips, out=tmp_path / "out", out_format="coco")

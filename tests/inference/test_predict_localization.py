"""One object a chip at most, over a scene and over a folder of images in pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray
from eo_dl.core.classes import ClassSet
from eo_dl.inference.backends.backend import Scaling
from eo_dl.inference.predict import predict
from eo_dl.io.outputtags import layer_metadata
from eo_dl.io.vectorlayers import read_layer
from eo_dl.postprocessing.cleanup import Cleanup

from .conftest import Echo

Make = Callable[..., Bundle]
Write = Callable[..., Path]
CLASSES = ClassSet.of_names(["ship"])


class OneBox(Echo):
    """Says of each chip the box around everything that is not 0, with the largest value / 100 as its score;
    score 0: nothing.
    """

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        boxes = np.zeros((len(pixels), 1, 4), np.float32)
        for chip, image in enumerate(pixels[:, 0]):
            rows, cols = np.nonzero(image)
            boxes[chip, 0] = (
                (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 1, 1)
            )
        return {
            "boxes": boxes,
            "scores": pixels[:, :1].max((2, 3)) / 100,
            "channels": np.zeros((len(pixels), 1), np.int64),
        }


def _ship(row: int, col: int, value: int, side: int = 96) -> np.ndarray:
    picture = np.zeros((side, side), np.int16)
    picture[row : row + 6, col : col + 6] = value
    return picture


def test_a_ship_is_found_once_wherever_the_chips_lie_and_the_file_says_that_there_is_one_a_chip(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable
) -> None:
    bundle = make_bundle("localization", classes=CLASSES, margin_px=8, thresholds={"score": 0.0})
    use_engine(OneBox, bundle)
    for place, (row, col) in enumerate([(2, 2), (28, 40), (45, 17), (60, 88)]):
        result = predict(
            bundle,
            write_scene(tmp_path / f"s{place}.tif", _ship(row, col, 90)),
            out=tmp_path / f"s{place}.gpkg",
        )
        bounds = read_layer(result.path).geometry.bounds.to_numpy()
        assert bounds.tolist() == [[500000 + col, 5200000 - row - 6, 500000 + col + 6, 5200000 - row]]
        said = layer_metadata(result.path)
        assert (said["one_object"], said["min_visible"]) == ("largest", "0.5")


def test_a_folder_of_images_in_pixels_and_a_threshold(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable
) -> None:
    bundle = make_bundle("localization", classes=CLASSES, margin_px=0)
    use_engine(OneBox, bundle)
    images = [
        write_scene(tmp_path / f"{name}.tif", _ship(4, 9, value, side=32), crs=None)
        for name, value in (("sure", 90), ("weak", 20), ("none", 0))
    ]
    (tmp_path / "out").mkdir()
    result = predict(bundle, images, out=tmp_path / "out", cleanup=Cleanup(min_score=0.5))
    found = {part.path.stem: len(read_layer(part.path)) for part in result.parts}
    assert found == {"sure": 1, "weak": 0, "none": 0}
    assert read_layer(tmp_path / "out" / "sure.gpkg").geometry.bounds.to_numpy().tolist() == [[9, 4, 15, 10]]

"""Bands that hold nothing are found, named, and left out on request."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from eo_dl.errors import BandError
from eo_dl.io.deadbands import dead_bands, drop_dead_bands
from eo_dl.io.scene import SceneReader, open_scene

Make = Callable[..., str]


def spectrum(dead: dict[int, float]) -> np.ndarray:
    """24 bands of noise, but these (from 0) hold one value."""
    pixels = np.random.default_rng(2).normal(size=(24, 6, 7)).astype("float32")
    for number, value in dead.items():
        pixels[number] = value
    return pixels


def test_constant_and_empty_bands_are_left_out_and_named(make_tiff: Make) -> None:
    path = make_tiff(spectrum({3: np.nan, 9: -9999, 10: -9999, 11: -9999, 12: -9999, 20: 1.5}), nodata=-9999)
    scene = open_scene(path)
    assert [band.number for band in dead_bands(scene)] == [4, 10, 11, 12, 13, 21]
    (left,) = drop_dead_bands(scene)
    assert [band.number for band in left.bands] == [
        n for n in range(1, 25) if n not in {4, 10, 11, 12, 13, 21}
    ]
    assert left.notes[-1] == (
        "bands band_4, band_10 to band_13, band_21 hold one value or none and are left out, as requested"
    )
    with SceneReader(left) as reader:
        assert reader.read(left.grid.window).valid.all()


def test_a_band_that_lives_in_one_scene_is_kept_in_all(make_tiff: Make) -> None:
    first = make_tiff(spectrum({3: 0, 5: 0}), "a.tif")
    second = make_tiff(spectrum({5: 7}), "b.tif")
    one, two = drop_dead_bands([first, second])
    assert one.bands.names == two.bands.names and len(one.bands) == 23
    assert one.notes[-1] == "band band_4 holds one value or none here, but not in all scenes, and is kept"
    assert two.notes == ("band band_6 holds one value or none and is left out, as requested",)


def test_a_scene_without_dead_bands_stays_as_it_is(make_tiff: Make) -> None:
    scene = open_scene(make_tiff(spectrum({})))
    assert drop_dead_bands(scene) == (scene,)


def test_a_scene_of_dead_bands_alone_is_refused(make_tiff: Make) -> None:
    with pytest.raises(BandError, match="every band holds one value or none, so none is left"):
        drop_dead_bands(make_tiff(np.zeros((3, 4, 4), "uint8")))

"""Ground that a quality band or a mask file takes away is not valid, in whatever grid it comes."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.errors import BandError, ConfigError, SceneError
from eo_dl.io.maskrules import mask_rule, mask_rules
from eo_dl.io.scene import Scene, SceneReader, open_scene

from .conftest import UTM, MakeTiff

SIDE = 24


def _valid(scene: Scene) -> np.ndarray:
    with SceneReader(scene) as reader:
        return reader.read(scene.grid.window).valid


@pytest.fixture
def with_scl(make_tiff: MakeTiff) -> str:
    noise = np.random.default_rng(1)
    scl = noise.integers(0, 12, (1, SIDE, SIDE))
    pixels = np.concatenate([noise.integers(100, 4000, (2, SIDE, SIDE)), scl]).astype("uint16")
    return make_tiff(pixels, names=("red", "nir", "SCL"))


def test_a_band_with_a_rule_masks_and_is_no_input(with_scl: str) -> None:
    scene = open_scene(with_scl, mask="SCL in 3,8-10")
    assert scene.bands.names == ("red", "nir")
    everything = open_scene(with_scl)
    with SceneReader(everything) as reader:
        pixels = reader.read(everything.grid.window).pixels
    clouds = np.isin(pixels[2], (3, 8, 9, 10))
    assert clouds.any()
    assert (_valid(scene) == ~clouds).all()
    with SceneReader(scene) as reader:
        kept = reader.read(scene.grid.window)
    assert (kept.pixels[:, ~clouds] == pixels[:2, ~clouds]).all()
    assert (kept.pixels[:, clouds] == 0).all()
    assert "ground is not used where SCL in 3,8-10" in scene.notes
    assert open_scene(with_scl, mask="SCL in 3", bands="nir,scl").bands.names == ("nir", "scl")


@given(values=st.lists(st.integers(0, 65535), min_size=1, max_size=20), bits=st.sets(st.integers(0, 15)))
def test_bits_are_those_of_binary_numbers(values: list[int], bits: set[int]) -> None:
    if not bits:
        return
    rule = mask_rule(f"QA_PIXEL bits {','.join(map(str, bits))}")
    wanted = [all(f"{value:016b}"[15 - bit] == "0" for bit in bits) for value in values]
    assert rule.clear(np.array(values, np.uint16)).tolist() == wanted


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("a.tif", [0, 1, 1, 1]),
        ("a.tif in 0,2-3", [0, 1, 0, 0]),
        ("a.tif not in 1", [0, 1, 0, 0]),
        ("a.tif > 1", [1, 1, 0, 0]),
        ("a.tif >= 1", [1, 0, 0, 0]),
        ("a.tif<2", [0, 0, 1, 1]),
    ],
)
def test_rules_say_what_is_masked(text: str, clear: list[int]) -> None:
    rule = mask_rule(text)
    assert rule.source == "a.tif"
    assert rule.clear(np.array([0, 1, 2, 3], np.uint8)).tolist() == [bool(value) for value in clear]
    assert mask_rule(rule.text) == rule


def test_nan_is_never_clear() -> None:
    assert mask_rule("p.tif > 0.5").clear(np.array([0.1, np.nan, 0.9])).tolist() == [True, False, False]


def test_rules_are_split_and_wrong_ones_refused() -> None:
    assert mask_rules("SCL in 3; clouds.tif[2] > 40") == ("SCL in 3", "clouds.tif[2] > 40")
    for text in (
        "SCL in 3,x",
        "SCL in 5-3",
        "QA bits 40",
        "QA bits 1-2",
        "",
        "SCL >",
        "SCL == 3",
        "c.tif > 4e1",
    ):
        with pytest.raises(ConfigError, match="`mask`"):
            mask_rules(text)


@pytest.mark.parametrize("text", ["glint.tif > 0.00001", "zones.tif in 1234567,2000000-3000000"])
def test_numbers_of_rules_are_kept_as_they_are_typed(text: str) -> None:
    """Chip sets and runs keep the text of a rule and read it again."""
    assert mask_rule(text).text == text


def test_bits_of_a_missing_number_take_ground_away() -> None:
    clear = mask_rule("QA bits 1").clear(np.array([np.nan, 2, 1], np.float32))
    assert clear.tolist() == [False, False, True]


def test_a_mask_file_of_another_grid_masks_the_same_ground(make_tiff: MakeTiff) -> None:
    """A mask of 8 m pixels that begins 16 m further west, over a scene of 2 m pixels."""
    scene = make_tiff(np.full((1, SIDE, SIDE), 9, "uint8"))
    clouds = np.zeros((8, 8), "uint8")
    clouds[1, 3] = 1
    mask = make_tiff(clouds, "clouds.tif", transform=Affine(8, 0, 500_000 - 16, 0, -8, 5_000_000))
    valid = _valid(open_scene(scene, mask=f"{mask} in 1"))
    wanted = np.ones((SIDE, SIDE), bool)
    wanted[4:8, 4:8] = False
    assert (valid == wanted).all()


def test_a_coarse_pixel_is_clear_only_if_all_of_it_is(make_tiff: MakeTiff) -> None:
    scene = make_tiff(np.full((1, SIDE, SIDE), 9, "uint8"))
    clear = np.ones((SIDE, SIDE), "uint8")
    clear[5, 6] = 0
    mask = make_tiff(clear, "clear.tif")
    coarse = _valid(open_scene(scene, mask=mask).at_gsd(8.0))
    assert (~coarse).sum() == 1
    assert not coarse[1, 1]


def test_the_nodata_value_of_a_mask_is_a_value_like_any_other(make_tiff: MakeTiff) -> None:
    """Cloud masks call 0 (clear) nodata so that viewers show the scene through it."""
    scene = make_tiff(np.full((1, 8, 8), 9, "uint8"))
    clouds = np.zeros((8, 8), "uint8")
    clouds[0, 0] = 2
    mask = make_tiff(clouds, "clouds.tif", nodata=0)
    valid = _valid(open_scene(scene, mask=f"{mask} > 0"))
    assert (~valid).sum() == 1


def test_ground_outside_the_mask_is_not_used(make_tiff: MakeTiff) -> None:
    scene = make_tiff(np.full((1, 8, 8), 9, "uint8"))
    mask = make_tiff(np.ones((8, 4), "uint8"), "half.tif")
    valid = _valid(open_scene(scene, mask=mask))
    assert valid[:, :4].all()
    assert not valid[:, 4:].any()


def test_the_name_of_a_mask_may_follow_the_scene(make_tiff: MakeTiff) -> None:
    scene = make_tiff(np.full((1, 8, 8), 9, "uint8"), "plot7.tif")
    mask = make_tiff(np.zeros((8, 8), "uint8"), "plot7_clear.tif")
    assert not _valid(open_scene(scene, mask=mask.replace("plot7", "{stem}"))).any()


def test_a_mask_that_is_not_there_or_elsewhere_is_refused(make_tiff: MakeTiff, with_scl: str) -> None:
    far = make_tiff(np.ones((8, 8), "uint8"), "far.tif", transform=Affine.translation(90_000, 0) * UTM)
    near = make_tiff(np.ones((8, 8), "uint8"), "near.tif")
    with pytest.raises(BandError, match="`mask` is about 'SCLX', which is neither a band nor a raster"):
        open_scene(with_scl, mask="SCLX in 3")
    with pytest.raises(SceneError, match="no such file"):
        open_scene(with_scl, mask="gone.tif")
    with pytest.raises(SceneError, match="does not overlap"):
        open_scene(with_scl, mask=far)
    with pytest.raises(BandError, match="asks for band 2"):
        open_scene(with_scl, mask=f"{near}[2]")
    with pytest.raises(BandError, match="no quality band is known"):
        open_scene(with_scl, mask="clouds")

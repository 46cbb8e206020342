"""Several rasters on one ground are one scene, each with its own grid, CRS and gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from eo_dl.core.window import Window
from eo_dl.errors import BandError, SceneError
from eo_dl.io.scene import Scene, SceneReader, open_scene
from eo_dl.io.sceneaddress import address_parts, own_address, relative_address

from .conftest import UTM, MakeTiff

SIDE = 40


def _read(scene: Scene, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
    with SceneReader(scene) as reader:
        chip = reader.read(window or scene.grid.window)
    return chip.pixels, chip.valid


def _coordinates(transform: Affine, height: int, width: int) -> np.ndarray:
    """(2, H, W) map coordinates of pixel centres: what an ideal resampling preserves."""
    cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    xs = transform.a * cols + transform.b * rows + transform.c
    ys = transform.d * cols + transform.e * rows + transform.f
    return np.stack([xs, ys])


@pytest.fixture
def three(make_tiff: MakeTiff) -> str:
    """An ortho of 2 m, a surface of 5 m with a hole, and radar of 1 m in another zone."""
    noise = np.random.default_rng(1)
    ortho = noise.integers(1, 255, (3, SIDE, SIDE)).astype("uint8")
    surface = noise.normal(100, 5, (20, 20)).astype("float32")
    surface[:, :4] = -9999
    radar_place = Transformer.from_crs("EPSG:32633", "EPSG:32632", always_xy=True)
    x, y = radar_place.transform(500_040, 4_999_960)
    radar = noise.normal(-12, 3, (2, 160, 160)).astype("float32")
    paths = [
        make_tiff(ortho, "ortho.tif", names=("red", "green", "blue")),
        make_tiff(
            surface,
            "dsm.tif",
            transform=Affine(5, 0, 499_990, 0, -5, 5_000_010),
            nodata=-9999,
            dtype="float32",
        ),
        make_tiff(radar, "s1.tif", crs="EPSG:32632", transform=Affine(1, 0, x - 80, 0, -1, y + 80)),
    ]
    return "+".join(paths)


def test_bands_of_all_rasters_have_names_and_the_first_grid(three: str) -> None:
    scene = open_scene(three)
    assert scene.bands.names == ("red", "green", "blue", "dsm", "s1_1", "s1_2")
    assert (scene.grid.height, scene.grid.width, scene.grid.transform) == (SIDE, SIDE, UTM)
    assert scene.name == "ortho.tif+dsm.tif+s1.tif"
    assert scene.stem == "ortho"
    assert any("dsm.tif (5" in note for note in scene.notes)


def test_the_first_raster_is_unchanged(three: str) -> None:
    pixels, valid = _read(open_scene(three))
    own, _ = _read(open_scene(three.split("+")[0]))
    assert (pixels[:3, valid] == own[:, valid]).all()


def test_each_source_has_its_own_gaps(three: str) -> None:
    """The surface has none in its western 20 m, of which the scene shows 10."""
    _, valid = _read(open_scene(three))
    assert not valid[:, :4].any()
    assert valid[:, 6:30].all()
    pixels, any_valid = _read(open_scene(three, valid="any"))
    assert any_valid.all()
    assert np.isnan(pixels[3, :, :4]).all()
    assert np.isfinite(pixels[0]).all()


@settings(max_examples=30)
@given(
    col=st.integers(0, SIDE - 1),
    row=st.integers(0, SIDE - 1),
    width=st.integers(1, SIDE),
    height=st.integers(1, SIDE),
    gsd_m=st.sampled_from([2.0, 3.1, 1.3]),
)
def test_a_window_holds_what_the_whole_scene_holds(
    tmp_path_factory: pytest.TempPathFactory, col: int, row: int, width: int, height: int, gsd_m: float
) -> None:
    scene, (pixels, valid) = _opened_once(tmp_path_factory, gsd_m)
    window = Window(col, row, width, height).intersection(scene.grid.window)
    if window is None:
        return
    part, part_valid = _read(scene, window)
    rows, cols = window.slices
    assert np.array_equal(part, pixels[:, rows, cols], equal_nan=True)
    assert (part_valid == valid[rows, cols]).all()


_scenes: dict[float, tuple[Scene, tuple[np.ndarray, np.ndarray]]] = {}


def _opened_once(
    folders: pytest.TempPathFactory, gsd_m: float
) -> tuple[Scene, tuple[np.ndarray, np.ndarray]]:
    if gsd_m not in _scenes:
        from tests.making import write_raster

        folder = folders.mktemp("stack")
        noise = np.random.default_rng(2)
        base = folder / "base.tif"
        write_raster(base, noise.integers(1, 200, (1, SIDE, SIDE)).astype("uint8"), transform=UTM)
        fine = noise.normal(0, 1, (1, 130, 130)).astype("float32")
        fine[0, 30:50, 20:90] = np.nan
        write_raster(folder / "fine.tif", fine, transform=Affine(0.7, 0, 500_001, 0, -0.7, 4_999_998))
        turned = UTM * Affine.rotation(20) * Affine.scale(1.7)
        write_raster(
            folder / "turned.tif", noise.normal(0, 1, (1, 60, 60)).astype("float32"), transform=turned
        )
        scene = open_scene(f"{base}+{folder / 'fine.tif'}+{folder / 'turned.tif'}", valid="any").at_gsd(gsd_m)
        _scenes[gsd_m] = scene, _read(scene)
    return _scenes[gsd_m]


@pytest.mark.parametrize("gsd_m", [1.0, 7.0])
def test_another_crs_puts_every_value_in_its_place(make_tiff: MakeTiff, gsd_m: float) -> None:
    """A raster that holds its own coordinates holds those of the scene's pixels after it was brought over."""
    to_zone_32 = Transformer.from_crs("EPSG:32633", "EPSG:32632", always_xy=True)
    x, y = to_zone_32.transform(500_040, 4_999_960)
    place = Affine(gsd_m, 0, x - 100, 0, -gsd_m, y + 100)
    side = round(200 / gsd_m)
    other = make_tiff(_coordinates(place, side, side), "other.tif", crs="EPSG:32632", transform=place)
    base = make_tiff(np.ones((1, SIDE, SIDE), "uint8"), "base.tif")
    pixels, valid = _read(open_scene(f"{base}+{other}"))
    wanted = to_zone_32.transform(*_coordinates(UTM, SIDE, SIDE))
    assert valid.all()
    assert np.abs(pixels[1:] - np.stack(wanted)).max() < 0.01


def test_a_finer_raster_is_averaged_not_sampled(make_tiff: MakeTiff) -> None:
    """A checkerboard of 0.5 m has the mean grey in every pixel of 2 m."""
    base = make_tiff(np.ones((1, SIDE, SIDE), "uint8"), "base.tif")
    board = np.indices((160, 160)).sum(axis=0) % 2 * 100
    fine = make_tiff(board.astype("float32"), "fine.tif", transform=UTM * Affine.scale(0.25))
    pixels, _ = _read(open_scene(f"{base}+{fine}"))
    assert (pixels[1] == 50).all()


def test_names_that_collide_carry_the_file(make_tiff: MakeTiff) -> None:
    first = make_tiff(np.ones((2, 8, 8), "uint8"), "summer.tif", names=("red", "nir"))
    second = make_tiff(np.ones((2, 8, 8), "uint8"), "winter.tif", names=("red", "swir16"))
    assert open_scene(f"{first}+{second}").bands.names == ("summer_red", "nir", "winter_red", "swir16")
    named = open_scene(f"{first}+leafless={second}")
    assert named.bands.names == ("summer_red", "nir", "leafless_red", "swir16")
    surface = make_tiff(np.ones((8, 8), "float32"), "dsm_2026.tif")
    assert open_scene(f"{first}+dsm={surface}").bands.names == ("red", "nir", "dsm")


def test_a_plus_in_a_file_name_is_a_letter(make_tiff: MakeTiff) -> None:
    path = make_tiff(np.ones((1, 8, 8), "uint8"), "L1C+clip.tif")
    assert len(address_parts(path)) == 1
    assert open_scene(path).name == "L1C+clip.tif"
    assert len(address_parts("https://example.org/a+b.tif")) == 1


def test_addresses_move_with_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert own_address("a.tif+dsm=b/c.tif") == f"{tmp_path / 'a.tif'}+dsm={tmp_path / 'b' / 'c.tif'}"
    assert relative_address("a.tif+b/c.tif", tmp_path / "b") == "../a.tif+./c.tif"


def test_rasters_of_two_places_are_refused(make_tiff: MakeTiff) -> None:
    base = make_tiff(np.ones((1, 8, 8), "uint8"), "base.tif")
    far = make_tiff(np.ones((1, 8, 8), "uint8"), "far.tif", transform=Affine.translation(90_000, 0) * UTM)
    plain = make_tiff(np.ones((1, 9, 9), "uint8"), "plain.tif", crs=None, transform=None)
    with pytest.raises(SceneError, match=r"far\.tif does not overlap"):
        open_scene(f"{base}+{far}")
    with pytest.raises(SceneError, match=r"plain\.tif has no CRS"):
        open_scene(f"{base}+{plain}")
    with pytest.raises(SceneError, match="no such file"):
        open_scene(f"{base}+missing.tif")
    with pytest.raises(SceneError, match="`nodata` is about one raster"):
        open_scene(f"{base}+{base}", nodata=0)
    with pytest.raises(BandError, match="two bands are called"):
        open_scene(f"{base}+{base}")


def test_a_change_of_any_raster_changes_the_fingerprint(three: str) -> None:
    scene = open_scene(three)
    before = scene.fingerprint()
    assert before == open_scene(three).fingerprint()
    with Path(three.split("+")[1]).open("r+b") as file:
        file.seek(8)
        file.write(b"\x09")
    assert scene.fingerprint()["header_sha256"] != before["header_sha256"]
    with pytest.raises(SceneError, match="changed while it was in use"):
        scene.refuse_if_changed()

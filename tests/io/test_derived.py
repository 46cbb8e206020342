"""Bands that are made from others: right by formula, and the same at seams as in the whole scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from eo_dl.core.window import Window
from eo_dl.errors import BandError, ConfigError
from eo_dl.io.derived import indices
from eo_dl.io.derived.recipes import parse_recipe, recipe_texts
from eo_dl.io.derived.texture import MEASURES
from eo_dl.io.scene import Scene, SceneReader, open_scene
from tests.making import NORTH_UP, write_raster

SIDE = 48
EVERY = (
    "ndvi, slope, aspect, northness, eastness, hillshade(315,35), hillshade, relief(4m), relief(3px), "
    "sky(6m), sky(5px,12), height(elevation,nir), glcm(red,contrast,3px,0..200), "
    "glcm(red,correlation,2px,0..200), x=(nir-red)/(nir+red)*2"
)


def _scene(folder: Path, transform: Affine = NORTH_UP, name: str = "scene.tif") -> Path:
    """Red, near infrared and heights, with gaps."""
    noise = np.random.default_rng(5)
    heights = ndimage.gaussian_filter(noise.normal(0, 30, (SIDE, SIDE)), 3) + 800
    pixels = np.stack([noise.integers(0, 200, (SIDE, SIDE)), noise.integers(0, 200, (SIDE, SIDE)), heights])
    pixels = pixels.astype("float32")
    pixels[2, 10:13, 20:30] = np.nan
    pixels[0, 30, 5:9] = np.nan
    return write_raster(folder / name, pixels, names=("red", "nir", "elevation"), transform=transform)


def _read(scene: Scene, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
    with SceneReader(scene) as reader:
        chip = reader.read(window or scene.grid.window)
    return chip.pixels, chip.valid


_whole: dict[float, tuple[Scene, np.ndarray, np.ndarray]] = {}


@settings(max_examples=40)
@given(
    col=st.integers(0, SIDE - 1),
    row=st.integers(0, SIDE - 1),
    width=st.integers(1, SIDE),
    height=st.integers(1, SIDE),
    gsd_m=st.sampled_from([1.0, 1.7]),
)
def test_a_window_holds_what_the_whole_scene_holds(
    tmp_path_factory: pytest.TempPathFactory, col: int, row: int, width: int, height: int, gsd_m: float
) -> None:
    if gsd_m not in _whole:
        scene = open_scene(_scene(tmp_path_factory.mktemp("derived")), derive=EVERY, valid="any")
        scene = scene if gsd_m == 1.0 else scene.at_gsd(gsd_m)
        _whole[gsd_m] = (scene, *_read(scene))
    scene, pixels, valid = _whole[gsd_m]
    window = Window(col, row, width, height).intersection(scene.grid.window)
    if window is None:
        return
    part, part_valid = _read(scene, window)
    rows, cols = window.slices
    assert (part_valid == valid[rows, cols]).all()
    np.testing.assert_allclose(part, pixels[:, rows, cols], rtol=1e-6, atol=1e-6)


def test_all_rules_count_derived_bands(tmp_path: Path) -> None:
    """A pixel needs all bands that are used, and only those."""
    path = _scene(tmp_path)
    _, valid = _read(open_scene(path, derive="ndvi", bands="ndvi"))
    assert (~valid).sum() == 4  # the gap of red; that of the heights is of no account
    pixels, any_valid = _read(open_scene(path, derive="ndvi, slope", bands="ndvi,slope", valid="any"))
    assert any_valid.all()
    assert np.isnan(pixels[0]).sum() == 4
    assert np.isnan(pixels[1]).sum() == 30


def _plane(folder: Path, east: float, north: float, transform: Affine) -> Path:
    """Heights that rise by `east` and `north` metres per metre."""
    cols, rows = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    xs = transform.a * cols + transform.b * rows
    ys = transform.d * cols + transform.e * rows
    return write_raster(
        folder / "plane.tif", (east * xs + north * ys)[None].astype("float32"), transform=transform
    )


@pytest.mark.parametrize(
    "transform",
    [
        NORTH_UP,
        Affine(1, 0, 500_000, 0, 1, 5_200_000),  # rows grow to the north
        Affine.translation(500_000, 5_200_000) * Affine.rotation(30) * Affine.scale(2, -2),
    ],
)
@pytest.mark.parametrize(("east", "north", "facing"), [(0, -0.5, 0), (-0.5, 0, 90), (0.5, 0.5, 225)])
def test_planes_have_the_slope_and_aspect_of_their_equation(
    tmp_path: Path, transform: Affine, east: float, north: float, facing: float
) -> None:
    scene = open_scene(
        _plane(tmp_path, east, north, transform),
        derive="slope, aspect, northness, eastness, hillshade(90,30)",
        bands="slope,aspect,northness,eastness,hillshade_90_30",
    )
    pixels, _ = _read(scene)
    inner = pixels[:, 5:-5, 5:-5]
    steep = np.degrees(np.arctan(np.hypot(east, north)))
    assert np.abs(inner[0] - steep).max() < 0.05  # metres of UTM are not quite metres on the ground
    assert np.abs((inner[1] - facing + 180) % 360 - 180).max() < 0.05
    sine = np.sin(np.radians(steep))
    assert np.abs(inner[2] - np.cos(np.radians(facing)) * sine).max() < 1e-3
    assert np.abs(inner[3] - np.sin(np.radians(facing)) * sine).max() < 1e-3
    normal = np.array([-east, -north, 1]) / np.sqrt(1 + east**2 + north**2)
    light = np.array([np.cos(np.radians(30)), 0, np.sin(np.radians(30))])
    assert np.abs(inner[4] - max(normal @ light, 0)).max() < 1e-3


def test_flat_ground_sees_all_the_sky_and_one_light(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "flat.tif", np.full((1, 30, 30), 7.0, "float32"))
    scene = open_scene(
        path, derive="sky(8m), hillshade, relief(3m), slope", bands="sky_8m,hillshade,relief_3m,slope"
    )
    pixels, _ = _read(scene)
    assert np.abs(pixels[0] - 1).max() < 1e-6
    assert np.abs(pixels[1] - np.sin(np.radians(35))).max() < 1e-6
    assert np.abs(pixels[2:]).max() < 1e-5


def test_the_bottom_of_a_shaft_sees_little_sky(tmp_path: Path) -> None:
    """A pit of 1 px and 10 m depth: the horizon stands at 10:1 in every direction."""
    heights = np.zeros((1, 21, 21), "float32")
    heights[0, 10, 10] = -10
    scene = open_scene(write_raster(tmp_path / "pit.tif", heights), derive="sky(5m)", bands="sky_5m")
    pixels, _ = _read(scene)
    steepest = 10 / np.array([1, np.sqrt(2)])
    wanted = 1 - np.mean(steepest / np.sqrt(1 + steepest**2))
    assert abs(pixels[0, 10, 10] - wanted) < 1e-3


def test_relief_is_the_height_above_a_gaussian_mean(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    heights = ndimage.gaussian_filter(noise.normal(0, 50, (80, 80)), 4).astype("float32") + 500
    path = write_raster(tmp_path / "dtm.tif", heights[None])
    pixels, _ = _read(open_scene(path, derive="relief(6m)", bands="relief_6m"))
    wanted = heights - ndimage.gaussian_filter(heights.astype(float), 6)
    inner = np.s_[24:-24, 24:-24]
    assert np.abs(pixels[0][inner] - wanted[inner]).max() < 0.05 * np.abs(wanted[inner]).max()


def test_relief_is_not_drawn_down_by_gaps(tmp_path: Path) -> None:
    heights = np.full((1, 40, 40), 1000.0, "float32")
    heights[0, :, 20:24] = np.nan
    path = write_raster(tmp_path / "dtm.tif", heights)
    pixels, valid = _read(open_scene(path, derive="relief(5m)", bands="relief_5m"))
    assert np.abs(pixels[0, valid]).max() < 1e-4
    assert (~valid).sum() == 160


def _matrix(window: np.ndarray, down: int, across: int) -> np.ndarray:
    """The grey-level co-occurrence matrix of a window in one direction, counted pair by pair, both orders."""
    counts = np.zeros((16, 16))
    height, width = window.shape
    for row in range(height):
        for col in range(width):
            if 0 <= row + down < height and 0 <= col + across < width:
                pair = window[row, col], window[row + down, col + across]
                counts[pair] += 1
                counts[pair[::-1]] += 1
    return counts / counts.sum()


def _measured(matrix: np.ndarray, measure: str) -> float:
    first, second = np.indices(matrix.shape)
    level = (matrix * first).sum()
    variance = (matrix * (first - level) ** 2).sum()
    return {
        "contrast": (matrix * (first - second) ** 2).sum(),
        "dissimilarity": (matrix * np.abs(first - second)).sum(),
        "homogeneity": (matrix / (1 + (first - second) ** 2)).sum(),
        "mean": level,
        "variance": variance,
        "correlation": (matrix * (first - level) * (second - level)).sum() / variance,
    }[measure]


@pytest.mark.parametrize("measure", MEASURES)
def test_texture_is_that_of_the_counted_matrix(tmp_path: Path, measure: str) -> None:
    grey = np.random.default_rng(1).integers(0, 16, (1, 15, 15)).astype("uint8")
    path = write_raster(tmp_path / "grey.tif", grey, names=("pan",))
    scene = open_scene(path, derive=f"t=glcm(pan,{measure},2px,0..16)", bands="t")
    pixels, _ = _read(scene)
    for row, col in ((7, 7), (0, 0), (3, 14)):
        window = grey[0, max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
        steps = ((0, 1), (1, 1), (1, 0), (1, -1))
        wanted = np.mean([_measured(_matrix(window, *step), measure) for step in steps])
        assert abs(pixels[0, row, col] - wanted) < 1e-4


def test_indices_are_made_of_reflectance(tmp_path: Path) -> None:
    """Stored values with scale and offset, as Sentinel-2 has them: the offset changes an index."""
    stored = np.array([1500, 4000], "uint16")[:, None, None] * np.ones((1, 4, 4), "uint16")
    path = write_raster(tmp_path / "s2.tif", stored, names=("red", "nir"))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4, 1e-4), (-0.1, -0.1)
    pixels, _ = _read(open_scene(path, derive="NDVI, savi(L=0.25)", bands="ndvi,savi_l_0_25"))
    assert np.abs(pixels[0] - 0.25 / 0.35).max() < 1e-6
    assert np.abs(pixels[1] - 1.25 * 0.25 / 0.6).max() < 1e-6


def test_an_index_of_two_zeros_is_no_gap(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "dark.tif", np.zeros((2, 4, 4), "uint16"), names=("red", "nir"))
    pixels, valid = _read(open_scene(path, derive="ndvi", bands="ndvi"))
    assert valid.all()
    assert (pixels == 0).all()


def test_every_index_of_the_table_can_be_made() -> None:
    table = json.loads(Path(indices.__file__).with_name("indices.json").read_text())
    letters = set(table["bands"].values())
    spoken = [name for name in table["indices"] if indices.is_index(name)]
    assert len(spoken) > 260
    noise = np.random.default_rng(2)
    for name in spoken:
        formula = indices.index_formula(name)
        assert set(formula.names) <= letters, name
        planes = {band: noise.uniform(0.05, 0.5, (3, 3)) for band in formula.names}
        letters_of = {letter: planes.get(band) for letter, band in table["bands"].items()}
        with np.errstate(all="ignore"):
            # the formula of the table itself, which lies in our own package
            wanted = eval(table["indices"][name][0], {}, {**table["constants"], **letters_of})
        np.testing.assert_allclose(formula.of(planes), wanted, rtol=1e-9)


def test_recipes_say_the_same_when_they_are_read_again(tmp_path: Path) -> None:
    scene = open_scene(_scene(tmp_path), derive=EVERY)
    for band in scene.bands:
        if band.derived is not None:
            again = parse_recipe(band.derived.text)
            assert again.text == band.derived.text
            assert again.name == band.name
    names = [band.name for band in scene.bands][3:]
    assert names[:5] == ["ndvi", "slope", "aspect", "northness", "eastness"]
    assert {"hillshade_315_35", "relief_4m", "sky_5px_12", "x"} <= set(names)


@pytest.mark.parametrize("high", ["1000000", "65535.25", "0.00001"])
def test_a_model_keeps_the_numbers_of_a_recipe_exactly(high: str) -> None:
    recipe = parse_recipe(f"x=glcm(nir, contrast, 3px, 0..{high})")
    assert recipe.text == f"x=glcm(nir, contrast, 3px, 0..{high})"
    assert parse_recipe(recipe.text).arguments.limits == (0.0, float(high))


@pytest.mark.parametrize(
    "text",
    [
        "nonsense", "relief", "relief(0m)", "relief(12)", "slope(12m)", "height(dsm)", "sky(10m,3)", "x=1+2",
        "hillshade(1,2,3)", "glcm(red,contrast,3px)", "glcm(red,blur,3px,0..1)",
        "glcm(red,contrast,3px,1..0)", "x=__import__('os')", "x=red.real", "x=red if nir else 1", "savi(Q=1)",
        "savi(0.5)", "savi(L=low)", "ndvi(3px)", "ndvi(nir)", "ndvi(0..1)",
        "x=" + "(" * 600 + "red" + ")" * 600, "x=red+" + "red+" * 400 + "red", "ndvi(",
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="`derive`"):
        recipe_texts(text)


def test_what_a_scene_cannot_make_is_refused_with_the_flag(tmp_path: Path) -> None:
    path = _scene(tmp_path)
    with pytest.raises(BandError, match=r"`derive` ndwi needs green; the scene has red, nir, elevation"):
        open_scene(path, derive="ndwi")
    with pytest.raises(ConfigError, match="px around each pixel here, more than 2048"):
        open_scene(path, derive="relief(900m)")
    flat = np.ones((1, 9, 9), "float32")
    plain = write_raster(tmp_path / "plain.tif", flat, crs=None, transform=Affine.identity())
    with pytest.raises(ConfigError, match="the scene has no CRS"):
        open_scene(plain, derive="slope")
    _read(open_scene(plain, derive="relief(2px)"))
    two = write_raster(tmp_path / "two.tif", np.ones((2, 9, 9), "float32"), names=("red", "nir"))
    with pytest.raises(BandError, match="needs heights, and no band is called"):
        open_scene(two, derive="slope")


def test_a_wrong_name_is_told_with_the_names_that_recipes_make(tmp_path: Path) -> None:
    with pytest.raises(BandError, match=r"has no band 'slope'.*`derive` makes ndvi, slope_elevation"):
        open_scene(_scene(tmp_path), derive="slope(elevation), ndvi", bands="slope")


def test_inputs_are_found_by_sensor_and_new_name(tmp_path: Path) -> None:
    pixels = np.stack([np.full((4, 4), value) for value in (1, 3, 9)]).astype("uint16")
    path = write_raster(tmp_path / "s2.tif", pixels, names=("B04", "B08", "B12"))
    made, _ = _read(open_scene(path, derive="ndvi", bands="ndvi"))
    assert (made == 0.5).all()
    plain = write_raster(tmp_path / "plain.tif", pixels)
    scene = open_scene(plain, derive="ndvi", bands="nir=2,red=1,ndvi")
    assert scene.bands.names == ("nir", "red", "ndvi")
    assert (_read(scene)[0][2] == 0.5).all()


def test_bands_named_alone_are_used_alone(tmp_path: Path) -> None:
    path = _scene(tmp_path)
    assert open_scene(path, derive="ndvi,slope", bands="slope,red").bands.names == ("slope", "red")
    assert open_scene(path, derive="ndvi,slope", bands="red").bands.names == ("red", "ndvi", "slope")
    assert open_scene(path, derive="ndvi").bands.names == ("red", "nir", "elevation", "ndvi")
    scene = open_scene(path, derive="ndvi,slope", bands="slope")
    assert scene.base is not None
    assert scene.base.bands.names == ("elevation",)

"""What was measured, band by band, and the rule that makes valid pixels of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eo_dl.core.arrays import Chip
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.window import Window
from eo_dl.errors import ConfigError, SceneError
from eo_dl.inference.scenesample import SceneSample
from eo_dl.io.deadbands import band_values
from eo_dl.io.resample import Axis, Resampling
from eo_dl.io.scene import Scene, SceneReader, open_scene
from eo_dl.io.validity import BandGaps, gap_lines, least_bands, measured, measured_bands, valid_rule

Make = Callable[..., str]
DATES = ("d1", "d2", "d3")


def read(scene: Scene) -> Chip:
    with SceneReader(scene) as reader:
        return reader.read(scene.grid.window)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint16", 65535), ("int16", 32767), ("uint8", 255), ("uint16", 0), ("int16", -9999)],
)
def test_nodata_in_one_band_of_a_stack_is_no_measurement(make_tiff: Make, dtype: str, nodata: int) -> None:
    """A cloud in the second of three dates, no date in the last pixel."""
    pixels = np.array([[[1, 2, nodata]], [[3, nodata, nodata]], [[5, 6, nodata]]], dtype)
    path = make_tiff(pixels, nodata=nodata, names=DATES)
    assert read(open_scene(path)).valid.tolist() == [[True, False, False]]
    filled = read(open_scene(path, valid="any"))
    assert filled.valid.tolist() == [[True, True, False]]
    assert filled.pixels.dtype == np.float32
    wanted = np.array([[1, 2], [3, np.nan], [5, 6]])
    assert np.array_equal(filled.pixels[:, 0, :2], wanted, equal_nan=True)
    assert (filled.pixels[:, 0, 2] == 0).all()


def test_the_rule_counts_measured_bands(make_tiff: Make) -> None:
    pixels = np.full((4, 1, 5), 7, "float32")
    for missing in range(5):
        pixels[:missing, 0, missing] = np.nan
    path = make_tiff(pixels)
    for rule, valid_px in (("all", 1), (4, 1), (3, 2), ("2", 3), ("any", 4), (None, 1)):
        assert read(open_scene(path, valid=rule)).valid.sum() == valid_px


@pytest.mark.parametrize("rule", ["some", "0", -1, "", "1.5", True, "²"])
def test_another_rule_is_refused_in_one_line(rule: object) -> None:
    with pytest.raises(ConfigError, match="`valid`: expected 'all', 'any' or the least number"):
        valid_rule(rule)  # type: ignore[arg-type]


def test_more_bands_than_there_are_cannot_be_wanted(make_tiff: Make) -> None:
    scene = open_scene(make_tiff(np.ones((3, 4, 4), "float32")), valid=4)
    with pytest.raises(ConfigError, match=r"`valid` wants 4 measured bands, but 3 are in use"):
        read(scene)


def test_scenes_that_cannot_lack_bands_are_read_as_before(make_tiff: Make) -> None:
    """Whole numbers stay whole numbers, whatever the rule."""
    path = make_tiff(np.arange(12, dtype="uint8").reshape(3, 2, 2))
    plain, ruled = read(open_scene(path)), read(open_scene(path, valid="any"))
    assert ruled.pixels.dtype == np.uint8
    assert np.array_equal(plain.pixels, ruled.pixels) and ruled.valid.all()


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("uint8", 255), ("int16", -9999), ("float32", np.nan)]
)
def test_gaps_of_all_bands_at_once_are_the_same_ground_by_every_rule(
    make_tiff: Make, dtype: str, nodata: float
) -> None:
    pixels = np.random.default_rng(1).integers(1, 250, (3, 8, 9)).astype(dtype)
    pixels[:, 2:5, 3:] = nodata
    path = make_tiff(pixels, nodata=nodata)
    strict = read(open_scene(path))
    for rule in ("any", 2):
        other = read(open_scene(path, valid=rule))
        assert np.array_equal(strict.valid, other.valid) and np.array_equal(strict.pixels, other.pixels)
    assert strict.valid.sum() == 72 - 18


BANDS = st.lists(
    st.tuples(
        st.sampled_from(["red", "nir1", "d1", "band_4"]),
        st.sampled_from(["uint8", "int16", "float32"]),
        st.sampled_from([None, 0, 7, 255, np.nan]),
    ),
    min_size=1,
    max_size=4,
)


@given(BANDS, st.data())
def test_every_band_of_every_pixel_follows_the_rules(
    described: list[tuple[str, str, float | None]], data: st.DataObject
) -> None:
    """Against a reference that looks at one value after the other."""
    bands = [
        Band(name, number, named=not name.startswith("band_"), dtype=dtype, nodata=_fits(nodata, dtype))
        for number, (name, dtype, nodata) in enumerate(described, start=1)
    ]
    values = st.sampled_from(
        [0.0, 1.0, 7.0, 255.0] + [np.nan] * any(band.dtype == "float32" for band in bands)
    )
    pixels = data.draw(arrays(np.float32, (len(bands), 1, 6), elements=values))
    for plane, band in zip(pixels, bands, strict=True):
        if band.dtype != "float32":
            plane[np.isnan(plane)] = 1
    wanted = np.array(
        [[_is_measured(bands, pixels[:, 0, col], b) for col in range(6)] for b in range(len(bands))]
    )
    found = measured_bands(pixels, bands)[:, 0]
    assert np.array_equal(found, wanted)
    assert np.array_equal(measured(pixels, bands)[0], wanted.all(axis=0))


def _fits(nodata: float | None, dtype: str) -> float | None:
    return None if dtype != "float32" and nodata is not None and np.isnan(nodata) else nodata


def _is_measured(bands: list[Band], column: np.ndarray, number: int) -> bool:
    """One value: not NaN and not nodata, unless its nodata is light and another such band is lit."""
    if not np.isfinite(column[number]):
        return False
    if column[number] != bands[number].nodata:
        return True
    if not _is_light(bands[number]):
        return False
    others = [i for i, band in enumerate(bands) if _is_light(band)]
    return any(column[i] != bands[i].nodata for i in others)


def _is_light(band: Band) -> bool:
    """0 of any whole numbers, or 255 of 8 bits, in a band whose name is that of a colour; 0 of 8 bits in one
    without a name."""
    if band.name == "band_4":
        return band.nodata == 0 and band.dtype == "uint8"
    if band.name not in ("red", "nir1") or band.dtype == "float32":
        return False
    return band.nodata == 0 or (band.nodata == 255 and band.dtype == "uint8")


@given(
    arrays(np.float32, (3, 9, 8), elements=st.sampled_from([1.0, 2.0, 50.0, np.nan])),
    st.integers(1, 3),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.data(),
)
def test_resampled_windows_hold_what_the_whole_scene_holds_there(
    pixels: np.ndarray, least: int, size: tuple[int, int], data: st.DataObject
) -> None:
    """With gaps of single bands, too; and each band is what it would be alone."""
    valid = np.count_nonzero(np.isfinite(pixels), axis=0) >= least
    pixels[:, ~valid] = 0
    resampling = Resampling(Axis(size[0], 9), Axis(size[1], 8))
    whole, source = Window(0, 0, size[1], size[0]), Window(0, 0, 8, 9)
    out, good = resampling.apply(pixels, valid, whole, source, least)
    assert not np.isnan(out[:, ~good]).any() and (out[:, ~good] == 0).all()
    assert np.array_equal(good, np.count_nonzero(np.isfinite(out) & good, axis=0) >= least)
    for plane, alone in zip(out, pixels, strict=True):
        here = valid & np.isfinite(alone)
        (single,), measured_here = resampling.apply(
            np.where(here, alone, np.float32(np.nan))[None], here, whole, source, 1
        )
        assert np.array_equal(np.isfinite(plane) & good, measured_here & good)
        assert np.array_equal(plane[measured_here & good], single[measured_here & good])
    col, row = data.draw(st.integers(0, size[1] - 1)), data.draw(st.integers(0, size[0] - 1))
    part = Window(col, row, size[1] - col, size[0] - row)
    needed = resampling.source_window(part)
    rows, cols = needed.relative_to(source).slices
    cut, cut_good = resampling.apply(pixels[:, rows, cols], valid[rows, cols], part, needed, least)
    assert np.array_equal(cut, out[:, row:, col:], equal_nan=True)
    assert np.array_equal(cut_good, good[row:, col:])


@given(arrays(np.bool_, st.tuples(st.integers(1, 4), st.just(3), st.just(4))), st.data())
def test_gaps_are_counted_band_by_band(found: np.ndarray, data: st.DataObject) -> None:
    least = data.draw(st.integers(1, len(found)))
    valid = found.sum(axis=0) >= least
    gaps = BandGaps.counted(found, valid)
    assert gaps.ground == found.any(axis=0).sum() and gaps.lost == (found.any(axis=0) & ~valid).sum()
    assert gaps.ground - gaps.lost == valid.sum()
    lacking = [
        sum(not found[b, r, c] for r in range(3) for c in range(4) if valid[r, c]) for b in range(len(found))
    ]
    assert gaps.filled_by_band.tolist() == lacking
    assert (gaps.lost_by_band <= gaps.lost).all()
    twice = gaps + gaps
    assert (twice.ground, twice.lost) == (2 * gaps.ground, 2 * gaps.lost)


def test_nan_in_one_of_24_bands_is_told_with_its_cost_and_the_option(make_tiff: Make) -> None:
    """83 % of the ground gone, and nothing was said."""
    pixels = np.ones((24, 12, 10), "float32")
    pixels[6, 2:] = np.nan
    scene = open_scene(make_tiff(pixels))
    gaps = SceneSample.of(scene).gaps
    assert gaps.lost_share == pytest.approx(10 / 12) and gaps.costly
    (line,) = gap_lines(gaps, scene.bands, scene.valid, scene.name)
    assert (
        "83% of its measured ground does not count" in line
        and "band_7 (100%)" in line
        and "`valid=any`" in line
    )
    ruled = scene.with_valid("any")
    kept = SceneSample.of(ruled).gaps
    assert not kept.costly
    (line,) = gap_lines(kept, ruled.bands, ruled.valid, ruled.name)
    assert "3.5% of the values on valid ground are missing and filled with the mean" in line
    assert "band_7 (83%)" in line


def test_a_scene_without_any_valid_pixel_names_the_band_that_is_missing(make_tiff: Make) -> None:
    pixels = np.ones((2, 8, 8), "float32")
    pixels[1] = np.nan
    with pytest.raises(SceneError, match=r"100% of its measured ground .*band_2 \(100%\).*`valid=any`"):
        SceneSample.of(open_scene(make_tiff(pixels)))


def test_nothing_is_told_where_gaps_coincide(make_tiff: Make) -> None:
    pixels = np.ones((3, 10, 10), "int16")
    pixels[:, :4] = -9999
    for rule in ("all", "any"):
        scene = open_scene(make_tiff(pixels, nodata=-9999), valid=rule)
        assert gap_lines(SceneSample.of(scene).gaps, scene.bands, scene.valid, scene.name) == []


@pytest.mark.parametrize("rule", ["all", "any"])
def test_many_pixels_that_are_nodata_in_some_bands_of_a_photograph_are_told(
    make_tiff: Make, rule: str
) -> None:
    """They may be clouds of three dates: GDAL calls three bands of 8 bits red, green and blue."""
    pixels = np.full((3, 10, 10), 9, "uint8")
    pixels[1, :2] = 255
    pixels[:, 9] = 255
    path = make_tiff(pixels, nodata=255)
    scene = open_scene(path, valid=rule)
    gaps = SceneSample.of(scene).gaps
    assert (gaps.dim, gaps.lost, gaps.ground) == (20, 0, 90) and not gaps.costly
    (line,) = gap_lines(gaps, scene.bands, scene.valid, scene.name)
    assert "22% of its pixels hold the nodata value in some bands, but not in all" in line
    dates = open_scene(path, bands="d1=1,d2=2,d3=3", valid=rule)
    lost = 20 if rule == "all" else 0
    assert (SceneSample.of(dates).gaps.dim, SceneSample.of(dates).gaps.lost) == (0, lost)


def test_mask_bands_of_their_own_count_band_by_band() -> None:
    """GDAL gives every band of some formats a mask of its own; the rule is the same."""
    from eo_dl.io.reader import Masks

    of_bands = np.array([[[True, False]], [[True, True]]])
    masks = Masks(np.array([[True, True]]), of_bands)
    assert masks.apply_to_pixels(np.ones((1, 2), bool)).tolist() == [[True, False]]
    assert masks.apply_to_bands(np.ones((2, 1, 2), bool)).tolist() == [[[True, False]], [[True, True]]]


def test_alpha_hides_all_bands_by_every_rule(make_tiff: Make) -> None:
    pixels = np.full((4, 1, 3), 9, "uint8")
    pixels[3, 0] = [255, 0, 255]
    path = make_tiff(pixels, photometric="RGB", alpha="yes")
    for rule in ("all", "any"):
        assert read(open_scene(path, valid=rule)).valid.tolist() == [[True, False, True]]


def test_statistics_of_a_band_are_those_of_its_own_pixels(make_tiff: Make) -> None:
    """Six bands without a value made `inspect --stats` say nothing of the other 218."""
    pixels = np.arange(40, dtype="float32").reshape(4, 2, 5)
    pixels[1] = np.nan
    pixels[2, 0] = np.nan
    pixels[3] = 6
    found, gaps = band_values(open_scene(make_tiff(pixels)))
    assert [(band.lowest, band.highest, band.valid_share) for band in found] == [
        (0, 9, 1), (None, None, 0), (25, 29, 0.5), (6, 6, 1),
    ]  # fmt: skip
    assert [band.dead for band in found] == [False, True, False, True]
    assert gaps.lost == gaps.ground == 10


def test_the_least_number_of_bands_of_each_rule() -> None:
    bands = BandSet(tuple(Band(f"b{number}", number) for number in range(1, 6)))
    assert [least_bands(rule, bands, "s.tif") for rule in ("all", "any", 3)] == [5, 1, 3]

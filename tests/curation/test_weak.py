from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.bands import Band, BandSet
from eo_dl.core.window import Window
from eo_dl.curation.weak import expressions, weaklabels
from eo_dl.curation.weak.expressions import parse_condition
from eo_dl.curation.weak.labelmodel import Prior, by_agreement, majority
from eo_dl.curation.weak.votes import PatternCode, PatternCounter, Patterns
from eo_dl.curation.weak.weakconfig import parse_functions, read_weak_config
from eo_dl.curation.weak.weaklabels import weak_labels
from eo_dl.errors import BandError, ConfigError, InputError, LabelError
from eo_dl.io.derived.indices import index_formula
from eo_dl.io.scene import open_scene
from eo_dl.labels.raster.masks import read_mask, read_soft_mask
from eo_dl.labels.reading import read_labels
from tests.making import NORTH_UP, rectangle, write_polygons, write_raster

TWO_METRES = NORTH_UP @ Affine.scale(2)
BANDS = BandSet((Band("red", 1), Band("green", 2), Band("nir", 3), Band("swir1", 4)))
Pixels = np.ndarray


def geotiff(path: Path, pixels: Pixels, names: tuple[str, ...] = (), **options: Any) -> Path:
    return write_raster(path, pixels, names=names, transform=TWO_METRES, **options)


def boxes(path: Path, frames: list[tuple[int, int, int, int]], **columns: Any) -> Path:
    """Rectangles given in pixels."""
    return write_polygons(path, [rectangle(*frame, TWO_METRES) for frame in frames], **columns)


# Conditions

numbers = st.sampled_from(
    [
        "red",
        "nir",
        "0.25",
        "-1.5",
        "b2",
        "ndvi",
        "(red + nir)",
        "red * 2 - nir",
        "max(red, nir, 0.1)",
        "abs(green - nir)",
        "red ** 2",
        "-red",
    ]
)
comparisons = st.builds(
    "{} {} {}".format, numbers, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=4,
)


@given(conditions, st.integers(0, 10_000))
def test_a_condition_means_what_python_says(text: str, seed: int) -> None:
    pixels = np.random.default_rng(seed).uniform(0.01, 1, (4, 3, 3)).astype(np.float32)
    if not any(name in text for name in ("red", "nir", "ndvi", "green", "b2")):
        return
    held, known = parse_condition(text, "t").holds(pixels, BANDS)
    red, green, nir, _ = pixels.astype(np.float32)
    for place in np.ndindex(3, 3):
        values = {"red": red[place], "green": green[place], "b2": green[place], "nir": nir[place]}
        values["ndvi"] = (values["nir"] - values["red"]) / (values["nir"] + values["red"])
        assert known[place] and held[place] == bool(
            eval(text, {"__builtins__": {}, "abs": abs, "max": max}, values)
        ), text


@pytest.mark.parametrize("name", expressions.INDICES)
def test_every_index_is_a_condition_when_compared(name: str) -> None:
    assert "nir" in parse_condition(f"{name} > 0", "t").names or name in ("exg", "mndwi")


@pytest.mark.parametrize("name", ["ndvi", "ndwi", "mndwi", "ndbi", "ndmi", "nbr", "savi"])
def test_an_index_is_the_same_here_and_as_a_derived_band(name: str) -> None:
    alike = {"swir1": "swir16", "swir2": "swir22"}
    names = ("green", "red", "nir", "swir1", "swir2")
    values = np.random.default_rng(3).uniform(0.05, 0.5, (5, 40, 40)).astype("float32")
    planes = {
        alike.get(band, band): plane.astype("float64") for band, plane in zip(names, values, strict=True)
    }
    formula = index_formula(name, {"L": 0.5} if name == "savi" else None)
    bands = BandSet(tuple(Band(band, place) for place, band in enumerate(names, start=1)))
    held, known = parse_condition(f"{name} > 0.1", "f").holds(values, bands)
    assert known.all()
    made = formula.of(planes)
    sure = np.abs(made - 0.1) > 1e-5
    assert (held == (made > 0.1))[sure].all()


def test_what_is_not_defined_is_not_known_even_when_negated() -> None:
    pixels = np.zeros((4, 1, 2), np.float32)
    pixels[:, 0, 1] = (0.1, 0.1, 0.5, 0.1)
    held, known = parse_condition("not (ndvi > 0.3)", "t").holds(pixels, BANDS)
    assert known.tolist() == [[False, True]] and not held.any()


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x') > 0",
        "red.__class__ > 0",
        "[red][0] > 1",
        "(lambda: red)() > 1",
        "red > 'a'",
        "red",
        "1 > 0",
        "red if nir else 2",
        "red > 1 and nir",
        "min(red) > 1",
        "abs(x=red) > 1",
        "red > True",
        "ndvi >",
        "red := 3",
        "red > 1e99",
        "+".join(["red"] * 600) + " > 1",
        "red in nir",
        "f'{red}' > 1",
    ],
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_condition(text, "function 'f'")
    assert "\n" not in str(error.value) and "function 'f'" in str(error.value)


def test_huge_powers_cost_nothing() -> None:
    held, known = parse_condition("red > 9 ** 9 ** 9 ** 9", "t").holds(np.ones((4, 1, 1), np.float32), BANDS)
    assert not known.any() and not held.any()


def test_a_missing_band_says_what_to_type() -> None:
    with pytest.raises(BandError, match=r"swir2.*-b swir2=1"):
        parse_condition("nbr > 0.1", "function 'burnt'").check_bands(BANDS, "a.tif")


# Votes and the label model


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 1000))
def test_patterns_are_the_votes_counted(functions: int, classes: int, seed: int) -> None:
    votes = np.random.default_rng(seed).integers(0, classes + 1, (functions, 8, 9)).astype(np.uint8)
    code = PatternCode(functions, classes)
    counter = PatternCounter(code)
    for rows in (slice(0, 3), slice(3, 8)):
        counter.add(code.encode(list(votes[:, rows])))
    _, patterns = counter.patterns()
    expected, counts = np.unique(votes.reshape(functions, -1).T, axis=0, return_counts=True)
    found = {tuple(vote): int(n) for vote, n in zip(patterns.votes.tolist(), patterns.pixels, strict=True)}
    assert found == {tuple(vote): int(n) for vote, n in zip(expected.tolist(), counts, strict=True)}
    for vote, conflict in zip(patterns.votes.tolist(), patterns.conflict, strict=True):
        assert conflict == (len({v for v in vote if v}) > 1)


def test_many_functions_are_counted_without_a_table() -> None:
    votes = np.random.default_rng(0).integers(0, 4, (20, 10, 10)).astype(np.uint8)
    code = PatternCode(20, 3)
    counter = PatternCounter(code)
    counter.add(code.encode(list(votes)))
    _, patterns = counter.patterns()
    assert patterns.pixels.sum() == 100 and {tuple(v) for v in patterns.votes.tolist()} == {
        tuple(v) for v in votes.reshape(20, -1).T.tolist()
    }
    with pytest.raises(ConfigError, match="too many"):
        PatternCode(40, 3)


def naive_agreement(
    votes: Pixels, classes: int, shares: Pixels, start: float, trust: float
) -> tuple[Pixels, Pixels]:
    """Pixel by pixel, class by class, with Python's own arithmetic."""
    pixels, functions = votes.shape
    met = [p for p in range(pixels) if (votes[p] > 0).sum() >= 2]
    accuracy = [start] * functions
    believed = trust / 100 * len(met)

    def posterior(p: int) -> list[float]:
        found = []
        for k in range(classes):
            value = shares[k]
            for m in range(functions):
                if votes[p, m]:
                    value *= accuracy[m] if votes[p, m] == k + 1 else (1 - accuracy[m]) / max(classes - 1, 1)
            found.append(value)
        return [value / sum(found) for value in found]

    for _ in range(300):
        beliefs = {p: posterior(p) for p in met}
        for m in range(functions):
            mine = [p for p in met if votes[p, m]]
            if mine:
                right = sum(beliefs[p][votes[p, m] - 1] for p in mine)
                accuracy[m] = min(
                    max((right + believed * start) / (len(mine) + believed), 1 / classes), 0.995
                )
    return np.array([posterior(p) if votes[p].any() else [0.0] * classes for p in range(pixels)]), np.array(
        accuracy
    )


def simulated(
    seed: int, accuracies: tuple[float, ...], classes: int = 3, pixels: int = 400, votes_in: float = 0.7
) -> tuple[Pixels, Pixels]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, classes + 1, pixels)
    votes = np.zeros((pixels, len(accuracies)), np.uint8)
    for m, accuracy in enumerate(accuracies):
        wrong = (truth - 1 + rng.integers(1, classes, pixels)) % classes + 1
        votes[:, m] = np.where(rng.random(pixels) < accuracy, truth, wrong) * (rng.random(pixels) < votes_in)
    return votes, truth


def counted(votes: Pixels) -> tuple[Patterns, Pixels]:
    unique, inverse, counts = np.unique(votes, axis=0, return_inverse=True, return_counts=True)
    return Patterns(unique, counts), inverse.reshape(-1)


@pytest.mark.parametrize("seed", range(3))
def test_agreement_is_that_of_every_pixel_by_itself(seed: int) -> None:
    votes, _ = simulated(seed, (0.9, 0.6, 0.75))
    patterns, place = counted(votes)
    shares = np.array([0.5, 0.2, 0.3])
    model = by_agreement(patterns, 3, Prior(shares, 0.75, 5.0))
    probabilities, accuracies = naive_agreement(votes, 3, shares, 0.75, 5.0)
    assert np.allclose(model.accuracies, accuracies, atol=1e-4)
    assert np.allclose(model.probabilities[place], probabilities, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_agreement_finds_the_accuracies_and_beats_the_majority(seed: int) -> None:
    accuracies = (0.95, 0.55, 0.6, 0.8, 0.5)
    votes, truth = simulated(seed, accuracies, pixels=20_000, votes_in=0.8)
    patterns, place = counted(votes)
    model = by_agreement(patterns, 3, Prior(np.ones(3) / 3, 0.75, 1.0))
    assert np.allclose(model.accuracies, accuracies, atol=0.04)
    some = votes.any(1)
    right = (model.probabilities[place].argmax(1) + 1 == truth)[some].mean()
    plain = (majority(patterns, 3).probabilities[place].argmax(1) + 1 == truth)[some].mean()
    assert right > plain + 0.03
    sure = model.probabilities[place][some].max(1)
    assert abs(sure.mean() - right) < 0.02, "probabilities are as sure as they are right"


def test_a_function_that_meets_nobody_is_told_so_and_silence_has_no_probability() -> None:
    votes = np.array([[1, 0, 0], [0, 2, 2], [0, 1, 2], [0, 0, 0]], np.uint8)
    model = by_agreement(Patterns(votes, np.array([5, 5, 1, 7])), 2, Prior(np.ones(2) / 2, 0.75, 5.0))
    assert np.isnan(model.accuracies[0]) and not np.isnan(model.accuracies[1:]).any()
    assert model.probabilities[3].sum() == 0 and np.allclose(model.probabilities[0], [0.75, 0.25])


# Whole runs


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Red, green, near infrared: plants on the left, water on the right, bare ground between; a nodata
    corner.
    """
    rng = np.random.default_rng(1)
    pixels = np.empty((3, 50, 90), np.uint16)
    for cols, values in (
        (slice(0, 30), (400, 600, 3000)),
        (slice(30, 60), (2000, 1800, 2400)),
        (slice(60, 90), (500, 900, 200)),
    ):
        pixels[:, :, cols] = np.array(values)[:, None, None] + rng.integers(0, 90, (3, 50, 30))
    pixels[:, :5, :5] = 0
    return geotiff(
        tmp_path / "s.tif",
        pixels,
        ("red", "green", "nir"),
        nodata=0,
        block_px=16,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    boxes(
        tmp_path / "osm.gpkg",
        [(0, 0, 25, 50), (55, 10, 90, 50), (40, 10, 45, 15)],
        kind=["forest", "lake", "pub"],
    )
    geotiff(
        tmp_path / "cover.tif",
        np.repeat(np.array([10, 60, 80, 0], np.uint8), (35, 20, 35, 0))[None].repeat(50, 0),
        nodata=0,
    )
    (tmp_path / "weak.yaml").write_text(
        """
classes: [water, plants, bare]
functions:
  - {name: wet, when: ndwi > 0.2, vote: water}
  - {name: green, when: "ndvi > 0.5", vote: plants}
  - {name: dry, when: not (ndvi > 0.5) and not (ndwi > 0), vote: bare}
  - {name: osm, vector: osm.gpkg, class_field: kind, values: {lake: water, forest: plants}}
  - {name: cover, raster: cover.tif, values: {80: water, 10: plants, "*": bare}}
"""
    )
    return tmp_path / "weak.yaml"


def naive_votes() -> Pixels:
    """What the functions of `config` say, by hand."""
    votes = np.zeros((5, 50, 90), np.uint8)
    votes[0, :, 60:] = 1
    votes[1, :, :30] = 2
    votes[2, :, 30:60] = 3
    votes[3, :, :25], votes[3, 10:, 55:] = 2, 1
    votes[4, :, :35], votes[4, :, 35:55], votes[4, :, 55:] = 2, 3, 1
    return votes


def test_functions_of_every_kind_vote_and_the_report_counts_them(
    scene: Path, config: Path, tmp_path: Path
) -> None:
    made = weak_labels(scene, config, out=tmp_path / "weak.tif")
    votes, valid = naive_votes(), np.ones((50, 90), np.bool_)
    valid[:5, :5] = False
    for report, vote in zip(made.functions, votes, strict=True):
        others = [(other != vote) & (other > 0) for other in votes]
        assert report.coverage == pytest.approx((vote[valid] > 0).mean())
        assert report.overlap == pytest.approx(((vote > 0) & ((votes > 0).sum(0) > 1))[valid].mean())
        assert report.conflict == pytest.approx(((vote > 0) & np.any(others, axis=0))[valid].mean())
    assert [report.name for report in made.functions] == [
        "wet",
        "green",
        "dry",
        "osm",
        "cover",
    ] and made.together.coverage == 1
    patterns, place = counted(votes.reshape(5, -1).T)
    model = by_agreement(patterns, 3, Prior(np.ones(3) / 3, 0.75, 5.0))
    with rasterio.open(tmp_path / "weak.tif") as out:
        found = out.read()
        assert (
            out.descriptions == ("water", "plants", "bare")
            and out.nodata == 255
            and out.scales[0] == pytest.approx(1 / 254)
        )
    assert (found[:, ~valid] == 255).all()
    assert (
        np.abs(found[:, valid] / 254 - model.probabilities[place].T.reshape(3, 50, 90)[:, valid]).max() < 0.02
    )


def test_what_is_written_is_the_same_however_many_rows_are_read_at_once(
    scene: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak_labels(scene, config, out=tmp_path / "a.tif")
    monkeypatch.setattr(weaklabels, "_STRIP_PIXELS", 90 * 7)
    weak_labels(scene, config, out=tmp_path / "b.tif")
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        assert (a.read() == b.read()).all()


def test_hand_labels_score_every_function_and_are_not_learnt_from(
    scene: Path, config: Path, tmp_path: Path
) -> None:
    hand = boxes(
        tmp_path / "hand.gpkg",
        [(62, 20, 70, 30), (52, 20, 58, 30), (2, 20, 6, 24)],
        what=["Water", "bare", "mystery"],
    )
    made = weak_labels(scene, config, out=tmp_path / "w.tif", truth=hand)
    wet, green, dry, osm, _ = made.functions
    assert (wet.hand_px, wet.hand_accuracy, dry.hand_accuracy) == (80, 1.0, 1.0)
    assert (
        osm.hand_px == 110
        and osm.hand_accuracy == pytest.approx(80 / 110)
        and green.hand_px == 0
        and np.isnan(green.hand_accuracy)
    )
    assert any("mystery" in note for note in made.notes)
    without = weak_labels(scene, config, out=tmp_path / "v.tif")
    assert [report.accuracy for report in without.functions] == pytest.approx(
        [report.accuracy for report in made.functions], nan_ok=True
    )


def test_short_functions_and_majority_and_several_scenes(scene: Path, tmp_path: Path, config: Path) -> None:
    texts = [
        "water: ndwi > 0.2",
        "plants: ndvi > 0.5",
        f"water: {tmp_path / 'osm.gpkg'}",
        f"plants: {tmp_path / 'cover.tif'}=10|60",
    ]
    config_of = parse_functions(texts).model_copy(update={"method": "majority"})
    with rasterio.open(scene) as source:
        other = geotiff(tmp_path / "t.tif", source.read(), ("red", "green", "nir"), nodata=0)
    made = weak_labels([scene, other], config_of, out=tmp_path / "both")
    assert [path.name for path in made.paths] == ["s.tif", "t.tif"] and made.classes.names == (
        "water",
        "plants",
    )
    with rasterio.open(tmp_path / "both" / "t.tif") as out:
        found = out.read()
    assert found[:, 40, 5].tolist() == [85, 169], "two of three votes"
    assert found[:, 40, 40].tolist() == [0, 254] and found[:, 2, 58].tolist() == [255, 255], "one vote; none"


def test_otherwise_votes_where_a_function_is_known_not_to(scene: Path, tmp_path: Path) -> None:
    made = weak_labels(
        scene,
        _yaml(tmp_path, "{when: ndwi > 0.2, vote: water, otherwise: background}"),
        out=tmp_path / "w.tif",
    )
    assert (
        made.classes.names == ("background", "water")
        and made.classes.ids == (0, 1)
        and made.together.coverage == 1
    )


def _yaml(folder: Path, function: str, rest: str = "") -> Path:
    (folder / "f.yaml").write_text(f"functions:\n  - {function}\n{rest}")
    return folder / "f.yaml"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("{when: ndvi > 0.5, vote: a, colour: red}", "unknown key"),
        ("{when: ndvi > 0.5}", "either 'vote'"),
        ("{vote: a}", "exactly one of when, vector and raster"),
        ("{when: ndvi > 0.5, vote: a, layer: x}", "is for vectors"),
        ("{raster: cover.tif, vote: a}", "needs 'values'"),
        ("{raster: cover.tif, values: {11: a}}", "has none of the values"),
        ("{vector: osm.gpkg, class_field: nope, values: {lake: a}}", "nope"),
        ("{vector: gone.gpkg, vote: a}", "gone.gpkg"),
        ("{when: ndvi > 7, vote: a}", "abstains everywhere"),
        ("{when: nbr > 0, vote: a}", "no band"),
        ("{when: ndvi > 0, vote: background}", "at least one other class"),
        ("{when: ndvi > 0, vote: 'a|b'}", "cannot be called"),
    ],
)
def test_bad_functions_are_one_line(
    scene: Path, config: Path, tmp_path: Path, function: str, said: str
) -> None:
    with pytest.raises(InputError) as error:
        weak_labels(scene, _yaml(tmp_path, function), out=tmp_path / "w.tif")
    assert said in str(error.value) and "\n" not in str(error.value) and not (tmp_path / "w.tif").exists()


@pytest.mark.parametrize("text", ["ndvi > 1", ": ndvi > 1", "a:", "a: cover.tif"])
def test_bad_short_functions_say_how_to_write_them(text: str) -> None:
    with pytest.raises(ConfigError, match=r"[Ww]rite"):
        parse_functions([text])


def test_outputs_are_never_overwritten_unasked(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never overwritten"):
        weak_labels(scene, ["a: ndvi > 0.5"], out=scene, overwrite=True)
    weak_labels(scene, ["a: ndvi > 0.5"], out=tmp_path / "w.tif")
    with pytest.raises(InputError, match="overwrite=True"):
        weak_labels(scene, ["a: ndvi > 0.5"], out=tmp_path / "w.tif")


# As labels


def test_probabilities_are_labels_that_keep_their_doubt(
    scene: Path, config: Path, tmp_path: Path, assert_soft: Callable[..., None]
) -> None:
    weak_labels(scene, config, out=tmp_path / "weak.tif")
    labels = read_labels(tmp_path / "weak.tif")
    assert labels.classes.names == ("water", "plants", "bare") and labels.rasters[0].band_ids == (1, 2, 3)
    assert_soft(labels, scene, tmp_path / "weak.tif")


@pytest.fixture
def assert_soft() -> Callable[..., None]:
    def check(labels, scene: Path, path: Path) -> None:
        opened = open_scene(scene)
        window = Window(-3, 2, 40, 60)
        soft, mask = read_soft_mask(labels.rasters[0], opened, window, labels.classes)
        with rasterio.open(path) as out:
            planes = np.pad(out.read(), ((0, 0), (0, 12), (3, 0)), constant_values=255)[:, 2:62, :40]
        known = (planes != 255).all(0)
        assert (mask == np.where(known, planes.argmax(0) + 1, 255)).all() and (
            mask == read_mask(labels.rasters[0], opened, window)
        ).all()
        assert np.allclose(soft, np.where(known, planes, 0) / 254)

    return check


def test_probabilities_and_classes_are_not_mixed(scene: Path, config: Path, tmp_path: Path) -> None:
    weak_labels(scene, config, out=tmp_path / "weak.tif")
    with pytest.raises(LabelError, match="mixes rasters"):
        read_labels([tmp_path / "weak.tif", tmp_path / "cover.tif"])
    with pytest.raises(LabelError, match="omit `classes`"):
        read_labels(tmp_path / "weak.tif", classes="a,b,c")
    assert read_weak_config(config).class_names == ("water", "plants", "bare")

"""What lies beside a map: certainty and sets of classes, made in the same pass as the map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from eo_dl.bundle import Bundle
from eo_dl.core.classes import ClassSet
from eo_dl.errors import ConfigError
from eo_dl.evaluation.predictionfiles import parts_of
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.modelspec import PredictionSetsSpec
from eo_dl.uncertainty.predictionsets import LEVELS
from tests.making import notes_of

Make = Callable[..., Bundle]
Write = Callable[..., Path]
TWO = ClassSet.of_names(["water"], background=True)
ALL = MapExtras(probabilities=True, certainty=True, set_coverage=0.8)


def sets(*blocks: int, least: float = 0.3) -> PredictionSetsSpec:
    """Per class so many blocks; each class is in a set from a probability of `least` on."""
    levels = tuple(least for _ in LEVELS)
    return PredictionSetsSpec(blocks=blocks, least=tuple(levels if count else () for count in blocks))


def bands(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read())


@pytest.mark.parametrize("options", [ChipOptions(), ChipOptions(blend="hann"), ChipOptions(views=2)])
def test_certainty_and_sets_are_those_of_the_probabilities(
    options: ChipOptions,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    bundle = make_bundle(classes=TWO, sets=sets(20, 20))
    use_engine(engines["certainty"], bundle)
    p = np.random.default_rng(0).uniform(0.01, 0.99, (61, 75)).astype(np.float32)
    p[10:20, 5:30] = np.nan
    scene = write_scene(tmp_path / "scene.tif", p)
    result = predict(bundle, scene, out=tmp_path / "map.tif", extras=ALL, chip_options=options)
    assert [path.name for path in result.paths] == [
        "map.tif", "map_prob.tif", "map_certainty.tif", "map_sets.tif"
    ]  # fmt: skip
    measured = np.isfinite(p)
    both = np.stack([1 - p, p])[:, measured]
    largest, margin, entropy = bands(tmp_path / "map_certainty.tif")[:, measured] / 254
    assert abs(largest - both.max(axis=0)).max() < 0.01
    assert abs(margin - abs(both[0] - both[1])).max() < 0.01
    assert abs(entropy + (both * np.log2(both)).sum(axis=0)).max() < 0.01
    size, *members = bands(tmp_path / "map_sets.tif")[:, measured]
    clear = (abs(both - 0.3) > 0.01).all(axis=0)  # rounding decides the others
    assert (np.stack(members) == (both >= 0.3))[:, clear].all()
    assert (size == np.sum(members, axis=0)).all()
    for path in result.paths:
        assert (bands(path)[:, ~measured] == 255).all() and path.with_suffix(".qml").is_file()
    assert any("80% or more has its class in the set" in note for note in notes_of(result))
    assert result.values()["certainty"] == str(tmp_path / "map_certainty.tif")
    # What lies beside a map is no map.
    assert [part.path.name for part in parts_of(tmp_path)] == ["map.tif", "scene.tif"]


def test_shards_give_the_same_bytes(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(classes=TWO, sets=sets(20, 20))
    use_engine(engines["certainty"], bundle)
    scene = write_scene(tmp_path / "scene.tif", np.random.default_rng(1).random((150, 50)).astype(np.float32))
    once, shards = tmp_path / "once", tmp_path / "shards"
    once.mkdir()
    shards.mkdir()
    whole = predict(bundle, scene, out=once / "map.tif", extras=ALL)
    for number in (1, 2):
        predict_shard(bundle, scene, shard=f"{number}/2", out=shards / "map.tif", extras=ALL)
    parts = assemble_shards(bundle, scene, out=shards / "map.tif", extras=ALL)
    for first, second in zip(whole.paths, parts.paths, strict=True):
        assert first.name == second.name and first.read_bytes() == second.read_bytes()


def test_cells_of_chips_have_them_too(
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classes = ClassSet.of_names(["wood", "water"])
    bundle = make_bundle("classification", classes=classes, margin_px=0, sets=sets(9, 0))

    def whole(pixels: np.ndarray, valid: np.ndarray, scaling: object) -> dict[str, np.ndarray]:
        p = pixels[:, 0].mean(axis=(1, 2))
        return {"logits": np.log(np.stack([1 - p, p], axis=1)).astype(np.float32)}

    monkeypatch.setattr(use_engine(engines["echo"], bundle), "run", whole)
    scene = write_scene(tmp_path / "scene.tif", np.full((32, 64), 0.25, np.float32))
    result = predict(bundle, scene, out=tmp_path / "cells.tif", extras=MapExtras(False, True, 0.9))
    assert bands(tmp_path / "cells_certainty.tif")[:2, 0, 0].tolist() == [190, 127]
    # Water was in no validation block, so nothing lets it be left out.
    assert bands(tmp_path / "cells_sets.tif")[:, 0, 0].tolist() == [2, 1, 1]
    assert any("too few validation blocks" in note and "water (0)" in note for note in notes_of(result))


def test_what_a_model_cannot_promise_is_refused(
    tmp_path: Path, make_bundle: Make, write_scene: Write
) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.zeros((32, 32), np.float32))
    out = tmp_path / "map.tif"
    with pytest.raises(ConfigError, match="train it again"):
        predict(make_bundle(classes=TWO), scene, out=out, extras=MapExtras(set_coverage=0.9))
    few = make_bundle(classes=TWO, sets=sets(6, 8))
    with pytest.raises(ConfigError, match=r"needs 9 validation blocks.*at most 8, enough for 0\.89"):
        predict(few, scene, out=out, extras=MapExtras(set_coverage=0.9))
    with pytest.raises(ConfigError, match=r"`set_coverage`: expected 0\.5 to 0\.99"):
        MapExtras(set_coverage=1.0)
    boxes = make_bundle("detection", classes=ClassSet.of_names(["roof"]))
    with pytest.raises(ConfigError, match="omit `certainty`"):
        predict(boxes, scene, out=tmp_path / "map.gpkg", extras=MapExtras(certainty=True))
    assert not list(tmp_path.glob("map*"))


def test_a_run_that_was_stopped_does_not_mix_coverages(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    bundle = make_bundle(classes=TWO, sets=sets(20, 20))
    use_engine(engines["certainty"], bundle)
    scene = write_scene(tmp_path / "scene.tif", np.full((300, 40), 0.6, np.float32))

    def stop(done: int, total: int, what: str) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="stopped"):
        predict(bundle, scene, out=tmp_path / "map.tif", extras=MapExtras(set_coverage=0.8), on_progress=stop)
    result = predict(bundle, scene, out=tmp_path / "map.tif", extras=MapExtras(set_coverage=0.9))
    assert result.kept == 0

"""`compare` of two models: each predicts the scene, and a model is not ahead of itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.making import CommandOutput, refused


class World(Protocol):
    scene: Path
    labels: Path
    model: Path


def test_a_model_is_not_ahead_of_itself(
    world: World, tmp_path: Path, eo_dl_cli: Callable[..., CommandOutput]
) -> None:
    words = ("compare", world.model, world.model, world.labels, "--class-field", "kind")
    done = eo_dl_cli(*words, "--scene", world.scene, "-o", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    assert len(done.result["scores"]) > 5
    for score in done.result["scores"]:
        assert score["difference"]["value"] in (0, None)
    for name in ("first.tif", "second.tif", "differences.tif", "compare.html"):
        assert (tmp_path / "out" / name).is_file()
    refused(eo_dl_cli(*words), "is a model, so it needs a --scene to predict")

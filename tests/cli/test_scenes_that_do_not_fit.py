"""Scenes that do not fit, through every command that reads scenes for a model or resamples them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from affine import Affine

from eo_dl.bundle import load_model, save_bundle
from eo_dl.modelspec import QuantilesSpec
from tests.making import CommandOutput, refused

if TYPE_CHECKING:
    from tests.cli.conftest import World

    Cli = Callable[..., CommandOutput]

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def model(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained model, as if it was trained on 8-bit values."""
    bundle = load_model(world.model)
    trained = tuple(QuantilesSpec(p02=61, p50=92, p98=190) for _ in bundle.bands)
    spec = bundle.spec.model_copy(update={"quantiles": trained})
    path = tmp_path_factory.mktemp("model") / "known.eodl"
    save_bundle(path, spec, bundle.state())
    return path


@pytest.fixture
def reflectance(tmp_path: Path, write_scene: Write) -> Path:
    pixels = np.random.default_rng(1).integers(300, 4000, (3, 96, 96)).astype(np.uint16)
    return write_scene(tmp_path / "reflectance.tif", pixels)


def test_predict_refuses_and_names_flag_and_figures(
    eo_dl_cli: Cli, model: Path, reflectance: Path, tmp_path: Path
) -> None:
    out = tmp_path / "map.tif"
    said = eo_dl_cli("predict", model, reflectance, "-o", out)
    refused(said, "reflectance.tif", "known.eodl", "61/92/190", "--scale", "--force", out=out)
    forced = eo_dl_cli("predict", model, reflectance, "-o", out, "--force", "--json")
    assert forced.code == 0 and out.exists()
    (note,) = json.loads(forced.out)["notes"]
    assert "as forced" in note


def test_queue_and_check_refuse_too(
    eo_dl_cli: Cli, world: World, model: Path, reflectance: Path, tmp_path: Path
) -> None:
    queue = ("labels", "queue", model, reflectance, "-o", tmp_path / "queue.gpkg")
    refused(eo_dl_cli(*queue), "reflectance.tif", "--force", out=tmp_path / "queue.gpkg")
    assert eo_dl_cli(*queue, "--force", "--views", "1").code == 0
    check = ("labels", "check", world.labels, "--scene", reflectance, "--model", model)
    refused(eo_dl_cli(*check), "reflectance.tif", "--force")


def test_a_queue_for_chips_of_another_kind_is_one_line(
    eo_dl_cli: Cli, world: World, reflectance: Path, tmp_path: Path
) -> None:
    """The scenes of a chip set are checked like the scenes named."""
    with rasterio.open(reflectance, "r+") as file:
        file.transform = file.transform @ Affine.translation(1000, 0)  # not on the ground of the chips
    bundle = load_model(world.model)
    trained = tuple(QuantilesSpec(p02=300, p50=2000, p98=4000) for _ in bundle.bands)
    model = tmp_path / "other.eodl"
    save_bundle(model, bundle.spec.model_copy(update={"quantiles": trained}), bundle.state())
    queue = ("labels", "queue", model, reflectance, "--chips", world.chips, "-o", tmp_path / "queue.gpkg")
    refused(eo_dl_cli(*queue), "scene.tif", "--force", out=tmp_path / "queue.gpkg")


@pytest.mark.parametrize("gsd_m", ["0.2", "5"])
def test_tile_refuses_to_resample_by_a_large_factor(
    eo_dl_cli: Cli, world: World, tmp_path: Path, gsd_m: str
) -> None:
    out = tmp_path / "chips"
    command = ("tile", world.scene, "--labels", world.labels, "--size", "16", "-o", out, "--gsd", gsd_m)
    refused(eo_dl_cli(*command), "scene.tif", "factor of 5", "--force", out=out)
    if gsd_m == "5":
        assert eo_dl_cli(*command, "--force").code == 0


def test_tile_notes_that_scenes_are_resampled(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    out = tmp_path / "chips"
    said = eo_dl_cli("tile", world.scene, "--labels", world.labels, "--size", "16", "-o", out, "--gsd", "2")
    assert said.code == 0 and "1 of 1 scenes (1 to 1 m GSD) are resampled to 2 m" in said.err


def test_model_show_states_values_and_ground(eo_dl_cli: Cli, world: World, model: Path) -> None:
    assert "61/92/190" in eo_dl_cli("model", "show", model).out
    unknown = eo_dl_cli("model", "show", world.model).out
    assert "the values of scenes are unchecked" in unknown
    assert "| 1 | red" in load_model(model).read("README.md").decode()
    assert "61/92/190 |" in load_model(model).read("README.md").decode()

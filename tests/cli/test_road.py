"""The whole road through the command line, as a person and as a program would use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import pytest
import rasterio

from eo_dl.bundle import load_model
from tests.making import CommandOutput

if TYPE_CHECKING:
    from tests.cli.conftest import World

    Cli = Callable[..., CommandOutput]

QUICK = ("--epochs", "2", "--batch-size", "4", "--set", "min_steps=4", "--backbone", "test_resnet")


def test_scene_to_scored_map(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    model, out = tmp_path / "roofs.eodl", tmp_path / "map.tif"
    trained = eo_dl_cli("train", world.chips, "--task", "segmentation", "-o", model, "--json", *QUICK)
    assert trained.code == 0, trained.err
    assert {"model", "scores", "baselines", "primary"} <= set(trained.result)
    command = load_model(model).spec.provenance.command
    assert command.startswith("eo-dl train ") and command.endswith("--backbone test_resnet")
    assert eo_dl_cli("predict", model, world.scene, "-o", out, "--probabilities", "-q").code == 0
    with rasterio.open(out) as found, rasterio.open(world.scene) as scene:
        assert (found.shape, found.crs, found.transform) == (scene.shape, scene.crs, scene.transform)
        assert found.nodata == 255
    scored = eo_dl_cli("evaluate", out, world.labels, "-o", tmp_path / "report", "--json")
    assert scored.code == 0, scored.err
    assert json.loads((tmp_path / "report" / "report.json").read_text())["scores"] == scored.result["scores"]
    assert eo_dl_cli("vectorize", out, "-o", tmp_path / "map.gpkg", "-q").code == 0
    assert {"class_name", "class_id", "area_m2", "reviewed"} <= set(
        gpd.read_file(tmp_path / "map.gpkg", layer=gpd.list_layers(tmp_path / "map.gpkg")["name"][0]).columns
    )


def test_events_are_json_lines_that_begin_at_once_and_end_with_the_result(
    eo_dl_cli: Cli, world: World, tmp_path: Path
) -> None:
    said = eo_dl_cli("predict", world.model, world.scene, "-o", tmp_path / "map.tif", "--progress", "json")
    events = [json.loads(line) for line in said.out.splitlines()]
    assert events[0] == {"event": "log", "message": "starting"}
    assert events[-1]["event"] == "result"
    done = [event for event in events if event["event"] == "progress"]
    assert done and all({"what", "done", "total"} <= set(event) for event in done)


def test_errors_are_events_too(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    said = eo_dl_cli(
        "predict", world.model, tmp_path / "no.tif", "-o", tmp_path / "map.tif", "--progress", "json"
    )
    assert said.code == 2
    assert json.loads(said.out.splitlines()[-1])["event"] == "error"


@pytest.mark.parametrize("what", ["scene", "labels", "chips", "model"])
def test_inspect_shows_every_kind_of_file(eo_dl_cli: Cli, world: World, what: str) -> None:
    said = eo_dl_cli("inspect", getattr(world, what), "--json")
    assert said.code == 0, said.err
    assert said.result["kind"] == what


def test_print_config_is_a_config(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    said = eo_dl_cli("train", world.chips, "--task", "segmentation", "--lr", "0.003", "--print-config")
    (tmp_path / "c.yaml").write_text(said.out)
    again = eo_dl_cli("train", world.chips, "--config", tmp_path / "c.yaml", "--print-config")
    assert again.out == said.out
    assert "lr: 0.003" in said.out


def test_every_option_has_a_help_text() -> None:
    import click

    from eo_dl_cli.main import COMMANDS, cli

    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"


@pytest.mark.slow
def test_every_odd_geotiff_is_inspected_and_predicted_or_refused_in_one_line(
    eo_dl_cli: Cli, real_data: Path, tmp_path: Path, model_for: Callable[[Path], Path]
) -> None:
    files = sorted(
        p for p in (real_data / "weird-geotiffs").rglob("*") if p.suffix in {".tif", ".tiff", ".vrt"}
    )
    assert len(files) > 30
    worked = 0
    for number, path in enumerate(files):
        looked = eo_dl_cli("inspect", path, "--stats", "-q")
        assert looked.code in (0, 2), path
        assert "Traceback" not in looked.err
        assert (looked.code == 0) == (not looked.lines), (path, looked.err)
        if looked.code == 2:
            continue
        out = tmp_path / f"{number}.tif"
        mapped = eo_dl_cli("predict", model_for(path), path, "-o", out, "-q")
        assert mapped.code in (0, 2), (path, mapped.err)
        assert len(mapped.lines) == (mapped.code != 0), (path, mapped.err)
        assert out.exists() == (mapped.code == 0), path
        worked += out.exists()
    assert worked > 25, "most odd files are legitimate input"

"""labels weak, queue, prelabel and merge from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd

Cli = Callable[..., Any]


def test_weak_labels_are_made_and_tiled(eo_dl_cli: Cli, world: Any, tmp_path: Path) -> None:
    rules = (
        "--function",
        "roof: red > 150",
        "--function",
        "roof: green > 140",
        "--function",
        "ground: blue < 125",
    )
    said = eo_dl_cli(
        "labels",
        "weak",
        world.scene,
        *rules,
        "--truth",
        world.labels,
        "-o",
        tmp_path / "weak.tif",
        "--json",
        "-q",
    )
    assert said.code == 0 and [f["name"] for f in said.result["functions"]] == [
        "roof: red > 150",
        "roof: green > 140",
        "ground: blue < 125",
    ]
    assert said.result["functions"][0]["hand_accuracy"] > 0.9 and said.result["together"]["conflict"] == 0
    assert (
        eo_dl_cli(
            "tile",
            world.scene,
            "--labels",
            tmp_path / "weak.tif",
            "-o",
            tmp_path / "chips",
            "--size",
            "32",
            "--block-m",
            "32",
            "-q",
        ).code
        == 0
    )


def test_the_queue_leaves_out_what_the_chip_set_has(eo_dl_cli: Cli, world: Any, tmp_path: Path) -> None:
    said = eo_dl_cli(
        "labels",
        "queue",
        world.model,
        world.scene,
        "-o",
        tmp_path / "q.gpkg",
        "--count",
        "3",
        "--views",
        "2",
        "--json",
        "-q",
    )
    assert said.code == 0 and [pick["rank"] for pick in said.result["picks"]] == [1, 2, 3]
    done = eo_dl_cli(
        "labels", "queue", world.model, world.scene, "-o", tmp_path / "r.gpkg", "--chips", world.chips, "-q"
    )
    assert done.code == 2 and len(done.lines) == 1 and "annotated already" in done.err


def test_predictions_go_out_to_be_corrected_and_come_back(eo_dl_cli: Cli, world: Any, tmp_path: Path) -> None:
    assert eo_dl_cli("predict", world.model, world.scene, "-o", tmp_path / "map.tif", "-q").code == 0
    assert (
        eo_dl_cli(
            "labels", "prelabel", tmp_path / "map.tif", "-o", tmp_path / "fix.gpkg", "--min-area", "20", "-q"
        ).code
        == 0
    )
    said = eo_dl_cli(
        "labels",
        "merge",
        world.labels,
        tmp_path / "fix.gpkg",
        "--class-field",
        "kind",
        "-o",
        tmp_path / "m.gpkg",
        "--json",
        "-q",
    )
    assert (
        said.code == 0
        and said.result["counts"]["kept"] == 81
        and said.result["counts"]["proposed"] > 0
        and said.result["counts"]["accepted"] == 0
    )


def test_labels_of_several_layers_or_fields_can_be_named(eo_dl_cli: Cli, world: Any, tmp_path: Path) -> None:
    table = gpd.read_file(world.labels)
    table.assign(roof=table["kind"], use=["a", "b", "a"] * 27).to_file(tmp_path / "l.gpkg", layer="houses")
    table.head(3).to_file(tmp_path / "l.gpkg", layer="others")
    ask = (
        "labels",
        "queue",
        world.model,
        world.scene,
        "-o",
        tmp_path / "q.gpkg",
        "--labels",
        tmp_path / "l.gpkg",
        "--views",
        "1",
        "-q",
    )
    unsaid = eo_dl_cli(*ask)
    assert unsaid.code == 2 and "--layer" in unsaid.err
    few = eo_dl_cli(*ask, "--layer", "others", "--json")
    assert few.code == 0 and few.result["candidates"] == 8, "the first three squares lie in one of nine chips"
    none_left = eo_dl_cli(*ask, "--layer", "houses", "--class-field", "use", "--overwrite")
    assert none_left.code == 2 and "all 9 chips are annotated already" in none_left.err
    assert (
        eo_dl_cli(
            "labels", "queue", world.model, world.scene, "--layer", "houses", "-o", tmp_path / "z.gpkg"
        ).code
        == 2
    )


def test_misuse_is_one_line_with_exit_code_2(eo_dl_cli: Cli, world: Any, tmp_path: Path) -> None:
    for arguments in (
        ("labels", "weak", world.scene, "--function", "roof: __import__('os')", "-o", tmp_path / "w.tif"),
        ("labels", "weak", world.scene, "--function", "roof: nir > 3", "-o", tmp_path / "w.tif"),
        ("labels", "prelabel", world.labels, "-o", tmp_path / "p.tif"),
        ("labels", "merge", "none", world.labels, "-o", tmp_path / "m.gpkg"),
    ):
        said = eo_dl_cli(*arguments)
        assert said.code == 2 and len([line for line in said.lines if line.startswith("error")]) == 1, (
            said.err
        )
    assert eo_dl_cli("labels", "weak", world.scene).code == 2

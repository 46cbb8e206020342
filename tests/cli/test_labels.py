"""`eo-dl labels start`, `status` and `check` through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyogrio

from tests.making import CommandOutput

if TYPE_CHECKING:
    from tests.cli.conftest import World

    Cli = Callable[..., CommandOutput]


def test_from_nothing_to_findings(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    labels, findings, fixed = (tmp_path / name for name in ("labels.gpkg", "findings.gpkg", "fixed.gpkg"))
    said = eo_dl_cli("labels", "start", world.scene, "--classes", "roof,shed", "-o", labels, "--json")
    assert said.code == 0, said.err
    assert said.result["project"] == str(tmp_path / "labels.qgz")
    drawn = pyogrio.read_dataframe(world.labels).rename(columns={"kind": "class_name"})
    pyogrio.write_dataframe(drawn, labels, layer="labels", append=True, promote_to_multi=True)
    said = eo_dl_cli("labels", "status", labels)
    assert said.code == 0 and "roof" in said.out and "'annotated'" in said.out
    said = eo_dl_cli("labels", "check", labels, "-o", findings, "--fix", fixed, "--json")
    assert said.code == 0, said.err
    assert said.result["classes"] == {"roof": 41.0, "shed": 40.0}
    assert said.result["fixed"]["removed"] == 0
    assert findings.is_file() and fixed.is_file()
    said = eo_dl_cli("labels", "check", labels, "-o", findings)
    assert said.code == 2 and "--overwrite" in said.err
    said = eo_dl_cli("labels", "check", labels, "-o", findings, "--overwrite")
    assert said.code == 0 and "the labels are shifted" in said.out


def test_mistakes_are_one_line(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    for words in (
        ("labels", "start", tmp_path / "none.tif", "--classes", "a", "-o", tmp_path / "l.gpkg"),
        ("labels", "start", world.scene, "--classes", "a,A", "-o", tmp_path / "l.gpkg"),
        ("labels", "status", tmp_path / "none.gpkg"),
        ("labels", "check", tmp_path / "none.gpkg"),
        ("labels", "check", world.labels, "--scene", tmp_path / "none.tif"),
        ("labels", "check", world.labels, "--fix", world.labels, "--overwrite"),
        ("labels", "check", world.labels, "-o", world.labels, "--overwrite"),
        ("labels", "check", world.labels, "-o", tmp_path / "l.gpkg", "--fix", tmp_path / "l.gpkg"),
        ("labels", "check", world.labels, "-o", tmp_path / "l.shp"),
        ("labels", "check", world.labels, "-o", tmp_path / "l.gpkg", "--fix", tmp_path / "l.xyz"),
    ):
        said = eo_dl_cli(*words)
        assert said.code == 2, words
        assert (
            len([line for line in said.lines if line.startswith("error: ")]) == 1
            and "Traceback" not in said.err
        )
    assert not (tmp_path / "l.gpkg").exists()


def test_a_chip_set_and_a_model_are_asked(eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
    """The model has random weights: what it says is nothing, but that it says it is held. Scenes come from
    the chip set.
    """
    said = eo_dl_cli(
        "labels",
        "check",
        world.labels,
        "--chips",
        world.chips,
        "--model",
        world.model,
        "-o",
        tmp_path / "f.gpkg",
        "--json",
    )
    assert said.code == 0, said.err
    assert said.result["scenes"] == [str(world.scene)]
    assert any("trained on these labels" in str(note) for note in said.result["notes"])
    assert "leakage" not in said.result["kinds"]
    for words in (
        ("--chips", tmp_path),
        ("--chips", world.labels),
        ("--model", tmp_path / "none.eodl"),
        ("--model", world.labels),
        ("--model", world.model),
    ):
        said = eo_dl_cli("labels", "check", world.labels, *words)
        assert said.code == 2 and len([line for line in said.lines if line.startswith("error: ")]) == 1, (
            words,
            said.err,
        )

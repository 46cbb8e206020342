"""`--colors`: classes keep the colours that a user states, from the chips on."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from eo_dl.chips.chipset import open_chip_set
from eo_dl_cli.main import cli


def test_stated_colours_are_those_of_the_chip_set(sample_data: Path, tmp_path: Path) -> None:
    labels = ["--labels", str(sample_data / "train_labels.gpkg"), "--layer", "landcover"]
    words = ["tile", str(sample_data / "train.tif"), *labels, "--class-field", "class_name", "--size", "128"]
    out = tmp_path / "chips"
    done = CliRunner().invoke(cli, [*words, "-o", str(out), "--colors", "water=#123456"])
    assert done.exit_code == 0, done.output
    colors = {info.name: info.color for info in open_chip_set(out).classes}
    assert colors["water"] == "#123456"
    assert len(set(colors.values())) == len(colors)


def test_a_colour_of_no_class_is_one_line(sample_data: Path, tmp_path: Path) -> None:
    labels = ["--labels", str(sample_data / "train_labels.gpkg"), "--layer", "trees"]
    words = ["map", str(sample_data / "train.tif"), *labels, "-o", str(tmp_path / "map")]
    done = CliRunner().invoke(cli, [*words, "--colors", "shrub=#123456"])
    assert done.exit_code != 0
    assert "names 'shrub', but the classes are tree" in str(done.exception) + done.output
    assert not (tmp_path / "map").exists(), "nothing was begun"

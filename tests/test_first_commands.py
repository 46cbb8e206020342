"""The first `tile` command that a newcomer types on real data succeeds: scenes, labels, nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from eo_dl_cli.main import cli

# Scenes, labels, and what the command says it decided. One set has areas in which its labels are complete:
# its first command names them.
FIRST_COMMANDS = {
    "baker-landcover": ("*.tif", "BakerLake_2017_clipped.gpkg", ("class field 'Niveau_2' chosen",)),
    "orthoseg-fields": ("*.tif", "fields_BEFL-s2-fields-2023_polygons.gpkg", ()),
    "lidar-buildings": ("hag.tif", "buildings.geojson", ("accurate to 4 m only",)),
    "vegas-multiclass": ("tiff_8channel_uint8.tif", "tiff_3channel_uint8.geojson", ()),
    "banepa-buildings": ("oam/*.tif", "detection_labels.json", ()),
    "neon-trees": ("*/*.tif", "", ()),
    "s2-ships": ("*.tif", "", ("class field 'labels' chosen", "chips of 128 px")),
}
ANNOTATED = {"orthoseg-fields": "fields_BEFL-s2-fields-2023_locations.gpkg"}


# The others read many files.
QUICK = ("baker-landcover", "lidar-buildings", "vegas-multiclass", "s2-ships")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FIRST_COMMANDS]
)
def test_the_first_command_makes_three_splits_with_labels(name: str, real_data: Path, tmp_path: Path) -> None:
    pattern, labels, said = FIRST_COMMANDS[name]
    folder = real_data / name
    line = [
        "tile",
        str(folder / pattern),
        "--labels",
        str(folder / labels),
        "-o",
        str(tmp_path / "chips"),
        "--json",
    ]
    if name in ANNOTATED:
        line += ["--annotated", str(folder / ANNOTATED[name])]
    done = CliRunner().invoke(cli, line)
    assert done.exit_code == 0, done.stderr
    values = json.loads(done.stdout)
    for split in ("train", "val", "test"):
        labelled = {cls: share for cls, share in values["splits"][split]["class_shares"].items() if share}
        assert set(labelled) - {"background"}, f"{split} has no label"
    assert "; change it with `size`" in " ".join(values["notes"])
    for text in said:
        assert text in " ".join(values["notes"])

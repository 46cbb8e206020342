"""Bad input gets one line with the cause and what to do, and exit code 2.

It leaves nothing that looks finished.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from tests.making import CommandOutput, refused, write_polygons

if TYPE_CHECKING:
    from tests.cli.conftest import World

    Cli = Callable[..., CommandOutput]

Write = Callable[..., Path]
SIDE = 160


INSIDE = shapely.box(500010, 5_199_900, 500080, 5_199_980)


class TestTile:
    def test_no_crs_where_labels_are_in_map_coordinates(
        self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write
    ) -> None:
        plain = write_scene(tmp_path / "plain.tif", np.zeros((3, 64, 64), np.uint8) + 9, crs=None)
        refused(eo_dl_cli("tile", plain, "--labels", world.labels, "-o", tmp_path / "chips"), "CRS")
        assert not (tmp_path / "chips").exists()

    def test_labels_elsewhere(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        far = write_polygons(tmp_path / "far.gpkg", [shapely.box(0, 0, 10, 10)], kind=["roof"])
        refused(eo_dl_cli("tile", world.scene, "--labels", far, "-o", tmp_path / "chips"), "far.gpkg")
        assert not (tmp_path / "chips").exists()

    def test_class_field_missing(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli(
                "tile",
                world.scene,
                "--labels",
                world.labels,
                "--class-field",
                "species",
                "-o",
                tmp_path / "chips",
            ),
            "species",
            "kind",
        )

    def test_several_class_fields(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        two = write_polygons(
            tmp_path / "two.gpkg", [INSIDE, INSIDE.buffer(1)], kind=["a", "b"], use=["x", "y"]
        )
        refused(
            eo_dl_cli("tile", world.scene, "--labels", two, "-o", tmp_path / "chips"),
            "--class-field",
            "kind",
            "use",
        )

    def test_empty_labels(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        empty = write_polygons(tmp_path / "empty.gpkg", [], kind=[])
        refused(eo_dl_cli("tile", world.scene, "--labels", empty, "-o", tmp_path / "chips"), "empty.gpkg")

    def test_only_empty_geometries(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        nothing = write_polygons(tmp_path / "nothing.gpkg", [None, shapely.Polygon()], kind=["a", "a"])
        refused(eo_dl_cli("tile", world.scene, "--labels", nothing, "-o", tmp_path / "chips"), "nothing.gpkg")

    def test_points_without_a_radius(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        points = write_polygons(tmp_path / "points.gpkg", [INSIDE.centroid], kind=["a"])
        refused(eo_dl_cli("tile", world.scene, "--labels", points, "-o", tmp_path / "chips"), "--buffer-m")

    def test_unknown_bands(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli(
                "tile", world.scene, "--labels", world.labels, "-b", "red,swir", "-o", tmp_path / "chips"
            ),
            "swir",
            "red, green, blue",
        )

    def test_all_nodata(self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write) -> None:
        empty = write_scene(tmp_path / "empty.tif", np.zeros((3, SIDE, SIDE), np.uint8), nodata=0)
        refused(eo_dl_cli("tile", empty, "--labels", world.labels, "-o", tmp_path / "chips"))
        assert not (tmp_path / "chips").exists()

    def test_missing_scene(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli("tile", tmp_path / "nowhere.tif", "--labels", world.labels, "-o", tmp_path / "chips"),
            "nowhere.tif",
        )

    def test_missing_labels(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli("tile", world.scene, "--labels", tmp_path / "nowhere.gpkg", "-o", tmp_path / "chips"),
            "nowhere.gpkg",
        )

    def test_complex_values(self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write) -> None:
        radar = write_scene(tmp_path / "radar.tif", np.zeros((1, 64, 64), np.complex64), names=("hh",))
        refused(eo_dl_cli("tile", radar, "--labels", world.labels, "-o", tmp_path / "chips"), "complex64")

    def test_truncated_tiff(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        cut = tmp_path / "cut.tif"
        cut.write_bytes(world.scene.read_bytes()[: world.scene.stat().st_size // 2])
        refused(eo_dl_cli("tile", cut, "--labels", world.labels, "-o", tmp_path / "chips"), "cut.tif")
        assert not (tmp_path / "chips").exists()

    def test_text_called_tif(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        (tmp_path / "text.tif").write_text("<VRTDataset/>")
        refused(
            eo_dl_cli("tile", tmp_path / "text.tif", "--labels", world.labels, "-o", tmp_path / "chips"),
            "text.tif",
        )

    def test_existing_output(self, eo_dl_cli: Cli, world: World) -> None:
        before = sorted(p.name for p in world.chips.iterdir())
        refused(eo_dl_cli("tile", world.scene, "--labels", world.labels, "-o", world.chips), "--overwrite")
        assert sorted(p.name for p in world.chips.iterdir()) == before

    def test_unwritable_folder(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        refused(eo_dl_cli("tile", world.scene, "--labels", world.labels, "-o", tmp_path / "file" / "chips"))

    def test_a_size_that_is_none(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        said = eo_dl_cli(
            "tile", world.scene, "--labels", world.labels, "--size", "big", "-o", tmp_path / "chips"
        )
        assert said.code == 2 and "256px or 128m" in said.err


class TestTrain:
    def test_not_a_chip_set(self, eo_dl_cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        refused(
            eo_dl_cli("train", tmp_path / "folder", "--task", "segmentation", "-o", tmp_path / "m.eodl"),
            "folder",
        )

    def test_unknown_task(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli("train", world.chips, "--task", "segmentaton", "-o", tmp_path / "m.eodl"),
            "segmentation",
        )

    def test_unknown_key(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        config = tmp_path / "c.yaml"
        config.write_text("task: segmentation\nepoch: 3\n")
        refused(
            eo_dl_cli("train", world.chips, "--config", config, "-o", tmp_path / "m.eodl"), "epoch", "epochs"
        )

    def test_a_scene_that_moved(
        self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write
    ) -> None:
        shutil.copytree(world.folder, tmp_path / "copy")
        chips = tmp_path / "copy" / "chips"
        scene = write_scene(tmp_path / "copy" / "scene.tif", np.full((3, SIDE, SIDE), 7, np.uint8))
        text = (chips / "chips.json").read_text().replace(str(world.scene), str(scene))
        (chips / "chips.json").write_text(text)
        refused(eo_dl_cli("train", chips, "--task", "segmentation", "-o", tmp_path / "m.eodl"), "scene.tif")

    def test_weights_that_are_not_there(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli(
                "train",
                world.chips,
                "--task",
                "segmentation",
                "--weights",
                tmp_path / "no.pt",
                "-o",
                tmp_path / "m.eodl",
            ),
            "no.pt",
        )

    def test_no_gpu(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli(
                "train", world.chips, "--task", "segmentation", "--device", "cuda", "-o", tmp_path / "m.eodl"
            ),
            "cuda",
        )
        assert not (tmp_path / "m.eodl").exists()


class TestPredict:
    def test_bands_without_names(
        self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write
    ) -> None:
        other = write_scene(tmp_path / "other.tif", np.full((3, 64, 64), 90, np.uint8), names=())
        refused(
            eo_dl_cli("predict", world.model, other, "-o", tmp_path / "map.tif"),
            "--bands red=1,green=2,blue=3",
        )
        assert not (tmp_path / "map.tif").exists()

    def test_missing_band(self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write) -> None:
        other = write_scene(tmp_path / "other.tif", np.full((2, 64, 64), 90, np.uint8), names=("red", "nir"))
        refused(
            eo_dl_cli("predict", world.model, other, "-o", tmp_path / "map.tif"), "green, blue", "red, nir"
        )

    def test_all_nodata(self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write) -> None:
        empty = write_scene(tmp_path / "empty.tif", np.zeros((3, 64, 64), np.uint8), nodata=0)
        refused(eo_dl_cli("predict", world.model, empty, "-o", tmp_path / "map.tif"), "empty.tif")
        assert not (tmp_path / "map.tif").exists()

    def test_truncated_tiff(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        cut = tmp_path / "cut.tif"
        cut.write_bytes(world.scene.read_bytes()[: world.scene.stat().st_size // 2])
        refused(eo_dl_cli("predict", world.model, cut, "-o", tmp_path / "map.tif"), "cut.tif")
        assert not (tmp_path / "map.tif").exists()

    def test_not_a_bundle(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        (tmp_path / "m.eodl").write_bytes(b"PK\x03\x04 nothing")
        refused(eo_dl_cli("predict", tmp_path / "m.eodl", world.scene, "-o", tmp_path / "map.tif"), "m.eodl")

    def test_newer_bundle(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        newer = tmp_path / "newer.eodl"
        with zipfile.ZipFile(world.model) as old, zipfile.ZipFile(newer, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name == "model.json":
                    data = json.dumps({**json.loads(data), "format_version": 99}).encode()
                new.writestr(name, data)
        refused(eo_dl_cli("predict", newer, world.scene, "-o", tmp_path / "map.tif"), "99", "update")

    def test_existing_output(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        (tmp_path / "map.tif").write_text("mine")
        refused(eo_dl_cli("predict", world.model, world.scene, "-o", tmp_path / "map.tif"), "--overwrite")
        assert (tmp_path / "map.tif").read_text() == "mine"

    def test_unknown_suffix(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(eo_dl_cli("predict", world.model, world.scene, "-o", tmp_path / "map.bmp"), ".bmp", ".tif")

    def test_no_gpu(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(
            eo_dl_cli("predict", world.model, world.scene, "-o", tmp_path / "map.tif", "--device", "cuda"),
            "cuda",
        )

    def test_units_that_cannot_be_the_same(
        self, eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write
    ) -> None:
        wild = write_scene(
            tmp_path / "wild.tif",
            np.random.default_rng(0).integers(20_000, 60_000, (3, 64, 64)).astype(np.uint16),
        )
        refused(eo_dl_cli("predict", world.model, wild, "-o", tmp_path / "map.tif"), "wild.tif", "--scale")

    def test_aoi_elsewhere(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        far = write_polygons(tmp_path / "far.gpkg", [shapely.box(0, 0, 10, 10)])
        refused(
            eo_dl_cli("predict", world.model, world.scene, "--aoi", far, "-o", tmp_path / "map.tif"),
            "far.gpkg",
        )


class TestEvaluate:
    def test_missing_map(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        refused(eo_dl_cli("evaluate", tmp_path / "map.tif", world.labels), "map.tif")

    def test_truth_elsewhere(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        assert eo_dl_cli("predict", world.model, world.scene, "-o", tmp_path / "map.tif", "-q").code == 0
        far = write_polygons(tmp_path / "far.gpkg", [shapely.box(0, 0, 10, 10)], kind=["roof"])
        refused(eo_dl_cli("evaluate", tmp_path / "map.tif", far, "-o", tmp_path / "report"), "far.gpkg")
        assert not (tmp_path / "report").exists()

    def test_classes_that_do_not_agree(self, eo_dl_cli: Cli, world: World, tmp_path: Path) -> None:
        assert eo_dl_cli("predict", world.model, world.scene, "-o", tmp_path / "map.tif", "-q").code == 0
        other = write_polygons(tmp_path / "other.gpkg", [INSIDE], kind=["lake"])
        refused(eo_dl_cli("evaluate", tmp_path / "map.tif", other), "lake", "roof")


def test_a_scene_smaller_than_a_chip_works(
    eo_dl_cli: Cli, world: World, tmp_path: Path, write_scene: Write
) -> None:
    small = write_scene(tmp_path / "small.tif", np.full((3, 5, 7), 90, np.uint8))
    said = eo_dl_cli("predict", world.model, small, "-o", tmp_path / "map.tif", "--json")
    assert said.code == 0, said.err
    assert (tmp_path / "map.tif").exists()

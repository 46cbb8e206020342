"""A small scene, its labels, chips and an untrained model, made once for all tests of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine

from eo_dl.bundle import save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassSet
from eo_dl.core.normalization import to_physical
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl_cli.main import run
from tests.making import CommandOutput, write_raster

SIDE = 160
TRANSFORM = Affine(1, 0, 500000, 0, -1, 5_200_000)
NAMES = ("red", "green", "blue")


@pytest.fixture
def eo_dl_cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., CommandOutput]:
    """Runs one command line in this process."""

    def call(*arguments: str | Path) -> CommandOutput:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        output = capfd.readouterr()
        return CommandOutput(code, output.out, output.err)

    return call


def write_scene(
    path: Path,
    pixels: np.ndarray,
    *,
    names: tuple[str, ...] = NAMES,
    crs: str | None = "EPSG:32633",
    nodata: float | None = None,
) -> Path:
    """Write pixels (C, H, W) with three named bands, where the labels lie."""
    return write_raster(path, pixels, names=names, crs=crs, transform=TRANSFORM, nodata=nodata)


def squares(rng: np.random.Generator, count: int = 30) -> list[shapely.Geometry]:
    """Squares of 8 px on a loose grid, in map coordinates."""
    places = [
        (16 * (i % 9) + int(rng.integers(2, 7)), 16 * (i // 9) + int(rng.integers(2, 7)))
        for i in range(min(count, 81))
    ]
    return [
        shapely.box(500000 + col, 5_200_000 - row - 8, 500000 + col + 8, 5_200_000 - row)
        for col, row in places
    ]


@pytest.fixture(scope="session", name="write_scene")
def scene_writer() -> Callable[..., Path]:
    """`write_scene` for tests: they cannot import from here."""
    return write_scene


@dataclass(frozen=True)
class World:
    """Files that fit each other."""

    folder: Path
    scene: Path
    labels: Path
    chips: Path
    model: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A scene with bright squares on noise, its labels, chips of 32 px, and a U-Net with random weights."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(5)
    pixels = rng.integers(60, 120, (3, SIDE, SIDE)).astype(np.uint8)
    found = squares(rng, 81)
    for square in found:
        col, top = int(square.bounds[0] - 500000), int(5_200_000 - square.bounds[3])
        pixels[:, top : top + 8, col : col + 8] += 90
    scene = write_scene(folder / "scene.tif", pixels)
    labels = folder / "labels.gpkg"
    gpd.GeoDataFrame({"kind": ["roof", "shed"] * 40 + ["roof"]}, geometry=found, crs="EPSG:32633").to_file(
        labels
    )
    assert (
        run(
            [
                "tile",
                str(scene),
                "--labels",
                str(labels),
                "-o",
                str(folder / "chips"),
                "--size",
                "32",
                "--block-m",
                "32",
                "-q",
            ]
        )
        == 0
    )
    return World(folder, scene, labels, folder / "chips", untrained(folder / "model.eodl"))


RGB = BandSet(tuple(Band(name, i + 1, dtype="uint8") for i, name in enumerate(NAMES)))


def untrained(
    path: Path,
    bands: BandSet = RGB,
    mean: Sequence[float] = (100.0,) * 3,
    std: Sequence[float] = (40.0,) * 3,
    gsd_m: float | None = 1.0,
) -> Path:
    """A segmentation bundle with random weights."""
    task = load_task("segmentation")
    classes = ClassSet.of_names(["roof", "shed"], background=True)
    config = task.config(backbone="test_resnet", decoder_channels=(32, 16, 16, 16, 16))  # type: ignore[call-arg]
    import torch  # lazy: most commands are tested without it, too

    torch.manual_seed(0)
    network = task.make_network(config, NetworkInputs(len(bands), classes, 64))
    spec = ModelSpec(
        task="segmentation",
        config=config.model_dump(mode="json"),
        bands=band_specs(bands),
        classes=class_specs(classes),
        gsd_m=gsd_m,
        chip_px=64,
        margin_px=8,
        normalization=NormalizationSpec(
            mean=tuple(map(float, mean)), std=tuple(float(s) or 1.0 for s in std)
        ),
    )
    save_bundle(path, spec, network.state_dict(), overwrite=True)
    return path


@pytest.fixture
def model_for(tmp_path: Path) -> Callable[[Path], Path]:
    """An untrained model that takes a file's bands and units."""

    def make(path: Path) -> Path:
        scene = open_scene(path)
        with SceneReader(scene) as reader:
            chip = reader.read(scene.grid.window)
        values = (
            to_physical(chip.pixels, scene.bands).astype(np.float64)[:, chip.valid]
            if chip.valid.any()
            else np.zeros((len(scene.bands), 1))
        )
        return untrained(
            tmp_path / "model.eodl",
            bands=scene.bands,
            mean=values.mean(axis=1),
            std=values.std(axis=1),
            gsd_m=None,
        )

    return make

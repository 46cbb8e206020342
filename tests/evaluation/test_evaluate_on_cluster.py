"""`evaluate` on a Dask cluster writes the very report of one machine, whatever happens to a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.classes import ClassSet
from eo_dl.core.daskcluster import open_cluster
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ChipSetError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.io.chiptables import PROBABILITY_PREFIX
from eo_dl.io.outputtags import GRID_TAG, KIND_TAG, grid_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import write_layer
from eo_dl.tasks import CHIPS
from tests.evaluation import clustertasks
from tests.making import write_geotiff

SIDE = 96
UTM = CRS.from_epsg(32633)
CLASSES = ClassSet.of_names(["ship"], background=True)


def grid_at(number: int) -> PixelGrid:
    return PixelGrid(
        UTM, Affine.translation(500_000 + 1000 * number, 5_000_000) @ Affine.scale(2, -2), SIDE, SIDE
    )


def layer(path: Path, shapes: list[Any], columns: dict[str, Any], metadata: dict[str, str]) -> None:
    frame = geopandas.GeoDataFrame(columns, geometry=np.array(shapes, object), crs=UTM.to_wkt())
    write_layer(path, frame, metadata=metadata)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes with a ship in most chips of 16 px, a chip set of three of them, and predictions of all.

    `maps/` are class maps, `objects/` one box per chip, `cells/` classes of whole chips; `masks/` the truth
    as rasters.
    """
    folder = tmp_path_factory.mktemp("places")
    rng = np.random.default_rng(0)
    ships = []
    for name in ("maps", "objects", "cells", "masks", "scenes"):
        (folder / name).mkdir()
    for number in range(4):
        grid = grid_at(number)
        write_geotiff(folder / f"scenes/s{number}.tif", rng.integers(1, 200, (1, SIDE, SIDE), np.uint8), grid)
        corners = [(col, row) for row in range(0, SIDE, 16) for col in range(0, SIDE, 16)]
        true = [shapely.box(c + 3, r + 4, c + 9, r + 10) for c, r in corners if (c + r) % 48]
        found = [shapely.box(c + 3 + c % 5, r + 4, c + 9 + c % 5, r + 10) for c, r in corners if c % 80]
        ships += list(grid.geometries_to_map(np.array(true, object)))
        tags = {GRID_TAG: grid_tag(grid), "scene": f"s{number}.tif"}
        layer(
            folder / f"objects/s{number}.gpkg",
            list(grid.geometries_to_map(np.array(found, object))),
            {"class_name": ["ship"] * len(found), "score": rng.random(len(found))},
            {**tags, "one_object": "largest", "min_visible": "0.5"},
        )
        share = rng.random(len(corners))
        layer(
            folder / f"cells/s{number}.gpkg",
            list(grid.geometries_to_map(np.array([shapely.box(c, r, c + 16, r + 16) for c, r in corners]))),
            {f"{PROBABILITY_PREFIX}background": 1 - share, f"{PROBABILITY_PREFIX}ship": share},
            {**tags, KIND_TAG: CHIPS.name},
        )
        for kind in ("maps", "masks"):
            ids = rng.integers(0, 2, (SIDE, SIDE), np.uint8)
            with RasterWriter(folder / f"{kind}/s{number}.tif", grid, nodata=255, classes=CLASSES) as writer:
                writer.write(0, ids)
    layer(folder / "truth.gpkg", ships, {"class_name": ["ship"] * len(ships)}, {})
    scenes = [folder / f"scenes/s{number}.tif" for number in range(3)]
    split = Split((0.4, 0.2, 0.4), block_m=64)
    tile(scenes, folder / "truth.gpkg", out=folder / "chips", size_px=16, split=split)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prediction", "truth", "limited"),
    [
        ("maps", "truth.gpkg", True),
        ("maps", "masks", False),
        ("objects", "truth.gpkg", True),
        ("objects", "truth.gpkg", False),
        ("cells", "truth.gpkg", True),
    ],
)
def test_a_cluster_writes_the_report_of_one_machine(
    prediction: str,
    truth: str,
    limited: bool,
    places: Path,
    cluster: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(places)  # the workers stay in another folder
    chips = "chips" if limited else None
    once = evaluate(prediction, truth, chips=chips, out=tmp_path / "once")
    steps: list[tuple[int, int, str]] = []
    again = evaluate(
        prediction,
        truth,
        chips=chips,
        out=tmp_path / "again",
        cluster=cluster.scheduler.address,
        on_progress=lambda *step: steps.append(step),
    )
    assert steps[-1] == (4, 4, "files")
    assert repr(again.scores) == repr(once.scores) and again.notes == once.notes
    assert files_of(tmp_path / "again") == files_of(tmp_path / "once")
    if limited:
        assert any("of 4 files are left out" in note for note in once.notes)


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(
    places: Path, mortal_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = evaluate(places / "maps", places / "truth.gpkg")
    monkeypatch.setattr("eo_dl.evaluation.pixelreport.score_map", clustertasks.score_map_or_die)
    again = evaluate(places / "maps", places / "truth.gpkg", cluster=mortal_cluster.scheduler.address)
    assert (places / "died").exists()
    assert again.values() == once.values()


@pytest.mark.slow
def test_no_chip_anywhere_is_the_same_error(
    places: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    @contextmanager
    def watched(address: str) -> Iterator[Any]:
        with open_cluster(address) as client:
            yield client
        closed.append(client.status)

    monkeypatch.setattr("eo_dl.evaluation.eachfile.open_cluster", watched)
    lonely = places / "maps/s3.tif"
    with pytest.raises(ChipSetError, match=r"no test chip lies on s3\.tif") as caught:
        evaluate(lonely, places / "truth.gpkg", chips=places / "chips", cluster=cluster.scheduler.address)
    # `caught` keeps the frames alive: the client was closed by the block around it, not by the collector.
    assert closed == ["closed"] and caught.tb is not None

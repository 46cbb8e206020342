"""`vectorize_maps`: the files of `vectorize`, for many maps, here or on a cluster, also after a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import InputError, OutputExistsError, WriteError
from eo_dl.io.journal import Journal
from eo_dl.io.qgisstyles import PROBABILITIES_TAG, classes_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.vectorize import vectorize
from eo_dl.postprocessing.vectorizemaps import vectorize_maps
from tests.postprocessing import clustertasks

CLASSES = ClassSet.of_names(["wood", "water"], background=True)
GRID = PixelGrid(CRS.from_epsg(32633), Affine.translation(500_000, 5_000_000) @ Affine.scale(2, -2), 40, 50)
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Four maps, each with its probabilities."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 3, (8, 10), np.uint8)
        with RasterWriter(folder / f"{name}.tif", GRID, nodata=255, classes=CLASSES) as writer:
            writer.write(0, np.kron(coarse, np.ones((5, 5), np.uint8)))
        tags = {PROBABILITIES_TAG: classes_tag(CLASSES)}
        with RasterWriter(
            folder / f"{name}_prob.tif",
            GRID,
            count=3,
            nodata=255,
            descriptions=CLASSES.names,
            tags=tags,
            scales=[1 / 254] * 3,
        ) as writer:
            writer.write(0, rng.integers(0, 255, (3, 40, 50), np.uint8))
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def singly(maps: Path, out: Path, **options: Any) -> dict[str, bytes]:
    """The files that `vectorize` writes, map by map."""
    out.mkdir()
    for name in NAMES:
        probabilities = maps / f"{name}_prob.tif"
        vectorize(maps / f"{name}.tif", out=out / f"{name}.gpkg", probabilities=probabilities, **options)
    return files_of(out)


def test_many_maps_give_the_files_of_each(maps: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    outs = vectorize_maps(
        maps,
        out=tmp_path / "polygons",
        probabilities=maps,
        cleanup=Cleanup(min_area_m2=150),
        on_progress=lambda *step: steps.append(step),
    )
    assert [path.name for path in outs] == [
        "a.gpkg",
        "b.gpkg",
        "c.gpkg",
        "d.gpkg",
    ]  # and none of probabilities
    assert steps == [(done, 4, "maps") for done in range(1, 5)]
    assert files_of(tmp_path / "polygons") == singly(
        maps, tmp_path / "once", cleanup=Cleanup(min_area_m2=150)
    )


def test_a_stopped_run_continues_with_the_maps_that_are_missing(maps: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "polygons"
    with pytest.raises(KeyboardInterrupt):
        vectorize_maps(maps, out=out, probabilities=maps, on_progress=stop)
    first = (out / "a.gpkg").stat().st_mtime_ns
    with pytest.raises(OutputExistsError, match=r"a\.gpkg"):  # other polygons are another run
        vectorize_maps(maps, out=out, probabilities=maps, cleanup=Cleanup(simplify_px=1))
    steps: list[int] = []
    vectorize_maps(maps, out=out, probabilities=maps, on_progress=lambda done, *_: steps.append(done))
    assert steps == [3, 4]
    assert (out / "a.gpkg").stat().st_mtime_ns == first
    assert files_of(out) == singly(maps, tmp_path / "once")
    with pytest.raises(OutputExistsError, match=r"a\.gpkg"):  # the run was finished
        vectorize_maps(maps, out=out, probabilities=maps)


def test_files_of_other_options_are_never_taken_for_finished(maps: Path, tmp_path: Path) -> None:
    """Stopped with one set of options, then while they were replaced by those of another."""

    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "polygons"
    with pytest.raises(KeyboardInterrupt):
        vectorize_maps(maps, out=out, on_progress=stop)
    with pytest.raises(KeyboardInterrupt):
        vectorize_maps(maps, out=out, cleanup=Cleanup(min_area_m2=150), overwrite=True, on_progress=stop)
    with pytest.raises(OutputExistsError, match=r"a\.gpkg"):
        vectorize_maps(maps, out=out)
    steps: list[int] = []
    vectorize_maps(
        maps,
        out=out,
        cleanup=Cleanup(min_area_m2=150),
        overwrite=True,
        on_progress=lambda done, *_: steps.append(done),
    )
    assert steps == [2, 3, 4]
    once = vectorize(maps / "a.tif", out=tmp_path / "a.gpkg", cleanup=Cleanup(min_area_m2=150))
    assert (out / "a.gpkg").read_bytes() == once.read_bytes()


def test_a_journal_that_is_not_ours_is_not_believed(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "polygons"
    out.mkdir()
    journal = Journal(out / ".vectorized.part")
    for entry in ("[]", '{"a.gpkg": 1}', '["../a.gpkg", "key"]'):
        journal.append(entry)
    vectorize_maps(maps, out=out, probabilities=maps)
    assert files_of(out) == singly(maps, tmp_path / "once")


def test_bad_input_is_refused_before_anything_is_written(maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "polygons"
    with pytest.raises(InputError, match="expected class maps, found none"):
        vectorize_maps([maps / "a_prob.tif"], out=out)
    (maps / "b_prob.tif").unlink()
    with pytest.raises(InputError, match=r"b_prob\.tif: the probabilities of b\.tif do not exist"):
        vectorize_maps(maps, out=out, probabilities=maps)
    out.mkdir(exist_ok=True)
    (out / "d.gpkg").touch()
    with pytest.raises(OutputExistsError, match=r"d\.gpkg"):
        vectorize_maps(maps, out=out)
    assert [path.name for path in out.iterdir()] == ["d.gpkg"]


@pytest.mark.slow
@pytest.mark.parametrize("accident", ["none", "killed"])
def test_a_cluster_gives_the_bytes_of_one_machine(
    accident: str, maps: Path, mortal_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if accident == "killed":
        monkeypatch.setattr("eo_dl.postprocessing.vectorizemaps.vectorize_map", clustertasks.killed)
    monkeypatch.chdir(tmp_path)  # the workers stay in another folder
    vectorize_maps("maps", out="polygons", probabilities="maps", cluster=mortal_cluster.scheduler.address)
    assert (tmp_path / "died").exists() == (accident == "killed")
    assert files_of(tmp_path / "polygons") == singly(maps, tmp_path / "once")


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_other_maps_are_kept(
    maps: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, address = tmp_path / "polygons", cluster.scheduler.address
    with monkeypatch.context() as full:
        full.setattr("eo_dl.postprocessing.vectorizemaps.vectorize_map", clustertasks.full_disk_for_b)
        with pytest.raises(WriteError, match=r"b\.gpkg: could not be written \(No space left") as failure:
            vectorize_maps(maps, out=out, probabilities=maps, cluster=address)
    assert "\n" not in str(failure.value) and not (out / "b.gpkg").exists()
    vectorize_maps(maps, out=out, probabilities=maps, cluster=address)
    assert files_of(out) == singly(maps, tmp_path / "once")

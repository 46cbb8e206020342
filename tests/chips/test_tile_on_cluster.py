"""`tile` on a Dask cluster gives the very files of one machine, whatever happens to a worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eo_dl.chips.clustermeasure import runs_of_rows
from eo_dl.chips.measure import Candidate
from eo_dl.chips.sampling import Sampling
from eo_dl.chips.tile import tile, tile_on_cluster
from eo_dl.core.window import Window
from eo_dl.errors import Cancelled, WriteError
from eo_dl.labels.reading import read_labels
from tests.chips import clustertasks
from tests.making import write_raster

from .conftest import NORTH_UP, UTM

Writer = Callable[..., Path]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def scenes(write_scene: Writer) -> list[Path]:
    """A large scene, a small one, and one without a chip of which enough was measured."""
    return [
        write_scene("large.tif", 160, 160, nodata=0),
        write_scene("small.tif", 32, 48, seed=1),
        write_scene("empty.tif", 32, 32, nodata=0, pixels=np.zeros((3, 32, 32))),
    ]


def candidate(scene: int, row: int, col: int) -> Candidate:
    return Candidate(scene, Window(col, row, 8, 8))


@pytest.mark.parametrize("most", [1, 2, 3, 5, 100])
def test_runs_of_rows_keep_the_order_and_never_cut_a_row(most: int) -> None:
    rows = [(0, 0, 3), (0, 8, 1), (1, 8, 2), (1, 16, 2), (2, 0, 4)]
    candidates = [candidate(scene, row, 8 * col) for scene, row, count in rows for col in range(count)]
    runs = runs_of_rows(candidates, most)
    assert [one for run in runs for one in run] == candidates
    of_row: dict[tuple[int, int], set[int]] = {}
    for number, run in enumerate(runs):
        assert len(run) < most + 4
        for one in run:
            of_row.setdefault((one.scene_index, one.window.row), set()).add(number)
    assert all(len(numbers) == 1 for numbers in of_row.values())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "write_chips"), [("grid", True), ("balanced", False)])
def test_a_cluster_gives_the_bytes_of_one_machine(
    method: Any,
    write_chips: bool,
    cluster: Any,
    scenes: list[Path],
    write_labels: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = read_labels(write_labels("labels.gpkg"), class_field="kind")
    options: dict[str, Any] = {
        "size_px": 16,
        "sampling": Sampling(method, min_valid=0.9),
        "write_chips": write_chips,
    }
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path)  # the workers stay in another folder
    names = [scene.name for scene in scenes]
    once = tile(names, labels, out="a/chips", **options)
    steps: list[tuple[int, int, str]] = []
    again = tile_on_cluster(
        names,
        labels,
        cluster=cluster.scheduler.address,
        out="b/chips",
        on_progress=lambda *step: steps.append(step),
        **options,
    )
    assert again.records == once.records
    assert files_of(tmp_path / "b/chips") == files_of(tmp_path / "a/chips")
    assert steps[-1][0] == steps[-1][1] > 2


@pytest.mark.slow
def test_label_rasters_are_found_from_any_folder(
    cluster: Any, scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b", "masks"):
        (tmp_path / folder).mkdir()
    mask = np.random.default_rng(2).integers(0, 3, (1, 160, 160)).astype(np.uint8)
    write_raster(tmp_path / "masks/large.tif", mask, crs=UTM, transform=NORTH_UP)
    monkeypatch.chdir(tmp_path)
    tile("large.tif", "masks", out="a/chips", size_px=16)
    tile_on_cluster("large.tif", "masks", cluster=cluster.scheduler.address, out="b/chips", size_px=16)
    assert files_of(tmp_path / "b/chips") == files_of(tmp_path / "a/chips")


@pytest.mark.slow
@pytest.mark.parametrize("accident", [clustertasks.killed_while_writing, clustertasks.done_twice])
def test_an_accident_changes_nothing(
    accident: Callable[..., Any],
    mortal_cluster: Any,
    scenes: list[Path],
    write_labels: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = read_labels(write_labels("labels.gpkg"), class_field="kind")
    options: dict[str, Any] = {"size_px": 16, "write_chips": True}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tile(scenes, labels, out=tmp_path / "a/chips", **options)
    monkeypatch.setattr("eo_dl.chips.clustermeasure.measure_task", accident)
    tile_on_cluster(
        scenes, labels, cluster=mortal_cluster.scheduler.address, out=tmp_path / "b/chips", **options
    )
    assert (tmp_path / "b/died").exists() == (accident is clustertasks.killed_while_writing)
    assert files_of(tmp_path / "b/chips") == files_of(tmp_path / "a/chips")


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing(
    cluster: Any, scenes: list[Path], write_labels: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = read_labels(write_labels("labels.gpkg"), class_field="kind")
    monkeypatch.setattr("eo_dl.chips.clustermeasure.measure_task", clustertasks.full_disk)
    with pytest.raises(
        WriteError, match=r"chips: could not be written \(No space left on device\)"
    ) as failure:
        tile_on_cluster(
            scenes,
            labels,
            cluster=cluster.scheduler.address,
            out=tmp_path / "chips",
            size_px=16,
            write_chips=True,
        )
    assert "\n" not in str(failure.value)
    assert not list(tmp_path.glob("chips*"))


@pytest.mark.slow
def test_ctrl_c_says_that_nothing_is_kept(
    cluster: Any, scenes: list[Path], write_labels: Writer, tmp_path: Path
) -> None:
    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    labels = read_labels(write_labels("labels.gpkg"), class_field="kind")
    address = cluster.scheduler.address
    with pytest.raises(Cancelled, match="nothing was kept"):
        tile_on_cluster(scenes, labels, cluster=address, out=tmp_path / "chips", size_px=16, on_progress=stop)
    assert not list(tmp_path.glob("chips*"))

"""Pieces survive a kill whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import shapely

from eo_dl.core.arrays import Objects
from eo_dl.inference.spool import Spool, pack_objects, unpack_objects


def stopped(target: Path, key: str | None, pieces: int) -> Path:
    with contextlib.suppress(KeyboardInterrupt), Spool(target, key) as spool:
        for number in range(pieces):
            spool.store({"labels": np.full((3, 4), number, np.uint8)})
        raise KeyboardInterrupt
    return target.with_name(target.name + ".pieces.part.d")


def test_pieces_of_the_same_job_are_found_again(tmp_path: Path) -> None:
    stopped(tmp_path / "map.gpkg", "a", 3)
    with Spool(tmp_path / "map.gpkg", "a") as spool:
        assert spool.count == 3
        assert spool.load(2)["labels"].tolist() == [[2] * 4] * 3
        spool.store({"labels": np.zeros((1, 4), np.uint8)})
        assert spool.count == 4
    assert list(tmp_path.iterdir()) == []


def test_pieces_of_another_job_are_not_used(tmp_path: Path) -> None:
    stopped(tmp_path / "map.gpkg", "a", 3)
    with Spool(tmp_path / "map.gpkg", "b") as spool:
        assert spool.count == 0


def test_nothing_is_kept_without_a_key_or_without_work(tmp_path: Path) -> None:
    stopped(tmp_path / "map.gpkg", None, 3)
    stopped(tmp_path / "map.gpkg", "a", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", ["piece", "line", "lost", "half a line"])
def test_what_is_torn_and_all_after_it_is_not_believed(tmp_path: Path, harm: str) -> None:
    folder = stopped(tmp_path / "map.gpkg", "a", 4)
    journal, piece = folder / "journal", folder / "piece_000002.npz"
    lines = journal.read_bytes().splitlines(keepends=True)
    if harm == "piece":
        piece.write_bytes(piece.read_bytes()[:-7])
    elif harm == "lost":
        piece.unlink()
    elif harm == "line":
        journal.write_bytes(b"".join([*lines[:2], lines[2].replace(b"2 ", b"3 ", 1), lines[3]]))
    else:
        journal.write_bytes(b"".join(lines[:2]) + lines[2][:20])
    with contextlib.suppress(KeyboardInterrupt), Spool(tmp_path / "map.gpkg", "a") as spool:
        assert spool.count == 2
        spool.store({"labels": np.full((1, 1), 9, np.uint8)})
        raise KeyboardInterrupt
    with Spool(tmp_path / "map.gpkg", "a") as spool:
        assert spool.count == 3
        assert spool.load(2)["labels"].tolist() == [[9]]


def test_objects_come_back_bit_for_bit() -> None:
    rng = np.random.default_rng(3)
    boxes = np.sort(rng.random((5, 4)) * 1e5, axis=1)
    outlines = np.array([shapely.Point(*box[:2]).buffer(3.3) for box in boxes], dtype=object)
    for objects in (Objects(boxes, np.arange(5), rng.random(5).astype(np.float32), outlines), Objects.none()):
        back = unpack_objects(pack_objects(objects))
        assert (
            np.array_equal(back.boxes, objects.boxes)
            and np.array_equal(back.scores, objects.scores)
            and np.array_equal(back.class_ids, objects.class_ids)
        )
        assert back.polygons.tolist() == objects.polygons.tolist()

"""A journal's entries are believed up to the first line that is torn or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from eo_dl.io.journal import Journal, is_of_job, mark_job, read_entries

ENTRIES = ["0 100 ab", '{"key": "ü", "files": []}', "2 x"]


def written(path: Path) -> Path:
    journal = Journal(path)
    for entry in ENTRIES:
        journal.append(entry)
    return path


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    assert list(read_entries(written(tmp_path / "journal"))) == ENTRIES
    assert list(read_entries(tmp_path / "none")) == []


@pytest.mark.parametrize("cut", [1, 2, 5, 12])
def test_a_torn_last_line_is_not_believed(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "journal")
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(read_entries(path)) == ENTRIES[:2]


def test_nothing_behind_a_changed_line_is_believed(tmp_path: Path) -> None:
    path = written(tmp_path / "journal")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"key", b"kez") + lines[2])
    assert list(read_entries(path)) == ENTRIES[:1]


def test_a_journal_goes_on_behind_the_entries_that_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "journal")
    path.write_bytes(path.read_bytes() + b"torn")
    Journal(path, ENTRIES[:2]).append("3 y")
    assert list(read_entries(path)) == [*ENTRIES[:2], "3 y"]


def test_a_folder_says_whose_work_it_holds(tmp_path: Path) -> None:
    assert not is_of_job(tmp_path, "a")
    mark_job(tmp_path, "a")
    assert is_of_job(tmp_path, "a") and not is_of_job(tmp_path, "b")

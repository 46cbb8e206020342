"""A folder of many maps continues where it stopped, without reading its journal again for each map."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from eo_dl.io import mapfolder
from eo_dl.io.journal import Journal, read_entries
from eo_dl.io.mapfolder import FolderJournal


def test_the_journal_is_checked_once_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Mock(wraps=mapfolder.Journal)
    monkeypatch.setattr(mapfolder, "Journal", opened)
    maps = [tmp_path / f"map{number}.tif" for number in range(6)]
    first = FolderJournal(tmp_path, enabled=True)
    for path in maps[:3]:
        path.write_bytes(b"a map")
        first.add((path,), "key", None, 1)
    assert opened.call_count == 1
    second = FolderJournal(tmp_path, enabled=True)
    assert [second.knows(path) for path in maps] == [True] * 3 + [False] * 3
    for path in maps[3:]:
        path.write_bytes(b"a map")
        second.add((path,), "key", None, 1)
    assert opened.call_count == 2
    maps[4].write_bytes(b"changed meanwhile")
    third = FolderJournal(tmp_path, enabled=True)
    assert [third.finished(path, "key") is not None for path in maps] == [True] * 4 + [False, True]


def test_nothing_behind_a_damaged_entry_is_believed(tmp_path: Path) -> None:
    maps = [tmp_path / f"map{number}.tif" for number in range(3)]
    first = FolderJournal(tmp_path, enabled=True)
    for path in maps:
        path.write_bytes(b"a map")
        first.add((path,), "key", None, 1)
    path = next(path for path in tmp_path.iterdir() if path.suffix != ".tif")
    entries = list(read_entries(path))
    path.unlink()
    journal = Journal(path)
    for entry in (entries[0], '{"of": "another version"}', *entries[1:]):
        journal.append(entry)
    again = FolderJournal(tmp_path, enabled=True)
    assert [again.knows(path) for path in maps] == [True, False, False]

"""Outputs are whole under their name or not there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from eo_dl.errors import InputError, OutputExistsError, WriteError
from eo_dl.io.atomic import atomic_file, atomic_folder, disk_errors, refuse_existing


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def write_half(path, error, **options):
    with atomic_file(path, **options) as temporary:
        temporary.write_text("half")
        raise error


def fill_half(path, error, **options):
    with atomic_folder(path, **options) as folder:
        (folder / "a.txt").write_text("half")
        raise error


def test_file_appears_when_the_block_ends_well(tmp_path):
    with atomic_file(tmp_path / "a.tif") as temporary:
        assert temporary.suffix == ".tif"
        assert temporary.parent == tmp_path
        temporary.write_text("whole")
        assert not (tmp_path / "a.tif").exists()
    assert (tmp_path / "a.tif").read_text() == "whole"
    assert names(tmp_path) == ["a.tif"]


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")]
)
def test_failed_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises((ZeroDivisionError, KeyboardInterrupt, WriteError)):
        write_half(tmp_path / "a.txt", error, overwrite=True)
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_machines_whose_processes_have_one_number_write_to_different_names():
    first_name_of_process_7 = (
        "import os; os.getpid = lambda: 7\n"
        "from pathlib import Path; from eo_dl.io.atomic import part_name; print(part_name(Path('a.tif')))"
    )
    command = [sys.executable, "-c", first_name_of_process_7]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in "ab")
    assert first != second
    assert first.startswith(".a.") and first.endswith(".part.tif\n")


def test_full_disk_names_the_output_and_what_to_do(tmp_path):
    with pytest.raises(
        WriteError, match=r"a\.txt: could not be written \(No space left on device\); free some space"
    ) as caught:
        write_half(tmp_path / "a.txt", OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.errno == errno.ENOSPC
    assert "\n" not in str(caught.value)


def test_other_errors_of_the_system_are_not_taken_for_the_disks(tmp_path):
    with pytest.raises(ConnectionResetError), disk_errors(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_existing_outputs_and_missing_folders_are_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("a.txt", "full", "gone"):
        with pytest.raises(OutputExistsError, match="overwrite=True"):
            refuse_existing(tmp_path / name, overwrite=False)
        refuse_existing(tmp_path / name, overwrite=True)
    refuse_existing(tmp_path / "empty", overwrite=False)
    with pytest.raises(InputError, match="does not exist"):
        refuse_existing(tmp_path / "no" / "a.txt", overwrite=False)


def test_folder_appears_when_the_block_ends_well(tmp_path):
    with atomic_folder(tmp_path / "chips") as folder:
        (folder / "images").mkdir()
        (folder / "images" / "a.tif").write_text("a")
        assert names(tmp_path) == [".chips.lock", "chips.part.d"]
    assert names(tmp_path) == ["chips"]
    assert (tmp_path / "chips/images/a.tif").read_text() == "a"


def test_failed_folder_leaves_the_old_one(tmp_path):
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "old").touch()
    with pytest.raises(ZeroDivisionError):
        fill_half(tmp_path / "chips", ZeroDivisionError, overwrite=True)
    assert names(tmp_path) == ["chips"]
    assert names(tmp_path / "chips") == ["old"]


def test_overwritten_folder_holds_only_the_new(tmp_path):
    (tmp_path / "chips").mkdir()
    (tmp_path / "chips" / "old").touch()
    with atomic_folder(tmp_path / "chips", overwrite=True) as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["chips"]
    assert names(tmp_path / "chips") == ["new"]


def test_folder_that_is_not_ours_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with (
        pytest.raises(OutputExistsError, match=r"holds no chips\.json"),
        atomic_folder(tmp_path / "photos", overwrite=True, marker="chips.json"),
    ):
        pass
    (tmp_path / "photos" / "chips.json").touch()
    with atomic_folder(tmp_path / "photos", overwrite=True, marker="chips.json"):
        pass
    assert names(tmp_path / "photos") == []


def test_leftovers_of_a_killed_run_are_cleared(tmp_path):
    (tmp_path / "chips.part.d").mkdir()
    for name in (".eo_dl_work", "stale"):
        (tmp_path / "chips.part.d" / name).touch()
    with atomic_folder(tmp_path / "chips") as folder:
        assert names(folder) == [".eo_dl_work"]
    assert names(tmp_path / "chips") == []


def test_failed_sync_of_a_folder_that_has_its_name_leaves_no_mark_in_it(tmp_path, monkeypatch):
    def fail_once_renamed(path):
        if path == tmp_path and (tmp_path / "chips").exists():
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("eo_dl.io.atomic.sync", fail_once_renamed)
    with pytest.raises(WriteError, match="Input/output error"), atomic_folder(tmp_path / "chips") as folder:
        (folder / "a").touch()
    assert names(tmp_path) == ["chips"] and names(tmp_path / "chips") == ["a"]


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write everywhere")
def test_folder_without_rights_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(WriteError, match="is not writable"):
        refuse_existing(tmp_path / "closed" / "a", overwrite=False)

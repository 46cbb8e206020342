from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from eo_dl.errors import TrainingError, WriteError
from eo_dl.io import atomic
from eo_dl.training.record.checkpoint import CheckpointFolder, rng_state, set_rng_state


def content(step: int) -> dict[str, object]:
    return {"state": {"step": step}, "network": {"w": torch.full((3,), float(step))}, "rng": rng_state()}


def test_the_last_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    for step in (1, 5, 30, 200):
        folder.save(step, content(step))
    assert folder.steps() == [30, 200]
    latest = folder.latest()
    assert latest is not None
    assert latest["state"] == {"step": 200}
    assert {p.name for p in tmp_path.iterdir()} == {
        f"step-{s:08d}{e}" for s in (30, 200) for e in (".pt", ".json")
    }


@pytest.mark.parametrize("damage", ["cut", "flip", "no note", "empty note", "other format"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: str) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, content(1))
    file = folder.save(2, content(2))
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "no note":
        file.with_suffix(".json").unlink()
    elif damage == "empty note":
        file.with_suffix(".json").write_text("")
    else:
        folder.save(2, {**content(2), "format": 99})
    latest = folder.latest()
    assert latest is not None
    assert latest["state"] == {"step": 1}


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").latest() is None


def test_it_loads_without_running_code(tmp_path: Path) -> None:
    file = CheckpointFolder(tmp_path).save(3, content(3))
    loaded = torch.load(file, weights_only=True)
    assert set(loaded) == {"format", "state", "network", "rng"}
    json.dumps(loaded["state"])


def test_the_best_weights_stay_until_a_checkpoint_names_better_ones(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save_best(1, {"w": torch.ones(2)})
    folder.save_best(4, {"w": torch.zeros(2)})
    assert torch.equal(folder.load_best(1)["w"], torch.ones(2))
    folder.forget_best(keep=4)
    assert torch.equal(folder.load_best(4)["w"], torch.zeros(2))
    with pytest.raises(TrainingError, match="best epoch"):
        folder.load_best(1)


def test_what_does_not_read_back_is_not_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, content(1))
    whole = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda self, data: whole(self, bytes(data)[:-1]))
    with pytest.raises(WriteError, match="read back"):
        folder.save(2, content(2))
    assert folder.steps() == [1]


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, content(1))

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "publish", full)
    with pytest.raises(WriteError, match="No space"):
        folder.save(2, content(2))
    assert {p.name for p in tmp_path.iterdir()} == {"step-00000001.pt", "step-00000001.json"}


def test_the_global_generators_go_on_as_if_nothing_had_happened() -> None:
    before = rng_state()
    first = torch.rand(2), np.random.rand(), random.random()
    set_rng_state(before)
    second = torch.rand(2), np.random.rand(), random.random()
    assert torch.equal(first[0], second[0])
    assert first[1:] == second[1:]

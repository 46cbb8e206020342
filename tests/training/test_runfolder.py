from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eo_dl.errors import ConfigError, InputError, OutputExistsError
from eo_dl.training.record.runfolder import RunFolder

IDENTITY: dict[str, Any] = {
    "chip set": "abc",
    "config": {"epochs": 3, "augment": {"noise": 0.1}, "workers": 0},
}


def other(**changes: Any) -> dict[str, Any]:
    return {**IDENTITY, "config": {**IDENTITY["config"], **changes}}


def started(tmp_path: Path, step: int | None = 7) -> RunFolder:
    folder = RunFolder.of(tmp_path / "m.eodl", overwrite=False)
    assert folder.begin(IDENTITY, resume=False, overwrite=False) is None
    if step is not None:
        folder.checkpoints.save(step, {"state": step})
    return folder


def test_a_killed_run_is_continued(tmp_path: Path) -> None:
    restored = started(tmp_path).begin(other(workers=4), resume=True, overwrite=False)
    assert restored is not None
    assert restored["state"] == 7


def test_resume_without_a_run_starts_one(tmp_path: Path) -> None:
    assert RunFolder.of(tmp_path / "m.eodl", False).begin(IDENTITY, resume=True, overwrite=False) is None


def test_a_run_killed_before_its_first_checkpoint_starts_anew(tmp_path: Path) -> None:
    assert started(tmp_path, None).begin(IDENTITY, resume=True, overwrite=False) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (other(epochs=9), "config.epochs: was 3, now 9"),
        (other(augment={"noise": 0.2}), "config.augment.noise: was 0.1, now 0.2"),
        ({**IDENTITY, "chip set": "def"}, "chip set: was 'abc', now 'def'"),
    ],
)
def test_a_run_made_of_something_else_is_not_continued(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        started(tmp_path).begin(changed, resume=True, overwrite=False)
    assert "\n" not in str(caught.value)


def test_an_unfinished_run_is_neither_lost_nor_continued_unasked(tmp_path: Path) -> None:
    folder = started(tmp_path)
    with pytest.raises(OutputExistsError, match=r"step 7.*`resume`"):
        folder.begin(IDENTITY, resume=False, overwrite=False)
    assert folder.begin(other(epochs=9), resume=False, overwrite=True) is None
    assert folder.checkpoints.steps() == []


def test_a_folder_that_is_not_a_runs_is_never_cleared(tmp_path: Path) -> None:
    (tmp_path / "m.run").mkdir()
    (tmp_path / "m.run" / "thesis.doc").write_text("mine")
    with pytest.raises(OutputExistsError, match="not the folder of a run"):
        RunFolder.of(tmp_path / "m.eodl", False).begin(IDENTITY, resume=False, overwrite=True)
    assert (tmp_path / "m.run" / "thesis.doc").exists()


def test_the_model_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "m.eodl").write_text("model")
    with pytest.raises(OutputExistsError, match="overwrite"):
        RunFolder.of(tmp_path / "m.eodl", False)
    assert RunFolder.of(tmp_path / "m.eodl", True).path == tmp_path / "m.run"


def test_a_wrong_suffix_or_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"m\.eodl"):
        RunFolder.of(tmp_path / "m.pth", False)
    with pytest.raises(InputError, match="does not exist"):
        RunFolder.of(tmp_path / "none" / "m.eodl", False)


def test_history_has_every_column_that_any_epoch_has(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.write_history([{"epoch": 1, "a": 0.5}, {"epoch": 2, "b": 0.25}])
    assert (folder.path / "history.csv").read_text() == "epoch,a,b\n1,0.5,\n2,,0.25\n"


def test_checkpoints_go_when_the_model_is_there(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.finish()
    assert not folder.checkpoints.path.exists()
    assert (folder.path / "run.json").is_file()

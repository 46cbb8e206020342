"""The recorded table of speed is the one that README shows, and a failing benchmark hides no other."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("speedtable")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("all")


def test_tables_are_those_of_the_recorded_rows(table: ModuleType) -> None:
    recorded = table.read_table()
    assert (FOLDER / "table.md").read_text() == table.full_table(recorded)
    readme = (ROOT / "README.md").read_text()
    assert table.with_short_table(readme, recorded) == readme
    assert any(row.headline for run in recorded.values() for row in run.rows)


def test_every_benchmark_of_the_list_exists_and_is_recorded(table: ModuleType, runner: ModuleType) -> None:
    assert [name for name in runner.NAMES if not (FOLDER / f"{name}.py").is_file()] == []
    assert set(table.read_table()) <= set(runner.NAMES)


def test_a_failing_benchmark_is_told_in_its_place(
    runner: ModuleType, table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.py").write_text(
        "import json, sys\n"
        "row = {'what': 'one thing', 'value': 2.0, 'unit': 's', 'beside': 'another', 'beside_value': 4.0,\n"
        "       'ratio': 0.5, 'target': '', 'headline': True}\n"
        "open(sys.argv[sys.argv.index('--json') + 1], 'w').write(json.dumps([row]))\n"
    )
    (tmp_path / "bad.py").write_text("raise SystemExit('no such scene')")
    monkeypatch.setattr(runner, "HERE", tmp_path)
    runs = {name: runner.measure(name, peers="python", quick=True) for name in ("good", "bad")}
    text = table.full_table(runs)
    assert "| one thing | 2.00 s | another: 4.00 s | 0.50 |  |" in text
    assert "Failed: no such scene" in text
    assert "| one thing | 2.00 s | another: 4.00 s | 0.50 |" in table.short_table(runs)

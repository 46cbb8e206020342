"""The notebooks run from the first cell to the last, and their values show themselves."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["quickstart", "detection", "classification", "instances", "localization", "labels", "transfer"]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # jupyter_client's own, 2026-11
def test_notebook_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EO_DL_NOTEBOOK_EPOCHS", "2")
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
    ).execute()
    shown = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and any("text/html" in out.get("data", {}) for out in cell.outputs)
    ]
    assert len(shown) >= 6, "scene, labels, chips, run, prediction and report show themselves"

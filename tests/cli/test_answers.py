"""`diff` and `summary` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest

from eo_dl.io.vectorlayers import write_layer
from tests.making import square


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Objects of two dates, and two plots."""
    squares = {"old": [0, 20, 40], "new": [0, 20, 60], "plots": [0, 50]}
    paths = []
    for name, places in squares.items():
        side = 45 if name == "plots" else 10
        frame = gpd.GeoDataFrame(
            {"plot": [f"p{place}" for place in places]},
            geometry=[square(place, 0, side) for place in places],
            crs="EPSG:32633",
        )
        paths.append(tmp_path / f"{name}.gpkg")
        write_layer(paths[-1], frame)
    return paths[0], paths[1], paths[2]


def test_changes_as_table_and_as_json(
    eo_dl_cli: Callable, layers: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    old, new, _ = layers
    done = eo_dl_cli(
        "diff", old, new, "-o", tmp_path / "c.gpkg", "--old-id", "plot", "--same-iou", "0.9", "-q"
    )
    assert done.code == 0 and done.err == ""
    rows = {line.split()[0]: line.split()[1:3] for line in done.out.splitlines() if line and line[0] in "gns"}
    assert rows["gone"] == ["1", "0"] and rows["new"] == ["0", "1"] and rows["same"] == ["2", "2"]
    again = eo_dl_cli("diff", old, new, "-o", tmp_path / "c.gpkg", "--json", "-q")
    assert again.code == 2 and "--overwrite" in again.err
    values = json.loads(
        eo_dl_cli("diff", old, new, "-o", tmp_path / "d.gpkg", "--with-same", "--json", "-q").out
    )
    assert [row["new"] for row in values["changes"] if row["change"] == "same"] == [2]
    refused = eo_dl_cli("diff", old, new, "-o", tmp_path / "e.gpkg", "--min-area", "3")
    assert refused.code == 2 and "cleaning and probabilities are for class maps" in refused.err


def test_numbers_by_zone(eo_dl_cli: Callable, layers: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, new, plots = layers
    done = eo_dl_cli(
        "summary",
        new,
        "--zones",
        plots,
        "--by",
        "plot",
        "-o",
        tmp_path / "s.csv",
        "--page",
        tmp_path / "s.html",
    )
    assert done.code == 0 and "p50" in done.out
    assert pd.read_csv(tmp_path / "s.csv")["count"].tolist() == [2, 1]
    values = json.loads(
        eo_dl_cli("summary", new, "--zones", plots, "-o", tmp_path / "s.gpkg", "--json", "-q").out
    )
    assert [zone["count"] for zone in values["zones"]] == [2, 1]
    refused = eo_dl_cli("summary", new, "--zones", plots, "--truth", new, "-o", tmp_path / "t.csv")
    assert refused.code == 2 and "--truth and --annotated belong together" in refused.err

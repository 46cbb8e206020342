"""What a dialog is filled in with, what its lists offer, and what its log says. No QGIS needed."""

from __future__ import annotations

from typing import Any

import pytest
from eo_dl_qgis import choices, commands, menu, suggested
from eo_dl_qgis.feedback import Feedback
from eo_dl_qgis.remaining import Remaining, duration
from eo_dl_qgis.suggested import RASTER, VECTOR, Layer

SCENE = Layer("scene", RASTER, "scene.tif")
LABELS = Layer("labels", VECTOR, "labels.gpkg|layername=labels")
OTHER = Layer("other", VECTOR, "roads.gpkg")
CLASS_MAP = Layer("map", RASTER, "map.tif", made_by="predict")
TREES = Layer("trees", VECTOR, "trees.gpkg", made_by="predict")


def nothing(name: str) -> str:
    return ""


def test_a_prediction_is_never_its_own_reference() -> None:
    assert suggested.values("evaluate", [TREES], nothing) == {"PREDICTION": "trees"}
    assert suggested.values("evaluate", [TREES, OTHER], nothing) == {"PREDICTION": "trees", "TRUTH": "other"}


def test_labels_used_last_go_before_others() -> None:
    layers = [OTHER, LABELS, SCENE]
    assert suggested.values("tile", layers, nothing) == {"SCENES": ["scene"], "LABELS": "other"}
    chosen = suggested.values("tile", layers, {"labels": LABELS.source}.get)
    assert chosen == {"SCENES": ["scene"], "LABELS": "labels"}


def test_a_map_is_not_taken_for_a_scene_nor_an_active_vector_layer() -> None:
    active = Layer("new", RASTER, "new.tif", is_active=True)
    assert suggested.values("predict", [CLASS_MAP, SCENE], nothing) == {"SCENES": "scene"}
    assert suggested.values("predict", [SCENE, active], nothing) == {"SCENES": "new"}
    assert suggested.values("vectorize", [TREES, SCENE, CLASS_MAP], nothing) == {"SOURCE": "map"}


def test_chips_that_were_loaded_with_a_map_are_no_prediction() -> None:
    chips = Layer("chips", VECTOR, "chips.gpkg", made_by="map", name="chips by split")
    made = Layer("map", RASTER, "map.tif", made_by="map", name="map")
    assert suggested.values("evaluate", [chips, made, LABELS], nothing)["PREDICTION"] == "map"


def test_the_last_model_and_chips_are_offered() -> None:
    last = {"model": "/m.eodl", "chips": "/chips"}.get
    assert suggested.values("train", [], last) == {"CHIPS": "/chips"}
    assert suggested.values("predict", [], last) == {"MODEL": "/m.eodl"}


@pytest.mark.parametrize("entry", menu.ENTRIES, ids=lambda entry: entry.id)
def test_only_parameters_of_the_dialog_are_filled_in(entry: menu.Entry) -> None:
    layers = [CLASS_MAP, TREES, LABELS, OTHER, SCENE]
    names = {one["name"].upper() for one in commands.load()[entry.command]["parameters"]}
    assert set(suggested.values(entry.id, layers, lambda name: "/last")) <= names


def test_titles_keep_the_order_of_the_steps_when_sorted() -> None:
    titles = [(entry.group, menu.numbered_title(entry)) for entry in menu.ENTRIES]
    by_group = sorted(titles, key=lambda pair: pair[0])
    assert sorted(titles) == by_group
    assert all((commands.PATH.parent / menu.icon(entry)).is_file() for entry in menu.ENTRIES)


def test_lists_offer_each_value_once() -> None:
    for name in ("device", "strategy", "network", "backbone", "weights"):
        values = [value for _, value in choices.listed(name)]
        assert (values and len(set(values)) == len(values)) or name == "network"
    assert choices.listed("seed") == []


def test_the_time_left_follows_the_pace_and_starts_anew_with_a_step() -> None:
    now = 0.0
    remaining = Remaining(clock=lambda: now)
    assert remaining.text("chips", 0, 100) == ""
    now = 2.0
    assert remaining.text("chips", 10, 100) == "", "too early"
    now = 10.0
    assert remaining.text("chips", 25, 100) == "about 30 s left"
    assert remaining.text("steps", 5, 100) == "", "another step"
    now = 20.0
    assert remaining.text("steps", 10, 100) == "about 3 min left", "5 steps in 10 s, 90 to go"
    assert remaining.text("steps", 0, 100) == "", "the same step from the start"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (3540, "59 min"), (4830, "1 h 20 min")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Heard:
    """Keeps what QGIS is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda value: self.said.append((name, value))


def lines(has_report: bool, *texts: str) -> list[str]:
    heard = Heard()
    feedback = Feedback(heard, has_report)
    for text in texts:
        feedback.text(text)
    feedback.finish()
    return [value.replace("\N{NO-BREAK SPACE}", " ") for _, value in heard.said]


def test_a_table_that_the_log_would_tear_is_left_to_the_report_if_there_is_one() -> None:
    table = ["class", "-" * 200, "tree"]
    said = lines(True, "short", "", *table)
    assert said == ["short", "", "(A table that is too wide for this log is in the report.)"]
    assert lines(False, "short", "", *table) == ["short", "", *table]


def test_silence_names_what_was_done_last() -> None:
    heard = Heard()
    feedback = Feedback(heard)
    feedback.log("loading the libraries")
    feedback.silent(1)
    feedback.silent(12)
    assert heard.said[1:] == [("setProgressText", "loading the libraries, 12 s ago")]

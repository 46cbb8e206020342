"""The plug-in's dialogs and the command line say the same. No QGIS needed."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from eo_dl_qgis import commands, menu, texts
from hypothesis import given
from hypothesis import strategies as st

from eo_dl_cli.capabilities import describe
from eo_dl_cli.main import cli

KNOWN = commands.load()
FRESH = "write it anew: python -m eo_dl_cli capabilities --out eo_dl/qgis/eo_dl_qgis/commands.json"


def test_the_copy_of_the_command_line_is_fresh() -> None:
    now = json.loads(json.dumps(describe(click.Context(cli))))
    assert KNOWN.keys() == now.keys(), FRESH
    for name, found in now.items():
        assert KNOWN[name] == found, f"eo-dl {name} has changed; {FRESH}"


def test_help_is_text_for_people() -> None:
    assert not [
        name for name, found in KNOWN.items() for part in found["text"] if "\b" in part or "  \n" in part
    ]


def test_every_command_is_an_algorithm_or_has_a_reason_not_to_be() -> None:
    offered = {entry.command for entry in menu.ENTRIES}
    assert offered | set(menu.ELSEWHERE) == set(KNOWN)
    assert not offered & set(menu.ELSEWHERE)
    assert len({entry.id for entry in menu.ENTRIES}) == len(menu.ENTRIES)


@pytest.mark.parametrize("entry", menu.ENTRIES, ids=lambda entry: entry.id)
def test_what_is_shown_first_and_loaded_exists(entry: menu.Entry) -> None:
    names = {one["name"] for one in KNOWN[entry.command]["parameters"]}
    assert set(entry.shown) <= names
    assert not set(entry.shown) & set(menu.NOT_ASKED)
    assert {name for name, _ in entry.widgets} <= names
    assert ("out" in names) == bool(entry.output), "a result is asked for where the command has one"
    required = {
        one["name"] for one in KNOWN[entry.command]["parameters"] if one["required"] and one["name"] != "out"
    }
    assert required <= set(entry.shown), "what must be given is asked first"


@pytest.mark.parametrize("entry", menu.ENTRIES, ids=lambda entry: entry.id)
def test_every_parameter_has_a_label_and_help_in_the_words_of_the_dialog(entry: menu.Entry) -> None:
    parameters = KNOWN[entry.command]["parameters"]
    own_flags = {one["flag"] for one in parameters if one["flag"]}
    labels = set()
    for one in parameters:
        if one["name"] in menu.NOT_ASKED or one["name"] == "out":
            continue
        assert one["name"] in texts.LABELS, f"{entry.command}: {one['name']} has no label in texts.py"
        labels.add(texts.label(entry.command, one))
        explanation = texts.parameter_help(entry.command, one, parameters)
        assert explanation, f"{entry.command}: {one['name']} has no help"
        assert not own_flags & set(explanation.split()), explanation
    asked = {one["name"] for one in parameters} - set(menu.NOT_ASKED) - {"out"}
    assert len(labels) == len(asked), "two parameters have the same label"


def test_labels_name_parameters_that_exist() -> None:
    names = {one["name"] for found in KNOWN.values() for one in found["parameters"]}
    assert set(texts.LABELS) <= names
    pairs = {(command, one["name"]) for command, found in KNOWN.items() for one in found["parameters"]}
    assert set(texts.COMMAND_LABELS) <= pairs


def test_flags_become_labels() -> None:
    parameters = KNOWN["tile"]["parameters"]
    words = texts.in_dialog_words("choose one with --class-field, or --no-such-flag", "tile", parameters)
    assert words == "choose one with 'Class field', or --no-such-flag"


def test_arguments_and_commands_become_labels_and_titles() -> None:
    retrain = KNOWN["retrain"]["parameters"]

    def in_help(text: str) -> str:
        return str(texts.help_in_dialog_words(text, "retrain", retrain))

    words = in_help("CHIPS is what `eo-dl tile` cut; see `eo-dl labels merge`")
    assert words == "'Chip set (folder)' is what 'Create training chips' cut; see 'Merge corrected labels'"
    assert in_help("`eo-dl doctor`") == "`eo-dl doctor`", "has no dialog"
    error = texts.in_dialog_words("/data/CHIPS/a.tif: damaged", "retrain", retrain)
    assert error == "/data/CHIPS/a.tif: damaged", "a path stays as it is"


def _value(one: dict[str, Any]) -> st.SearchStrategy[object]:
    text = st.text(st.characters(min_codepoint=33, max_codepoint=500), min_size=1, max_size=8)
    if one["type"] == "flag":
        return st.sampled_from([True, False] if one["off"] else [True])
    if one["multiple"]:
        return st.lists(text, min_size=1, max_size=3)
    if one["type"] == "choice":
        return st.sampled_from(one["choices"])
    if one["type"] in ("integer", "number"):
        low, high = one.get("range") or (None, None)
        low = 1 if low is None else low
        return (
            st.integers(int(low) + 1, int(high) if high is not None and high > low + 1 else int(low) + 9)
            if high != 1
            else st.just(0.5)
            if one["type"] == "number"
            else st.just(1)
        )
    return text


@given(data=st.data())
@pytest.mark.parametrize("entry", menu.ENTRIES, ids=lambda entry: entry.id)
def test_click_reads_back_what_the_plugin_writes(entry: menu.Entry, data: st.DataObject) -> None:
    """Whatever was filled in, even text that looks like an option, reaches the command as it was."""
    parameters = KNOWN[entry.command]["parameters"]
    asked = [one for one in parameters if one["name"] not in menu.NOT_ASKED]
    chosen = [one for one in asked if one["required"] or data.draw(st.booleans())]
    values = {one["name"]: data.draw(_value(one), one["name"]) for one in chosen}
    words = commands.command_words(entry.command, parameters, values)
    context = click.Context(cli)
    found: click.Command = cli
    depth = len(entry.command.split())
    for word in words[:depth]:
        assert isinstance(found, click.Group)
        command = found.get_command(context, word)
        assert command is not None, word
        found = command
    parsed = found.make_context(entry.command, list(words[depth:])).params
    assert parsed["progress_mode"] == "json"
    for name, value in values.items():
        got = parsed[name]
        assert list(got) == value if isinstance(value, list) else got == value, name


def test_an_option_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="predict has no colour"):
        commands.command_words("predict", KNOWN["predict"]["parameters"], {"colour": "red"})

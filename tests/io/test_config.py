"""Configuration: strict YAML, and one helpful line for what is wrong."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field

from eo_dl.errors import ConfigError
from eo_dl.io.yamlfiles import load_yaml, parse_yaml, validate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    scale: float = 1.0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    epochs: int = Field(30, ge=1)
    lr: float = 1e-3
    augment: Inner = Inner()
    extra: Inner | None = None
    name: str


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("2.", 2.0),
        (".5", 0.5),
        ("-1.5e+3", -1500.0),
        ("3", 3),
        ("-4", -4),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("'1'", "1"),
        (".inf", float("inf")),
    ],
)
def test_values_are_read_as_people_mean_them(text, value):
    found = parse_yaml(f"key: {text}", "c.yaml")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", r"line 3: the key 'a' is already on line 1"),
        ("a:\n  b: 1\n  b: 2", r"line 3: the key 'b'"),
        ("x: [{a: 1, a: 2}]", "the key 'a'"),
        ("a: [1", "not valid YAML"),
        ("- 1\n- 2", "one mapping"),
        ("3: x", "one mapping"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("a: *b", "undefined alias"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
    ],
)
def test_bad_yaml_is_one_line(text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        parse_yaml(text, "c.yaml")
    assert str(caught.value).startswith("c.yaml: ")
    assert "\n" not in str(caught.value)


def test_files_are_read_and_missing_or_binary_ones_named(tmp_path):
    (tmp_path / "a.yaml").write_text("\ufefflr: 1e-4\n", encoding="utf-8")
    assert load_yaml(tmp_path / "a.yaml") == {"lr": 1e-4}
    (tmp_path / "empty.yaml").touch()
    assert load_yaml(tmp_path / "empty.yaml") == {}
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x80")
    for name, words in {"none.yaml": "no such file", "b.yaml": "UTF-8"}.items():
        with pytest.raises(ConfigError, match=words):
            load_yaml(tmp_path / name)


def test_right_data_become_the_model():
    assert validate(Outer, {"name": "x", "augment": {"scale": 2}}, "c.yaml").augment.scale == 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "x", "epoch": 3}, r"c\.yaml: unknown key 'epoch'; did you mean 'epochs'\?"),
        ({"name": "x", "augment": {"scal": 1}}, r"unknown key 'augment\.scal'; did you mean 'scale'\?"),
        ({"name": "x", "extra": {"scal": 1}}, r"did you mean 'scale'\?"),
        ({"name": "x", "zzz": 1}, "known keys are epochs, lr, augment, extra, name"),
        ({}, "the key 'name' is missing"),
        ({"name": "x", "epochs": 0}, r"epochs: .*greater than or equal to 1, found '0'"),
        ({"name": "x", "lr": "fast"}, r"lr: .*found 'fast'"),
        ({"name": "x", "lr": "fast", "epochs": 0}, "and 1 more"),
    ],
)
def test_wrong_keys_and_values_are_one_line_with_the_fix(data, words):
    with pytest.raises(ConfigError, match=words) as caught:
        validate(Outer, data, "c.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
        "a: &a {b: *a}\n",
        "a: &a [*a]\n",
    ],
    ids=["a few lines that are billions of values", "a mapping in itself", "a list in itself"],
)
def test_aliases_without_end_are_one_line(text):
    """Validation wrote them out: minutes, and all memory."""
    with pytest.raises(ConfigError, match="once its aliases") as caught:
        parse_yaml(text, "x.yaml")
    assert "\n" not in str(caught.value)


def test_aliases_are_read():
    assert parse_yaml("a: &a {b: 1}\nc: *a\n", "x.yaml") == {"a": {"b": 1}, "c": {"b": 1}}


def test_brackets_in_brackets_are_one_line():
    """3000 of them took PyYAML 13 s."""
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_yaml("a: " + "[" * 100_000, "x.yaml")

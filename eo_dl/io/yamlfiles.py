"""Configuration files: YAML read strictly, checked against a pydantic model, wrong keys answered with the
right one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

_MAX_BYTES = 4 * 2**20


class _StrictLoader(yaml.SafeLoader):
    """YAML as people read it: no key twice, 1e-3 a number, only true and false truth values ("no" is a word,
    and Norway).
    """


_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in rules
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
    ]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*\.(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def load_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file that holds one mapping; an empty file is an empty mapping. Raises `ConfigError`."""
    source = Path(path)
    try:
        if source.stat().st_size > _MAX_BYTES:
            raise ConfigError(
                f"{path}: is larger than {_MAX_BYTES >> 20} MB, too large for a configuration; check the path"
            )
        text = source.read_text(encoding="utf-8-sig")
    except FileNotFoundError as cause:
        raise ConfigError(f"{path}: no such file") from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(
            f"{path}: cannot be read as UTF-8 text ({cause.__class__.__name__}); check the file"
        ) from cause
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """YAML text that holds one mapping; `source` names it in messages. Raises `ConfigError`."""
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        _check_node(node, source)
        found = loader.construct_document(node)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        raise ConfigError(
            f"{source}: {place}is not valid YAML ({getattr(cause, 'problem', None) or type(cause).__name__}); correct it"
        ) from cause
    except RecursionError as cause:
        raise ConfigError(f"{source}: is nested too deep; simplify it") from cause
    finally:
        loader.dispose()
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigError(
            f"{source}: one mapping of names to values was expected, found {type(found).__name__}; write lines like 'epochs: 30'"
        )
    return found


def validate(model: type[Model], data: dict[str, Any], source: str) -> Model:
    """The data as the model; the first thing wrong is one line with the key, the value and, for an unknown
    key, the nearest right one.

    Raises `ConfigError`.
    """
    try:
        return model.model_validate(data)
    except ValidationError as cause:
        raise ConfigError(f"{source}: {_first_problem(model, cause)}") from cause


def _check_node(node: yaml.Node, source: str) -> None:
    """No key twice anywhere: the second would win in silence."""
    for mapping in _mappings(node, set()):
        seen: dict[str, int] = {}
        for key, _ in mapping.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                raise ConfigError(
                    f"{source}: line {line}: the key {name!r} was given on line {seen[name]} already; keep one of them"
                )
            seen[name] = line


def _mappings(node: yaml.Node, seen: set[int]) -> Iterator[yaml.MappingNode]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        for key, value in node.value:
            yield from _mappings(key, seen)
            yield from _mappings(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _mappings(item, seen)


def _first_problem(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = first["loc"]
    key = ".".join(map(str, place))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}{more}; {_nearest(model, place)}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing{more}; add it"
    found = first["input"]
    return f"{key + ': ' if key else ''}{_lower(first['msg'])}, found {str(found)[:60]!r}{more}; correct it"


def _lower(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _nearest(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Which key was probably meant, else the keys there are."""
    for part in place[:-1]:
        inner = _inner_model(model, str(part))
        if inner is None:
            return "see the list of keys in docs/"
        model = inner
    known = [info.alias or name for name, info in model.model_fields.items()]
    close = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _inner_model(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    info = model.model_fields.get(name)
    kinds = () if info is None else (info.annotation, *get_args(info.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)

"""Configuration files: YAML, read strictly and validated by a pydantic model.

An unknown key is answered with the closest known one.
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
_MOST_LEVELS = 100
_MOST_NODES = 1_000_000
_ENDLESS = 2**62


class _StrictLoader(yaml.SafeLoader):
    """YAML with fewer surprises: 1e-3 is a number, and only true and false are booleans ("no" is Norway)."""

    def fetch_flow_collection_start(self, *kind: Any) -> None:
        """See PyYAML, whose time grows with the square of the brackets within brackets."""
        if self.flow_level >= _MOST_LEVELS:
            raise RecursionError
        super().fetch_flow_collection_start(*kind)


_REPLACED_TAGS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
_FLOAT = re.compile(
    r"""^[-+]?(?:
        (?:[0-9][0-9_]*)?\.[0-9_]+(?:[eE][-+]?[0-9]+)?  # .5 and 1.5, perhaps with an exponent
        |[0-9][0-9_]*\.(?:[eE][-+]?[0-9]+)?             # 1.
        |[0-9][0-9_]*[eE][-+]?[0-9]+                    # 1e-3
        |\.(?:inf|Inf|INF)
    )$|^\.(?:nan|NaN|NAN)$""",
    re.VERBOSE,
)


def _kept_resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """The resolvers of plain YAML, by first character, without those replaced below."""
    kept = {}
    for first_character, rules in yaml.SafeLoader.yaml_implicit_resolvers.items():
        kept[first_character] = [(tag, pattern) for tag, pattern in rules if tag not in _REPLACED_TAGS]
    return kept


_StrictLoader.yaml_implicit_resolvers = _kept_resolvers()
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping of a YAML file; an empty file is an empty mapping. Raises `ConfigError`."""
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
    """The mapping of a YAML text; `source` names it in messages. Raises `ConfigError`."""
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        if _written_out(node, {}) > _MOST_NODES:
            raise ConfigError(
                f"{source}: has more than {_MOST_NODES} values once its aliases (*name) are written out; "
                "simplify it"
            )
        _check_node(node, source)
        document = loader.construct_document(node)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(cause, "problem", None) or type(cause).__name__
        raise ConfigError(f"{source}: {line}is not valid YAML ({problem}); correct it") from cause
    except RecursionError as cause:
        raise ConfigError(f"{source}: is nested too deeply; simplify it") from cause
    finally:
        loader.dispose()
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise ConfigError(
            f"{source}: expected one mapping of names to values, found {type(document).__name__}; write "
            "lines like 'epochs: 30'"
        )
    return document


def validate(model: type[Model], data: dict[str, Any], source: str) -> Model:
    """The data as an instance of the model.

    Raises `ConfigError` for the first problem: its key and value and, for an unknown key, the closest known
    one. `source` names the data in messages.
    """
    try:
        return model.model_validate(data)
    except ValidationError as cause:
        raise ConfigError(f"{source}: {_first_problem(model, cause)}") from cause


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of nodes with aliases written out, of which a few lines can make billions; one that holds itself
    counts as endless.

    Args:
        node: The node.
        known: Numbers by identity of a node.
    """
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = _ENDLESS  # until it is known, which it is not inside itself
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    known[id(node)] = 1 + sum(_written_out(child, known) for child in children)
    return known[id(node)]


def _check_node(node: yaml.Node, source: str) -> None:
    """Refuse duplicate keys: the second would silently win."""
    for mapping in _mappings(node, set()):
        line_of_key: dict[str, int] = {}
        for key, _ in mapping.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in line_of_key:
                raise ConfigError(
                    f"{source}: line {line}: the key {name!r} is already on line {line_of_key[name]}; keep "
                    "one of them"
                )
            line_of_key[name] = line


def _mappings(node: yaml.Node, seen: set[int]) -> Iterator[yaml.MappingNode]:
    """All mappings below a node, each once; `seen` holds visited nodes (aliases share one)."""
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
    location = first["loc"]
    key = ".".join(map(str, location))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}{more}; {_suggestion(model, location)}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing{more}; add it"
    value = str(first["input"])[:60]
    prefix = f"{key}: " if key else ""
    return f"{prefix}{_lower(first['msg'])}, found {value!r}{more}; correct it"


def _lower(text: str) -> str:
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """The key that was probably meant, else all known keys."""
    for part in location[:-1]:
        inner = _inner_model(model, str(part))
        if inner is None:
            return "see the list of keys in docs/"
        model = inner
    known = [info.alias or name for name, info in model.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known keys are {', '.join(known)}"


def _inner_model(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    info = model.model_fields.get(name)
    if info is None:
        return None
    for kind in (info.annotation, *get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None

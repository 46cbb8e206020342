"""The configuration of weak labels: classes, labelling functions, and how votes become probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ...core.classes import BACKGROUND, ClassSet
from ...errors import ConfigError
from ...io.discover import RASTER_SUFFIXES
from ...io.yamlfiles import load_yaml, validate

Method = Literal["agreement", "majority"]

_VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet")
ALL_OTHERS = "*"
"""The key of `FunctionConfig.values` that stands for all values not listed."""


class FunctionConfig(BaseModel):
    """One labelling function: it votes for a class or abstains.

    It looks at exactly one of `when`, `vector` and `raster`, and has either `vote` or `values`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str | None = None
    """Its name in reports (default: what it looks at)."""

    when: str | None = None
    """A condition on bands, "ndvi > 0.4"."""

    vector: str | None = None
    """A vector file, relative to the folder of the YAML file."""

    raster: str | None = None
    """A raster, relative to the folder of the YAML file."""

    vote: str | None = Field(None, min_length=1)
    """The class where the condition holds, or of all features."""

    otherwise: str | None = Field(None, min_length=1)
    """The class everywhere else (default: it abstains there)."""

    values: dict[str, str] | None = None
    """The class of each value of `class_field` or of the raster; "*": of all other values. Values that are
    not listed abstain."""

    class_field: str | None = None
    """The field of the vector file that `values` refers to."""

    layer: str | None = None
    """The layer of the vector file."""

    where: str | None = None
    """Only features with this attribute value, "FIELD=VALUE|VALUE"."""

    crs: str | None = None
    """CRS of the vector file, in place of its own."""

    buffer_m: float | None = Field(None, gt=0)
    """Radius by which points and lines become areas, metres."""

    grow_m: float | None = Field(None, ge=-10_000, le=10_000)
    """Distance by which outlines move outwards, metres; negative: inwards."""

    @field_validator("values", mode="before")
    @classmethod
    def _texts(cls, values: object) -> object:
        """YAML reads the key of `10: tree` as a number."""
        if not isinstance(values, dict):
            return values
        return {str(key): value for key, value in values.items()}

    @model_validator(mode="after")
    def _consistent(self) -> FunctionConfig:
        inputs = [name for name in ("when", "vector", "raster") if getattr(self, name) is not None]
        if len(inputs) != 1:
            raise ValueError(
                f"a function has exactly one of when, vector and raster, found {', '.join(inputs) or 'none'}"
            )
        if (self.vote is None) == (self.values is None):
            raise ValueError("a function has either 'vote' (one class) or 'values' (a class for each value)")
        if self.when is not None and self.values is not None:
            raise ValueError("a condition votes for one class; use 'vote'")
        if self.raster is not None and self.vote is not None:
            raise ValueError("a raster needs 'values', a class for each number, e.g. {10: tree}")
        for_vectors = ("class_field", "layer", "where", "crs", "buffer_m", "grow_m")
        set_here = [name for name in for_vectors if getattr(self, name) is not None]
        if set_here and self.vector is None:
            raise ValueError(f"{', '.join(set_here)} is for vectors")
        return self

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it may vote for."""
        named = [self.vote, *(self.values or {}).values(), self.otherwise]
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def title(self) -> str:
        """Its name, or what it looks at."""
        return self.name or self.when or Path(str(self.vector or self.raster)).name


class WeakConfig(BaseModel):
    """Labelling functions and how their votes are combined."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    functions: tuple[FunctionConfig, ...] = Field(min_length=1, max_length=64)
    """The functions."""

    classes: tuple[str, ...] | None = None
    """The classes in order (default: as the functions name them first); "background" gets id 0."""

    method: Method = "agreement"
    """"agreement": functions are weighted by the accuracy estimated from their agreement; "majority": votes
    are counted."""

    prior: dict[str, float] | None = None
    """Expected share of each class (default: all the same)."""

    accuracy: float = Field(0.75, gt=0.5, lt=1)
    """Accuracy that a function is assumed to have before it is compared with others."""

    trust: float = Field(5.0, ge=0, le=1000)
    """Weight of that assumption, in pixels per hundred with two votes."""

    @model_validator(mode="after")
    def _named(self) -> WeakConfig:
        titles = [function.title for function in self.functions]
        twice = [title for title in titles if titles.count(title) > 1]
        if twice:
            raise ValueError(f"two functions are called {twice[0]!r}; give each a 'name' of its own")
        known = self.class_names
        for name in known:
            if not name.strip() or set(name) & set("=|,"):
                raise ValueError(f"a class cannot be called {name!r}; use no '=', '|' and ','")
        for function in self.functions:
            for name in function.classes:
                if name not in known:
                    raise ValueError(
                        f"a function votes for {name!r}, which is not one of the classes {', '.join(known)}"
                    )
        wrong = [name for name, share in (self.prior or {}).items() if name not in known or not share > 0]
        if wrong:
            raise ValueError(f"prior: {wrong[0]!r} needs a class of this file and a share above 0")
        if len(known) > 60:
            raise ValueError(f"{len(known)} classes are too many for weak labels (at most 60)")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in order."""
        if self.classes:
            return self.classes
        names: dict[str, None] = {}
        for function in self.functions:
            names.update(dict.fromkeys(function.classes))
        return tuple(names)

    def class_set(self) -> ClassSet:
        """Classes with ids: the background is 0, the others 1, 2, ..."""
        names = [name for name in self.class_names if name.casefold() != BACKGROUND]
        if not names:
            raise ConfigError(
                "weak labels: every function votes for the background; expected at least one other class"
            )
        return ClassSet.of_names(names, background=len(names) < len(self.class_names))


def read_weak_config(path: str | Path) -> WeakConfig:
    """A configuration file; files that it names are looked for in its folder.

    Raises:
        ConfigError: The file is not valid.
    """
    config = validate(WeakConfig, load_yaml(path), str(path))
    functions = tuple(_with_folder(function, Path(path).parent) for function in config.functions)
    return config.model_copy(update={"functions": functions})


def _with_folder(function: FunctionConfig, folder: Path) -> FunctionConfig:
    paths: dict[str, str] = {}
    for name in ("vector", "raster"):
        path: str | None = getattr(function, name)
        if path is not None and not path.startswith(("/vsi", "http://", "https://")):
            paths[name] = str(folder / path)
    return function.model_copy(update=paths)


def parse_functions(texts: Sequence[str]) -> WeakConfig:
    """Functions written in short: "CLASS: CONDITION", "CLASS: FILE.gpkg" (all its features) or "CLASS:
    FILE.tif=10|20" (these values).

    Raises:
        ConfigError: A text has none of these forms.
    """
    return validate(WeakConfig, {"functions": [_function(text) for text in texts]}, "functions")


def _function(text: str) -> dict[str, Any]:
    vote, colon, rest = (part.strip() for part in text.partition(":"))
    if not colon or not vote or not rest:
        raise ConfigError(
            f"function {text!r} has an unknown form; write 'CLASS: CONDITION', 'CLASS: FILE.gpkg' or 'CLASS: "
            "FILE.tif=10|20'"
        )
    path, equals, listed = rest.rpartition("=")
    if equals and Path(path).suffix.lower() in RASTER_SUFFIXES:
        return {
            "name": f"{vote}: {Path(path).name}",
            "raster": path,
            "values": {value.strip(): vote for value in listed.split("|")},
        }
    if Path(rest).suffix.lower() in RASTER_SUFFIXES:
        raise ConfigError(
            f"function {text!r}: which values of the raster mean {vote!r}? Write '{vote}: {rest}=10|20'"
        )
    if Path(rest).suffix.lower() in _VECTORS:
        return {"name": f"{vote}: {Path(rest).name}", "vector": rest, "vote": vote}
    return {"name": text.strip(), "when": rest, "vote": vote}

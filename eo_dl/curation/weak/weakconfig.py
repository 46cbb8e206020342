"""What weak labels are made of, as a person writes it: classes, functions, and how votes become
probabilities.
"""

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
_REST = "*"


class FunctionConfig(BaseModel):
    """One labelling function: it votes for a class or abstains.

    Exactly one of `when` (a condition on bands), `vector` and `raster` (files, from the folder of the YAML)
    says where it looks. `vote` is the class where the condition holds, or of all features; `otherwise` the
    class everywhere else (default: it abstains there). `values` maps the values of the `class_field` of a
    vector, or the numbers of a raster, to classes ("*": all others); those not named abstain. `buffer_m`
    makes points and lines areas of this radius, `grow_m` moves the outlines of all areas outwards (negative:
    inwards).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str | None = None
    when: str | None = None
    vector: str | None = None
    raster: str | None = None
    vote: str | None = Field(None, min_length=1)
    otherwise: str | None = Field(None, min_length=1)
    values: dict[str, str] | None = None
    class_field: str | None = None
    layer: str | None = None
    where: str | None = None
    crs: str | None = None
    buffer_m: float | None = Field(None, gt=0)
    grow_m: float | None = Field(None, ge=-10_000, le=10_000)

    @field_validator("values", mode="before")
    @classmethod
    def _texts(cls, values: object) -> object:
        """YAML reads `10: tree` as a number; `tree: [10, 20]` is not understood here, classes stand on the
        right.
        """
        return {str(key): value for key, value in values.items()} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _consistent(self) -> FunctionConfig:
        looks = [name for name in ("when", "vector", "raster") if getattr(self, name) is not None]
        if len(looks) != 1:
            raise ValueError(
                f"a function has exactly one of when, vector and raster, found {', '.join(looks) or 'none'}"
            )
        if (self.vote is None) == (self.values is None):
            raise ValueError("a function has either 'vote' (one class) or 'values' (a class for each value)")
        if self.when is not None and self.values is not None:
            raise ValueError("a condition votes for one class; write 'vote'")
        if self.raster is not None and self.vote is not None:
            raise ValueError("a raster needs 'values', a class for each number, e.g. {10: tree}")
        only = [
            name
            for name in ("class_field", "layer", "where", "crs", "buffer_m", "grow_m")
            if getattr(self, name) is not None
        ]
        if only and self.vector is None:
            raise ValueError(f"{', '.join(only)} is for vectors")
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
    """Functions and how they are put together.

    `classes` in order (default: as the functions name them first); one called background gets id 0. `method`:
    "agreement" weighs functions by the accuracy that their agreement tells, "majority" counts votes. `prior`:
    share of each class where nothing is known of it (default: all alike). `accuracy`: what a function is
    trusted before it met another, worth `trust` pixels in a hundred.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    functions: tuple[FunctionConfig, ...] = Field(min_length=1, max_length=64)
    classes: tuple[str, ...] | None = None
    method: Method = "agreement"
    prior: dict[str, float] | None = None
    accuracy: float = Field(0.75, gt=0.5, lt=1)
    trust: float = Field(5.0, ge=0, le=1000)

    @model_validator(mode="after")
    def _named(self) -> WeakConfig:
        titles = [function.title for function in self.functions]
        twice = [title for title in titles if titles.count(title) > 1]
        if twice:
            raise ValueError(f"two functions are called {twice[0]!r}; give each a 'name' of its own")
        known = self.class_names
        odd = [name for name in known if any(sign in name for sign in "=|,") or not name.strip()]
        if odd:
            raise ValueError(f"a class cannot be called {odd[0]!r}; leave out '=', '|' and ','")
        left = [name for function in self.functions for name in function.classes if name not in known]
        if left:
            raise ValueError(
                f"a function votes for {left[0]!r}, which is none of the classes {', '.join(known)}"
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
        return self.classes or tuple(
            dict.fromkeys(name for function in self.functions for name in function.classes)
        )

    def class_set(self) -> ClassSet:
        """Classes with ids: the background is 0, the others 1, 2, ..."""
        names = [name for name in self.class_names if name.casefold() != BACKGROUND]
        if not names:
            raise ConfigError(
                "weak labels: every function votes for the background; a class to find was expected"
            )
        return ClassSet.of_names(names, background=len(names) < len(self.class_names))


def read_weak_config(path: str | Path) -> WeakConfig:
    """A configuration file; files that it names are looked for in its folder. Raises `ConfigError`."""
    found = validate(WeakConfig, load_yaml(path), str(path))
    return found.model_copy(
        update={"functions": tuple(_from_folder(function, Path(path).parent) for function in found.functions)}
    )


def _from_folder(function: FunctionConfig, folder: Path) -> FunctionConfig:
    placed = {
        name: str(folder / value)
        for name in ("vector", "raster")
        if (value := getattr(function, name)) is not None
        and not value.startswith(("/vsi", "http://", "https://"))
    }
    return function.model_copy(update=placed)


def parse_functions(texts: Sequence[str]) -> WeakConfig:
    """Functions in short: "CLASS: CONDITION", "CLASS: FILE.gpkg" (all its features) or "CLASS:
    FILE.tif=10|20" (these values). Raises `ConfigError`.
    """
    return validate(WeakConfig, {"functions": [_function(text) for text in texts]}, "functions")


def _function(text: str) -> dict[str, Any]:
    vote, colon, rest = (part.strip() for part in text.partition(":"))
    if not colon or not vote or not rest:
        raise ConfigError(
            f"function {text!r} is not understood; write 'CLASS: CONDITION', 'CLASS: FILE.gpkg' or 'CLASS: "
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

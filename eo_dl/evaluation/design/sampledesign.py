"""`SampleDesign`: how a sample is drawn, and `DesignRecord`: the same with its numbers, kept in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from ...core.classes import ClassSet
from ...errors import ConfigError
from ...scores.allocation import ALLOCATIONS, Allocation

Method = Literal["stratified", "simple", "systematic"]
METHODS: tuple[Method, ...] = get_args(Method)

FEWEST_PER_STRATUM = 2
"""Answers from which a stratum has a spread, and estimates have a standard error."""


@dataclass(frozen=True)
class SampleDesign:
    """How a sample is drawn. Raises `ConfigError` for values with which none could be.

    Example:
        >>> design = SampleDesign(count=500, allocation="equal")
        >>> sample("map.tif", out="sample.gpkg", design=design)  # doctest: +SKIP
    """

    count: int = 300
    """Number of units; not used with the allocation "area", which computes it."""
    method: Method = "stratified"
    """"stratified": at random in each stratum; "simple": at random on the whole map; "systematic": a lattice
    with a random start."""
    allocation: Allocation = "proportional"
    """How strata share the units: "proportional" to their area, "equal", "neyman" (by area and expected
    spread), or "area" (for a wanted standard error of the area of one class)."""
    at_least: int = 10
    """Least number of units per stratum."""
    accuracies: Mapping[str, float] | None = None
    """Expected user's accuracy by class, 0 to 1, for "neyman" and "area"."""
    area_of: str | None = None
    """The class of which "area" wants the area."""
    area_error: float | None = None
    """The wanted standard error of that area, hectares (pixels without a CRS)."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"`count`: a sample has at least 1 unit, found {self.count}")
        if self.method not in METHODS:
            raise ConfigError(f"`method`: expected {' or '.join(METHODS)}, found {self.method!r}")
        if self.allocation not in ALLOCATIONS:
            raise ConfigError(f"`allocation`: expected {' or '.join(ALLOCATIONS)}, found {self.allocation!r}")
        if self.at_least < FEWEST_PER_STRATUM:
            raise ConfigError(
                f"`at_least`: a stratum needs {FEWEST_PER_STRATUM} units for a standard error, found "
                f"{self.at_least}"
            )
        for name, accuracy in (self.accuracies or {}).items():
            if not 0 <= accuracy <= 1:
                raise ConfigError(f"`accuracies`: {name} must lie in 0 to 1, found {accuracy:g}")
        self._check_allocation()

    def _check_allocation(self) -> None:
        stratified = self.method == "stratified"
        if not stratified and self.allocation != "proportional":
            raise ConfigError(
                f"`allocation`: a {self.method} sample has no strata to share its units; use the method "
                "'stratified'"
            )
        if self.allocation in ("neyman", "area") and not self.accuracies:
            raise ConfigError(
                f"`allocation`: '{self.allocation}' needs `accuracies`, the user's accuracy that you expect "
                "of each class, e.g. forest=0.9,water=0.95"
            )
        wants_area = self.allocation == "area"
        if wants_area and (self.area_of is None or self.area_error is None):
            raise ConfigError(
                "`allocation`: 'area' needs `area_of` and `area_error`, the class and the standard error of "
                "its area that you want"
            )
        if not wants_area and (self.area_of is not None or self.area_error is not None):
            raise ConfigError("`area_of` and `area_error` belong to the allocation 'area'")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StratumRecord(_Record):
    """One stratum."""

    id: int
    name: str
    units: int = Field(ge=0)
    """Number of units that it has."""
    area: float = Field(ge=0)
    """Its ground area."""
    drawn: int = Field(ge=0)
    """Number of units in the sample."""


class MappedClass(_Record):
    """One class of the map."""

    id: int
    name: str
    color: str
    units: int = Field(ge=0)
    """Number of units that the map shows as the class."""
    area: float = Field(ge=0)
    """Their ground area."""


class DesignRecord(_Record):
    """All that is needed to estimate from a sample, as it is stored in its file."""

    schema_version: Literal[1] = 1
    kind: Literal["classes", "objects"]
    """What the interpreter answers: the class of a unit, or the number of objects in it."""
    method: Method
    allocation: Allocation
    at_least: int
    seed: int
    unit_px: int = Field(ge=1)
    """Side of a unit, pixels of the map."""
    area_unit: Literal["m2", "px"]
    grid: str
    """Grid of the units, see `io.outputtags.grid_tag`."""
    map: str
    """Path of the map, relative to the folder of the sample."""
    fingerprint: dict[str, str | int]
    """Size and SHA-256 of the beginning of the map file."""
    strata_from: str
    """Where the strata came from: "classes" of the map, "objects", "none", or the name of a file."""
    strata: tuple[StratumRecord, ...]
    classes: tuple[MappedClass, ...]
    objects: int | None = None
    """Number of objects on the map, for the kind "objects"."""
    command: str = ""

    @property
    def area(self) -> float:
        """Ground area that the sample stands for."""
        return sum(stratum.area for stratum in self.strata)

    @property
    def class_set(self) -> ClassSet:
        """The classes of the map."""
        return ClassSet.of_ids(
            {info.id: info.name for info in self.classes}, {info.id: info.color for info in self.classes}
        )

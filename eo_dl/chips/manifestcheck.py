"""What `chips.json` must hold before anything in it is used: kinds and ranges, so that no count or size in it
takes memory or time.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ChipSetError

_Side = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Grid(_Part):
    crs: str | None
    transform: list[_Finite] = Field(min_length=6, max_length=6)
    height: _Side
    width: _Side


class _Options(_Part):
    mask: list[str] = Field(default=[], max_length=1000)
    mask_relative: list[str] = Field(default=[], max_length=1000)

    @model_validator(mode="after")
    def _pairs(self) -> _Options:
        if len(self.mask) != len(self.mask_relative):
            raise ValueError("expected a relative path for every mask")
        return self


class _Scene(_Part):
    path: str = Field(min_length=1, max_length=10_000)
    relative: str | None
    bands: list[dict[str, Any]] = Field(min_length=1, max_length=100_000)
    options: _Options
    native: _Grid
    size: list[_Side] = Field(min_length=2, max_length=2)
    fingerprint: dict[str, Any]


class _Labels(_Part):
    accept_shift_m: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class _Manifest(_Part):
    chip_px: int = Field(ge=1, le=16_384)
    gsd_m: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    seed: int
    content_hash: str
    guard_px: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    folds: Annotated[int, Field(ge=2, le=10_000)] | None
    shared_ground: dict[str, _Finite]
    classes: list[dict[str, Any]] = Field(min_length=1, max_length=256)
    statistics: list[dict[str, Any]]
    value_statistics: dict[str, list[dict[str, _Finite | int]]] = {}
    scenes: list[_Scene] = Field(min_length=1, max_length=10_000_000)
    labels: _Labels
    notes: list[str]


def check_values(values: dict[str, Any], path: str) -> None:
    """Check the values of a manifest.

    Raises:
        ChipSetError: One is missing, of another kind or out of range; names it.
    """
    try:
        _Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ChipSetError(
            f"{path}: was edited by hand: {place} is not as `eo-dl tile` writes it ({first['msg'].lower()}); "
            "restore it or tile again"
        ) from error

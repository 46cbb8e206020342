"""`Assessment`: accuracy, areas and numbers that follow from an interpreted sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...core.classes import ClassSet
from ...core.htmlcard import grid_table
from ...scores.designestimates import AccuracyEstimates, Estimate, InterpreterAgreement
from ...version import __version__
from .sampledesign import DesignRecord

SCHEMA, SCHEMA_VERSION = "eo_dl assessment", 1

_M2_PER_HA, _M2_PER_KM2 = 1e4, 1e6
_SMALL_M2, _LARGE_M2 = 1e5, 1e10


@dataclass(frozen=True)
class StratumProgress:
    """How far the interpretation of a stratum is."""

    name: str
    """The stratum."""
    share: float
    """Its share of the area."""
    drawn: int
    """Units of the sample."""
    answered: int
    """Units with an answer that counts."""
    not_interpretable: int
    """Units that could not be interpreted."""

    @property
    def open(self) -> int:
        """Units without an answer."""
        return self.drawn - self.answered - self.not_interpretable


@dataclass(frozen=True)
class AreaUnit:
    """A unit for areas in reports."""

    name: str
    size: float
    """Its size in the unit of the design (square metres, or pixels)."""

    @classmethod
    def of(cls, design: DesignRecord) -> AreaUnit:
        """Square metres, hectares or square kilometres, by the size of the map; pixels without a CRS."""
        if design.area_unit == "px":
            return cls("px", 1.0)
        if design.area < _SMALL_M2:
            return cls("m²", 1.0)
        return cls("ha", _M2_PER_HA) if design.area < _LARGE_M2 else cls("km²", _M2_PER_KM2)


@dataclass(frozen=True)
class Assessment:
    """The result of `assess`."""

    sample: Path
    """The file of the sample."""
    map: str
    """Path of the map."""
    design: DesignRecord
    """How the sample was drawn."""
    progress: tuple[StratumProgress, ...]
    """How far the interpretation is, by stratum."""
    classes: ClassSet
    """The classes that are estimated."""
    agreement: InterpreterAgreement
    """Of the two interpreters, where both answered."""
    estimates: AccuracyEstimates | None = None
    """Accuracy and area shares, in the order of `classes`; None for objects, and while a stratum is open."""
    mapped_areas: tuple[float, ...] = ()
    """Ground area that the map shows of each class; empty where the sample was drawn of another map."""
    number: Estimate | None = None
    """Number of objects; None for classes, and while a stratum is open."""
    notes: tuple[str, ...] = ()
    """What was decided, what is missing, and what was left out."""
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)
    """PNG files by name."""
    path: Path | None = None
    """The HTML file, if the report was written."""

    @property
    def complete(self) -> bool:
        """True if every unit was looked at."""
        return not any(stratum.open for stratum in self.progress)

    @property
    def answered(self) -> int:
        """Number of units with an answer that counts."""
        return sum(stratum.answered for stratum in self.progress)

    @property
    def areas(self) -> tuple[Estimate, ...]:
        """Adjusted area of each class, in the unit of the design (square metres, or pixels)."""
        shares = () if self.estimates is None else self.estimates.area_shares
        return tuple(share.times(self.design.area) for share in shares)

    def progress_table(self) -> list[tuple[str, ...]]:
        """The state of the interpretation as texts: a header row, then one row per stratum."""
        rows: list[tuple[str, ...]] = [
            ("stratum", "share of area", "drawn", "answered", "not interpretable", "open")
        ]
        for one in self.progress:
            numbers = (one.drawn, one.answered, one.not_interpretable, one.open)
            rows.append((one.name, f"{one.share:.1%}", *map(str, numbers)))
        return rows

    def table(self) -> list[tuple[str, ...]]:
        """The classes as texts: a header row, then areas and accuracies with their 95 % intervals."""
        if self.estimates is None:
            return []
        unit = AreaUnit.of(self.design)
        rows: list[tuple[str, ...]] = [
            ("class", f"mapped, {unit.name}", f"area, {unit.name}", "user's accuracy", "producer's accuracy")
        ]
        for index, info in enumerate(self.classes):
            mapped = number_text(self.mapped_areas[index] / unit.size) if self.mapped_areas else ""
            area = self.areas[index].times(1 / unit.size)
            users, producers = self.estimates.users[index], self.estimates.producers[index]
            rows.append((info.name, mapped, area_text(area), share_text(users), share_text(producers)))
        return rows

    def matrix(self) -> list[tuple[str, ...]]:
        """The error matrix in shares of the area as texts: rows are classes of the map, columns of the
        reference."""
        if self.estimates is None:
            return []
        rows: list[tuple[str, ...]] = [("map \\ reference", *self.classes.names, "total")]
        shares = self.estimates.shares
        for index, name in enumerate(self.classes.names):
            rows.append((name, *(f"{share:.4f}" for share in shares[index]), f"{shares[index].sum():.4f}"))
        rows.append(("total", *(f"{share:.4f}" for share in shares.sum(axis=0)), f"{shares.sum():.4f}"))
        return rows

    def values(self) -> dict[str, object]:
        """The assessment as JSON-ready values; numbers that are not known are null."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "eo_dl": __version__,
            "sample": str(self.sample),
            "map": self.map,
            "kind": self.design.kind,
            "complete": self.complete,
            "area": self.design.area,
            "area_unit": self.design.area_unit,
            "progress": [_progress_values(one) for one in self.progress],
            "agreement": {
                "units": self.agreement.units,
                "raw": _finite(self.agreement.raw),
                "kappa": _finite(self.agreement.kappa),
            },
            "overall_accuracy": None if self.estimates is None else self.estimates.overall.values(),
            "classes": self._class_values(),
            "error_matrix": self._matrix_values(),
            "number_of_objects": None if self.number is None else self.number.values(),
            "mapped_objects": self.design.objects,
            "notes": list(self.notes),
        }

    def _class_values(self) -> list[dict[str, object]]:
        estimates = self.estimates
        if estimates is None:
            return []
        values: list[dict[str, object]] = []
        for index, info in enumerate(self.classes):
            values.append(
                {
                    "name": info.name,
                    "color": info.color,
                    "mapped_area": self.mapped_areas[index] if self.mapped_areas else None,
                    "area": self.areas[index].values(),
                    "area_share": estimates.area_shares[index].values(),
                    "users_accuracy": estimates.users[index].values(),
                    "producers_accuracy": estimates.producers[index].values(),
                }
            )
        return values

    def _matrix_values(self) -> dict[str, object] | None:
        if self.estimates is None:
            return None
        return {
            "rows": "map",
            "columns": "reference",
            "classes": list(self.classes.names),
            "area_shares": self.estimates.shares.tolist(),
            "units": self.estimates.counts.tolist(),
        }

    def _repr_html_(self) -> str:
        header, *rows = self.table() or self.progress_table()
        return grid_table(header, rows, f"{self.sample.name}: {self.answered} units answered")


def _progress_values(one: StratumProgress) -> dict[str, object]:
    return {
        "stratum": one.name,
        "share": one.share,
        "drawn": one.drawn,
        "answered": one.answered,
        "not_interpretable": one.not_interpretable,
        "open": one.open,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def share_text(estimate: Estimate) -> str:
    """ "0.88 ± 0.07"; "-" where the sample says nothing."""
    if not math.isfinite(estimate.value):
        return "-"
    if not math.isfinite(estimate.half_width):
        return f"{estimate.value:.3f} ± ?"
    return f"{estimate.value:.3f} ± {estimate.half_width:.3f}"


def area_text(estimate: Estimate) -> str:
    """ "21 158 ± 6 158", with the digits that the number deserves."""
    half = estimate.half_width
    if not math.isfinite(half):
        return f"{number_text(estimate.value)} ± ?"
    return f"{number_text(estimate.value)} ± {number_text(half)}"


def number_text(value: float) -> str:
    """A number with spaces between thousands; small ones with decimals."""
    decimals = 0 if abs(value) >= 100 or value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{np.round(value, decimals):,.{decimals}f}".replace(",", " ")

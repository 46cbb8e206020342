"""`MapExtras`: the rasters that `predict` writes beside a map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..bundle import Bundle
from ..errors import ConfigError
from ..tasks import CHIPS
from ..uncertainty.predictionsets import blocks_needed

ExtraKind = Literal["prob", "certainty", "sets", "applicability"]
"""Ends of the names of the rasters: NAME_prob.tif."""

LEAST_COVERAGE, MOST_COVERAGE = 0.5, 0.99


@dataclass(frozen=True)
class MapExtras:
    """The rasters that `predict` writes beside a map, in the same pass.

    Raises:
        ConfigError: A value is out of range.

    Example:
        >>> extras = MapExtras(certainty=True, set_coverage=0.9)
        >>> predict("roofs.eodl", "town.tif", out="map.tif", extras=extras)  # doctest: +SKIP
    """

    probabilities: bool | str | Path = False
    """NAME_prob.tif (or this path): the probability of each class."""

    certainty: bool = False
    """NAME_certainty.tif: largest probability, margin to the second largest, and entropy."""

    set_coverage: float | None = None
    """NAME_sets.tif: the classes that each pixel may have, so many that the true one is among them in this
    share of the ground, 0.5 to 0.99; and their number."""

    applicability: bool = False
    """NAME_applicability.tif: how unlike the ground of the training each place is, and whether it is inside
    the area where the model may be used."""

    def __post_init__(self) -> None:
        coverage = self.set_coverage
        if coverage is not None and not LEAST_COVERAGE <= coverage <= MOST_COVERAGE:
            raise ConfigError(
                f"`set_coverage`: expected {LEAST_COVERAGE:g} to {MOST_COVERAGE:g}, the share of the ground "
                f"whose class is in its set; found {coverage:g}"
            )

    @property
    def kinds(self) -> tuple[ExtraKind, ...]:
        """What is wanted."""
        wanted: dict[ExtraKind, bool] = {
            "prob": self.probabilities is not False,
            "certainty": self.certainty,
            "sets": self.set_coverage is not None,
            "applicability": self.applicability,
        }
        return tuple(kind for kind, is_wanted in wanted.items() if is_wanted)


@dataclass(frozen=True)
class ExtraPath:
    """A raster beside a map."""

    kind: ExtraKind
    """What it holds."""
    path: Path
    """The file."""


_FLAGS: dict[ExtraKind, str] = {
    "prob": "probabilities",
    "certainty": "certainty",
    "sets": "set_coverage",
    "applicability": "applicability",
}


def extra_paths(bundle: Bundle, out: Path, extras: MapExtras, several: bool) -> tuple[ExtraPath, ...]:
    """Where the rasters beside a map go.

    Args:
        bundle: The model.
        out: The map.
        extras: What is wanted.
        several: True if it is one of several maps.

    Raises:
        ConfigError: The model cannot give what is wanted, or a name is not usable.
    """
    for kind in extras.kinds:
        if not bundle.task.output.has_probabilities:
            raise ConfigError(
                f"{out}: a {bundle.task.name} model gives {bundle.task.output.gives}, not rasters of "
                f"probabilities; omit `{_FLAGS[kind]}`"
            )
        if kind in ("certainty", "sets"):
            _check_one_class(bundle, _FLAGS[kind])
    if extras.set_coverage is not None:
        _check_sets(bundle, extras.set_coverage)
    if extras.applicability and bundle.applicability() is None:
        raise ConfigError(
            f"{bundle.path}: keeps nothing of its training ground that scenes could be compared with (it is "
            "older, imported, or was trained on fewer than three blocks of ground); omit `applicability`, or "
            "train it again"
        )
    paths = [ExtraPath(kind, out.with_name(f"{out.stem}_{kind}.tif")) for kind in extras.kinds]
    if isinstance(extras.probabilities, bool):
        return tuple(paths)
    return (ExtraPath("prob", _named(extras.probabilities, out, several)), *paths[1:])


def _named(wanted: str | Path, out: Path, several: bool) -> Path:
    if several:
        raise ConfigError(
            f"{wanted}: one name for the probabilities of several scenes; use `probabilities=True`"
        )
    path = Path(wanted)
    if path.suffix.lower() not in (".tif", ".tiff") or path == out:
        raise ConfigError(
            f"{path}: probabilities are a GeoTIFF beside the map; choose another name that ends in .tif"
        )
    return path


def _check_one_class(bundle: Bundle, flag: str) -> None:
    if bundle.task.output == CHIPS and bundle.codec_for(CHIPS).rule.multi_label:
        raise ConfigError(
            f"{bundle.path}: its chips may have several classes, each of them a yes or no of its own, so "
            f"`{flag}` says nothing; omit it, and look at `probabilities`"
        )


def _check_sets(bundle: Bundle, coverage: float) -> None:
    """Refuse a coverage that no class of the model can have."""
    known = bundle.spec.prediction_sets
    if known is None:
        raise ConfigError(
            f"{bundle.path}: holds nothing about held-out ground from which `set_coverage` could be promised "
            "(it is older, imported, or was trained without validation blocks); train it again"
        )
    most = max(known.blocks)
    if most < blocks_needed(coverage):
        raise ConfigError(
            f"`set_coverage` {coverage:g}: needs {blocks_needed(coverage)} validation blocks with a class, "
            f"and {bundle.path} has at most {most}, enough for {most / (most + 1):.2f}; ask for less, or "
            "train with more and smaller blocks (`block_m` of tile)"
        )


def set_notes(bundle: Bundle, extras: MapExtras) -> tuple[str, ...]:
    """What the sets of a prediction promise, and which classes are in all of them."""
    coverage, known = extras.set_coverage, bundle.spec.prediction_sets
    if coverage is None or known is None:
        return ()
    needed = blocks_needed(coverage)
    notes = [
        f"sets of classes: of the ground of each class {coverage:.0%} or more has its class in the set, "
        "provided that the blocks of this scene are like the validation blocks"
    ]
    few = [
        f"{info.name} ({blocks})"
        for info, blocks in zip(bundle.classes, known.blocks, strict=True)
        if blocks < needed
    ]
    if few:
        notes.append(
            f"too few validation blocks to leave these classes out of a set ({needed} needed): "
            f"{', '.join(few)}"
        )
    return tuple(notes)

"""`Prediction`: what a call of `predict` wrote, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..core.classes import ClassSet
from ..core.htmlcard import card
from ..core.pixelgrid import PixelGrid
from ..errors import ConfigError, EoDlError
from ..io.chiptables import TABLE_SUFFIX
from ..io.discover import GEOTIFF_SUFFIXES
from ..postprocessing.classtotals import ClassTotal, sum_of_totals
from . import predictionview

if TYPE_CHECKING:
    import folium
    import geopandas
    import xarray
    from matplotlib.axes import Axes

PredictionKind = Literal["raster", "values", "polygons", "objects", "chips", "images", "folder"]


@dataclass(frozen=True)
class Prediction:
    """One output; for several scenes, a folder of them (see `parts`)."""

    path: Path
    """The output: a file, or the folder of the parts."""
    kind: PredictionKind
    """What the output holds.

    "raster": class ids, 255 = nodata. "values": numbers, one band per value, NaN = nodata. "polygons": a
    class map as vectors. "objects": detections. "chips": one cell per chip, as vectors or as a raster with
    one pixel per chip. "images": one row per image. "folder": one of these per scene.
    """
    task: str
    """Task of the model."""
    classes: ClassSet
    """Classes of the model."""
    model: str
    """Path of the model file."""
    model_hash: str
    """SHA-256 of the model file."""
    scene: str = ""
    """Path of the scene; empty for "images" and "folder"."""
    grid: PixelGrid | None = None
    """The scene's own grid."""
    count: int | None = None
    """Number of features of a vector output."""
    extras: Mapping[str, Path] = field(default_factory=dict)
    """The rasters that were written beside it by kind: "prob", "certainty", "sets", "applicability"."""
    engine: str = ""
    """What ran the network, with version and precision, e.g. "openvino 2026.4.1, bf16"."""
    chips: int = 0
    """Number of chips that the network saw."""
    skipped: int = 0
    """Number of chips without a valid pixel (in the AOI)."""
    kept: int = 0
    """Number of chips taken over from a stopped run."""
    seconds: float = 0.0
    """Duration of this call."""
    totals: tuple[ClassTotal, ...] = ()
    """Number and area of each class."""
    notes: tuple[str, ...] = ()
    """Remarks: what was converted, joined, left out."""
    parts: tuple[Prediction, ...] = ()
    """The predictions of the single scenes of a "folder"."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was written (styles aside)."""
        if self.parts:
            return tuple(chain.from_iterable(part.paths for part in self.parts))
        return (self.path, *self.extras.values())

    @property
    def probabilities(self) -> Path | None:
        """The raster of probabilities, if one was written."""
        return self.extras.get("prob")

    def values(self) -> dict[str, object]:
        """The prediction as JSON-ready values, without empty ones."""
        values: dict[str, object] = {
            "output": str(self.path),
            "kind": self.kind,
            "task": self.task,
            "model": self.model,
            "model_sha256": self.model_hash,
            "scene": self.scene,
            "classes": list(self.classes.names),
            "features": self.count,
            "probabilities": str(self.extras.get("prob", "")),
            "certainty": str(self.extras.get("certainty", "")),
            "sets": str(self.extras.get("sets", "")),
            "applicability": str(self.extras.get("applicability", "")),
            "engine": self.engine,
            "chips": self.chips,
            "chips_skipped": self.skipped,
            "chips_kept": self.kept,
            "seconds": round(self.seconds, 2),
            "totals": [total.values() for total in self.totals],
            "notes": list(self.notes),
            "parts": [part.values() for part in self.parts],
        }
        return {name: value for name, value in values.items() if value not in (None, "", [])}

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """The features of a vector output; of several scenes those of all, in the CRS of the first, with a
        column "scene".

        Raises:
            ConfigError: The output is a raster, or a table without places.
        """
        if self.parts:
            import geopandas  # lazy: rasters do not need it
            import pandas as pd

            frames = [part.to_geodataframe().assign(scene=part.scene) for part in self.parts]
            crs = frames[0].crs
            alike = [frame if crs is None or frame.crs is None else frame.to_crs(crs) for frame in frames]
            return geopandas.GeoDataFrame(pd.concat(alike, ignore_index=True), crs=crs)
        if self.path.suffix.lower() in GEOTIFF_SUFFIXES:
            raise ConfigError(f"{self.path}: is a raster; `vectorize` makes polygons of a class map")
        if self.path.suffix.lower() == TABLE_SUFFIX:
            raise ConfigError(f"{self.path}: is a table without places; read it with pandas")
        return predictionview.features(self.path)

    def to_xarray(self, *, probabilities: bool = False) -> xarray.DataArray:
        """The raster of one scene with its coordinates, read as a whole: class ids (y, x), or probabilities.

        Args:
            probabilities: (class, y, x) from 0 to 1, where `predict` wrote them.

        Raises:
            ConfigError: The output is no raster, or of several scenes, or has no probabilities.
            MissingExtraError: xarray is not installed.
        """
        if self.parts:
            raise ConfigError(f"{self.path}: holds {len(self.parts)} maps; take those of `parts`")
        if probabilities:
            if self.probabilities is None:
                raise ConfigError(
                    f"{self.path}: has no probabilities; predict with `extras=MapExtras(probabilities=True)`"
                )
            return predictionview.probability_array(self.probabilities, self.classes)
        if self.path.suffix.lower() not in GEOTIFF_SUFFIXES:
            raise ConfigError(f"{self.path}: is no raster; to_geodataframe() reads it")
        return predictionview.class_array(self.path, self.classes)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the output of one scene in map coordinates: a class map in its colours, or features over the
        scene.

        Args:
            axes: Where to draw (default: a new figure, `axes.figure`).

        Raises:
            ConfigError: The output is of several scenes, or a table.
        """
        self._refuse_many("draw")
        return predictionview.draw(self.path, self.classes, self.scene, axes)

    def explore(self) -> folium.Map:
        """The output of one scene on a web map, whose background tiles are loaded when it is shown.

        Raises:
            ConfigError: The output is of several scenes, a table, or has no CRS.
            MissingExtraError: folium is not installed.
        """
        self._refuse_many("explore")
        return predictionview.web_map(self.path, self.classes)

    def _refuse_many(self, what: str) -> None:
        if self.parts:
            raise ConfigError(f"{self.path}: holds {len(self.parts)} maps; {what} those of `parts`")
        if self.path.suffix.lower() == TABLE_SUFFIX:
            raise ConfigError(f"{self.path}: is a table without places; read it with pandas")

    def _picture(self) -> bytes | None:
        """A small picture of the output; None where it is of several scenes, a table, or gone."""
        if self.parts or self.path.suffix.lower() == TABLE_SUFFIX:
            return None
        try:
            return predictionview.picture(self.path, self.classes, self.scene)
        except EoDlError:
            return None

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = []
        for name, value in self.values().items():
            if name not in ("parts", "notes", "totals", "model_sha256"):
                text = ", ".join(map(str, value)) if isinstance(value, list) else value
                rows.append((name, text))
        rows += [(total.name, total.text) for total in self.totals]
        rows += [("note", note) for note in self.notes]
        return card(self.path.name, rows, self._picture())


def folder_prediction(folder: Path, parts: tuple[Prediction, ...], seconds: float) -> Prediction:
    """The predictions of several scenes as one."""
    first = parts[0]
    about_all = [note for note in first.notes if all(note in part.notes for part in parts)]
    notes = list(about_all)
    for part in parts:
        below = part.path.is_relative_to(folder)
        name = part.path.relative_to(folder).as_posix() if below else part.path.name
        notes += [f"{name}: {note}" for note in part.notes if note not in about_all]
    return Prediction(
        path=folder,
        kind="folder",
        task=first.task,
        classes=first.classes,
        model=first.model,
        model_hash=first.model_hash,
        engine=first.engine,
        count=None if first.count is None else sum(part.count or 0 for part in parts),
        chips=sum(part.chips for part in parts),
        skipped=sum(part.skipped for part in parts),
        kept=sum(part.kept for part in parts),
        seconds=seconds,
        totals=sum_of_totals([part.totals for part in parts]),
        notes=tuple(notes),
        parts=parts,
    )

"""`sample`: places of a map at which people say what is there, drawn so that accuracy and area follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ...core.arraytypes import Float64Array, Int64Array
from ...core.classes import ClassSet
from ...core.commandline import command_line
from ...core.htmlcard import grid_table
from ...core.labelset import LabelSet
from ...core.pixelgrid import PixelGrid
from ...core.progress import OnProgress, silent
from ...core.wording import count_of
from ...errors import ConfigError, InputError
from ...inference.prediction import Prediction
from ...io.aoi import read_aoi
from ...io.atomic import refuse_existing
from ...io.classmap import open_class_map
from ...io.discover import relative_path
from ...io.filestate import header_digest
from ...io.outputlock import locks_output
from ...io.outputtags import grid_tag
from ...labels.reading import read_labels
from ...scores.allocation import allocate, binomial_deviation, expected_shares_of_class, needed_units
from ..predictionfiles import Part, parts_of
from .objectcentres import object_centres
from .population import MapPopulation, ObjectPopulation, Population, class_name, counted_objects
from .sampledesign import DesignRecord, MappedClass, SampleDesign, StratumRecord
from .samplefile import write_sample
from .unitdraw import DrawnUnits, PopulationCounts, count_population, draw_random, draw_systematic

_M2_PER_HA = 10_000.0
_GEOPACKAGE = ".gpkg"


@dataclass(frozen=True)
class DrawnSample:
    """A sample that was drawn."""

    path: Path
    """The GeoPackage to interpret."""
    design: DesignRecord
    """How it was drawn, with strata and their sizes."""
    notes: tuple[str, ...] = ()
    """What was decided, and what is not part of the population."""

    @property
    def count(self) -> int:
        """Number of units."""
        return sum(stratum.drawn for stratum in self.design.strata)

    def table(self) -> list[tuple[str, ...]]:
        """The strata as texts: a header row, then one row per stratum."""
        rows: list[tuple[str, ...]] = [("stratum", "share of area", "units", "in the sample")]
        for stratum in self.design.strata:
            share = stratum.area / self.design.area if self.design.area else 0.0
            rows.append((stratum.name, f"{share:.2%}", str(stratum.units), str(stratum.drawn)))
        return rows

    def values(self) -> dict[str, object]:
        """The result as JSON-ready values."""
        return {
            "path": str(self.path),
            "units": self.count,
            "design": self.design.model_dump(mode="json"),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        return grid_table(header, rows, f"{self.path.name}: {self.count} units")


@locks_output
def sample(
    prediction: Prediction | str | Path,
    *,
    out: str | Path,
    design: SampleDesign = SampleDesign(),
    strata: LabelSet | str | Path | None = None,
    chip_px: int | None = None,
    aoi: str | Path | None = None,
    scene: str | Path | None = None,
    seed: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> DrawnSample:
    """Draw a probability sample of a map, as a GeoPackage with a form for the interpreter.

    The form does not show what the map says. The file holds the design: strata and their sizes, inclusion
    probabilities, seed, and a fingerprint of the map; `assess` needs nothing else. The map is read twice in
    strips, so memory does not grow with it.

    Where pixels differ in their area on the ground (a grid in degrees, Web Mercator), units of a stratum
    still have one inclusion probability, and `assess` weights their answers with their area.

    Args:
        prediction: A class map, or predicted objects. Of a class map pixels are drawn, and the interpreter
            says which class each is. Of objects chips are drawn, and the interpreter counts what is in them.
        out: The GeoPackage.
        design: Method, number of units and how strata share them.
        strata: Strata in place of the classes of the map: polygons or a raster, in any format that
            `read_labels` reads; ground without one is the stratum "elsewhere".
        chip_px: Side of a unit, pixels of the map (default: 1; for objects it must be given). A chip of a
            class map has the class that covers most of it.
        aoi: Vector file with the area to sample.
        scene: The scene of predicted objects, if their file does not name it.
        seed: The same seed draws the same units.
        overwrite: Replace an existing file.
        on_progress: Called with (done, total, what).

    Returns:
        The sample.

    Raises:
        ConfigError: The design does not fit the map: too many units, an unknown class, no chip size.
        InputError: The prediction cannot be read, or has several files.
        SceneError: The map is no class map, or damaged.
        LabelError: The strata cannot be read.
        OutputExistsError: The file exists and `overwrite` is False.
        WriteError: The file cannot be written.

    Example:
        >>> drawn = sample("map.tif", out="sample.gpkg")  # doctest: +SKIP
    """
    target = Path(out)
    if target.suffix.lower() != _GEOPACKAGE:
        raise ConfigError(f"{target}: a sample is a GeoPackage, because it holds its form; name it NAME.gpkg")
    if chip_px is not None and chip_px < 1:
        raise ConfigError(f"`chip_px`: a unit has at least 1 px, found {chip_px}")
    refuse_existing(target, overwrite)
    if strata is not None and design.method != "stratified":
        raise ConfigError(f"`strata`: a {design.method} sample has none; use the method 'stratified'")
    part = _only_part(prediction, scene)
    if part.is_raster:
        source = _map_source(part, design, strata, chip_px or 1, aoi)
    else:
        source = _object_source(part, design, strata, chip_px, aoi)
    counts = count_population(source.population, on_progress)
    if not counts.ids:
        raise InputError(f"{part.path}: no unit of the map lies in the area to sample; check `aoi`, `strata`")
    units, drawn = _draw(source.population, counts, design, seed, on_progress)
    record = DesignRecord(
        kind=source.kind,
        method=design.method,
        allocation=design.allocation,
        at_least=design.at_least,
        seed=seed,
        unit_px=chip_px or 1,
        area_unit="m2" if source.population.grid.crs is not None else "px",
        grid=grid_tag(source.population.grid),
        map=relative_path(str(part.path), target.parent),
        fingerprint={"size": part.path.stat().st_size, "header_sha256": header_digest(part.path).hexdigest()},
        strata_from=source.strata_from,
        strata=_strata_records(source.population, counts, drawn),
        classes=_class_records(source, counts),
        objects=source.objects,
        command=command_line(),
    )
    write_sample(target, units, record, source.population.grid, overwrite=overwrite)
    notes = (*source.notes, *_population_notes(counts, source.population.grid, record))
    return DrawnSample(target, record, notes)


@dataclass(frozen=True)
class _Source:
    """The population of a prediction, and where it came from."""

    population: MapPopulation | ObjectPopulation
    kind: Literal["classes", "objects"]
    strata_from: str
    classes: ClassSet | None = None
    objects: int | None = None
    notes: tuple[str, ...] = ()


def _only_part(prediction: Prediction | str | Path, scene: str | Path | None) -> Part:
    parts = parts_of(prediction, scene)
    if len(parts) != 1:
        raise InputError(
            f"{parts[0].path.parent}: holds {len(parts)} maps; a sample is drawn of one, name its file (or "
            "join them, e.g. gdalbuildvrt)"
        )
    if parts[0].of_chips and not parts[0].is_raster:
        raise InputError(
            f"{parts[0].path}: holds classes of whole chips as a table or layer; predict them as a raster "
            "(.tif), of which a sample can be drawn"
        )
    return parts[0]


def _map_source(
    part: Part,
    design: SampleDesign,
    strata: LabelSet | str | Path | None,
    chip_px: int,
    aoi: str | Path | None,
) -> _Source:
    class_map = open_class_map(part.path)
    labels = None if strata is None else read_labels(strata)
    whole = design.method != "stratified"
    population = MapPopulation(
        class_map,
        by=labels,
        whole=whole,
        chip_px=chip_px,
        aoi=None if aoi is None else read_aoi(aoi, class_map.grid, class_map.scene.name),
    )
    strata_from = "classes"
    if labels is not None:
        strata_from = Path(labels.source).name
    elif whole:
        strata_from = "none"
    notes = list(class_map.notes)
    if labels is not None:
        notes += labels.notes
    if chip_px > 1:
        notes.append("a chip counts as the class that covers most of it, on the map and for the interpreter")
    return _Source(population, "classes", strata_from, classes=class_map.classes, notes=tuple(notes))


def _object_source(
    part: Part,
    design: SampleDesign,
    strata: LabelSet | str | Path | None,
    chip_px: int | None,
    aoi: str | Path | None,
) -> _Source:
    if strata is not None:
        raise ConfigError("`strata`: chips of predicted objects have two strata, with and without objects")
    if chip_px is None:
        raise ConfigError(
            f"{part.path}: objects are counted in chips; give their side with `chip_px`, such that a person "
            "can count what is in one"
        )
    if part.grid is None:
        raise ConfigError(f"{part.path}: does not say which scene it is of; name the `scene`")
    if design.allocation in ("neyman", "area"):
        raise ConfigError(
            f"`allocation`: '{design.allocation}' is for classes; use 'proportional' or 'equal' for objects"
        )
    places = object_centres(part, part.grid)
    counts = counted_objects(places[:, 0], places[:, 1], part.grid, chip_px)
    whole = design.method != "stratified"
    area = None if aoi is None else read_aoi(aoi, part.grid, part.scene_name)
    population = ObjectPopulation(part.grid, counts, chip_px, whole=whole, aoi=area)
    notes = ["interpreters count the objects whose centre lies in a chip; objects on an edge count once"]
    if not places.size:
        notes.append("the map has no objects, so all chips are alike")
    inside = _objects_inside(population)
    return _Source(population, "objects", "none" if whole else "objects", objects=inside, notes=tuple(notes))


def _objects_inside(population: ObjectPopulation) -> int:
    """Number of objects in the chips of the population."""
    total = 0
    for rows in population.rows():
        total += int(population.counts[rows.strata != 255].sum())
    return total


def _draw(
    population: Population,
    counts: PopulationCounts,
    design: SampleDesign,
    seed: int,
    on_progress: OnProgress,
) -> tuple[DrawnUnits, dict[int, int]]:
    """The units, and how many each stratum has of them."""
    available = int(counts.units.sum())
    if design.method == "systematic":
        units = draw_systematic(population, counts, design.count, seed=seed, on_progress=on_progress)
        if not len(units):
            raise ConfigError(
                f"`count`: a lattice of {design.count} units found none on a population of {available}; take "
                "more, or the method 'simple'"
            )
        return units, {counts.ids[0]: len(units)}
    wanted = _wanted(population, counts, design)
    units = draw_random(population, counts, wanted, seed=seed, on_progress=on_progress)
    return units, wanted


def _wanted(population: Population, counts: PopulationCounts, design: SampleDesign) -> dict[int, int]:
    """Number of units per stratum id."""
    ids = counts.ids
    areas = counts.areas[ids]
    weights = areas / areas.sum()
    count, shares = design.count, weights
    if design.allocation == "equal":
        shares = np.full(len(ids), 1 / len(ids))
    elif design.allocation in ("neyman", "area"):
        names = [population.stratum_name(stratum) for stratum in ids]
        accuracies = _accuracies(names, design)
        deviations = binomial_deviation(accuracies)
        if design.allocation == "area":
            own = _index_of(str(design.area_of), names, "area_of")
            deviations = binomial_deviation(expected_shares_of_class(accuracies, own))
            unit = _M2_PER_HA if population.grid.crs is not None else 1.0
            error = float(design.area_error or 0) * unit / float(areas.sum())
            count = needed_units(weights, deviations, error)
        shares = weights * deviations
    sizes: Int64Array = counts.units[ids]
    if design.allocation == "area":
        least = int(np.minimum(sizes, design.at_least).sum())
        count = max(count, least)
    if count > int(sizes.sum()):
        raise ConfigError(
            f"{count} units are more than the {int(sizes.sum())} that there are; take fewer, or smaller ones"
        )
    units = allocate(count, shares, sizes, design.at_least)
    return dict(zip(ids, units.tolist(), strict=True))


def _accuracies(names: list[str], design: SampleDesign) -> Float64Array:
    """(H,) expected user's accuracy of each stratum, which must be the classes of the map."""
    expected = dict(design.accuracies or {})
    for name in expected:
        _index_of(name, names, "accuracies")
    missing = [name for name in names if name not in expected]
    if missing:
        raise ConfigError(f"`accuracies`: {', '.join(missing)} has none; give one for every class of the map")
    return np.array([expected[name] for name in names], np.float64)


def _index_of(name: str, names: list[str], parameter: str) -> int:
    if name not in names:
        raise ConfigError(f"`{parameter}`: {name!r} is no stratum; they are {', '.join(names)}")
    return names.index(name)


def _strata_records(
    population: Population, counts: PopulationCounts, drawn: dict[int, int]
) -> tuple[StratumRecord, ...]:
    return tuple(
        StratumRecord(
            id=stratum,
            name=population.stratum_name(stratum),
            units=int(counts.units[stratum]),
            area=float(counts.areas[stratum]),
            drawn=drawn[stratum],
        )
        for stratum in counts.ids
    )


def _class_records(source: _Source, counts: PopulationCounts) -> tuple[MappedClass, ...]:
    """The classes that an interpreter may choose from: those of the map, and what else occurs on it."""
    if source.kind == "objects":
        return ()
    known = [] if source.classes is None else list(source.classes.ids)
    occurring = [int(class_id) for class_id in np.flatnonzero(counts.class_units)]
    ids = sorted({*known, *occurring})
    colors = {} if source.classes is None else {info.id: info.color for info in source.classes}
    named = ClassSet.of_ids({class_id: class_name(source.classes, class_id) for class_id in ids}, colors)
    return tuple(
        MappedClass(
            id=info.id,
            name=info.name,
            color=info.color,
            units=int(counts.class_units[info.id]),
            area=float(counts.class_areas[info.id]),
        )
        for info in named
    )


def _population_notes(counts: PopulationCounts, grid: PixelGrid, record: DesignRecord) -> list[str]:
    notes = []
    if counts.left_out:
        notes.append(
            f"{count_of(counts.left_out, 'unit')} of {grid.width * grid.height} without a class, without a "
            "stratum or outside the AOI are not part of what is estimated"
        )
    if record.method == "systematic":
        notes.append(
            "standard errors of a systematic sample are those of a random one, which are rather too large"
        )
    if record.area_unit == "px":
        notes.append("the map has no CRS, so areas are in pixels")
    return notes

"""`summary`: numbers of a map by zone, as a table and as a layer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from ..core.arraytypes import Float64Array, Int64Array
from ..core.commandline import command_line
from ..core.extras import needs_extra
from ..core.htmlcard import card
from ..core.htmlpage import html_row, html_table, note_list, page_head
from ..core.progress import OnProgress, silent
from ..errors import ConfigError, LabelError
from ..io.atomic import atomic_file, refuse_existing, write_bytes
from ..io.classmap import ClassMap, open_class_map
from ..io.discover import GEOTIFF_SUFFIXES, VECTOR_SUFFIXES
from ..io.outputlock import locks_output
from ..io.outputtags import COMMAND_TAG
from ..io.qgisstyles import outline_qml
from ..io.vectorlayers import check_vector_suffix, write_layer, write_layers
from .checkedground import Ratio, check_blocks, matched_columns, ratios
from .datedlayer import DatedLayer, read_dated_layer
from .zones import Zones, read_zones
from .zonesums import ZoneMeans, ZoneSums, map_sums, object_sums, raster_means
from .zonevalues import is_map_of_values, open_numbers, zone_numbers

ZONES_LAYER = "zones"
_ZONE_COLOR = "#d95f02"
_TABLES = (".csv", ".xlsx")


@dataclass(frozen=True)
class SummaryOptions:
    """How zones and truth are read.

    Example:
        >>> options = SummaryOptions(by="plot", means=["chm.tif"])
        >>> summary("trees.gpkg", zones="plots.gpkg", out="plots.csv", options=options)  # doctest: +SKIP
    """

    by: str | None = None
    """Field with the name of a zone; polygons of one name are one zone (default: each polygon is one)."""
    zone_layer: str | None = None
    """Layer of the zones, if their file has several."""
    layer: str | None = None
    """Layer of the map, if its file has several."""
    means: Sequence[str | Path] = ()
    """Rasters with one band, whose means are taken over each zone and over what is mapped in it."""
    truth: str | Path | None = None
    """Layer of true objects or areas, complete within `annotated`: corrects the sums, with 95 % intervals."""
    truth_class: str | None = None
    """Field of `truth` with the class (default: class_name, if there is one)."""
    annotated: str | Path | None = None
    """Polygons in which `truth` is complete."""
    block_m: float | None = None
    """Side of the blocks that are resampled for the intervals, metres (default: about 30 blocks)."""


@dataclass(frozen=True)
class ZoneSummary:
    """Numbers of a map by zone."""

    path: Path
    """The file."""
    source: str
    """The map."""
    zones: str
    """The file of the zones."""
    table: pd.DataFrame
    """One row per zone."""
    notes: tuple[str, ...] = ()
    """What was left out, how intervals were made."""
    page: Path | None = None
    """The HTML page, if one was written."""

    def values(self) -> dict[str, object]:
        """The summary as JSON-ready values."""
        rows = self.table.astype(object).where(self.table.notna(), None)
        values: dict[str, object] = {
            "output": str(self.path),
            "map": self.source,
            "zones": rows.to_dict("records"),
            "notes": list(self.notes),
        }
        if self.page is not None:
            values["page"] = str(self.page)
        return values

    def lines(self, most: int = 30) -> list[list[str]]:
        """Header and rows of text, at most `most` rows."""
        shown = self.table.head(most)
        return [
            list(shown.columns),
            *([_cell(value) for value in row] for row in shown.itertuples(index=False)),
        ]

    def _repr_html_(self) -> str:
        header, *rows = self.lines(10)
        body = [(row[0], ", ".join(row[1:])) for row in rows]
        return card(self.path.name, [(header[0], ", ".join(header[1:])), *body])


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return ""
    return f"{value:,.4g}" if abs(value) < 10 else f"{value:,.1f}"


@locks_output
def summary(
    source: str | Path,
    *,
    zones: str | Path,
    out: str | Path,
    options: SummaryOptions = SummaryOptions(),
    page: str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> ZoneSummary:
    """Sum up a map by zones: numbers, areas, shares, mean scores, means of other rasters.

    Objects count where their centre lies; their area is the part that lies in the zone. Pixels count where
    their centre lies. Areas are those on the ellipsoid. Rasters are read in strips, so that memory does not
    grow with them.

    With `truth`, each sum is multiplied by what there truly is per unit mapped on the checked ground, and
    gets a 95 % interval: from a bootstrap over blocks of that ground, and from how much these differ. This
    assumes that the map errs in the zones as it does there.

    Args:
        source: A class map, a layer of objects or polygons, or a map of values, of whose bands each zone gets
            mean, spread, lowest and highest number.
        zones: Vector file with polygons, in any CRS. They may overlap.
        out: The table (.csv, .xlsx), or the zones with the numbers as attributes (.gpkg, .geojson, ...).
        options: How to read zones, truth and further rasters.
        page: Also write this HTML page.
        overwrite: Replace existing files.
        on_progress: Called with (steps done, total, "steps").

    Returns:
        One row per zone.

    Raises:
        InputError: A file cannot be read, or they do not fit together.
        MissingExtraError: `out` is .xlsx, and openpyxl is not installed.
        OutputExistsError: An output exists and `overwrite` is False.
        WriteError: An output cannot be written.

    Example:
        >>> summary("roofs.gpkg", zones="districts.gpkg", out="roofs.csv")  # doctest: +SKIP
    """
    target = Path(out)
    _check_output(target)
    for path in (target, page):
        if path is not None:
            refuse_existing(path, overwrite)
    if (options.truth is None) != (options.annotated is None):
        raise ConfigError(
            "`truth` and `annotated` belong together: the truth, and where it is complete; name both"
        )
    if is_map_of_values(source):
        found = _summary_of_values(source, zones, target, options, page, overwrite)
        on_progress(2, 2, "steps")
        return found
    mapped = _open(source, options.layer)
    steps = 2 + len(options.means) + (options.truth is not None)
    placed = _placed(read_zones(zones, by=options.by, layer=options.zone_layer), mapped)
    on_progress(1, steps, "steps")
    sums = _sums(mapped, placed)
    notes = list(mapped.notes)
    if sums.outside:
        notes.append(f"{sums.outside} objects have their centre outside of all zones and are not counted")
    on_progress(2, steps, "steps")
    means = []
    for path in options.means:
        means.append(raster_means(path, mapped, placed))
        on_progress(2 + len(means), steps, "steps")
    checked: _Checked | None = None
    if options.truth is not None and options.annotated is not None:
        checked = _checked(mapped, sums, options)
        notes += checked.notes
        on_progress(steps, steps, "steps")
    table = _table(placed, sums, means, checked)
    found = ZoneSummary(
        target, str(source), str(zones), table, tuple(notes), None if page is None else Path(page)
    )
    _write(found, placed, overwrite)
    if page is not None:
        with atomic_file(page, overwrite=overwrite) as temporary:
            write_bytes(temporary, summary_page(found).encode())
    return found


def _summary_of_values(
    source: str | Path,
    zones: str | Path,
    target: Path,
    options: SummaryOptions,
    page: str | Path | None,
    overwrite: bool,
) -> ZoneSummary:
    """The numbers of a map of values by zone."""
    for name in ("means", "truth", "layer"):
        if getattr(options, name):
            raise ConfigError(
                f"{source}: is a map of values, which has no objects or areas of classes; leave `{name}` out"
            )
    scene = open_numbers(source)
    placed = read_zones(zones, by=options.by, layer=options.zone_layer).in_crs(scene.grid.crs, scene.path)
    columns: dict[str, object] = {"zone": placed.names, "zone_m2": placed.areas_m2.round(3)}
    for number, band in enumerate(zone_numbers(scene, placed)):
        if not number:
            columns["measured_m2"] = band.measured_m2.round(3)
        columns[f"{band.name}_mean"] = band.mean.round(6)
        columns[f"{band.name}_std"] = band.std.round(6)
        columns[f"{band.name}_min"] = band.minimum.round(6)
        columns[f"{band.name}_max"] = band.maximum.round(6)
    empty = int((np.asarray(columns["measured_m2"]) == 0).sum())
    notes = (f"{empty} zones have no pixel with a number in them",) if empty else ()
    page_path = None if page is None else Path(page)
    found = ZoneSummary(target, str(source), str(zones), pd.DataFrame(columns), notes, page_path)
    _write(found, placed, overwrite)
    if page is not None:
        with atomic_file(page, overwrite=overwrite) as temporary:
            write_bytes(temporary, summary_page(found).encode())
    return found


def _check_output(target: Path) -> None:
    suffix = target.suffix.lower()
    if suffix in VECTOR_SUFFIXES:
        check_vector_suffix(target)
    elif suffix not in _TABLES:
        expected = ", ".join((*_TABLES, *VECTOR_SUFFIXES))
        raise ConfigError(f"{target}: the suffix {suffix!r} is no table or layer; expected {expected}")
    if suffix == ".xlsx":
        with needs_extra(f"{target}: a table for Excel"):
            import openpyxl  # noqa: F401 - lazy: an extra


def _open(source: str | Path, layer: str | None) -> ClassMap | DatedLayer:
    if Path(source).suffix.lower() in GEOTIFF_SUFFIXES:
        return open_class_map(source)
    return read_dated_layer(source, layer=layer)


def _placed(zones: Zones, mapped: ClassMap | DatedLayer) -> Zones:
    if isinstance(mapped, ClassMap):
        return zones.in_crs(mapped.grid.crs, mapped.scene.path)
    return zones.in_crs(mapped.crs, mapped.path)


def _sums(mapped: ClassMap | DatedLayer, zones: Zones) -> ZoneSums:
    return map_sums(mapped, zones) if isinstance(mapped, ClassMap) else object_sums(mapped, zones)


@dataclass(frozen=True)
class _Checked:
    """Ratios of truth to map by class."""

    areas: list[Ratio]
    counts: list[Ratio] | None
    notes: tuple[str, ...]


def _checked(mapped: ClassMap | DatedLayer, sums: ZoneSums, options: SummaryOptions) -> _Checked:
    assert options.truth is not None and options.annotated is not None
    crs = mapped.grid.crs if isinstance(mapped, ClassMap) else mapped.crs
    blocks = check_blocks(_placed(read_zones(options.annotated), mapped), options.block_m, crs)
    truth = read_dated_layer(options.truth, class_field=options.truth_class)
    true_sums = object_sums(truth.placed_in(crs, options.annotated), blocks)
    map_in_blocks = _sums(mapped, blocks)
    names = sums.class_names
    unknown = sorted(set(true_sums.class_names) - set(names) - set(map_in_blocks.class_names))
    alone = len(names) == 1 and len(true_sums.class_names) == 1
    if unknown and not alone:
        raise LabelError(
            f"{options.truth}: holds the classes {', '.join(unknown)}, the map {', '.join(names) or 'none'}; "
            "name the field with the same classes (`truth_class`)"
        )
    areas = ratios(
        matched_columns(names, map_in_blocks, map_in_blocks.areas_m2),
        matched_columns(names, true_sums, true_sums.areas_m2),
    )
    counts = None
    if sums.counts is not None and map_in_blocks.counts is not None and true_sums.counts is not None:
        counts = ratios(
            matched_columns(names, map_in_blocks, map_in_blocks.counts),
            matched_columns(names, true_sums, true_sums.counts),
        )
    note = (
        f"corrected by the truth on {len(blocks)} blocks of checked ground: *_true is what the map shows "
        "times what there truly is per unit mapped there; the 95 % interval (*_low, *_high) covers the "
        "choice of blocks and how places differ; both assume that the map errs in the zones as it does there"
    )
    return _Checked(areas, counts, (*truth.notes, note))


def _table(
    zones: Zones, sums: ZoneSums, means: Sequence[ZoneMeans], checked: _Checked | None
) -> pd.DataFrame:
    columns: dict[str, object] = {"zone": zones.names, "zone_m2": zones.areas_m2.round(3)}
    if sums.counts is None:
        columns["measured_m2"] = sums.measured_m2.round(3)
    else:
        columns["count"] = sums.counts.sum(axis=1)
    ground = np.where(sums.measured_m2 > 0, sums.measured_m2, np.nan)
    for number, name in enumerate(sums.class_names):
        if sums.counts is not None:
            columns[f"{name}_count"] = sums.counts[:, number]
            if checked is not None and checked.counts is not None:
                columns |= _corrected(f"{name}_count", sums.counts[:, number], checked.counts[number])
        columns[f"{name}_m2"] = sums.areas_m2[:, number].round(3)
        columns[f"{name}_share"] = (sums.areas_m2[:, number] / ground).round(6)
        if checked is not None:
            columns |= _corrected(f"{name}_m2", sums.areas_m2[:, number], checked.areas[number])
    if sums.scores is not None:
        columns["mean_score"] = sums.scores.round(4)
    for mean in means:
        columns[f"{mean.name}_mean"] = mean.in_zone.round(6)
        columns[f"{mean.name}_mean_mapped"] = mean.on_map.round(6)
    return pd.DataFrame(columns)


def _corrected(name: str, amounts: Float64Array | Int64Array, ratio: Ratio) -> dict[str, object]:
    kinds = zip(("true", "low", "high"), ratio.of(amounts.astype(np.float64)), strict=True)
    return {f"{name}_{kind}": values.round(3) for kind, values in kinds}


def _write(found: ZoneSummary, zones: Zones, overwrite: bool) -> None:
    suffix = found.path.suffix.lower()
    if suffix in _TABLES:
        with atomic_file(found.path, overwrite=overwrite) as temporary:
            write_bytes(temporary, _csv(found.table) if suffix == ".csv" else _workbook(found.table))
        return
    rows = found.table.iloc[zones.zone_of_outline].reset_index(drop=True)
    layer = gpd.GeoDataFrame(rows, geometry=zones.outlines, crs=zones.crs)
    layer = layer.dissolve("zone", sort=False).reset_index() if len(layer) > len(zones) else layer
    tags = {"map": Path(found.source).name} | ({COMMAND_TAG: command_line()} if command_line() else {})
    if suffix == ".gpkg":
        styles = {ZONES_LAYER: outline_qml(_ZONE_COLOR)}
        write_layers(found.path, {ZONES_LAYER: layer}, styles, metadata=tags, overwrite=overwrite)
    else:
        write_layer(found.path, layer, layer=ZONES_LAYER, metadata=tags, overwrite=overwrite)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _workbook(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_excel(buffer, sheet_name="zones", index=False, engine="openpyxl")
    return buffer.getvalue()


def summary_page(found: ZoneSummary) -> str:
    """The summary as one self-contained HTML page."""
    title = f"{Path(found.source).name} by zones"
    header, *rows = found.lines(most=1000)
    sections = [
        page_head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>{len(found.table)} zones of {escape(Path(found.zones).name)}. Areas are square "
        "metres on the ground; *_share is the share of the measured ground of the zone.</p>",
        html_table(
            [escape(name) for name in header], [html_row([escape(cell) for cell in row]) for row in rows]
        ),
        note_list(found.notes),
        f"<footer>All rows are in <code>{escape(found.path.name)}</code>.</footer></body></html>",
    ]
    return "\n".join(section for section in sections if section)

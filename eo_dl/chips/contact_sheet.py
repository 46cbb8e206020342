"""`contact_sheet.png`: some chips of each split with their labels drawn, so that a shifted label or a wrong
band is visible at once.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont

from ..core.arrays import Chip
from ..core.arraytypes import Float32Array, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet, rgb_of
from ..core.display import display_bands, display_plane
from ..core.normalization import BandStatistics
from ..core.pixellabels import PixelLabels
from ..core.seeds import generator
from ..core.valuecolors import value_colors
from ..labels.classcover import class_mask
from ..labels.valueplanes import value_planes
from .chiprecord import ChipRecord
from .chipsource import ChipSource
from .index import SPLIT_COLORS
from .measure import in_order
from .truth import SceneTruth

_MOST = {"train": 12, "val": 6, "test": 6}
_COLUMNS = 6
_CELL_PX, _GAP_PX, _CAPTION_PX, _LEGEND_PX = 176, 8, 16, 26
_NARROWEST_PX = 560  # room for the legend
_TINT = 0.15  # of a class over its pixels
_VALUE_TINT = 0.6  # of a number: its colour is all there is to see
_RAMP_PX = 120
_PAPER, _INK, _INVALID = (250, 249, 246), (40, 40, 40), (225, 222, 214)
_IGNORED = "#8a8a8a"
_CASING = "#ffffff"  # under outlines, which may have the colour of their ground

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    folder: Path,
    truths: Sequence[SceneTruth],
    records: Sequence[ChipRecord],
    statistics: Sequence[BandStatistics],
    values: Sequence[BandStatistics] = (),
    *,
    seed: int,
    workers: int | None,
) -> bytes:
    """Draw some train, val and test chips, most of them with objects, framed in the colour of their split.

    Args:
        folder: Where written chips lie; they are faster to read than the scene.
        truths: The scenes with their labels.
        records: All chips.
        statistics: Statistics per band, by which pixels are stretched.
        values: Statistics per value, where labels are values: the first one is drawn, in colours from its
            2nd to its 98th percentile.
        seed: Same seed, same chips.
        workers: Number of threads (default: one per core, at most 16).

    Returns:
        The sheet as PNG bytes.
    """
    chosen = _chosen(records, seed)
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    step_x, step_y = _CELL_PX + _GAP_PX, _CELL_PX + _CAPTION_PX + _GAP_PX
    width = max(columns * step_x + _GAP_PX, _NARROWEST_PX)
    sheet = Image.new("RGB", (width, rows * step_y + _GAP_PX + _LEGEND_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    shown = values[0] if values else None
    cells = _cells(folder, chosen, truths, statistics, shown, workers)
    for number, (record, cell) in enumerate(zip(chosen, cells, strict=True)):
        x, y = _GAP_PX + number % columns * step_x, _GAP_PX + number // columns * step_y
        sheet.paste(cell, (x, y))
        frame = (x - 2, y - 2, x + _CELL_PX + 1, y + _CELL_PX + 1)
        draw.rectangle(frame, outline=SPLIT_COLORS[record.split], width=3)
        draw.text((x, y + _CELL_PX + 2), _caption(draw, record, font), fill=_INK, font=font)
    classes = truths[0].labels.classes
    if shown is None:
        _legend(draw, classes, sheet.height - _LEGEND_PX, width, font)
    else:
        _value_legend(draw, classes, shown, sheet.height - _LEGEND_PX, font)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _chosen(records: Sequence[ChipRecord], seed: int) -> list[ChipRecord]:
    """Some kept chips of each split, in their order: three in four with objects, if there are enough."""
    chosen: list[ChipRecord] = []
    for split, most in _MOST.items():
        rng = generator(seed, "contact sheet", split)
        of_split = [record for record in records if record.counted_split == split]
        shuffled = [of_split[index] for index in rng.permutation(len(of_split))]
        with_objects = [record for record in shuffled if not record.empty]
        without_objects = [record for record in shuffled if record.empty]
        first = max(most - len(without_objects), most * 3 // 4)
        by_preference = [*with_objects[:first], *without_objects, *with_objects[first:]]
        names = {record.chip_id for record in by_preference[:most]}
        chosen += [record for record in of_split if record.chip_id in names]
    return chosen


def _cells(
    folder: Path,
    records: Sequence[ChipRecord],
    truths: Sequence[SceneTruth],
    statistics: Sequence[BandStatistics],
    shown: BandStatistics | None,
    workers: int | None,
) -> Iterator[Image.Image]:
    with ChipSource(folder, [truth.scene for truth in truths]) as source:

        def draw(record: ChipRecord) -> Image.Image:
            """The picture of one chip; called by several threads."""
            return _cell(truths[record.scene_index], source.read(record), statistics, shown)

        with closing(in_order(draw, records, workers)) as cells:
            yield from cells


def _cell(
    truth: SceneTruth, chip: Chip, statistics: Sequence[BandStatistics], shown: BandStatistics | None
) -> Image.Image:
    labels = truth.chip(chip.window)
    picture = _stretched(chip, statistics)
    outlines_are_enough = labels.mask is None and labels.annotated is None and not labels.ignore.any()
    if shown is not None:
        _tint_values(
            picture, value_planes(labels, chip.window.height, chip.window.width, chip.valid)[0], shown
        )
    elif not outlines_are_enough:
        mask = class_mask(labels, chip.window.height, chip.window.width, chip.valid)
        _tint(picture, mask, labels.classes)
    size = picture.shape[0]
    resampling = Image.Resampling.HAMMING if size > _CELL_PX else Image.Resampling.NEAREST
    image = Image.fromarray(picture).resize((_CELL_PX, _CELL_PX), resampling)
    _draw_outlines(ImageDraw.Draw(image), labels, _CELL_PX / size)
    return image


def _stretched(chip: Chip, statistics: Sequence[BandStatistics]) -> UInt8Array:
    """(H, W, 3): the bands to show, each from the 2nd to the 98th percentile of the train chips."""
    planes = []
    for index in display_bands(chip.bands.names):
        low, high = statistics[index].p02, statistics[index].p98
        plane = display_plane(chip.pixels[index], chip.bands[index], low, high)
        planes.append(plane.astype(np.uint8))
    picture = np.stack(planes * (3 // len(planes)), axis=-1)
    picture[~chip.valid] = _INVALID
    return picture


def _tint(picture: UInt8Array, mask: UInt8Array, classes: ClassSet) -> None:
    """Colour a picture (H, W, 3) in place by its class mask (H, W)."""
    for info in classes.foreground:
        of_class = mask == info.id
        color = np.array(rgb_of(info.color))
        picture[of_class] = (picture[of_class] * (1 - _TINT) + color * _TINT).astype(np.uint8)
    ignored = mask == IGNORE_ID
    picture[ignored] = (picture[ignored] * 0.5 + 100).astype(np.uint8)


def _tint_values(picture: UInt8Array, plane: Float32Array, shown: BandStatistics) -> None:
    """Colour a picture (H, W, 3) in place by numbers (H, W)."""
    known = np.isfinite(plane)
    colors = value_colors(plane, shown.p02, shown.p98)
    picture[known] = (picture[known] * (1 - _VALUE_TINT) + colors[known] * _VALUE_TINT).astype(np.uint8)


def _draw_outlines(draw: ImageDraw.ImageDraw, labels: PixelLabels, factor: float) -> None:
    colors = {info.id: info.color for info in labels.classes}
    frame = shapely.box(-2, -2, _CELL_PX / factor + 2, _CELL_PX / factor + 2)
    parts, label_of_part = shapely.get_parts(
        shapely.intersection(labels.geometries, frame), return_index=True
    )
    polygons = shapely.get_dimensions(parts) == 2
    rings, polygon_of_ring = shapely.get_rings(parts[polygons], return_index=True)
    label_of_ring = label_of_part[polygons][polygon_of_ring]
    for ring, class_id in zip(rings, labels.class_ids[label_of_ring], strict=True):
        points = [tuple(point) for point in (shapely.get_coordinates(ring) * factor).tolist()]
        draw.line(points, fill=_CASING, width=4)
        draw.line(points, fill=colors.get(int(class_id), _IGNORED), width=2)


def _caption(draw: ImageDraw.ImageDraw, record: ChipRecord, font: Font) -> str:
    """Split and name of a chip; a name that is too long loses its beginning."""
    name = record.chip_id
    while name and draw.textlength(f"{record.split} {name}", font=font) > _CELL_PX:
        name = name[1:]
    return f"{record.split} {name}"


def _legend(draw: ImageDraw.ImageDraw, classes: ClassSet, top: int, width: int, font: Font) -> None:
    x = float(_GAP_PX)
    for info in classes.foreground:
        label_px = draw.textlength(info.name, font=font)
        if x + label_px + 24 > width:
            draw.text((x, top + 4), "...", fill=_INK, font=font)
            return
        draw.rectangle((x, top + 5, x + 12, top + 17), fill=info.color, outline=_INK)
        draw.text((x + 17, top + 4), info.name, fill=_INK, font=font)
        x += label_px + 32


def _value_legend(
    draw: ImageDraw.ImageDraw, classes: ClassSet, shown: BandStatistics, top: int, font: Font
) -> None:
    """The colours of the numbers, with the numbers at their ends."""
    info, unit = classes.classes[0], classes.value_infos[0]
    text = f"{info.name}  {shown.p02:.4g}"
    draw.text((_GAP_PX, top + 4), text, fill=_INK, font=font)
    left = round(_GAP_PX + draw.textlength(text, font=font) + 6)
    numbers = np.linspace(shown.p02, shown.p98, _RAMP_PX)[None]
    for col, color in enumerate(value_colors(numbers, shown.p02, shown.p98)[0].tolist()):
        draw.line((left + col, top + 5, left + col, top + 17), fill=tuple(color))
    end = unit.with_unit(shown.p98)
    draw.text((left + _RAMP_PX + 6, top + 4), end, fill=_INK, font=font)

"""What a bundle keeps of the train chips, so that a scene can be compared with them: values and ground."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import shapely

from ...chips.chiprecord import ChipRecord
from ...core.arraytypes import AnyArray, GeometryArray
from ...core.bands import BandSet
from ...core.geometries import polygons_in
from ...core.gridwindow import between_grids, window_outlines
from ...core.quantiles import pooled_quantiles
from ...io.gdal import one_environment
from ...io.scene import Scene
from ...modelspec import GroundSpec, QuantilesSpec
from ..setup.taskdata import TaskData

_MOST_CHIPS = 256
_MOST_BYTES = 64 * 2**20
_MOST_VERTICES = 20_000
_FRACTION_OF_A_PIXEL = 0.01


def train_quantiles(data: TaskData) -> tuple[QuantilesSpec | None, ...]:
    """Quantiles per band of up to 256 train chips, evenly spread over those that are used.

    Empty where no pixel of them is valid.
    """
    records = _spread(data.records["train"])
    dataset = data.dataset("train")
    pixel_bytes = 8 * len(data.chips.bands) * len(records)
    most_px = max(1, _MOST_BYTES // pixel_bytes)
    samples: list[tuple[AnyArray, BandSet]] = []
    with one_environment():
        for record in records:
            chip = dataset.read(record)
            stored = chip.pixels[:, chip.valid]
            step = max(1, -(-stored.shape[1] // most_px))
            # An odd step does not fall on the same columns of every row.
            samples.append((stored[:, :: step | 1] if step > 1 else stored, chip.bands))
    if not any(stored.size for stored, _ in samples):
        return ()
    return tuple(
        None if one is None else QuantilesSpec(p02=one.p02, p50=one.p50, p98=one.p98)
        for one in pooled_quantiles(samples)
    )


def _spread(records: Sequence[ChipRecord]) -> list[ChipRecord]:
    count = min(len(records), _MOST_CHIPS)
    return [
        records[number] for number in np.linspace(0, len(records) - 1, count).round().astype(int).tolist()
    ]


def trained_ground(data: TaskData) -> tuple[GroundSpec, ...]:
    """The ground of all train chips: one area per CRS, and one per image without a CRS."""
    records: dict[int, list[ChipRecord]] = defaultdict(list)
    for record in data.records["train"]:
        records[record.scene_index].append(record)
    on_map: dict[str, list[GeometryArray]] = defaultdict(list)
    precisions: dict[str, float] = {}
    ground: list[GroundSpec] = []
    for index in sorted(records):
        scene = data.chips.scenes[index]
        outlines = _chips_of(scene, records[index])
        if scene.native.crs is None:
            ground.append(_ground_of_image(scene, outlines))
            continue
        crs = scene.native.crs.to_string()
        on_map[crs].append(scene.native.geometries_to_map(outlines))
        pixel = abs(scene.native.transform.determinant) ** 0.5
        precisions[crs] = min(pixel * _FRACTION_OF_A_PIXEL, precisions.get(crs, np.inf))
    for crs, parts in on_map.items():
        area = _merged(np.concatenate(parts), precisions[crs])
        ground.append(GroundSpec(crs=crs, area=shapely.to_wkt(area, rounding_precision=12, trim=True)))
    return tuple(ground)


def _chips_of(scene: Scene, records: Sequence[ChipRecord]) -> GeometryArray:
    """The chips as rectangles in pixels of the file, without what lies outside it."""
    outlines = window_outlines([record.window for record in records])
    in_file = between_grids(outlines, scene.grid, scene.native, scene.name)
    frame = shapely.box(0, 0, scene.native.width, scene.native.height)
    return np.asarray(shapely.intersection(in_file, frame), dtype=object)


def _ground_of_image(scene: Scene, outlines: GeometryArray) -> GroundSpec:
    area = _merged(outlines, _FRACTION_OF_A_PIXEL)
    return GroundSpec(
        scene=scene.name,
        header_sha256=str(scene.fingerprint()["header_sha256"]),
        area=shapely.to_wkt(area, rounding_precision=2, trim=True),
    )


def _merged(outlines: GeometryArray, precision: float) -> shapely.Geometry:
    """The union; where it has very many vertices it is simplified, by as little as is needed."""
    # Simplified by next to nothing, it loses the corners of chips along its straight sides.
    area = shapely.simplify(shapely.union_all(outlines, grid_size=precision), precision)
    tolerance = precision
    while shapely.get_num_coordinates(area) > _MOST_VERTICES:
        tolerance *= 4
        area = shapely.simplify(area, tolerance)
    return shapely.MultiPolygon(polygons_in(area).tolist())

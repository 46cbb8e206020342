"""`queue_chips`: what to label next, as a layer to work through in QGIS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import geopandas
import numpy as np

from ...bundle import Bundle, load_model
from ...chips.chipset import ChipSet, open_chip_set
from ...core.htmlcard import grid_table
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...core.window import Window
from ...errors import ConfigError, SceneError
from ...inference.contract import SceneOptions, fit_scene
from ...io.atomic import refuse_existing
from ...io.qgisstyles import ranks_qml
from ...io.scene import Scene, open_scene
from ...io.vectorlayers import write_layers
from ...labels.reading import read_labels
from .chipviews import VIEWS
from .modelprobe import Features, Probe, Seen
from .openground import open_windows, outlines_of, places_of
from .reasons import reason
from .selection import choose

Measure = Literal["entropy", "margin", "disagreement"]

MEASURES: tuple[Measure, ...] = ("entropy", "margin", "disagreement")
LAYER = "queue"
_MOST_KNOWN = 512
_BATCH_PX = 2**20
_LEAST_VALID = 0.5


@dataclass(frozen=True)
class Pick:
    """A chip to label: `rank` from 1, its scene and window (working pixels), its `score` (0 to 1, falling),
    what the model says of it, how new it is, and all that in words.
    """

    rank: int
    scene: str
    window: Window
    score: float
    entropy: float
    margin: float
    disagreement: float
    novelty: float
    reason: str


@dataclass(frozen=True)
class Queue:
    """The layer `queue` at `path`, and what is in it; chosen from `candidates` chips."""

    path: Path
    picks: tuple[Pick, ...]
    candidates: int
    notes: tuple[str, ...]

    @property
    def header(self) -> tuple[str, ...]:
        """Column names of `rows`."""
        return ("rank", "scene", "col", "row", "score", *MEASURES, "novelty", "reason")

    @property
    def rows(self) -> tuple[tuple[object, ...], ...]:
        """A line for each chip, first things first."""
        return tuple(
            (
                p.rank,
                p.scene,
                p.window.col,
                p.window.row,
                *(f"{v:.3f}" for v in (p.score, p.entropy, p.margin, p.disagreement, p.novelty)),
                p.reason,
            )
            for p in self.picks
        )

    @property
    def values(self) -> dict[str, object]:
        """Everything as plain values."""
        picks = [dict(zip(self.header, row, strict=True)) for row in self.rows]
        return {
            "path": str(self.path),
            "candidates": self.candidates,
            "picks": picks,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return grid_table(
            self.header, self.rows, f"{len(self.picks)} of {self.candidates} chips to label next"
        )


def queue_chips(
    model: Bundle | str | Path,
    scenes: Scene | str | Path | Sequence[Scene | str | Path],
    *,
    out: str | Path,
    count: int = 20,
    size_px: int | None = None,
    labels: LabelSet | str | Path | None = None,
    chips: ChipSet | str | Path | None = None,
    aoi: str | Path | None = None,
    by: Measure = "entropy",
    diversity: float = 0.5,
    views: int = 4,
    options: SceneOptions | None = None,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Queue:
    """The `count` chips from whose labels the model would learn most, sorted, in a GeoPackage styled for
    QGIS.

    Scenes are cut by a grid of the model's chips (`size_px`). Left out: ground outside `aoi`, ground that
    `labels` or `chips` have annotated, chips of which less than half was measured. The rest is ranked `by`
    how unsure the model is (see `uncertainty`), seen in `views` (1 to 8) turned and mirrored ways, by how
    unlike the chips are to each other, to the ground of `labels` and to the train chips of `chips` in the
    encoder's features (`diversity`: 0 not at all, 1 only that), and evenly over the ground. The same input
    gives the same queue.

    Raises one of the `InputError` tree with one line.

    >>> queue_chips("model.eodl", ["north.tif", "south.tif"], out="queue.gpkg", chips="chips")  # doctest: +SKIP
    """
    _check(out, count, by, diversity, views, overwrite)
    bundle = model if isinstance(model, Bundle) else load_model(model)
    fitted, notes = _fitted(bundle, scenes, options or SceneOptions())
    known = open_chip_set(chips) if isinstance(chips, str | Path) else chips
    given = read_labels(labels) if isinstance(labels, str | Path) else labels
    _check_size(size_px, bundle, fitted)
    ground = open_windows(fitted, size_px or bundle.spec.chip_px, aoi, given, known, notes)
    probe = Probe(bundle, device=device, views=views)
    old = [
        *_features_of_labelled(probe, fitted, ground.done),
        *_features_of_chips(bundle, probe, known, options or SceneOptions()),
    ]
    seen = _looked(probe, fitted, ground.open, notes, on_progress)
    places = [(index, one.window) for index, one in seen]
    unsure = np.array([getattr(one.uncertainty, by) for _, one in seen])
    taken = choose(
        unsure,
        np.stack([one.features for _, one in seen]),
        places_of(fitted, places, count),
        np.stack(old) if old else np.empty((0, len(seen[0][1].features)), np.float32),
        count,
        diversity,
    )
    if len(taken.order) < count:
        notes.append(f"only {len(taken.order)} chips are left to label")
    picks = tuple(
        _pick(
            rank,
            fitted,
            seen[place],
            (score, new),
            reason(seen[place][1].uncertainty, by, unsure, bundle.classes, new),
        )
        for rank, (place, new, score) in enumerate(
            zip(taken.order.tolist(), taken.novelty.tolist(), taken.score.tolist(), strict=True), start=1
        )
    )
    _write(Path(out), fitted, [places[place] for place in taken.order.tolist()], picks, bundle, by, overwrite)
    return Queue(Path(out), picks, len(seen), tuple(notes))


def _check(out: str | Path, count: int, by: str, diversity: float, views: int, overwrite: bool) -> None:
    if Path(out).suffix.lower() != ".gpkg":
        raise ConfigError(f"{out}: a queue is a GeoPackage; give it a .gpkg name (-o/--out)")
    refuse_existing(out, overwrite)
    if count < 1:
        raise ConfigError(f"labels queue: at least one chip can be asked for, found {count}; correct --count")
    if by not in MEASURES:
        raise ConfigError(
            f"labels queue: chips are ranked by {', '.join(MEASURES)}, found {by!r}; correct --by"
        )
    if not 0 <= diversity <= 1:
        raise ConfigError(
            f"labels queue: diversity is a share from 0 to 1, found {diversity:g}; correct --diversity"
        )
    if not 1 <= views <= len(VIEWS):
        raise ConfigError(f"labels queue: a chip has 1 to {len(VIEWS)} views, found {views}; correct --views")
    if by == "disagreement" and views < 2:
        raise ConfigError(
            "labels queue: one view cannot disagree with itself; give --views 2 or more, or rank --by entropy"
        )


def _check_size(size_px: int | None, bundle: Bundle, scenes: Sequence[Scene]) -> None:
    """A chip that no scene fills would be mostly padding, and could fill the memory."""
    longest = max(max(scene.grid.height, scene.grid.width) for scene in scenes)
    if size_px is not None and size_px > max(longest, bundle.spec.chip_px):
        raise ConfigError(
            f"labels queue: chips of {size_px} px are larger than every scene (at most {longest} px); give a smaller --size, or leave it out"
        )


def _fitted(
    bundle: Bundle, scenes: Scene | str | Path | Sequence[Scene | str | Path], options: SceneOptions
) -> tuple[list[Scene], list[str]]:
    given = [scenes] if isinstance(scenes, Scene | str | Path) else list(scenes)
    if not given:
        raise ConfigError("labels queue: no scene was given; name at least one raster")
    found = [
        fit_scene(bundle, scene if isinstance(scene, Scene) else open_scene(scene), options)
        for scene in given
    ]
    return [one.scene for one in found], [note for one in found for note in one.notes]


def _features_of_labelled(
    probe: Probe, scenes: Sequence[Scene], windows: Sequence[Sequence[Window]]
) -> list[Features]:
    """Of the chips that labels have annotated, evenly chosen where they are many."""
    step = max(1, -(-sum(map(len, windows)) // _MOST_KNOWN))
    return [
        one.features
        for scene, own in zip(scenes, windows, strict=True)
        for one in probe.look(scene, own[::step], _batch(own))
    ]


def _features_of_chips(
    bundle: Bundle, probe: Probe, chips: ChipSet | None, options: SceneOptions
) -> list[Features]:
    """Of the train chips that there are, evenly chosen where they are many."""
    if chips is None:
        return []
    records = chips.split("train")
    records = records[:: max(1, -(-len(records) // _MOST_KNOWN))]
    found: list[Features] = []
    for index in sorted({record.scene_index for record in records}):
        own = fit_scene(bundle, chips.scenes[index], options).scene
        windows = [record.window for record in records if record.scene_index == index]
        found += [one.features for one in probe.look(own, windows, _batch(windows))]
    return found


def _batch(windows: Sequence[Window]) -> int:
    return max(1, min(32, _BATCH_PX // windows[0].area_px)) if windows else 1


def _looked(
    probe: Probe,
    scenes: Sequence[Scene],
    windows: Sequence[Sequence[Window]],
    notes: list[str],
    on_progress: OnProgress,
) -> list[tuple[int, Seen]]:
    """Every chip that was measured well enough, with the index of its scene."""
    total, done, seen = sum(map(len, windows)), 0, []
    on_progress(0, total, "chips")
    for index, (scene, own) in enumerate(zip(scenes, windows, strict=True)):
        for one in probe.look(scene, own, _batch(own)):
            done += 1
            inside = one.window.intersection(scene.grid.window)
            if inside is not None and one.valid_share * one.window.area_px >= _LEAST_VALID * inside.area_px:
                seen.append((index, one))
            on_progress(done, total, "chips")
    if len(seen) < total:
        notes.append(
            f"{total - len(seen)} of {total} chips left out: less than half of their pixels are measured"
        )
    if not seen:
        raise SceneError(
            f"{scenes[0].path}: no chip has half of its pixels measured; check nodata (eo-dl inspect)"
        )
    return seen


def _pick(
    rank: int, scenes: Sequence[Scene], found: tuple[int, Seen], value: tuple[float, float], why: str
) -> Pick:
    index, seen = found
    told, (score, novelty) = seen.uncertainty, value
    return Pick(
        rank,
        scenes[index].name,
        seen.window,
        score,
        told.entropy,
        told.margin,
        told.disagreement,
        novelty,
        why,
    )


def _write(
    out: Path,
    scenes: Sequence[Scene],
    places: Sequence[tuple[int, Window]],
    picks: Sequence[Pick],
    bundle: Bundle,
    by: str,
    overwrite: bool,
) -> None:
    outlines, frame = outlines_of(scenes, places)
    columns = {
        "rank": [pick.rank for pick in picks],
        "status": ["to do"] * len(picks),
        "scene": [pick.scene for pick in picks],
        **{
            name: [round(getattr(pick, name), 6) for pick in picks]
            for name in ("score", *MEASURES, "novelty")
        },
        "reason": [pick.reason for pick in picks],
        **{
            name: [getattr(pick.window, name) for pick in picks] for name in ("col", "row", "width", "height")
        },
    }
    table = geopandas.GeoDataFrame(
        columns, geometry=outlines, crs=None if frame.crs is None else frame.crs.to_wkt()
    )
    said = {"model": bundle.path.name, "model_sha256": bundle.hash, "ranked_by": by}
    write_layers(
        out, {LAYER: table}, {LAYER: ranks_qml("rank", len(picks))}, metadata=said, overwrite=overwrite
    )

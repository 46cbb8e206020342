"""`queue_chips`: which chips to label next, as a layer to work through in QGIS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import geopandas
import numpy as np

from ...bundle import Bundle, load_model
from ...chips.chipset import ChipSet, open_chip_set
from ...chips.measure import Candidate, enough_valid
from ...core.arraytypes import Float32Array, Float64Array
from ...core.chipviews import VIEWS
from ...core.classes import ClassSet
from ...core.htmlcard import grid_table
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...core.window import Window
from ...errors import ConfigError, InputError, SceneError
from ...inference.contract import fit_scene
from ...io.atomic import refuse_existing
from ...io.outputlock import locks_output
from ...io.qgisstyles import ranks_qml
from ...io.scene import Scene, SceneSources, open_scenes
from ...io.vectorlayers import write_layers
from ...labels.reading import read_labels
from ...networks.compute import Compute
from ...uncertainty.applicability import Applicability
from .modelprobe import Probe, ProbedChip
from .openground import WindowsPerScene, chip_outlines, find_open_ground, neighbourhoods
from .reasons import reason
from .selection import select

Measure = Literal["entropy", "margin", "disagreement", "dissimilarity"]

MEASURES = ("entropy", "margin", "disagreement")
LAYER = "queue"
_MOST_KNOWN = 512  # labelled chips that candidates are compared with
_LEAST_VALID = 0.5


@dataclass(frozen=True)
class Ranking:
    """How candidates are ranked."""

    by: Measure = "entropy"
    """The measure of uncertainty (see `chipuncertainty`); or "dissimilarity": ground outside the area of
    applicability of the model first."""

    diversity: float = 0.5
    """Weight of diversity against uncertainty, 0 to 1."""

    views: int = 4
    """In how many rotated and mirrored views the model predicts each chip, 1 to 8."""

    def __post_init__(self) -> None:
        known = get_args(Measure)
        if self.by not in known:
            raise ConfigError(f"`by`: expected one of {', '.join(known)}, found {self.by!r}")
        if not 0 <= self.diversity <= 1:
            raise ConfigError(f"`diversity`: expected a number from 0 to 1, found {self.diversity:g}")
        if not 1 <= self.views <= len(VIEWS):
            raise ConfigError(f"`views`: expected 1 to {len(VIEWS)}, found {self.views}")
        if self.by == "disagreement" and self.views < 2:
            raise ConfigError(
                "`views`: a single view cannot disagree with itself; use 2 or more, or another measure in "
                "`by`"
            )


@dataclass(frozen=True)
class Pick:
    """A chip to label."""

    rank: int
    """Its position in the queue, from 1."""

    scene: str
    """File name of its scene."""

    window: Window
    """Where it lies, in pixels of the grid that the model reads."""

    score: float
    """Its value when it was selected, 0 to 1; it falls with the rank."""

    entropy: float
    """See `chipuncertainty.Uncertainty`."""

    margin: float
    """See `chipuncertainty.Uncertainty`."""

    disagreement: float
    """See `chipuncertainty.Uncertainty`."""

    novelty: float
    """How different it is from the chips labelled or ranked before, 0 to 1."""

    reason: str
    """All of that in words, as shown on the map."""


@dataclass(frozen=True)
class Queue:
    """The chips to label next, as written."""

    path: Path
    """The GeoPackage with the layer `queue`."""

    picks: tuple[Pick, ...]
    """The chips, most valuable first."""

    candidates: int
    """Number of chips that they were selected from."""

    notes: tuple[str, ...]
    """What was done and left out on the way."""

    @property
    def header(self) -> tuple[str, ...]:
        """Column names of `rows`."""
        return ("rank", "scene", "col", "row", "score", *MEASURES, "novelty", "reason")

    @property
    def rows(self) -> tuple[tuple[object, ...], ...]:
        """One row per chip, most valuable first."""
        return tuple(_row(pick) for pick in self.picks)

    @property
    def values(self) -> dict[str, object]:
        """Everything as plain values, for JSON."""
        picks = [dict(zip(self.header, row, strict=True)) for row in self.rows]
        return {
            "path": str(self.path),
            "candidates": self.candidates,
            "picks": picks,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        title = f"{len(self.picks)} of {self.candidates} chips to label next"
        return grid_table(self.header, self.rows, title)


@locks_output
def queue_chips(
    model: Bundle | str | Path,
    scenes: SceneSources,
    *,
    out: str | Path,
    count: int = 20,
    ranking: Ranking | None = None,
    size_px: int | None = None,
    labels: LabelSet | str | Path | None = None,
    chips: ChipSet | str | Path | None = None,
    aoi: str | Path | None = None,
    compute: Compute = Compute(),
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Queue:
    """The chips from whose labels the model would learn most, sorted, in a GeoPackage styled for QGIS.

    Scenes are cut by a regular grid. Chips that are annotated already, lie outside `aoi`, or of which less
    than half was measured are left out. The others are ranked by the uncertainty of the model, by their
    difference from one another and from labelled chips in the features of the model's backbone, and are
    spread evenly over the ground. The same input gives the same queue.

    Args:
        model: The model, or the path of its bundle.
        scenes: One or more scenes, or their paths.
        out: The GeoPackage to write.
        count: Number of chips to select.
        ranking: How uncertainty is measured and weighed against diversity (default: `Ranking()`).
        size_px: Side of a chip, pixels (default: that of the model).
        labels: Existing labels. Ground that they have annotated is not queued, and chips like it rank lower.
        chips: An existing chip set, treated like `labels`; its train chips are what candidates are compared
            with. They are read from their own scenes, at the GSD of the model.
        aoi: Polygons outside of which nothing is queued.
        compute: Where and how the model runs; "auto" is the fastest engine, in float32.
        overwrite: Replace an existing file.
        on_progress: Called with the number of chips done and their total.

    Returns:
        The queue as written.

    Raises:
        ConfigError: A parameter is out of range.
        SceneError: No chip has half of its pixels measured.
        InputError: Everything is annotated already, or a scene does not fit the model.
        OutputExistsError: `out` exists.

    Example:
        >>> queue_chips("model.eodl", "town.tif", out="queue.gpkg", chips="chips")  # doctest: +SKIP
    """
    ranking = ranking or Ranking()
    _check_output(out, count, overwrite)
    bundle = load_model(model)
    opened = open_scenes(scenes)
    fitted, notes = _fit_scenes(bundle, opened)
    label_set = None if labels is None else read_labels(labels)
    chip_set = None if chips is None else open_chip_set(chips)
    chip_px = _chip_size(size_px, bundle, fitted)
    ground = find_open_ground(fitted, chip_px, aoi=aoi, labels=label_set, chips=chip_set)

    probe = Probe(bundle, compute=compute, views=ranking.views, applicability=_applicability(bundle, ranking))
    known = [*_features_of_windows(probe, fitted, ground.annotated)]
    if chip_set is not None:
        force = any(scene.options.force for scene in opened)
        known += _features_of_train_chips(probe, bundle, chip_set, force)
    candidates, probed = _probe_candidates(probe, fitted, ground.candidates, on_progress)
    total = sum(map(len, ground.candidates))
    notes += ground.notes
    if len(probed) < total:
        notes.append(
            f"{total - len(probed)} of {total} chips left out: less than half of their pixels are measured"
        )

    uncertainty = np.array([_value(chip, ranking.by) for chip in probed])
    features = np.stack([chip.features for chip in probed])
    selection = select(
        uncertainty,
        features,
        np.stack(known) if known else features[:0],
        neighbourhoods(candidates, count),
        count=count,
        diversity=ranking.diversity,
    )
    if len(selection.order) < count:
        notes.append(f"only {len(selection.order)} chips remain to be labelled")

    picks = []
    for number, index in enumerate(selection.order.tolist()):
        chip, novelty = probed[index], float(selection.novelty[number])
        picks.append(
            Pick(
                rank=number + 1,
                scene=fitted[candidates[index].scene_index].name,
                window=chip.window,
                score=float(selection.score[number]),
                entropy=chip.uncertainty.entropy,
                margin=chip.uncertainty.margin,
                disagreement=chip.uncertainty.disagreement,
                novelty=novelty,
                reason=_reason(chip, ranking.by, uncertainty, bundle.classes, novelty),
            )
        )
    tags = {"model": bundle.path.name, "model_sha256": bundle.hash, "ranked_by": ranking.by}
    table = _layer(picks, fitted, [candidates[index] for index in selection.order.tolist()])
    styles = {LAYER: ranks_qml("rank", len(picks))}
    write_layers(Path(out), {LAYER: table}, styles, metadata=tags, overwrite=overwrite)
    return Queue(Path(out), tuple(picks), len(probed), tuple(notes))


def _applicability(bundle: Bundle, ranking: Ranking) -> Applicability | None:
    """What chips are compared with; None if they are not ranked by that. Raises `ConfigError`."""
    if ranking.by != "dissimilarity":
        return None
    known = bundle.applicability()
    if known is None:
        raise ConfigError(
            f"{bundle.path}: keeps nothing of its training ground, so chips cannot be ranked by how unlike "
            "it they are; rank by another measure in `by`, or train it again"
        )
    return known


def _value(chip: ProbedChip, by: Measure) -> float:
    """What a chip is ranked by, 0 to 1."""
    if by == "dissimilarity":
        return chip.dissimilarity / (1 + chip.dissimilarity)  # one half at the border
    return float(getattr(chip.uncertainty, by))


def _reason(
    chip: ProbedChip, by: Measure, all_values: Float64Array, classes: ClassSet, novelty: float
) -> str:
    if by == "dissimilarity":
        place = "outside" if chip.dissimilarity > 1 else "inside"
        return (
            f"{place} the area of applicability: {chip.dissimilarity:.2f} times as far from the training "
            "ground as its border"
        )
    return reason(chip.uncertainty, by, all_values, classes, novelty)


def _row(pick: Pick) -> tuple[object, ...]:
    values = (pick.score, pick.entropy, pick.margin, pick.disagreement, pick.novelty)
    rounded = (f"{value:.3f}" for value in values)
    return (pick.rank, pick.scene, pick.window.col, pick.window.row, *rounded, pick.reason)


def _check_output(out: str | Path, count: int, overwrite: bool) -> None:
    if Path(out).suffix.lower() != ".gpkg":
        raise ConfigError(f"{out}: a queue is a GeoPackage; give `out` a name that ends in .gpkg")
    if count < 1:
        raise ConfigError(f"`count`: expected at least 1 chip, found {count}")
    refuse_existing(out, overwrite)


def _fit_scenes(bundle: Bundle, scenes: Sequence[Scene]) -> tuple[list[Scene], list[str]]:
    """The scenes as the model reads them, and notes on what was done for that."""
    if not scenes:
        raise ConfigError("`scenes`: expected at least one raster, found none")
    fitted = [fit_scene(bundle, scene) for scene in scenes]
    notes = [note for fit in fitted for note in fit.notes]
    return [fit.scene for fit in fitted], list(dict.fromkeys(notes))  # some are about the model


def _chip_size(size_px: int | None, bundle: Bundle, scenes: Sequence[Scene]) -> int:
    """The side of a chip. A chip larger than every scene would be mostly padding, and could fill the
    memory.
    """
    longest = max(max(scene.grid.height, scene.grid.width) for scene in scenes)
    if size_px is not None and size_px > max(longest, bundle.spec.chip_px):
        raise ConfigError(
            f"`size_px`: chips of {size_px} px are larger than every scene (at most {longest} px); "
            "choose a smaller size"
        )
    return size_px or bundle.spec.chip_px


def _features_of_windows(
    probe: Probe, scenes: Sequence[Scene], windows: WindowsPerScene
) -> Iterator[Float32Array]:
    """The features of windows, evenly thinned if there are many."""
    step = _thinning(sum(map(len, windows)))
    for scene, windows_of_scene in zip(scenes, windows, strict=True):
        for chip in probe.look(scene, windows_of_scene[::step]):
            yield chip.features


def _features_of_train_chips(
    probe: Probe, bundle: Bundle, chips: ChipSet, force: bool
) -> Iterator[Float32Array]:
    """The features of the train chips of a set, evenly thinned if there are many."""
    train = chips.split("train")
    records = train[:: _thinning(len(train))]
    for index in sorted({record.scene_index for record in records}):
        try:
            scene = fit_scene(bundle, chips.scenes[index], force=force).scene
        except InputError as cause:
            raise InputError(
                f"{chips.path}: its scenes do not fit {bundle.path.name}, so its chips cannot be compared; "
                f"omit `chips` ({cause})"
            ) from cause
        # The model may read the scene on another grid than the chips were cut on.
        windows = [record.window.on(scene.grid) for record in records if record.scene_index == index]
        for chip in probe.look(scene, windows):
            yield chip.features


def _thinning(count: int) -> int:
    """Take every n-th of `count` chips to have at most `_MOST_KNOWN`."""
    return max(1, -(-count // _MOST_KNOWN))


def _probe_candidates(
    probe: Probe, scenes: Sequence[Scene], windows: WindowsPerScene, on_progress: OnProgress
) -> tuple[list[Candidate], list[ProbedChip]]:
    """The chips of which enough was measured, and what the model makes of each."""
    total, done = sum(map(len, windows)), 0
    candidates: list[Candidate] = []
    probed: list[ProbedChip] = []
    on_progress(0, total, "chips")
    for index, (scene, windows_of_scene) in enumerate(zip(scenes, windows, strict=True)):
        for chip in probe.look(scene, windows_of_scene):
            if enough_valid(chip.valid_share, chip.window, scene, _LEAST_VALID):
                candidates.append(Candidate(index, chip.window))
                probed.append(chip)
            done += 1
            on_progress(done, total, "chips")
    if not probed:
        raise SceneError(
            f"{scenes[0].path}: no chip has half of its pixels measured; check nodata with `eo-dl inspect`"
        )
    return candidates, probed


def _layer(
    picks: Sequence[Pick], scenes: Sequence[Scene], candidates: Sequence[Candidate]
) -> geopandas.GeoDataFrame:
    """The layer as QGIS shows it; `status` is for the user to set."""
    outlines, frame = chip_outlines(scenes, candidates)
    columns: dict[str, list[object]] = {
        "rank": [pick.rank for pick in picks],
        "status": ["to do"] * len(picks),
        "scene": [pick.scene for pick in picks],
    }
    for name in ("score", *MEASURES, "novelty"):
        columns[name] = [round(getattr(pick, name), 6) for pick in picks]
    columns["reason"] = [pick.reason for pick in picks]
    for name in ("col", "row", "width", "height"):
        columns[name] = [getattr(pick.window, name) for pick in picks]
    crs = None if frame.crs is None else frame.crs.to_wkt()
    return geopandas.GeoDataFrame(columns, geometry=outlines, crs=crs)

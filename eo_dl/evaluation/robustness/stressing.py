"""`stress`: a model on altered copies of a piece of a scene."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from ...bundle import Bundle, load_model
from ...chips.truth import SceneTruth
from ...chips.writing import chip_geotiff, write_whole
from ...core.arrays import Chip
from ...core.gridwindow import window_outlines
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...core.window import Window
from ...core.wording import listed
from ...errors import ConfigError, InputError, LabelError
from ...inference.contract import fit_scene
from ...inference.predict import predict
from ...io.atomic import refuse_existing
from ...io.outputlock import locks_output
from ...io.scene import Scene, SceneReader, open_scene
from ...io.vectorlayers import write_layer
from ...labels.reading import read_labels
from ...scores.score import Score
from ...tasks import CHIPS
from ..predictionfiles import Part, parts_of
from ..versus.comparemaps import compare
from ..versus.contrast import Contrast
from .alterations import (
    GSD,
    GSD_FACTORS,
    KINDS,
    PATCH,
    PATCH_FILLS,
    PATCH_SIDES_PX,
    SHIFT,
    SHIFTS_PX,
    Alteration,
    lattice_of_patches,
    patched,
    pixel_alterations,
)
from .mapagreement import agreement_of_maps
from .stressreport import StressReport, StressRow, write_stress

_MOST_BANDS = 12
"""Bands that are altered one by one; a hyperspectral scene has hundreds."""

_FAILED = 0.5
"""A model has failed where its score is below this share of what it was."""


@locks_output
def stress(
    model: Bundle | str | Path,
    scene: Scene | str | Path,
    *,
    truth: LabelSet | str | Path,
    out: str | Path | None = None,
    kinds: Iterable[str] | None = None,
    most_px: int = 1024,
    class_map: Mapping[str, str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> StressReport:
    """How a model stands a shifted chip grid, other GSD, light, haze, noise, compression and lost bands.

    A piece of the scene is altered, predicted and scored, once per kind and strength. Beside the score stands
    the agreement with what the model says of the unaltered piece. Of squares that hide a part of the ground,
    the worst of a few fillings is taken, and they grow until the score of the ground around them is half of
    what it was. The same seed gives the same numbers.

    Args:
        model: The model or its file.
        scene: The scene.
        truth: The reference: labels, or a file in any format that `read_labels` reads.
        out: Folder for stress.json, stress.html and the picture; None writes nothing. The model's file is
            not changed, because maps name it by its hash.
        kinds: Only these kinds of alterations (default: all that suit the model).
        most_px: Side of the piece; of a larger scene the square with most labels is taken.
        class_map: Name in the truth -> name in the model, or "ignore".
        seed: Seed of the noise.
        overwrite: Replace an existing report.
        on_progress: Called with (done, total, what).

    Returns:
        The scores; with `out`, its `path` is the HTML file.

    Raises:
        ConfigError: A kind is not known, or does not suit the model.
        InputError: The scene does not fit the model.
        LabelError: The truth cannot be read, or does not overlap the piece.
        OutputExistsError: The folder exists and `overwrite` is False.
        WriteError: The report cannot be written.

    Example:
        >>> report = stress("roofs.eodl", "town.tif", truth="truth.gpkg")  # doctest: +SKIP
    """
    if out is not None:
        refuse_existing(out, overwrite)
    bundle = load_model(model)
    with tempfile.TemporaryDirectory(prefix="eo_dl_stress_") as folder:
        trial = _Trial.of(bundle, scene, read_labels(truth), Path(folder), most_px, class_map, seed)
        wanted = _wanted_kinds(trial, kinds)
        base = trial.base()
        rows = trial.rows(wanted, base, on_progress)
        report = StressReport(
            model=str(bundle.path),
            scene=trial.scene.path,
            truth=trial.labels.source,
            score_name=base.score.name,
            base=base.score,
            piece=trial.window.box,
            rows=tuple(rows),
            notes=(*trial.notes, *_left_out_notes(trial, wanted)),
        )
    return report if out is None else write_stress(report, out, overwrite)


@dataclass(frozen=True)
class StressPlan:
    """What `stress` would do."""

    predictions: int
    """Number of predictions."""
    seconds: float
    """About how long they take."""
    piece: tuple[int, int, int, int]
    """The piece of the scene (col0, row0, col1, row1), pixels at the GSD of the model."""

    def values(self) -> dict[str, object]:
        """The plan as JSON-ready values."""
        return {"predictions": self.predictions, "seconds": self.seconds, "piece": list(self.piece)}


def plan_stress(
    model: Bundle | str | Path,
    scene: Scene | str | Path,
    *,
    truth: LabelSet | str | Path,
    kinds: Iterable[str] | None = None,
    most_px: int = 1024,
    class_map: Mapping[str, str] | None = None,
) -> StressPlan:
    """How long `stress` would take with these parameters: one prediction is done and timed.

    Args:
        model: As for `stress`.
        scene: As for `stress`.
        truth: As for `stress`.
        kinds: As for `stress`.
        most_px: As for `stress`.
        class_map: As for `stress`.

    Raises:
        EoDlError: As `stress` does.
    """
    bundle = load_model(model)
    with tempfile.TemporaryDirectory(prefix="eo_dl_stress_") as folder:
        trial = _Trial.of(bundle, scene, read_labels(truth), Path(folder), most_px, class_map, 0)
        wanted = _wanted_kinds(trial, kinds)
        trial.base()
        started = time.perf_counter()
        trial.base()
        seconds = time.perf_counter() - started
        count = trial.count(wanted)
        return StressPlan(count, seconds * count, trial.window.box)


@dataclass(frozen=True)
class _Predicted:
    """A prediction of the piece, and its score."""

    part: Part
    score: Score


@dataclass
class _Trial:
    """A model, a piece of a scene and its reference."""

    bundle: Bundle
    scene: Scene
    """The scene with the bands and at the GSD of the model."""
    labels: LabelSet
    chip: Chip
    """The unaltered piece."""
    window: Window
    """The piece on the grid of `scene`."""
    folder: Path
    class_map: Mapping[str, str] | None
    seed: int
    notes: list[str] = field(default_factory=list)
    _made: int = 0

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        scene: Scene | str | Path,
        labels: LabelSet,
        folder: Path,
        most_px: int,
        class_map: Mapping[str, str] | None,
        seed: int,
    ) -> _Trial:
        if most_px < bundle.spec.chip_px:
            raise ConfigError(
                f"`most_px`: the piece must hold a chip of the model ({bundle.spec.chip_px} px), found "
                f"{most_px}"
            )
        fitted = fit_scene(bundle, open_scene(scene), force=True).scene
        window = fitted.grid.window
        notes = []
        if fitted.grid.crs is not None:
            window = _piece(fitted, labels, most_px)
            if window != fitted.grid.window:
                notes.append(
                    f"a piece of {window.width}x{window.height} px of the scene's {fitted.grid.width}x"
                    f"{fitted.grid.height} is altered, the one with most labels"
                )
        with SceneReader(fitted) as reader:
            chip = reader.read(window)
        if not chip.valid.any():
            raise InputError(f"{fitted.path}: nothing in the piece {window.box} is valid")
        return cls(
            bundle=bundle,
            scene=fitted,
            labels=labels,
            chip=chip,
            window=window,
            folder=folder,
            class_map=class_map,
            seed=seed,
            notes=notes,
        )

    @property
    def suitable(self) -> tuple[str, ...]:
        """Kinds that suit the model and the scene."""
        unsuitable = set()
        if self.scene.grid.crs is None:
            unsuitable |= {SHIFT, GSD, PATCH}  # the reference is in pixels of the whole image
        if self.bundle.task.output == CHIPS:
            unsuitable |= {SHIFT, GSD, PATCH}  # other chips, of other ground
        return tuple(kind for kind in KINDS if kind not in unsuitable)

    def base(self) -> _Predicted:
        """The unaltered piece."""
        part = self._predict(self.chip)
        contrast = self._compared(part, part)
        return _Predicted(part, contrast.first)

    def count(self, kinds: Sequence[str]) -> int:
        """Number of predictions for these kinds."""
        altered = [one for one in self._pixel_alterations() if one.kind in kinds]
        special = {
            SHIFT: len(SHIFTS_PX),
            GSD: len(GSD_FACTORS),
            PATCH: len(PATCH_SIDES_PX) * len(PATCH_FILLS),
        }
        return 1 + len(altered) + sum(number for kind, number in special.items() if kind in kinds)

    def rows(self, kinds: Sequence[str], base: _Predicted, on_progress: OnProgress) -> list[StressRow]:
        """One row per kind and strength, in the order of `KINDS`."""
        total, done = self.count(kinds) - 1, 0
        rows: list[StressRow] = []
        for kind in kinds:
            if kind == PATCH:
                rows += self._patches(base, on_progress, done, total)
                continue
            for alteration, chip in self._altered(kind):
                rows.append(self._row(alteration, base, self._predict(chip)))
                done += 1
                on_progress(done, total, "alterations")
        on_progress(total, total, "alterations")
        return rows

    def _altered(self, kind: str) -> list[tuple[Alteration, Chip]]:
        if kind == SHIFT:
            return [(Alteration(SHIFT, float(by), f"{by} px"), self._shifted(by)) for by in SHIFTS_PX]
        if kind == GSD:
            return [(Alteration(GSD, by, f"x {by:g}"), self._resampled(by)) for by in GSD_FACTORS]
        alterations = [one for one in self._pixel_alterations() if one.kind == kind]
        return [(one, one.apply(self.chip)) for one in alterations]

    def _pixel_alterations(self) -> list[Alteration]:
        found = pixel_alterations(self.chip.bands.names, self.bundle.normalization, self.seed)
        return [one for one in found if one.channel is None or one.channel < _MOST_BANDS]

    def _shifted(self, by: int) -> Chip:
        """The piece without its first rows and columns, which moves the chip grid on the ground."""
        height, width = self.chip.valid.shape
        window = Window(self.window.col + by, self.window.row + by, width - by, height - by)
        return replace(
            self.chip,
            pixels=self.chip.pixels[:, by:, by:],
            valid=self.chip.valid[by:, by:],
            grid=self.scene.grid.crop(window),
            window=window,
        )

    def _resampled(self, factor: float) -> Chip:
        """The piece as a sensor of another GSD would have it."""
        grid = self.scene.grid
        coarse = self.scene.resized(max(1, round(grid.height / factor)), max(1, round(grid.width / factor)))
        across, down = coarse.grid.width / grid.width, coarse.grid.height / grid.height
        window = Window(
            int(self.window.col * across),
            int(self.window.row * down),
            max(1, int(self.window.width * across)),
            max(1, int(self.window.height * down)),
        )
        with SceneReader(coarse) as reader:
            return reader.read(window)

    def _predict(self, chip: Chip) -> Part:
        """The prediction of a chip, written as a scene of the same file name: labels find it by that."""
        self._made += 1
        folder = self.folder / str(self._made)
        folder.mkdir()
        path = folder / f"{self.scene.stem}.tif"
        write_whole(path, chip_geotiff(chip))
        out = folder / f"map{self.bundle.task.output.default_suffix}"
        scene = open_scene(path, force=True, valid=self.scene.valid)
        prediction = predict(self.bundle, scene, out=out, keep_gsd=True, force=True)
        return parts_of(prediction)[0]

    def _row(
        self, alteration: Alteration, base: _Predicted, altered: Part, aoi: Path | None = None
    ) -> StressRow:
        margin = self.bundle.spec.margin_px if alteration.kind == SHIFT else 0
        agreement = agreement_of_maps(base.part, altered, margin)
        contrast = self._compared(base.part, altered, aoi)
        return StressRow(
            kind=alteration.kind,
            strength=alteration.strength,
            text=alteration.text,
            score=contrast.second,
            drop=contrast.difference,
            agreement=agreement,
        )

    def _compared(self, first: Part, second: Part, aoi: Path | None = None) -> Contrast:
        report = compare(first.path, second.path, truth=self.labels, class_map=self.class_map, aoi=aoi)
        return report.headline[0]

    def _patches(self, base: _Predicted, on_progress: OnProgress, done: int, total: int) -> list[StressRow]:
        """Per side of the squares the worst filling, until the model fails."""
        rows: list[StressRow] = []
        height, width = self.chip.valid.shape
        for side in PATCH_SIDES_PX:
            boxes = lattice_of_patches(height, width, side)
            if not boxes:
                break
            windows = [Window.from_box(*box) for box in boxes]
            places = np.zeros((height, width), np.bool_)
            for window in windows:
                places[window.slices] = True
            around = self._around(windows, side)
            tried = []
            for fill in PATCH_FILLS:
                alteration = patched(side, fill, places, self.bundle.normalization, self.seed)
                part = self._predict(alteration.apply(self.chip))
                tried.append(self._row(alteration, base, part, around))
                done += 1
                on_progress(done, total, "alterations")
            rows.append(min(tried, key=lambda row: row.score.value if row.score.defined else math.inf))
            if rows[-1].score.value < _FAILED * base.score.value:
                break
        return rows

    def _around(self, windows: list[Window], side: int) -> Path:
        """The ground of the piece without the squares, which is what is scored."""
        height, width = self.chip.valid.shape
        ground = shapely.difference(
            shapely.box(0, 0, width, height), shapely.union_all(window_outlines(windows))
        )
        outlines = self.chip.grid.geometries_to_map(np.array([ground], dtype=object))
        path = self.folder / f"around_{side}.gpkg"
        write_layer(path, gpd.GeoDataFrame({"side": [side]}, geometry=outlines, crs=self.chip.grid.crs))
        return path


def _piece(scene: Scene, labels: LabelSet, most_px: int) -> Window:
    """The square of the scene with most labels; all of a small scene.

    Raises `LabelError` if no label lies on the scene.
    """
    grid = scene.grid
    width, height = min(most_px, grid.width), min(most_px, grid.height)
    if (width, height) == (grid.width, grid.height):
        return grid.window
    truth = SceneTruth.of(labels, scene)
    best, most = Window((grid.width - width) // 2, (grid.height - height) // 2, width, height), 0
    if truth.raster is not None:
        return best
    for row in range(0, grid.height - height + 1, max(1, height // 2)):
        for col in range(0, grid.width - width + 1, max(1, width // 2)):
            window = Window(col, row, width, height)
            count = len(truth.labels.within(window))
            if count > most:
                best, most = window, count
    if not most:
        raise LabelError(
            f"{labels.source}: no label lies on {scene.name}; check that both show the same place"
        )
    return best


def _wanted_kinds(trial: _Trial, kinds: Iterable[str] | None) -> tuple[str, ...]:
    suitable = trial.suitable
    if kinds is None:
        return suitable
    wanted = tuple(kinds)
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown:
        raise ConfigError(f"`kinds`: {listed(unknown)} is none of {listed(KINDS, len(KINDS))}")
    unsuitable = [kind for kind in wanted if kind not in suitable]
    if unsuitable:
        raise ConfigError(
            f"`kinds`: {listed(unsuitable)} does not suit {trial.bundle.path.name} on {trial.scene.name}; "
            f"choose from {listed(suitable, len(suitable))}"
        )
    return tuple(kind for kind in KINDS if kind in wanted)


def _left_out_notes(trial: _Trial, wanted: Sequence[str]) -> list[str]:
    notes = []
    left_out = [kind for kind in KINDS if kind not in trial.suitable]
    if left_out:
        names = listed(left_out, len(left_out))
        notes.append(f"not tried, because it does not suit the model or the scene: {names}")
    if len(trial.chip.bands) > _MOST_BANDS:
        notes.append(f"of {len(trial.chip.bands)} bands the first {_MOST_BANDS} are altered one by one")
    return notes

"""`weak_labels`: from labelling functions over scenes to rasters of class probabilities.

Scenes are read twice, a few million pixels at a time: once to count vote patterns, once to write their
probabilities. Memory depends on the width of a scene and the number of patterns, not on its height.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.arrays import Chip
from ...core.arraytypes import Float64Array
from ...core.classes import IGNORE_ID, ClassSet
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...core.window import Window
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.classmap import QUANTA
from ...io.outputlock import locks_output
from ...io.qgisstyles import PROBABILITIES_TAG, classes_tag
from ...io.rasterwriter import RasterWriter
from ...io.scene import Scene, SceneReader, SceneSources, open_scenes
from ...labels.reading import read_labels
from ...version import __version__
from .labelmodel import LabelModel, Prior, by_agreement, majority
from .voters import TruthVoter, Voter, make_voter
from .votes import Codes, PatternCode, PatternCounter, Patterns, PatternTable
from .weakconfig import WeakConfig, parse_functions, read_weak_config
from .weakreport import VoteReport, WeakLabels, vote_reports

_STRIP_PIXELS = 2_000_000


@dataclass(frozen=True)
class _SceneVotes:
    """A scene with its voters; that of the hand labels, if there are any, comes last."""

    scene: Scene
    voters: tuple[Voter, ...]

    def strips(self, code: PatternCode) -> Generator[tuple[Chip, Codes], None, None]:
        """Chips of whole rows from top to bottom with the code of each pixel's votes."""
        height, width, block = self.scene.grid.height, self.scene.grid.width, self.scene.file.block_px[0]
        rows = max(1, _STRIP_PIXELS // width)
        rows = rows // block * block if rows >= block else rows
        with SceneReader(self.scene) as reader:
            for row0 in range(0, height, rows):
                chip = reader.read(Window(0, row0, width, min(rows, height - row0)))
                yield chip, code.encode([voter.votes(chip) for voter in self.voters])


@locks_output
def weak_labels(
    scenes: SceneSources,
    functions: WeakConfig | str | Path | Sequence[str],
    *,
    out: str | Path,
    truth: LabelSet | str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> WeakLabels:
    """Class probabilities from labelling functions that vote or abstain, as rasters that `tile` and `train`
    use as labels (soft targets).

    The accuracies of the functions are estimated over all scenes together.

    Args:
        scenes: The scenes to label.
        functions: A YAML file, a `WeakConfig`, or short texts ("water: ndwi > 0.2", "building: roofs.gpkg",
            "tree: cover.tif=10").
        out: A .tif; for several scenes a folder, which gets NAME.tif for each. One band per class, uint8, in
            1/254; 255: every function abstains, or nothing was measured.
        truth: A few hand labels on which each function and the result are scored. They are not learnt from.
        overwrite: Replace existing files.
        on_progress: Called with the number of rows done and their total.

    Raises:
        ConfigError: The functions or the output cannot be used.
        LabelError: Every function abstains everywhere, or no pixel was measured.
        BandError: A scene lacks a band that a function needs.
        OutputExistsError: An output exists.

    Example:
        >>> functions = ["water: ndwi > 0.2", "plants: ndvi > 0.4"]
        >>> weak_labels("ortho.tif", functions, out="weak.tif").rows  # doctest: +SKIP
    """
    opened = open_scenes(scenes)
    config = _config(functions)
    outs = _outputs(opened, Path(out), overwrite)
    classes = config.class_set()
    notes: list[str] = []
    hand = None if truth is None else read_labels(truth)
    parts = [_scene_votes(config, classes, scene, hand, notes) for scene in opened]
    code = PatternCode(len(config.functions) + (hand is not None), len(classes))
    total = 2 * sum(scene.grid.height for scene in opened)
    codes, patterns = _counted(parts, code, total, on_progress)
    function_count = len(config.functions)
    votes = _without_truth(patterns, function_count)
    truth_counts = _truth_counts(patterns, function_count, len(classes))
    model = _model(config, classes, votes)
    titles = [function.title for function in config.functions]
    reports = vote_reports(titles, classes, votes, model, truth_counts)
    notes += _remarks(config, reports, hand)

    table = PatternTable(code, codes, _quantised(model, votes))
    tags = _tags(config, reports)
    done = total // 2
    for part, path in zip(parts, outs, strict=True):
        writer = _writer(part.scene, path, classes, tags, overwrite)
        _write(part, writer, code, table, _after(done, total, on_progress))
        done += part.scene.grid.height
    return WeakLabels(
        paths=tuple(outs),
        classes=classes,
        functions=reports[:-1],
        together=reports[-1],
        class_shares=_shares(model, patterns, classes),
        notes=tuple(dict.fromkeys(notes)),
    )


def _config(functions: WeakConfig | str | Path | Sequence[str]) -> WeakConfig:
    if isinstance(functions, WeakConfig):
        return functions
    if isinstance(functions, str | Path):
        return read_weak_config(functions)
    return parse_functions(functions)


def _outputs(scenes: Sequence[Scene], out: Path, overwrite: bool) -> list[Path]:
    if not scenes:
        raise ConfigError("`scenes`: expected at least one raster, found none")
    into_folder = len(scenes) > 1 or out.is_dir()
    if not into_folder and out.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{out}: weak labels are a GeoTIFF; give `out` a name that ends in .tif")
    if into_folder and out.suffix:
        raise ConfigError(
            f"{out}: weak labels of {len(scenes)} scenes are a folder of rasters; name a folder as `out`"
        )
    outs = [out / f"{scene.stem}.tif" for scene in scenes] if into_folder else [out]
    if len(set(outs)) < len(outs):
        raise ConfigError(
            f"{out}: two scenes have the same name, and so would their labels; run them separately"
        )
    inputs = {path for scene in scenes for path in scene.local_files}
    if inputs & {path.resolve() for path in outs}:
        raise ConfigError(f"{out}: is a scene of this run and is never overwritten; choose another `out`")
    if into_folder:
        out.mkdir(parents=True, exist_ok=True)
    for path in outs:
        refuse_existing(path, overwrite)
    return outs


def _scene_votes(
    config: WeakConfig, classes: ClassSet, scene: Scene, hand: LabelSet | None, notes: list[str]
) -> _SceneVotes:
    voters = tuple(make_voter(function, classes, scene, notes) for function in config.functions)
    if hand is None:
        return _SceneVotes(scene, voters)
    truth = TruthVoter(hand, classes, scene)
    if truth.unknown:
        notes.append(
            f"{hand.source}: the classes {', '.join(truth.unknown[:8])} are not among the weak labels and "
            "are not scored"
        )
    return _SceneVotes(scene, (*voters, truth))


def _counted(
    parts: Sequence[_SceneVotes], code: PatternCode, total: int, on_progress: OnProgress
) -> tuple[Codes, Patterns]:
    counter, done = PatternCounter(code), 0
    on_progress(0, total, "rows")
    for part in parts:
        with closing(part.strips(code)) as strips:
            for chip, strip_codes in strips:
                counter.add(strip_codes if chip.valid.all() else strip_codes[chip.valid])
                done += chip.window.height
                on_progress(done, total, "rows")
    codes, patterns = counter.patterns()
    if not len(codes):
        raise LabelError(
            f"{parts[0].scene.path}: no pixel was measured, so there is nothing to label; check nodata with "
            "`eo-dl inspect`"
        )
    return codes, patterns


def _without_truth(patterns: Patterns, functions: int) -> Patterns:
    return Patterns(patterns.votes[:, :functions], patterns.pixels)


def _truth_counts(
    patterns: Patterns, functions: int, classes: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(P, K) pixels of each pattern by their hand label; 0 without hand labels."""
    counts = np.zeros((len(patterns.pixels), classes + 1), np.int64)
    if patterns.votes.shape[1] > functions:
        counts[np.arange(len(counts)), patterns.votes[:, functions]] = patterns.pixels
    return counts[:, 1:]


def _model(config: WeakConfig, classes: ClassSet, patterns: Patterns) -> LabelModel:
    if config.method == "majority":
        return majority(patterns, len(classes))
    shares = _prior_shares(config, classes)
    return by_agreement(patterns, len(classes), Prior(shares, config.accuracy, config.trust))


def _prior_shares(config: WeakConfig, classes: ClassSet) -> Float64Array:
    """(K,) expected shares, which sum to 1; classes without one share what remains."""
    if not config.prior:
        return np.full(len(classes), 1 / len(classes))
    known = {name.casefold(): share for name, share in config.prior.items()}
    shares = np.array([known.get(name.casefold(), 0.0) for name in classes.names])
    missing = shares == 0
    if missing.any():
        shares[missing] = max(1 - shares.sum(), 0.0) / missing.sum()
    if (shares <= 0).any():
        raise ConfigError(
            f"weak labels: prior leaves nothing for {classes.names[int(np.argmin(shares))]!r}; its shares "
            "must sum to less than 1, or list all classes"
        )
    return np.asarray(shares / shares.sum(), np.float64)


def _quantised(model: LabelModel, patterns: Patterns) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    values = np.rint(model.probabilities * QUANTA).astype(np.uint8)
    values[patterns.voters == 0] = IGNORE_ID
    return values


def _remarks(config: WeakConfig, reports: Sequence[VoteReport], hand: LabelSet | None) -> list[str]:
    *functions, together = reports
    notes = [f"function {report.name!r} votes nowhere" for report in functions if report.coverage == 0]
    if config.method == "agreement":
        alone = [report.name for report in functions if report.coverage > 0 and np.isnan(report.accuracy)]
        if alone:
            notes.append(
                f"{', '.join(map(repr, alone))} never votes where another function does: assumed to be right "
                f"in {config.accuracy:.0%} of its votes"
            )
        poor = [report.name for report in functions if report.accuracy < 0.5]
        if poor:
            notes.append(
                f"{', '.join(map(repr, poor))} disagrees with the others more often than not; check it"
            )
        if sum(not np.isnan(report.accuracy) for report in functions) == 2:
            notes.append(
                "only two functions vote on the same pixels: agreement cannot tell which of them is right; "
                "add a third"
            )
    if hand is not None and not together.hand_px:
        notes.append(f"{hand.source}: no hand label lies where functions vote, so nothing was scored")
    if together.coverage == 0:
        raise LabelError(
            "weak labels: every function abstains everywhere; loosen the thresholds, or check the layers and "
            "their values"
        )
    return notes


def _tags(config: WeakConfig, reports: Sequence[VoteReport]) -> dict[str, str]:
    functions: dict[str, object] = {}
    for report in reports:
        accuracy = None if np.isnan(report.accuracy) else round(report.accuracy, 4)
        functions[report.name] = {"coverage": round(report.coverage, 4), "accuracy": accuracy}
    return {
        "eo_dl": __version__,
        "weak_labels": json.dumps({"method": config.method, "functions": functions}, ensure_ascii=False),
    }


def _shares(model: LabelModel, patterns: Patterns, classes: ClassSet) -> dict[str, float]:
    weights = patterns.pixels @ model.probabilities
    shares = weights / max(weights.sum(), 1e-9)
    return {name: round(float(share), 6) for name, share in zip(classes.names, shares, strict=True)}


def _after(before: int, total: int, on_progress: OnProgress) -> OnProgress:
    return lambda done, _, what: on_progress(before + done, total, what)


def _writer(
    scene: Scene, path: Path, classes: ClassSet, tags: dict[str, str], overwrite: bool
) -> RasterWriter:
    return RasterWriter(
        path,
        scene.grid,
        count=len(classes),
        nodata=IGNORE_ID,
        descriptions=classes.names,
        tags={**tags, "scene": scene.name, PROBABILITIES_TAG: classes_tag(classes)},
        scales=[1 / QUANTA] * len(classes),
        overwrite=overwrite,
    )


def _write(
    part: _SceneVotes, writer: RasterWriter, code: PatternCode, table: PatternTable, on_progress: OnProgress
) -> None:
    """Second pass over a scene: write the probabilities of its patterns."""
    with writer, closing(part.strips(code)) as strips:
        for chip, codes in strips:
            planes = table.look_up(codes)
            planes[:, ~chip.valid] = IGNORE_ID
            writer.write(chip.window.row, planes)
            on_progress(chip.window.row1, 0, "rows")

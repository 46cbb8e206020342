"""`weak_labels`: labelling functions over scenes to rasters of class probabilities.

Scenes are read twice, a few million pixels at a time: once to count vote patterns, once to write what the
patterns came to. Memory depends on the width of a scene and the number of patterns, not on its height.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.arrays import Chip
from ...core.classes import IGNORE_ID, ClassSet
from ...core.labelset import LabelSet
from ...core.progress import OnProgress, silent
from ...core.window import Window
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.classmap import QUANTA
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
    """A scene with its voters, the one that knows the truth last (where there is one)."""

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


def weak_labels(
    scenes: SceneSources,
    functions: WeakConfig | str | Path | Sequence[str],
    *,
    out: str | Path,
    truth: LabelSet | str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> WeakLabels:
    """Class probabilities from labelling functions that vote or abstain, as a raster that `tile` and `train`
    take for labels (soft targets).

    `functions`: a YAML file, a `WeakConfig`, or short texts ("water: ndwi > 0.2", "building: roofs.gpkg",
    "tree: cover.tif=10"). `out`: a .tif, for several scenes a folder that gets NAME.tif of each; a band a
    class, in 1/254, 255 where every function abstains or nothing was measured. Accuracies are learnt over all
    scenes together. `truth`: a few hand labels; each function and the result are scored on them (they are not
    learnt from).

    Raises one of the `InputError` tree, `WriteError`.

    >>> weak_labels("ortho.tif", ["water: ndwi > 0.2", "plants: ndvi > 0.4"], out="weak.tif")  # doctest: +SKIP
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
    model = _model(config, classes, _without_truth(patterns, len(config.functions)))
    reports = vote_reports(
        [function.title for function in config.functions],
        classes,
        _without_truth(patterns, len(config.functions)),
        model,
        _truth_counts(patterns, len(config.functions), len(classes)),
    )
    notes += _remarks(config, reports, hand)
    table = PatternTable(code, codes, _quantised(model, _without_truth(patterns, len(config.functions))))
    done = total // 2
    for part, path in zip(parts, outs, strict=True):
        _write(
            part,
            path,
            code,
            table,
            classes,
            _tags(config, reports),
            overwrite,
            _after(done, total, on_progress),
        )
        done += part.scene.grid.height
    return WeakLabels(
        tuple(outs),
        classes,
        reports[:-1],
        reports[-1],
        _shares(model, patterns, classes),
        tuple(dict.fromkeys(notes)),
    )


def _config(functions: WeakConfig | str | Path | Sequence[str]) -> WeakConfig:
    if isinstance(functions, WeakConfig):
        return functions
    return read_weak_config(functions) if isinstance(functions, str | Path) else parse_functions(functions)


def _outputs(scenes: Sequence[Scene], out: Path, overwrite: bool) -> list[Path]:
    if not scenes:
        raise ConfigError("weak labels: no scene was given; name at least one raster")
    several = len(scenes) > 1 or out.is_dir()
    if not several and out.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{out}: weak labels are a GeoTIFF; give `out` a name that ends in .tif")
    if several and out.suffix:
        raise ConfigError(
            f"{out}: weak labels of {len(scenes)} scenes are a folder of rasters; name a folder as `out`"
        )
    outs = [out / f"{scene.stem}.tif" for scene in scenes] if several else [out]
    if len(set(outs)) < len(outs):
        raise ConfigError(f"{out}: two scenes have one name, so would their labels; give them apart")
    inputs = {Path(scene.path).resolve() for scene in scenes if not scene.remote}
    if inputs & {path.resolve() for path in outs}:
        raise ConfigError(f"{out}: is a scene of this run and is never overwritten; choose another `out`")
    if several:
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
    if truth.left:
        notes.append(
            f"{hand.source}: the classes {', '.join(truth.left[:8])} are none of the weak labels and are not "
            "scored"
        )
    return _SceneVotes(scene, (*voters, truth))


def _counted(
    parts: Sequence[_SceneVotes], code: PatternCode, total: int, on_progress: OnProgress
) -> tuple[Codes, Patterns]:
    counter, done = PatternCounter(code), 0
    on_progress(0, total, "rows")
    for part in parts:
        with closing(part.strips(code)) as strips:
            for chip, codes in strips:
                counter.add(codes if chip.valid.all() else codes[chip.valid])
                done += chip.window.height
                on_progress(done, total, "rows")
    found = counter.patterns()
    if not len(found[0]):
        raise LabelError(
            f"{parts[0].scene.path}: no pixel was measured, so there is nothing to label; check nodata "
            "(eo-dl inspect)"
        )
    return found


def _without_truth(patterns: Patterns, functions: int) -> Patterns:
    return Patterns(patterns.votes[:, :functions], patterns.pixels)


def _truth_counts(
    patterns: Patterns, functions: int, classes: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(P, K) pixels of each pattern by their class by hand; 0 where there is none."""
    counts = np.zeros((len(patterns.pixels), classes + 1), np.int64)
    if patterns.votes.shape[1] > functions:
        counts[np.arange(len(counts)), patterns.votes[:, functions]] = patterns.pixels
    return counts[:, 1:]


def _model(config: WeakConfig, classes: ClassSet, patterns: Patterns) -> LabelModel:
    if config.method == "majority":
        return majority(patterns, len(classes))
    said = {name.casefold(): share for name, share in (config.prior or {}).items()}
    shares = np.array([said.get(name.casefold(), 0.0) for name in classes.names])
    left = shares == 0
    shares[left] = max(1 - shares.sum(), 0.0) / left.sum() if said and left.any() else 1.0
    if said and (shares <= 0).any():
        raise ConfigError(
            f"weak labels: prior leaves nothing for {classes.names[int(np.argmin(shares))]!r}; its shares "
            "must sum to less than 1, or name all classes"
        )
    return by_agreement(patterns, len(classes), Prior(shares / shares.sum(), config.accuracy, config.trust))


def _quantised(model: LabelModel, patterns: Patterns) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found = np.rint(model.probabilities * QUANTA).astype(np.uint8)
    found[patterns.voters == 0] = IGNORE_ID
    return found


def _remarks(config: WeakConfig, reports: Sequence[VoteReport], hand: LabelSet | None) -> list[str]:
    *functions, together = reports
    notes = [f"function {report.name!r} votes nowhere" for report in functions if report.coverage == 0]
    if config.method == "agreement":
        alone = [report.name for report in functions if report.coverage > 0 and np.isnan(report.accuracy)]
        if alone:
            notes.append(
                f"{', '.join(map(repr, alone))} nowhere met another function: taken to be right in "
                f"{config.accuracy:.0%} of its votes"
            )
        poor = [report.name for report in functions if report.accuracy < 0.5]
        if poor:
            notes.append(
                f"{', '.join(map(repr, poor))} disagrees with the others more often than not; look at it"
            )
        if sum(not np.isnan(report.accuracy) for report in functions) == 2:
            notes.append(
                "only two functions meet: which of them is right cannot be told from agreement; add a third"
            )
    if hand is not None and not together.hand_px:
        notes.append(f"{hand.source}: no hand label lies where functions vote, so nothing could be scored")
    if together.coverage == 0:
        raise LabelError(
            "weak labels: every function abstains everywhere; loosen the thresholds, or check the layers and "
            "their values"
        )
    return notes


def _tags(config: WeakConfig, reports: Sequence[VoteReport]) -> dict[str, str]:
    told = {
        report.name: {
            "coverage": round(report.coverage, 4),
            "accuracy": None if np.isnan(report.accuracy) else round(report.accuracy, 4),
        }
        for report in reports
    }
    return {
        "eo_dl": __version__,
        "weak_labels": json.dumps({"method": config.method, "functions": told}, ensure_ascii=False),
    }


def _shares(model: LabelModel, patterns: Patterns, classes: ClassSet) -> dict[str, float]:
    weights = patterns.pixels @ model.probabilities
    return {
        name: round(float(share), 6)
        for name, share in zip(classes.names, weights / max(weights.sum(), 1e-9), strict=True)
    }


def _after(before: int, total: int, on_progress: OnProgress) -> OnProgress:
    return lambda done, _, what: on_progress(before + done, total, what)


def _write(
    part: _SceneVotes,
    path: Path,
    code: PatternCode,
    table: PatternTable,
    classes: ClassSet,
    tags: dict[str, str],
    overwrite: bool,
    on_progress: OnProgress,
) -> None:
    writer = RasterWriter(
        path,
        part.scene.grid,
        count=len(classes),
        nodata=IGNORE_ID,
        descriptions=classes.names,
        tags={**tags, "scene": part.scene.name, PROBABILITIES_TAG: classes_tag(classes)},
        scales=[1 / QUANTA] * len(classes),
        overwrite=overwrite,
    )
    with writer, closing(part.strips(code)) as strips:
        for chip, codes in strips:
            planes = table.look_up(codes)
            planes[:, ~chip.valid] = IGNORE_ID
            writer.write(chip.window.row, planes)
            on_progress(chip.window.row1, 0, "rows")

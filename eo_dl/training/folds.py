"""Cross-validation over the spatial folds of a chip set: one model per fold, scores with their spread.

Each fold is held out once: the model is trained on the others, its best epoch chosen on the next fold, and it
is scored on the one held out. With two folds each is held out for validation only, and its score, that of the
epoch that was best on it, is slightly optimistic. The model to use is the one with the best validation score:
chosen by its test score, that score would no longer be a test.
"""

from __future__ import annotations

import json
import logging
import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue

from ..bundle import Bundle, load_model
from ..chips.chipset import ChipSet, open_chip_set
from ..core.progress import OnProgress, silent
from ..errors import ConfigError
from ..io.atomic import atomic_file, refuse_existing
from ..io.outputlock import locks_output
from .record.results import Summary
from .record.runfolder import model_path
from .setup.processes import process_layout
from .train import train
from .trainconfig import TrainConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldScore:
    """The model of one fold, with its primary scores over all classes."""

    fold: int
    model: str
    """Path of the model file."""
    val: float | None
    """None if undefined."""
    test: float | None
    """None if undefined, or if there are only two folds."""


@dataclass(frozen=True)
class FoldResults:
    """The models of all folds."""

    primary: str
    """Name of the score."""
    split: str
    """The split of `mean` and `spread`: test, or val with two folds."""
    folds: tuple[FoldScore, ...]
    mean: float
    """Of the folds' scores; NaN if none is defined."""
    spread: float
    """Standard deviation of the folds' scores; NaN with fewer than two."""
    use: str
    """Path of the model to use: the one with the best validation score."""
    file: Path
    """JSON file with all of this."""

    def summary(self) -> Summary:
        """One row per fold, then the mean with its spread."""
        rows = [(str(score.fold), _text(score.val), _text(score.test), score.model) for score in self.folds]
        overall = f"{self.mean:.3f} ± {self.spread:.3f}"
        val = overall if self.split == "val" else ""
        test = overall if self.split == "test" else ""
        rows.append(("mean", val, test, f"use {self.use}"))
        values: dict[str, JsonValue] = {
            "primary": self.primary,
            "split": self.split,
            "mean": _finite(self.mean),
            "spread": _finite(self.spread),
            "use": self.use,
            "folds": [asdict(score) for score in self.folds],
            "file": str(self.file),
        }
        return Summary(values, ("fold", "val", "test", "model"), tuple(rows))


@locks_output
def train_folds(
    chips: ChipSet | str | Path,
    config: TrainConfig,
    *,
    folds: int,
    out: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> FoldResults:
    """Train one model for each fold of a chip set.

    Args:
        chips: A chip set with folds (`tile(folds=...)`), or its folder.
        config: The configuration of every training.
        folds: Number of folds; that of the chip set.
        out: `NAME.eodl`. The models are `NAME-fold0.eodl` and so on; the scores go to `NAME.folds.json`.
        resume: Continue the fold that was stopped and keep finished ones.
        overwrite: Replace existing models.
        on_progress: Called with (steps done, steps in all, "steps") of the current fold; may raise
            `Cancelled`.

    Returns:
        The scores of all folds, their mean and spread, and which model to use.

    Raises:
        ConfigError: The chip set has another number of folds, or several processes were requested.
        EoDlError: As `train` does.
    """
    chip_set = open_chip_set(chips)
    target = model_path(out)
    _check(chip_set, config, folds)
    file = target.with_suffix(".folds.json")
    refuse_existing(file, overwrite or resume)
    scores = []
    for fold in range(folds):
        path = target.with_stem(f"{target.stem}-fold{fold}")
        if resume and path.is_file() and not load_model(path).spec.provenance.unfinished:
            log.info("fold %d of %d is finished: %s", fold + 1, folds, path)
        else:
            log.info("fold %d of %d", fold + 1, folds)
            train(
                chip_set,
                config=config,
                out=path,
                val_fold=fold if folds == 2 else (fold + 1) % folds,
                resume=resume,
                overwrite=overwrite,
                on_progress=on_progress,
            )
        scores.append(_fold_score(fold, load_model(path)))
    primary = load_model(scores[0].model).task.primary_score
    results = _results(scores, primary, "test" if folds > 2 else "val", file)
    with atomic_file(file, overwrite=True) as part:
        part.write_text(json.dumps(results.summary().values, indent=1) + "\n", encoding="utf-8")
    return results


def _check(chips: ChipSet, config: TrainConfig, folds: int) -> None:
    if chips.folds is None:
        raise ConfigError(f"{chips.path}: has no folds; tile with `folds` {folds}")
    if chips.folds != folds:
        raise ConfigError(
            f"{chips.path}: has {chips.folds} folds, not {folds}; set `folds` to {chips.folds}, or tile "
            f"again with {folds}"
        )
    if process_layout(config).world > 1:
        raise ConfigError(
            "`folds`: trains one fold after the other in one process; with several processes train each fold "
            "on its own with `val_fold`"
        )


def _fold_score(fold: int, bundle: Bundle) -> FoldScore:
    primary = bundle.task.primary_score
    overall = {
        score.split: score.value
        for score in bundle.spec.scores
        if score.name == primary and score.class_name is None
    }
    return FoldScore(fold, str(bundle.path), overall.get("val"), overall.get("test"))


def _results(scores: list[FoldScore], primary: str, split: str, file: Path) -> FoldResults:
    reached = [score.test if split == "test" else score.val for score in scores]
    defined = [value for value in reached if value is not None]
    best = max(scores, key=lambda score: (-1.0 if score.val is None else score.val, -score.fold))
    return FoldResults(
        primary=primary,
        split=split,
        folds=tuple(scores),
        mean=statistics.fmean(defined) if defined else math.nan,
        spread=statistics.stdev(defined) if len(defined) > 1 else math.nan,
        use=best.model,
        file=file,
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""Cross-validation over the spatial folds of a chip set: one model a fold, their scores with spread, and
which one to use.

Every fold is held out once: trained on the others, the best epoch chosen on the next fold, scored on the one
held out. Of two folds each is held out for validation alone, and its score, of the epoch that was best on it,
flatters a little. To use: the model with the best validation score, because choosing by the test score would
make that no longer a test.
"""

from __future__ import annotations

import json
import logging
import math
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from ..bundle import Bundle, load_model
from ..chips.chipset import ChipSet, open_chip_set
from ..core.progress import OnProgress, silent
from ..errors import ConfigError
from ..io.atomic import atomic_file, refuse_existing
from .record.results import Summary
from .record.runfolder import SUFFIX
from .setup.processes import process_layout
from .train import train
from .trainconfig import TrainConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldScore:
    """The model of one fold; scores are the primary ones over all classes, None where not defined or not
    there.
    """

    fold: int
    model: str
    val: float | None
    test: float | None


@dataclass(frozen=True)
class FoldResults:
    """All folds. `mean` and `spread` (standard deviation) of the scores on `split`, NaN where none is
    defined; `use`: the model to take; `file`: all of it.
    """

    primary: str
    split: str
    folds: tuple[FoldScore, ...]
    mean: float
    spread: float
    use: str
    file: Path

    def summary(self) -> Summary:
        """One row a fold, then the mean with its spread."""
        rows = [(str(one.fold), _text(one.val), _text(one.test), one.model) for one in self.folds]
        overall = f"{self.mean:.3f} ± {self.spread:.3f}"
        rows.append(
            (
                "mean",
                overall if self.split == "val" else "",
                overall if self.split == "test" else "",
                f"use {self.use}",
            )
        )
        values = {
            "primary": self.primary,
            "split": self.split,
            "mean": _known(self.mean),
            "spread": _known(self.spread),
            "use": self.use,
        }
        return Summary(
            {**values, "folds": [asdict(one) for one in self.folds], "file": str(self.file)},
            ("fold", "val", "test", "model"),
            tuple(rows),
        )


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
    """Train one model for each of the `folds` of a chip set: NAME-fold0.eodl and so on, and NAME.folds.json
    with the scores.

    `resume` goes on with the fold that was stopped and keeps those that are done. Raises as `train` does, and
    `ConfigError` where the chip set has other folds.
    """
    opened = open_chip_set(chips)
    target = Path(out)
    _check(opened, config, folds, target)
    file = target.with_suffix(".folds.json")
    refuse_existing(file, overwrite or resume)
    done = []
    for fold in range(folds):
        path = target.with_name(f"{target.stem}-fold{fold}{SUFFIX}")
        if resume and path.is_file() and not load_model(path).spec.provenance.unfinished:
            log.info("fold %d of %d is done: %s", fold + 1, folds, path)
        else:
            log.info("fold %d of %d", fold + 1, folds)
            val_fold = fold if folds == 2 else (fold + 1) % folds
            train(
                opened,
                config=config,
                out=path,
                val_fold=val_fold,
                resume=resume,
                overwrite=overwrite,
                on_progress=on_progress,
            )
        done.append(_scored(fold, load_model(path)))
    return _written(done, load_model(done[0].model).task.primary_score, "test" if folds > 2 else "val", file)


def _check(chips: ChipSet, config: TrainConfig, folds: int, target: Path) -> None:
    if target.suffix != SUFFIX:
        raise ConfigError(
            f"{target}: a model's name ends in {SUFFIX}; write e.g. -o {target.stem or 'model'}{SUFFIX}"
        )
    if chips.folds != folds:
        there = "no folds" if chips.folds is None else f"{chips.folds} folds"
        advice = (
            f"tile with {folds} folds"
            if chips.folds is None
            else f"use `folds={chips.folds}`, or tile with {folds} folds"
        )
        raise ConfigError(f"{chips.path}: has {there}, {folds} were asked for; {advice}")
    if process_layout(config).world > 1:
        raise ConfigError(
            "`folds`: trains one fold after the other in one process; with several processes train them one by one (`val_fold`)"
        )


def _scored(fold: int, bundle: Bundle) -> FoldScore:
    primary = bundle.task.primary_score
    known = {s.split: s.value for s in bundle.spec.scores if s.name == primary and s.class_name is None}
    return FoldScore(fold, str(bundle.path), known.get("val"), known.get("test"))


def _written(done: list[FoldScore], primary: str, split: str, file: Path) -> FoldResults:
    values = [value for one in done if (value := one.test if split == "test" else one.val) is not None]
    mean = statistics.fmean(values) if values else math.nan
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    use = max(done, key=lambda one: (-1.0 if one.val is None else one.val, -one.fold)).model
    found = FoldResults(primary, split, tuple(done), mean, spread, use, file)
    with atomic_file(file, overwrite=True) as part:
        part.write_text(json.dumps(found.summary().values, indent=1) + "\n", encoding="utf-8")
    return found


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""`retrain`: train a model again with corrected labels.

Both models are compared on ground that neither was trained on.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from ..bundle import Bundle, load_model
from ..chips.chipset import ChipSet, open_chip_set
from ..chips.manifest import read_manifest, sampling_of, split_of
from ..chips.tile import tile
from ..core.htmlcard import grid_table
from ..core.labelset import LabelSet
from ..core.progress import OnProgress, silent
from ..errors import BundleError, ChipSetError, ConfigError, OutputExistsError
from ..evaluation.versus.contrast import Contrast, contrasts
from ..io.outputlock import locks_output
from ..io.scene import Scene, SceneSources, open_scenes
from ..io.yamlfiles import parse_yaml
from ..labels.labeloptions import LabelOptions
from ..labels.reading import classes_of, read_labels
from ..networks.compute import Compute
from ..scores.score import Score
from ..training.judging.compare import score_model
from ..training.record.results import SplitScores, TrainingResult
from ..training.record.runfolder import RunFolder
from ..training.train import train
from ..training.trainconfig import TrainConfig, resolve_config, upgraded
from .project.merge import MergedLabels, merge_labels

_CONFIG = "config.yaml"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retrained:
    """A new model beside the old one, both scored on the same test chips with the corrected labels."""

    run: TrainingResult
    """The new model and its run."""
    chips: ChipSet
    """The chip set with the corrected labels."""
    before: SplitScores
    """The scores of the old model on the test chips."""
    after: SplitScores
    """The scores of the new model on the test chips."""
    lead: Score
    """Primary score, new minus old, with its interval."""
    labels: Path | None = None
    """The file into which corrections were merged; None if there were none to merge."""
    notes: tuple[str, ...] = ()
    """What became of the corrections, one sentence each."""

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """Overall scores of both models with their differences, the primary one first."""
        pairs = contrasts(self.before.scores, self.after.scores, (self.before.draws, self.after.draws))
        overall = [pair for pair in pairs if pair.class_name is None]
        return tuple(sorted(overall, key=lambda pair: pair.name != self.run.primary))

    def rows(self) -> list[tuple[str, ...]]:
        """Overall scores of both models with the lead of the new one, the primary one first."""
        return [
            (pair.name, pair.first.text(), pair.second.text(), pair.difference.text())
            for pair in self.contrasts
        ]

    def values(self) -> dict[str, JsonValue]:
        """The result as JSON values."""
        return {
            "model": str(self.run.model.path),
            "report": str(self.run.report),
            "chips": str(self.chips.path),
            "primary": self.run.primary,
            "labels": None if self.labels is None else str(self.labels),
            "notes": list(self.notes),
            "rows": [list(row) for row in self.rows()],
            "before": [spec.model_dump(mode="json") for spec in self.before.specs()],
            "after": [spec.model_dump(mode="json") for spec in self.after.specs()],
            "lead": {"value": self.lead.value, "low": self.lead.low, "high": self.lead.high},
        }

    def _repr_html_(self) -> str:
        return grid_table(
            ("score", "before", "after", "ahead by"), self.rows(), title=str(self.run.model.path)
        )


@locks_output
def retrain(
    model: Bundle | str | Path,
    chips: ChipSet | str | Path,
    *,
    labels: LabelSet | str | Path | None,
    out: str | Path,
    corrected: str | Path | None = None,
    label_options: LabelOptions = LabelOptions(),
    scenes: SceneSources = (),
    epochs: int | None = None,
    compute: Compute = Compute(),
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Retrained:
    """Train a model again with corrected labels, and score old and new on the same held-out ground.

    The scenes are cut as before into `NAME.chips` beside `out`, with the same held-out ground. The training
    is configured as that of `model` was, and starts from its weights. Both models are scored on the test
    chips with the corrected labels. Stopped after its first checkpoint, it keeps `NAME.chips` and `NAME.run`;
    stopped before, nothing.

    Args:
        model: The model to start from, or its file.
        chips: The chip set that it was trained on, or its folder.
        labels: Corrected labels, or the labels into which `corrected` is merged (None: there are none).
        out: The new model, `NAME.eodl`.
        corrected: Reviewed pre-labels (`labels prelabel`); they are merged with `labels` into
            `NAME.labels.gpkg`, which is then used.
        label_options: How the file of `labels` is read.
        scenes: Further labelled scenes; except for held-out ground they are used for training.
        epochs: Maximum number of epochs (default: as before).
        compute: Device, precision, batch size and workers.
        resume: Continue a retraining that was stopped; labels, chips and options must be the same.
        overwrite: Replace an existing model, run and chip set.
        on_progress: Called with (done, total, what); may raise `Cancelled`.

    Returns:
        The new run, and the scores of both models.

    Raises:
        ChipSetError: The chip set has no test chips.
        BundleError: The model does not hold its training configuration.
        ConfigError: There are no labels, or chips and model do not fit each other.
        EoDlError: As `merge_labels`, `tile` and `train` do.
    """
    old_model = load_model(model)
    old_chips = open_chip_set(chips)
    if not old_chips.split("test"):
        raise ChipSetError(
            f"{old_chips.path}: has no test chips, so an old and a new model cannot be compared; tile with "
            "a share for test, e.g. 70,15,15"
        )
    target = Path(out)
    folder = RunFolder.of(target, overwrite, resume)
    may_replace = overwrite or resume
    if not may_replace:
        _refuse_leftovers(folder)
    config = _training_config(old_model, epochs, compute)
    with (
        _merged_corrections(
            labels, corrected, target.with_suffix(".labels.gpkg"), label_options, may_replace
        ) as merged,
        _kept_if_resumable(folder),
    ):
        new_labels = _read_labels(labels, label_options) if merged is None else read_labels(merged.path)
        all_scenes = [*old_chips.scenes, *open_scenes(scenes)]
        new_chips = _tile_again(
            old_chips,
            new_labels,
            all_scenes,
            out=_chips_of(folder),
            overwrite=may_replace,
            on_progress=on_progress,
        )
        # Score the old model first: a mismatch stops here, before the training.
        before = score_model(
            old_model,
            new_chips,
            name=old_model.path.name,
            device=config.device,
            precision=config.precision,
        )
        run = train(
            new_chips,
            config=config,
            out=target,
            resume=resume,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    after = next(scores for scores in run.scores if scores.split == "test")
    return Retrained(
        run=run,
        chips=new_chips,
        before=before,
        after=after,
        lead=after.lead_over(before, run.primary),
        labels=None if merged is None else merged.path,
        notes=() if merged is None else (_merge_summary(merged), *merged.notes),
    )


def _chips_of(folder: RunFolder) -> Path:
    return folder.out.with_suffix(".chips")


def _refuse_leftovers(folder: RunFolder) -> None:
    """Refuse the chips and the run of an unfinished retraining, before any work."""
    leftovers = [path for path in (_chips_of(folder), folder.path) if path.exists()]
    if leftovers:
        raise OutputExistsError(
            f"{' and '.join(map(str, leftovers))}: left by another retraining; `resume=True` continues one "
            "that was stopped, `overwrite=True` starts over, or choose another `out`"
        )


@contextlib.contextmanager
def _kept_if_resumable(folder: RunFolder) -> Iterator[None]:
    """If the block fails: keep chips and run if there is a checkpoint, else remove those that it made.

    Folders of an earlier retraining are never removed: bad input must not cost earlier results.
    """
    new_folders = [path for path in (_chips_of(folder), folder.path) if not path.exists()]
    try:
        yield
    except BaseException:
        if folder.checkpoints.steps():
            _logger.info(
                "%s and %s are kept: the same with `resume=True` continues from step %d",
                folder.path,
                _chips_of(folder),
                folder.checkpoints.steps()[-1],
            )
        else:
            for path in new_folders:
                shutil.rmtree(path, ignore_errors=True)
        raise


@contextlib.contextmanager
def _merged_corrections(
    labels: LabelSet | str | Path | None,
    corrected: str | Path | None,
    out: Path,
    options: LabelOptions,
    overwrite: bool,
) -> Iterator[MergedLabels | None]:
    """The corrections merged into the labels; None if there are none.

    The file is removed if the block fails, so that it does not stop the next try.
    """
    if corrected is None:
        yield None
        return
    if isinstance(labels, LabelSet):
        raise ConfigError("retrain: corrections are merged into a file; give labels as a path, or None")
    merged = merge_labels(labels, corrected, out=out, label_options=options, overwrite=overwrite)
    try:
        yield merged
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _read_labels(labels: LabelSet | str | Path | None, options: LabelOptions) -> LabelSet:
    if labels is None:
        raise ConfigError("retrain: there are no labels; give labels, corrected pre-labels, or both")
    return classes_of(labels, options)


def _merge_summary(merged: MergedLabels) -> str:
    """How many pre-labels were accepted, changed and so on, in one line."""
    counts = [f"{count} {status}" for status, count in merged.counts.items() if count]
    return f"labels: {', '.join(counts) or 'none'}"


def _training_config(model: Bundle, epochs: int | None, compute: Compute) -> TrainConfig:
    if _CONFIG not in model.members:
        raise BundleError(
            f"{model.path}: does not say how it was trained (no {_CONFIG}); train it again with this "
            "version, or use tile and train with it as `weights`"
        )
    values = parse_yaml(model.read(_CONFIG).decode(), f"{model.path}: {_CONFIG}")
    return resolve_config(
        TrainConfig.model_validate(upgraded(values)),
        compute=compute,
        overrides={"weights": str(model.path), "weights_for": "network", "epochs": epochs},
    )


def _tile_again(
    old_chips: ChipSet,
    labels: LabelSet,
    scenes: Sequence[Scene],
    *,
    out: Path,
    overwrite: bool,
    on_progress: OnProgress,
) -> ChipSet:
    """Chips of the same size and sampling, with other labels; old ground keeps its split."""
    manifest = read_manifest(old_chips.path)
    return tile(
        scenes,
        labels,
        out=out,
        size_px=old_chips.chip_px,
        sampling=sampling_of(manifest),
        split=replace(split_of(manifest), folds=None, like=old_chips.path),
        seed=old_chips.seed,
        overwrite=overwrite,
        on_progress=on_progress,
    )

"""`retrain`: corrected labels to a new model, compared with the old one on ground that neither was trained
on."""

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
from ..io.scene import Scene, SceneSources, open_scenes
from ..io.yamlfiles import parse_yaml
from ..labels.labeloptions import LabelOptions
from ..labels.reading import labels_of, read_labels
from ..networks.compute import Compute
from ..scores.score import Score
from ..training.judging.compare import score_model
from ..training.record.results import SplitScores, TrainingResult
from ..training.record.runfolder import RunFolder
from ..training.train import train
from ..training.trainconfig import TrainConfig, resolve_config
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

    def rows(self) -> list[tuple[str, ...]]:
        """Overall scores side by side, the primary one with the lead."""
        names = [score.name for score in self.after.scores if score.class_name is None]
        primary = self.run.primary
        rows = [
            (
                name,
                self.before.overall(name).text(),
                self.after.overall(name).text(),
                self.lead.text() if name == primary else "",
            )
            for name in names
        ]
        return sorted(rows, key=lambda row: row[0] != primary)

    def values(self) -> dict[str, JsonValue]:
        """For machines."""
        found: dict[str, JsonValue] = {
            "model": str(self.run.model.path),
            "chips": str(self.chips.path),
            "primary": self.run.primary,
        }
        found |= {
            "labels": None if self.labels is None else str(self.labels),
            "notes": list(self.notes),
            "rows": [list(row) for row in self.rows()],
        }
        for name, scores in (("before", self.before), ("after", self.after)):
            found[name] = [spec.model_dump(mode="json") for spec in scores.specs()]
        return found | {"lead": {"value": self.lead.value, "low": self.lead.low, "high": self.lead.high}}

    def _repr_html_(self) -> str:
        return grid_table(
            ("score", "before", "after", "ahead by"), self.rows(), title=str(self.run.model.path)
        )


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
    command: str = "",
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
        command: The command line, for the provenance of the model.
        on_progress: Called with (done, total, what); may raise `Cancelled`.

    Returns:
        The new run, and the scores of both models.

    Raises:
        ChipSetError: The chip set has no test chips.
        BundleError: The model does not hold its training configuration.
        ConfigError: There are no labels, or chips and model do not fit each other.
        EoDlError: As `merge_labels`, `tile` and `train` do.
    """
    old = load_model(model)
    before = open_chip_set(chips)
    if not before.split("test"):
        raise ChipSetError(
            f"{before.path}: has no test chips, so an old and a new model cannot be compared; tile with a "
            "share for test, e.g. 70,15,15"
        )
    target = Path(out)
    folder = RunFolder.of(target, overwrite, resume)
    again = overwrite or resume
    _refuse_leftovers(folder, again)
    config = _config_of(old, epochs, compute)
    with (
        _merged(labels, corrected, target.with_suffix(".labels.gpkg"), label_options, again) as merged,
        _worth_keeping(folder),
    ):
        given = _label_set(labels, label_options) if merged is None else read_labels(merged.path)
        cut = _cut_again(before, given, open_scenes(scenes), _chips_of(folder), again, on_progress)
        # Score the old model first: a mismatch stops here, before the training.
        was = score_model(old, cut, name=old.path.name, device=config.device, precision=config.precision)
        run = train(
            cut,
            config=config,
            out=target,
            resume=resume,
            overwrite=overwrite,
            command=command,
            on_progress=on_progress,
        )
    now = next(found for found in run.scores if found.split == "test")
    notes = () if merged is None else (_told(merged), *merged.notes)
    return Retrained(
        run, cut, was, now, now.lead_over(was, run.primary), None if merged is None else merged.path, notes
    )


def _chips_of(folder: RunFolder) -> Path:
    return folder.out.with_suffix(".chips")


def _refuse_leftovers(folder: RunFolder, wanted: bool) -> None:
    """Refuse a folder that holds an unfinished retraining, before any work."""
    left = [path for path in (_chips_of(folder), folder.path) if path.exists()]
    if left and not wanted:
        raise OutputExistsError(
            f"{' and '.join(map(str, left))}: left by another retraining; `resume=True` continues one that "
            "was stopped, `overwrite=True` starts over, or choose another `out`"
        )


@contextlib.contextmanager
def _worth_keeping(folder: RunFolder) -> Iterator[None]:
    """However the block ends before its time: chips and run stay where there is a checkpoint to go on from;
    where there is none, those go that the block made.

    What an earlier retraining left is somebody's result, which bad input must not cost.
    """
    new = [path for path in (_chips_of(folder), folder.path) if not path.exists()]
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
            for path in new:
                shutil.rmtree(path, ignore_errors=True)
        raise


@contextlib.contextmanager
def _merged(
    labels: LabelSet | str | Path | None,
    corrected: str | Path | None,
    out: Path,
    options: LabelOptions,
    overwrite: bool,
) -> Iterator[MergedLabels | None]:
    """The corrections merged into the labels, as long as the block ends well: a failed run must not stand in
    the way of the next.
    """
    if corrected is None:
        yield None
        return
    if isinstance(labels, LabelSet):
        raise ConfigError("retrain: corrections are merged into a file; give labels as a path, or None")
    made = merge_labels(labels, corrected, out=out, label_options=options, overwrite=overwrite)
    try:
        yield made
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _label_set(labels: LabelSet | str | Path | None, options: LabelOptions) -> LabelSet:
    if labels is None:
        raise ConfigError(
            "retrain: there is nothing to learn from; give labels, corrected pre-labels, or both"
        )
    return labels_of(labels, options)


def _told(merged: MergedLabels) -> str:
    """What became of the pre-labels, in one line."""
    return "labels: " + (
        ", ".join(f"{count} {what}" for what, count in merged.counts.items() if count) or "none"
    )


def _config_of(old: Bundle, epochs: int | None, compute: Compute) -> TrainConfig:
    if _CONFIG not in old.members:
        raise BundleError(
            f"{old.path}: does not say how it was trained (no {_CONFIG}); train it again with this version, "
            "or use tile and train with it as `weights`"
        )
    known = parse_yaml(old.read(_CONFIG).decode(), f"{old.path}: {_CONFIG}")
    return resolve_config(
        TrainConfig.model_validate(known),
        compute=compute,
        overrides={"weights": str(old.path), "weights_for": "network", "epochs": epochs},
    )


def _cut_again(
    before: ChipSet,
    labels: LabelSet,
    scenes: Sequence[Scene],
    out: Path,
    overwrite: bool,
    on_progress: OnProgress,
) -> ChipSet:
    """The same scenes and more of them, the same chip size and sampling, with other labels."""
    manifest = read_manifest(before.path)
    return tile(
        [*before.scenes, *scenes],
        labels,
        out=out,
        size_px=before.chip_px,
        sampling=sampling_of(manifest),
        split=replace(split_of(manifest), folds=None),
        splits_of=before,
        seed=before.seed,
        overwrite=overwrite,
        on_progress=on_progress,
    )

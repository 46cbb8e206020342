"""`retrain`: corrected labels to a new model, compared with the old one on the ground that neither has learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ..bundle import Bundle, load_model
from ..chips.chipset import ChipSet, open_chip_set
from ..chips.manifest import read_manifest
from ..chips.tile import tile
from ..core.labelset import LabelSet
from ..core.progress import OnProgress, silent
from ..errors import BundleError, ChipSetError
from ..io.atomic import refuse_existing
from ..io.config import parse_yaml
from ..labeling.read import read_labels
from ..scores.score import Score
from .compare import score_model
from .config import TrainConfig, resolve_config
from .results import Run, SplitScores
from .train import train

_CONFIG = "config.yaml"


@dataclass(frozen=True)
class Retrained:
    """The new run beside the old model, both scored on the same test chips with the corrected labels; `lead`: new minus old."""

    run: Run
    chips: ChipSet
    before: SplitScores
    after: SplitScores
    lead: Score

    def rows(self) -> list[tuple[str, ...]]:
        """Overall scores side by side, the primary one with the lead."""
        names = [score.name for score in self.after.scores if score.class_name is None]
        primary = self.run.primary
        rows = [(name, self.before.overall(name).text(), self.after.overall(name).text(), self.lead.text() if name == primary else "") for name in names]
        return sorted(rows, key=lambda row: row[0] != primary)

    def values(self) -> dict[str, JsonValue]:
        """For machines."""
        found: dict[str, JsonValue] = {"model": str(self.run.model.path), "chips": str(self.chips.path), "primary": self.run.primary}
        for name, scores in (("before", self.before), ("after", self.after)):
            found[name] = [spec.model_dump(mode="json") for spec in scores.specs()]
        return found | {"lead": {"value": self.lead.value, "low": self.lead.low, "high": self.lead.high}}

    def _repr_html_(self) -> str:
        from ..display import grid_table  # lazy: only a notebook needs it

        return grid_table(("score", "before", "after", "ahead by"), self.rows(), title=str(self.run.model.path))


def retrain(
    model: Bundle | str | Path,
    chips: ChipSet | str | Path,
    *,
    labels: LabelSet | str | Path,
    out: str | Path,
    epochs: int | None = None,
    device: str | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Retrained:
    """A new model from corrected `labels`, starting from `model`, on the scenes of the chip set that it was trained on.

    The scenes are cut as before into `NAME.chips` beside `out`, with the same held-out ground (`tile(splits_of=...)`); training is configured as it was
    for `model`, whose encoder is where it starts. Both models are then scored on the test chips with the corrected labels.

    Raises as `tile` and `train` do, and `ChipSetError` for a chip set without test chips, `BundleError` for a model that does not say how it was trained.
    """
    old = model if isinstance(model, Bundle) else load_model(model)
    before = chips if isinstance(chips, ChipSet) else open_chip_set(chips)
    if not before.split("test"):
        raise ChipSetError(f"{before.path}: has no test chips, so an old and a new model cannot be compared; tile with a test share (--split 70,15,15)")
    target = Path(out)
    refuse_existing(target, overwrite)
    config = _config_of(old, epochs, device)
    given = labels if isinstance(labels, LabelSet) else read_labels(labels)
    cut = _cut_again(before, given, target.with_suffix(".chips"), overwrite, on_progress)
    run = train(cut, config=config, out=target, overwrite=overwrite, on_progress=on_progress)
    was = score_model(old, cut, name=old.path.name, device=config.device)
    now = next(found for found in run.scores if found.split == "test")
    return Retrained(run, cut, was, now, now.lead_over(was, run.primary))


def _config_of(old: Bundle, epochs: int | None, device: str | None) -> TrainConfig:
    if _CONFIG not in old.members:
        raise BundleError(f"{old.path}: does not say how it was trained (no {_CONFIG}); train it again with this version, or use tile and train --weights")
    known = parse_yaml(old.read(_CONFIG).decode(), f"{old.path}: {_CONFIG}")
    return resolve_config(TrainConfig.model_validate(known), weights=str(old.path), epochs=epochs, device=device)


def _cut_again(before: ChipSet, labels: LabelSet, out: Path, overwrite: bool, on_progress: OnProgress) -> ChipSet:
    """The same scenes, chip size and sampling with other labels."""
    options = read_manifest(before.path)["options"]
    return tile(
        before.scenes,
        labels,
        out=out,
        size_px=before.chip_px,
        overlap_px=options["overlap_px"],
        sampling=options["sampling"],
        count=options["count"],
        keep_empty=options["keep_empty"],
        min_valid=options["min_valid"],
        block_px=options["block_px"],
        splits_of=before,
        seed=before.seed,
        overwrite=overwrite,
        on_progress=on_progress,
    )

"""What a run writes into `model.json`."""

from __future__ import annotations

from ...modelspec import ModelSpec, NormalizationSpec, ScoreSpec, band_specs, class_specs
from ...tasks import CHIPS
from ..judging.judge import Verdict
from ..record.trainedvalues import train_quantiles
from ..setup.taskdata import TaskData

_NEARLY_ALL = 0.98
"""Quantile of the object sizes that the margin is made for; the few larger ones may be cut at seams."""


def model_spec(name: str, data: TaskData, verdict: Verdict) -> ModelSpec:
    """Everything needed to use the weights of a run, without their provenance.

    Args:
        name: Of the model.
        data: What it was trained on.
        verdict: Its scores and its threshold.
    """
    chips, calibration = data.chips, verdict.calibration
    scores: list[ScoreSpec] = []
    for split_scores in verdict.scores:
        scores += split_scores.specs()
    return ModelSpec(
        name=name,
        task=data.task.name,
        config=data.task_config.model_dump(mode="json"),
        bands=band_specs(chips.bands),
        classes=class_specs(data.classes),
        gsd_m=chips.gsd_m,
        valid=chips.scenes[0].valid,  # type: ignore[arg-type]  # checked by the spec
        chip_px=chips.chip_px,
        margin_px=margin_px(data),
        normalization=NormalizationSpec(mean=data.normalization.mean, std=data.normalization.std),
        quantiles=train_quantiles(data),
        thresholds=_thresholds(verdict),
        calibration=None if calibration is None else calibration.spec(),
        prediction_sets=None if calibration is None else calibration.sets,
        scores=tuple(scores),
    )


def _thresholds(verdict: Verdict) -> dict[str, float]:
    """What was decided on the validation split about objects."""
    thresholds = {} if verdict.threshold is None else {"score": verdict.threshold}
    if verdict.suppression is not None:
        thresholds["iou"] = verdict.suppression.iou
        if verdict.suppression.inside is not None:
            thresholds["inside"] = verdict.suppression.inside
    return thresholds


def margin_px(data: TaskData) -> int:
    """The context around a chip at prediction, pixels per side.

    An eighth of the chip; where the output is objects at least half of nearly every train object, because the
    chip grid keeps objects whole that are no wider than twice the margin; at most a third of the chip. A
    class of the whole chip needs no context.
    """
    chip_px = data.chips.chip_px
    if data.task.output == CHIPS:
        return 0
    margin = chip_px // 8
    sizes = data.inputs.object_sizes_px
    if sizes is not None and len(sizes):
        lengths = sorted(float(side) for side in sizes.max(axis=1))
        longest = lengths[int(_NEARLY_ALL * (len(lengths) - 1))]
        margin = max(margin, int(longest / 2) + 2)
    return min(margin, chip_px // 3)

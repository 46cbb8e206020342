"""What goes into a model's `model.json` from a run."""

from __future__ import annotations

from ...modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from ...tasks import CHIPS
from ..judging.judge import Verdict
from ..record.provenance import provenance
from ..record.runstate import RunState
from ..setup.taskdata import TaskData


def model_spec(
    data: TaskData,
    state: RunState,
    verdict: Verdict,
    notes: tuple[str, ...],
    name: str,
    unfinished: str = "",
) -> ModelSpec:
    """Everything needed to use the weights of a run; `unfinished` says why it is one that was stopped."""
    chips = data.chips
    return ModelSpec(
        name=name,
        task=data.task.name,
        config=data.task_config.model_dump(mode="json"),
        bands=band_specs(chips.bands),
        classes=class_specs(data.classes),
        gsd_m=chips.gsd_m,
        chip_px=chips.chip_px,
        margin_px=margin_px(data),
        normalization=NormalizationSpec(mean=data.normalization.mean, std=data.normalization.std),
        thresholds={} if verdict.threshold is None else {"score": verdict.threshold},
        scores=tuple(spec for found in verdict.scores for spec in found.specs()),
        provenance=provenance(data, state, verdict.baselines, notes).model_copy(
            update={"unfinished": unfinished}
        ),
    )


def margin_px(data: TaskData) -> int:
    """Context around a chip at prediction, px a side: an eighth of the chip, and half of nearly every train
    object where objects are found.

    The chip grid keeps objects up to twice the margin whole; a third of the chip is the most that is given
    for it. A class of the whole chip needs none.
    """
    chip_px = data.chips.chip_px
    if data.task.output == CHIPS:
        return 0
    margin = chip_px // 8
    sizes = data.inputs.object_sizes_px
    if sizes is not None and len(sizes):
        longest = sorted(float(side) for side in sizes.max(axis=1))
        margin = max(margin, int(longest[int(0.98 * (len(longest) - 1))] / 2) + 2)
    return min(margin, chip_px // 3)

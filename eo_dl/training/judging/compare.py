"""A finished model scored on any chip set with its bands, by which an old and a new model are compared."""

from __future__ import annotations

from contextlib import closing

from ...bundle import Bundle
from ...chips.chiprecord import SplitName
from ...chips.chipset import ChipSet
from ...chips.dataset import ChipDataset
from ...errors import ChipSetError, ConfigError
from ...networks.device import choose_device, choose_precision
from ..record.results import SplitScores
from ..setup.loading import fixed_batches
from ..trainconfig import batch_size_for
from .scoring import ChipScoring, predict_chips, score_chips


def score_model(
    bundle: Bundle,
    chips: ChipSet,
    split: SplitName = "test",
    *,
    name: str = "",
    device: str = "auto",
    precision: str = "auto",
) -> SplitScores:
    """The scores of a model on one split, decoded, thresholded and scored as training does.

    Args:
        bundle: The model.
        chips: A chip set with the bands, the classes and the GSD of the model.
        split: "train", "val" or "test".
        name: Name of the predictor in the result (default: the model's file name).
        device: As in `TrainConfig`.
        precision: As in `TrainConfig`. Two models are compared at the same one.

    Returns:
        The scores with their intervals.

    Raises:
        ConfigError: The chips have other bands or classes, or another GSD, than the model.
        ChipSetError: No chip of the split has a labelled pixel.
    """
    _check_fit(bundle, chips)
    records = tuple(record for record in chips.split(split) if sum(record.class_shares.values()) > 0)
    if not records:
        raise ChipSetError(f"{chips.path}: no {split} chip has a labelled pixel, so no model can be scored")
    task, codec = bundle.task, bundle.codec()
    torch_device = choose_device(device)
    used_precision = choose_precision(precision, torch_device, bfloat16=task.output.bfloat16)
    dataset = ChipDataset(
        chips, records, codec, bundle.normalization, hide_unannotated=task.output.hides_unannotated
    )
    blocks = {record.chip_id: f"{record.scene_index}/{record.block}" for record in records}
    scoring = ChipScoring(task, codec, blocks, bundle.spec.thresholds.get("score"))
    network = bundle.make_network().to(torch_device)
    batch_size = batch_size_for(None, chips.chip_px, task.output)
    with closing(fixed_batches(dataset, batch_size, workers=0)) as batches:
        predicted = predict_chips(network, batches, codec, torch_device, used_precision)
        suppressed = (chip.suppressed(bundle.spec.suppression) for chip in predicted)
        return score_chips(name or bundle.path.name, split, suppressed, scoring)


def _check_fit(bundle: Bundle, chips: ChipSet) -> None:
    if chips.bands.names != bundle.bands.names:
        raise ConfigError(
            f"{chips.path}: the model {bundle.path} needs the bands {bundle.bands.describe()}, the "
            f"chips have {chips.bands.describe()}; tile with those `bands`"
        )
    of_chips = {info.name for info in chips.classes.foreground}
    of_model = {info.name for info in bundle.classes.foreground}
    if of_chips != of_model:
        raise ConfigError(
            f"{chips.path}: classes differ from those of {bundle.path} "
            f"({', '.join(sorted(of_chips ^ of_model))}); label the same classes, or train a new model"
        )
    if not bundle.spec.reads_gsd(chips.gsd_m):
        raise ConfigError(
            f"{chips.path}: its chips have a GSD of {chips.gsd_m:.4g} m, {bundle.path} was trained at "
            f"{bundle.spec.gsd_m:.4g} m; tile with that `gsd_m`"
        )

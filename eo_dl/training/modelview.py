"""What is inside a model, or inside the network that a configuration would make, before it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from ..bundle import Bundle, load_model
from ..core.classes import ClassSet
from ..modelcard import ground_text, quantiles_text
from ..modelspec import BandSpec, ModelSpec
from ..networks.device import choose_device
from ..networks.networksummary import LayerRow, MapRow, NetworkSummary, summarize
from ..networks.weightsources import NONE, find_weights
from ..tasks import OBJECTS, NetworkInputs, load_task
from .setup.freeze import apply_freeze
from .setup.initialweights import with_weights
from .setup.runsetup import initial_network
from .trainconfig import TrainConfig, task_config_of, task_name

_OBJECT_PX = 24.0
"""Side of the objects for which the anchors of a network without data are made."""
_MOST_SHAPES = 5
"""Output shapes of a layer that are listed."""


@dataclass(frozen=True)
class ModelView:
    """A network and the input that it takes, as tables."""

    title: str
    network: NetworkSummary
    contract: tuple[tuple[str, str], ...]
    """The input that the network takes, as rows of (item, value)."""
    notes: tuple[str, ...] = ()
    """Where its weights come from."""

    @property
    def values(self) -> dict[str, JsonValue]:
        """Everything, for machines."""
        network: dict[str, JsonValue] = _json(asdict(self.network))
        return {"model": self.title, **network, "contract": dict(self.contract), "notes": list(self.notes)}

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """Rows of (layer, kind, output, weights, trainable)."""
        return tuple(_layer_row(row) for row in self.network.layers)

    @property
    def maps(self) -> tuple[tuple[str, ...], ...]:
        """Rows of (map, stride, channels, receptive field)."""
        return tuple(_map_row(row) for row in self.network.maps)

    @property
    def totals(self) -> tuple[tuple[str, str], ...]:
        """Rows of (item, value), the input contract last."""
        network = self.network
        trainable = "all trainable"
        if network.trainable < network.parameters:
            trainable = f"{network.trainable:,} of them trainable"
        return (
            ("weights", f"{network.parameters:,}, {trainable}"),
            ("size", f"{network.bytes / 2**20:.1f} MB"),
            *self.contract,
        )


def show_bundle(model: Bundle | str | Path, depth: int = 2) -> ModelView:
    """What is inside a model.

    Args:
        model: The model, or its file.
        depth: Levels of nested layers to list.

    Raises:
        BundleError: Not a model.
    """
    bundle = load_model(model)
    spec = bundle.spec
    return ModelView(
        title=f"{bundle.path.name}: {spec.task}, {bundle.config.network} on {bundle.config.backbone}",
        network=summarize(bundle.make_network(), len(spec.bands), spec.chip_px, depth),
        contract=_contract(spec),
    )


def show_network(
    config: TrainConfig,
    bands: Sequence[str] = ("red", "green", "blue"),
    classes: int = 2,
    size_px: int = 256,
    depth: int = 2,
) -> ModelView:
    """The network that a configuration would train, with what is frozen in its first epoch.

    Args:
        config: The configuration.
        bands: Names of the bands of the chips.
        classes: Number of labelled classes.
        size_px: Side of a chip, pixels, for the shapes of the layers.
        depth: Levels of nested layers to list.

    Raises:
        ConfigError: An option is unknown, or the network cannot be frozen as configured.
        BundleError: The weights do not fit the network.
    """
    config, _ = with_weights(config, bands)
    task, options = load_task(task_name(config)), task_config_of(config)
    labelled = ClassSet.of_names([f"class {number}" for number in range(1, classes + 1)])
    inputs = NetworkInputs(
        in_channels=len(bands),
        classes=task.output_classes(labelled, {}),
        chip_px=size_px,
        object_sizes_px=np.full((16, 2), _OBJECT_PX) if task.output == OBJECTS else None,
        weights=find_weights(config.weights, options.backbone, bands) or NONE,
        on_cpu=choose_device(config.device).type == "cpu",
    )
    settled = task.settle(options, inputs)
    inputs = replace(inputs, classes=task.settled_classes(inputs.classes, settled))
    network = initial_network(task, settled, inputs, config, seed=0)
    apply_freeze(network, config, epoch=0)
    report = network.weights_report
    return ModelView(
        title=f"{task.name}: {options.network} on {options.backbone}",
        network=summarize(network, len(bands), size_px, depth),
        contract=(
            ("bands", ", ".join(bands)),
            ("classes", str(classes)),
            ("chip", f"{size_px} px; other sizes work too"),
            ("values", "standard scores, float32"),
        ),
        notes=() if report is None else (report.describe(),),
    )


def _contract(spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    scales = [
        f"{band.name} {mean:.4g}/{std:.4g}"
        for band, mean, std in zip(spec.bands, spec.normalization.mean, spec.normalization.std, strict=True)
    ]
    gsd = "unknown"
    if spec.gsd_m is not None:
        gsd = f"{spec.gsd_m:.4g} m; scenes that differ by more than {spec.gsd_tolerance:.0%} are resampled"
    rows = (
        ("bands", ", ".join(_band(band) for band in spec.bands)),
        ("mean/std (physical units)", ", ".join(scales)),
        ("training values, 2/50/98 %", _values(spec)),
        ("training ground", ground_text(spec.provenance.trained_ground) or "not known"),
        ("GSD", gsd),
        ("chip", f"{spec.chip_px} px with a margin of {spec.margin_px} px"),
        ("classes", ", ".join(info.name for info in spec.classes)),
    )
    return (*rows, ("objects", _decisions(spec))) if spec.thresholds else rows


def _decisions(spec: ModelSpec) -> str:
    """What was decided about objects on the validation chips."""
    texts = {
        "score": "score from {:.3g}",
        "iou": "one of two that overlap by more than IoU {:g}",
        "inside": "or of which one lies inside the other by more than {:.0%}",
    }
    return ", ".join(
        text.format(spec.thresholds[name]) for name, text in texts.items() if name in spec.thresholds
    )


def _values(spec: ModelSpec) -> str:
    if not spec.quantiles:
        return "not known: the values of scenes are unchecked"
    pairs = zip(spec.bands, spec.quantiles, strict=True)
    return ", ".join(f"{band.name} {quantiles_text(quantiles)}" for band, quantiles in pairs)


def _band(band: BandSpec) -> str:
    if band.scale == 1 and band.offset == 0:
        return f"{band.name} ({band.dtype})"
    return f"{band.name} ({band.dtype} x {band.scale:g} + {band.offset:g})"


def _layer_row(row: LayerRow) -> tuple[str, ...]:
    name = "  " * row.depth + row.name.rpartition(".")[2]
    shapes = [" x ".join(str(side) for side in shape) for shape in row.shapes[:_MOST_SHAPES]]
    if len(row.shapes) > _MOST_SHAPES:
        shapes.append("...")
    return name, row.kind, "; ".join(shapes), f"{row.parameters:,}", _trainable(row)


def _trainable(row: LayerRow) -> str:
    if row.parameters == 0:
        return "-"
    if row.trainable == row.parameters:
        return "yes"
    if row.trainable == 0:
        return "no"
    return f"{row.trainable:,}"


def _map_row(row: MapRow) -> tuple[str, ...]:
    receptive_field = "whole chip" if row.receptive_px is None else f"{row.receptive_px} px"
    return row.name, str(row.stride_px), str(row.channels), receptive_field


def _json(value: Any) -> Any:
    """The value with lists for tuples, as JSON has them."""
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value

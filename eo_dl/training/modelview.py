"""`show_model`: what a model, or the network that a configuration would make, is made of, before or after it
is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from ..bundle import Bundle, load_model
from ..core.classes import ClassSet
from ..modelspec import ModelSpec
from ..networks.networksummary import LayerRow, MapRow, NetworkSummary, summarize
from ..networks.tasknetwork import TaskNetwork
from ..networks.weightsources import NONE, find_weights
from ..tasks import OBJECTS, NetworkInputs, load_task
from .setup.freeze import apply_freeze
from .setup.runsetup import initial_network
from .trainconfig import TrainConfig, task_config_of, task_name

_OBJECT_PX = 24.0
"""Side of the objects for which the anchors of a network without data are laid out."""


@dataclass(frozen=True)
class ModelView:
    """A network's summary, what it is called, and the input that it takes, as (what, value)."""

    title: str
    network: NetworkSummary
    contract: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, JsonValue]:
        """For machines."""
        found: dict[str, JsonValue] = _plain(asdict(self.network))
        return {"model": self.title, **found, "contract": dict(self.contract), "notes": list(self.notes)}

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """Rows of (layer, kind, output, weights, learning)."""
        return tuple(_layer(row) for row in self.network.layers)

    @property
    def maps(self) -> tuple[tuple[str, ...], ...]:
        """Rows of (map, stride, channels, receptive field)."""
        return tuple(_map(row) for row in self.network.maps)

    @property
    def totals(self) -> tuple[tuple[str, str], ...]:
        """Rows of (what, how much), the input contract last."""
        found = self.network
        share = (
            f"{found.trainable:,} of them learning" if found.trainable < found.parameters else "all learning"
        )
        return (
            ("weights", f"{found.parameters:,}, {share}"),
            ("size", f"{found.bytes / 2**20:.1f} MB"),
            *self.contract,
        )


def show_bundle(model: Bundle | str | Path, depth: int = 2) -> ModelView:
    """What is inside a model. Raises `BundleError` as `load_model` does."""
    bundle = load_model(model)
    spec = bundle.spec
    title = f"{bundle.path.name}: {spec.task}, {bundle.config.network} on {bundle.config.backbone}"
    return ModelView(
        title, summarize(bundle.make_network(), len(spec.bands), spec.chip_px, depth), _contract(spec)
    )


def show_network(
    config: TrainConfig,
    bands: Sequence[str] = ("red", "green", "blue"),
    classes: int = 2,
    size_px: int = 256,
    depth: int = 2,
) -> ModelView:
    """The network that `config` would train on chips of these bands, as frozen as it would be in its first
    epoch.

    Raises `ConfigError` and `BundleError` as `train` does.
    """
    task = load_task(task_name(config))
    given = task_config_of(config)
    labelled = ClassSet.of_names([f"class {number}" for number in range(1, classes + 1)])
    found = task.output_classes(labelled, {})
    sizes = np.full((16, 2), _OBJECT_PX) if task.output == OBJECTS else None
    source = find_weights(config.weights, given.backbone, bands)
    inputs = NetworkInputs(len(bands), found, size_px, None, sizes, source or NONE)
    settled = task.settle(given, inputs)
    network = initial_network(
        task, settled, replace(inputs, classes=task.settled_classes(found, settled)), config, 0
    )
    apply_freeze(network, config, 0)
    contract = (
        ("bands", ", ".join(bands)),
        ("classes", str(classes)),
        ("chip", f"{size_px} px, any other size works too"),
        ("values", "standard scores, float32"),
    )
    return ModelView(
        f"{task.name}: {given.network} on {given.backbone}",
        summarize(network, len(bands), size_px, depth),
        contract,
        _notes(network),
    )


def _notes(network: TaskNetwork) -> tuple[str, ...]:
    return (network.weights_report.describe(),) if network.weights_report is not None else ()


def _contract(spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    bands = [
        f"{b.name} ({b.dtype}{'' if b.scale == 1 and b.offset == 0 else f' x {b.scale:g} + {b.offset:g}'})"
        for b in spec.bands
    ]
    scaled = [
        f"{b.name} {m:.4g}/{s:.4g}"
        for b, m, s in zip(spec.bands, spec.normalization.mean, spec.normalization.std, strict=True)
    ]
    return (
        ("bands", ", ".join(bands)),
        ("mean/std, physical", ", ".join(scaled)),
        (
            "ground resolution",
            "not known"
            if spec.gsd_m is None
            else f"{spec.gsd_m:.4g} m, within {spec.gsd_tolerance:.0%} as it is, else resampled",
        ),
        ("chip", f"{spec.chip_px} px with a margin of {spec.margin_px} px"),
        ("classes", ", ".join(c.name for c in spec.classes)),
    )


def _layer(row: LayerRow) -> tuple[str, ...]:
    shapes = "; ".join(" x ".join(map(str, shape)) for shape in row.shapes[:5]) + (
        "; ..." if len(row.shapes) > 5 else ""
    )
    learning = (
        "-"
        if not row.parameters
        else "yes"
        if row.trainable == row.parameters
        else "no"
        if not row.trainable
        else f"{row.trainable:,}"
    )
    return "  " * row.depth + row.name.rpartition(".")[2], row.kind, shapes, f"{row.parameters:,}", learning


def _map(row: MapRow) -> tuple[str, ...]:
    return (
        row.name,
        str(row.stride_px),
        str(row.channels),
        "all of the chip" if row.receptive_px is None else f"{row.receptive_px} px",
    )


def _plain(value: Any) -> Any:
    # dataclasses give tuples, JSON knows lists
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value

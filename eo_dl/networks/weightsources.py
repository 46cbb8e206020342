"""What `--weights` means: from the words of a person to tensors that know their bands, their units and whose
they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.bands import canonical_name
from ..core.extras import needs_extra
from ..core.normalization import Normalization
from ..core.spectral import match_bands
from ..errors import BundleError
from .catalogue import IMAGENET, RGB, NamedWeights, find_named, is_name
from .weightsfile import State, read_model_json, read_state, tensors_of

log = logging.getLogger(__name__)

NONE = "none"


@dataclass(frozen=True)
class WeightsSource:
    """Tensors to come, and what is known about them. `where` names them in messages.

    `bands` are theirs in the order of the first convolution ("" for one without a name; () where nothing is
    known), number names being those of `sensor`; `ours` the bands that they will be used for. `normalization`
    is of each of `bands`, in the units that `full` tells (see `catalogue.NamedWeights`), or in physical units
    where `full` is None. `classes`: (id, name) in channel order, of a model; None for other weights.
    """

    where: str
    read: Callable[[], State]
    bands: tuple[str, ...] = ()
    sensor: str = ""
    normalization: Normalization | None = None
    full: float | None = None
    licence: str = ""
    ours: tuple[str, ...] = ()
    file: Path | None = None
    classes: tuple[tuple[int, str], ...] | None = None

    def by_name(self, theirs: int, count: int) -> bool:
        """True where `theirs` bands of the weights and `count` of ours can be told apart by name."""
        return len(self.bands) == theirs and len(self.ours) == count and any(self.bands) and any(self.ours)

    def places(self, theirs: int, count: int) -> tuple[int | None, ...]:
        """For each of our bands its place among the weights'; by order where there are no names and equally
        many, else None.
        """
        if self.by_name(theirs, count):
            return match_bands(self.ours, self.bands, self.sensor)
        return tuple(range(count)) if theirs == count else (None,) * count


def find_weights(weights: str, backbone: str, ours: Sequence[str] = ()) -> WeightsSource | None:
    """The source that `weights` names; None for "none". Nothing is downloaded yet.

    `ours`: names of the bands that the network takes, "" for one without a name. Raises `ConfigError` for
    names that are not known or do not fit the backbone, `BundleError` for files that are not there.
    """
    if weights == NONE:
        return None
    if Path(weights).is_file() or not (weights == IMAGENET or is_name(weights)):
        return replace(_of_file(Path(weights)), ours=tuple(ours))
    found = _of_imagenet(backbone) if weights == IMAGENET else _of_torchgeo(find_named(weights, backbone))
    return replace(found, ours=tuple(ours))


def _of_file(path: Path) -> WeightsSource:
    if not path.is_file():
        read_state(path)  # raises
    spec = read_model_json(path)
    source = WeightsSource(str(path), lambda: read_state(path), file=path)
    if not spec:
        return source
    try:
        bands = tuple(
            canonical_name(band["name"]) if band.get("named", True) else "" for band in spec["bands"]
        )
        normalization = Normalization(
            tuple(map(float, spec["normalization"]["mean"])), tuple(map(float, spec["normalization"]["std"]))
        )
        licence = str(spec.get("provenance", {}).get("licence", ""))
        classes = tuple((int(one["id"]), str(one["name"])) for one in spec["classes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{path}: model.json does not say its bands, classes and normalization ({error!r}); the file is damaged, copy or train it again"
        ) from error
    return replace(source, bands=bands, normalization=normalization, licence=licence, classes=classes)


def _of_imagenet(backbone: str) -> WeightsSource:
    from timm.models import get_pretrained_cfg, is_model  # lazy: only for these

    config = get_pretrained_cfg(backbone) if is_model(backbone) else None
    if config is None or not config.has_weights:
        raise BundleError(
            f"--weights imagenet: timm has no weights of backbone {backbone}; choose another --backbone (eo-dl model backbones), or --weights PATH"
        )
    normalization = Normalization(tuple(config.mean), tuple(config.std))
    where = f"ImageNet weights of {backbone} ({config.tag})"
    return WeightsSource(
        where,
        lambda: fetched(where, lambda: _imagenet_state(backbone)),
        RGB,
        "",
        normalization,
        1.0,
        config.license or "not stated",
    )


def _of_torchgeo(named: NamedWeights) -> WeightsSource:
    return WeightsSource(
        named.name,
        lambda: fetched(
            named.name,
            lambda: _torchgeo_weight(named.name).get_state_dict(
                progress=False, check_hash=True, weights_only=True, map_location="cpu"
            ),
        ),
        tuple(canonical_name(band) for band in named.bands),
        named.sensor,
        _normalization(_torchgeo_weight(named.name).transforms, len(named.bands)),
        named.full,
        named.licence,
    )


def fetched(what: str, fetch: Callable[[], Any]) -> State:
    """Tensors from a cache or the network. Raises `BundleError`, in one line that says what else there is,
    where they cannot be had.
    """
    log.info("fetching %s (once; then it is kept)", what)
    try:
        data = fetch()
    except Exception as error:  # urllib, huggingface_hub and their transports raise what they like
        why = " ".join((str(error) or type(error).__name__).split())[:160]
        raise BundleError(
            f"{what}: cannot be downloaded ({why}); fetch the file on a machine with a network and give --weights PATH, or train without: --weights none"
        ) from error
    return tensors_of(data, what)


def _imagenet_state(backbone: str) -> State:
    import timm

    model = timm.create_model(backbone, pretrained=True)
    return dict(model.state_dict())


def _torchgeo_weight(name: str) -> Any:
    with needs_extra(f"weight {name}"):
        from torchgeo.models import get_weight  # lazy: it takes seconds, and few runs need it

    return get_weight(name)


def _normalization(transforms: Any, count: int) -> Normalization | None:
    """What a chain of transforms does to values, as one mean and one standard deviation a band; None where it
    does nothing to them.
    """
    mean, std, any_found = [0.0] * count, [1.0] * count, False
    for step in transforms if hasattr(transforms, "__iter__") else ():
        if not hasattr(step, "mean") or not hasattr(step, "std"):
            continue
        means, stds = _each(step.mean, count), _each(step.std, count)
        mean = [m + s * further for m, s, further in zip(mean, std, means, strict=True)]
        std = [s * further for s, further in zip(std, stds, strict=True)]
        any_found = True
    return Normalization(tuple(mean), tuple(std)) if any_found else None


def _each(values: Sequence[float], count: int) -> list[float]:
    return [float(value) for value in values] * (count if len(values) == 1 else 1)

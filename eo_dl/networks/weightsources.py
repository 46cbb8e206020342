"""What `weights` may name: from a name or a path to tensors with their bands, units and licence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..core.bands import canonical_name
from ..core.extras import needs_extra
from ..core.normalization import Normalization
from ..core.spectral import match_bands
from ..errors import BundleError
from .catalogue import IMAGENET, RGB, NamedWeights, find_named, is_name
from .packagedweights import packaged_file, read_packaged
from .weightsfile import State, read_model_json, read_state, tensors_of

log = logging.getLogger(__name__)

NONE = "none"
_FILE_SUFFIXES = frozenset({"bin", "ckpt", "eodl", "pt", "pth", "safetensors", "tar"})


@dataclass(frozen=True)
class WeightsSource:
    """Tensors that are read on demand, with their bands, units and licence."""

    where: str
    """Name for messages."""
    read: Callable[[], State]
    """Reads the tensors, from disk or the network."""
    bands: tuple[str, ...] = ()
    """Their bands in the order of the first convolution, "" for one without a name; () if unknown."""
    sensor: str = ""
    """The sensor whose numbers name the bands (`core.spectral`)."""
    normalization: Normalization | None = None
    """Of each of `bands`, in the units of `full`, or in physical units where `full` is None."""
    full: float | None = None
    """The input value that stands for 1 (`catalogue.NamedWeights.full`)."""
    normalization_of: str = ""
    """What states `normalization`, where the weights do not state it themselves."""
    licence: str = ""
    ours: tuple[str, ...] = ()
    """The bands that the weights will be used for."""
    file: Path | None = None
    classes: tuple[tuple[int, str], ...] | None = None
    """(id, name) in channel order where the weights are a model; None for other weights."""

    def by_name(self, theirs: int, count: int) -> bool:
        """True where the `theirs` bands of the weights and `count` of ours can be matched by name."""
        return len(self.bands) == theirs and len(self.ours) == count and any(self.bands) and any(self.ours)

    def band_indices(self, theirs: int, count: int) -> tuple[int | None, ...]:
        """For each of our `count` bands the index of the same band among the `theirs` of the weights.

        Without names bands correspond by their order where there are equally many; otherwise all are None.
        """
        if self.by_name(theirs, count):
            return match_bands(self.ours, self.bands, self.sensor)
        return tuple(range(count)) if theirs == count else (None,) * count


def find_weights(weights: str, backbone: str, ours: Sequence[str] = ()) -> WeightsSource | None:
    """The source that `weights` names; nothing is downloaded yet.

    Args:
        weights: "none", "imagenet", a timm name with its tag (e.g. "resnet18.a1_in1k"), a name of the
            catalogue, or the path of a file.
        backbone: The backbone that they are for.
        ours: Names of the bands that the network takes, "" for one without a name.

    Returns:
        The source; None for "none".

    Raises:
        ConfigError: The name is unknown, or belongs to another backbone.
        BundleError: The file does not exist.
    """
    if weights == NONE:
        return None
    if Path(weights).is_file():
        source = _of_file(Path(weights), backbone)
    elif weights == IMAGENET or _is_timm_tag(weights, backbone):
        source = _of_timm(backbone, weights)
    elif not is_name(weights):
        source = _of_file(Path(weights), backbone)
    else:
        source = _of_torchgeo(find_named(weights, backbone))
    return replace(source, ours=tuple(ours))


def _of_file(path: Path, backbone: str) -> WeightsSource:
    if not path.is_file():
        read_state(path)  # raises
    source = WeightsSource(str(path), lambda: read_state(path), file=path)
    spec = read_model_json(path)
    if not spec:
        return _normalized_like_imagenet(source, backbone)
    try:
        bands = tuple(
            canonical_name(band["name"]) if band.get("named", True) else "" for band in spec["bands"]
        )
        statistics = spec["normalization"]
        normalization = Normalization(
            tuple(map(float, statistics["mean"])), tuple(map(float, statistics["std"]))
        )
        licence = str(spec.get("provenance", {}).get("licence", ""))
        classes = tuple((int(info["id"]), str(info["name"])) for info in spec["classes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{path}: model.json lacks valid bands, classes or normalization ({error!r}); the file is "
            "damaged, copy or train it again"
        ) from error
    return replace(source, bands=bands, normalization=normalization, licence=licence, classes=classes)


def _normalized_like_imagenet(source: WeightsSource, backbone: str) -> WeightsSource:
    """A file does not state how its input was normalized. The best guess, said where it is used, is the
    normalization of the ImageNet weights of the same backbone.
    """
    config = _timm_config(backbone)
    if config is None:
        return source
    return replace(
        source,
        normalization=Normalization(tuple(config.mean), tuple(config.std)),
        normalization_of=f"the ImageNet weights of {backbone}",
        full=1.0,
    )


def _is_timm_tag(text: str, backbone: str) -> bool:
    """True for a timm name of this backbone with a tag ("resnet18.a1_in1k"); "resnet18.pth" is a file."""
    architecture, _, tag = text.partition(".")
    return architecture == backbone and bool(tag) and tag not in _FILE_SUFFIXES


def _of_timm(backbone: str, weights: str) -> WeightsSource:
    """The weights that timm calls the default of a backbone ("imagenet"), or those of a tag."""
    config = _timm_config(backbone if weights == IMAGENET else weights)
    if config is None:
        raise BundleError(
            f"weights {weights}: timm has none of this name for backbone {backbone}; choose another "
            "`backbone` (eo-dl model backbones lists them), or the path of a file as `weights`"
        )
    if weights == IMAGENET:
        where, packaged = f"ImageNet weights of {backbone} ({config.tag})", packaged_file(backbone)
    else:
        where, packaged = f"timm weights {weights}", None
    if packaged is None:
        name = f"{backbone}.{config.tag}" if config.tag else backbone
        read = partial(fetched, where, partial(_timm_state, name))
    else:
        read = partial(read_packaged, backbone, packaged)
    return WeightsSource(
        where=where,
        read=read,
        bands=RGB,
        normalization=Normalization(tuple(config.mean), tuple(config.std)),
        full=1.0,
        licence=config.license or "not stated",
    )


def _timm_config(name: str) -> Any:
    """What timm knows about the pretrained weights of a name; None where it has none."""
    from timm.models import get_pretrained_cfg, is_model  # lazy: only for these

    if not is_model(name):
        return None
    try:
        config = get_pretrained_cfg(name)
    except RuntimeError:  # timm's way to say that it does not know the tag
        return None
    return config if config is not None and config.has_weights else None


def _of_torchgeo(named: NamedWeights) -> WeightsSource:
    return WeightsSource(
        where=named.name,
        read=lambda: fetched(named.name, lambda: _torchgeo_state(named.name)),
        bands=tuple(canonical_name(band) for band in named.bands),
        sensor=named.sensor,
        normalization=_normalization(_torchgeo_weight(named.name).transforms, len(named.bands)),
        full=named.full,
        licence=named.licence,
    )


def fetched(what: str, fetch: Callable[[], Any]) -> State:
    """Tensors from a cache or the network.

    Raises:
        BundleError: They cannot be downloaded; the message offers the alternatives in one line.
    """
    log.info("fetching %s (once, it is kept)", what)
    try:
        data = fetch()
    except Exception as error:  # urllib, huggingface_hub and their transports raise anything
        reason = " ".join((str(error) or type(error).__name__).split())[:160]
        raise BundleError(
            f"{what}: cannot be downloaded ({reason}); download the file on a machine with network access "
            "and pass its path as `weights`, or train without weights (none)"
        ) from error
    return tensors_of(data, what)


def _timm_state(name: str) -> State:
    import timm  # lazy: only for these

    return dict(timm.create_model(name, pretrained=True).state_dict())


def _torchgeo_state(name: str) -> Any:
    return _torchgeo_weight(name).get_state_dict(
        progress=False, check_hash=True, weights_only=True, map_location="cpu"
    )


def _torchgeo_weight(name: str) -> Any:
    with needs_extra(f"weight {name}"):
        from torchgeo.models import get_weight  # lazy: it takes seconds, and few runs need it

    return get_weight(name)


def _normalization(transforms: Any, count: int) -> Normalization | None:
    """A chain of transforms as a mean and a standard deviation per band; None if it changes no values."""
    mean, std = [0.0] * count, [1.0] * count
    normalizes = False
    for step in transforms if hasattr(transforms, "__iter__") else ():
        if not hasattr(step, "mean") or not hasattr(step, "std"):
            continue
        step_mean, step_std = _per_band(step.mean, count), _per_band(step.std, count)
        mean = [m + s * further for m, s, further in zip(mean, std, step_mean, strict=True)]
        std = [s * further for s, further in zip(std, step_std, strict=True)]
        normalizes = True
    return Normalization(tuple(mean), tuple(std)) if normalizes else None


def _per_band(values: Sequence[float], count: int) -> list[float]:
    return [float(value) for value in values] * (count if len(values) == 1 else 1)

"""The pretrained weights that can be chosen by name: what they were trained on, and their licences. Imports
no torch, timm or torchgeo, so that listing them is instant.

What torchgeo knows about weights (address, normalization) is read from torchgeo when they are used. What it
does not know (GSD, licence, units of the input) is here. Licences are those that the publishers' pages stated
in 2026-11; "not stated" means: ask the publisher. A test compares names, backbones and bands with torchgeo,
and the ImageNet rows with timm.

Only weights of backbones with a pyramid of feature maps are listed; torchgeo's transformers (ViT, Swin) have
none at every image size.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ConfigError

IMAGENET = "imagenet"
RGB = ("red", "green", "blue")

_S2_ALL = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8a", "B9", "B10", "B11", "B12")
_S2_RGB, _S2_TCI = ("B4", "B3", "B2"), ("B04", "B03", "B02")
_S2_SATLAS = (*_S2_TCI, "B05", "B06", "B07", "B08", "B11", "B12")
_S2_NO_CIRRUS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
_TM = tuple(f"B{number}" for number in range(1, 8))
_ETM = ("B1", "B2", "B3", "B4", "B5", "B6_VCID_1", "B6_VCID_2", "B7", "B8")
_ETM_SR = tuple(f"SR_B{number}" for number in (1, 2, 3, 4, 5, 7))
_OLI = tuple(f"B{number}" for number in range(1, 12))
_OLI_SR = tuple(f"SR_B{number}" for number in range(1, 8))

_SSL4EO_L = "SSL4EO-L, arxiv.org/abs/2306.09424"
_SSL4EO_S12 = "SSL4EO-S12, arxiv.org/abs/2211.07044"
_SECO = "SeCo, arxiv.org/abs/2103.16607"
_SATLAS = "SatlasPretrain, arxiv.org/abs/2211.15660"
_DECUR = "DeCUR, github.com/zhu-xlab/DeCUR"
_SOFTCON = "SoftCon, github.com/zhu-xlab/softcon"
_CLOSP = "CLOSP, github.com/DarthReca/closp"
_SSL4ECO = "SSL4Eco, github.com/PlekhanovaElena/ssl4eco"
_NOT_STATED = "not stated"


@dataclass(frozen=True)
class NamedWeights:
    """Weights by name, for one backbone."""

    name: str
    """The full name."""
    short: str
    """A short name, unique together with the backbone."""
    backbone: str
    bands: tuple[str, ...]
    """The bands they were trained on, in order."""
    gsd_m: str
    """Ground sample distance of the training images, metres, or "photographs"."""
    licence: str
    source: str
    """The publication or project."""
    sensor: str = ""
    """The sensor whose numbers name the bands (`core.spectral`)."""
    full: float = 0.0
    """The input value that stands for 1 (255: 8-bit images, 10000: Sentinel-2 reflectance as stored); 0 where
    values are not comparable (decibels, mixed units)."""


_IMAGENET_LICENCES = {
    "tf_efficientnet_lite0": "apache-2.0",
    "tf_efficientnet_lite1": "apache-2.0",
    "tf_efficientnet_lite2": "apache-2.0",
    "resnet10t": "apache-2.0",
    "resnet14t": "apache-2.0",
    "resnet18": "apache-2.0",
    "resnet26": "apache-2.0",
    "resnet34": "apache-2.0",
    "resnet50": "apache-2.0",
    "resnet101": "apache-2.0",
    "resnext50_32x4d": "apache-2.0",
    "mobilenetv3_large_100": "apache-2.0",
    "efficientnet_b0": "apache-2.0",
    "efficientnet_b2": "apache-2.0",
    "efficientnet_b3": "apache-2.0",
    "convnext_atto": "apache-2.0",
    "convnext_nano": "apache-2.0",
    "convnext_tiny": "apache-2.0",
    "regnety_008": "mit",
    "densenet121": "apache-2.0",
    "hrnet_w18": "mit",
}


def _landsat() -> Iterator[NamedWeights]:
    products = (
        ("TM_TOA", _TM, "landsat_tm"),
        ("ETM_TOA", _ETM, "landsat_etm"),
        ("ETM_SR", _ETM_SR, "landsat_etm"),
        ("OLI_TIRS_TOA", _OLI, "landsat_oli"),
        ("OLI_SR", _OLI_SR, "landsat_oli"),
    )
    for depth in (18, 50):
        for product, bands, sensor in products:
            for method in ("MOCO", "SIMCLR"):
                yield _resnet(
                    depth,
                    f"LANDSAT_{product}_{method}",
                    bands=bands,
                    gsd_m="30",
                    licence="cc0-1.0",
                    source=_SSL4EO_L,
                    sensor=sensor,
                    full=255.0,
                )


def _sentinel2() -> Iterator[NamedWeights]:
    def resnet(
        depth: int, name: str, bands: tuple[str, ...], licence: str, source: str, full: float
    ) -> NamedWeights:
        return _resnet(
            depth,
            f"SENTINEL2_{name}",
            bands=bands,
            gsd_m="10",
            licence=licence,
            source=source,
            sensor="sentinel2",
            full=full,
        )

    for depth in (18, 50):
        yield resnet(depth, "ALL_MOCO", _S2_ALL, "cc-by-4.0", source=_SSL4EO_S12, full=1e4)
        yield resnet(depth, "RGB_MOCO", _S2_RGB, "cc-by-4.0", source=_SSL4EO_S12, full=1e4)
        yield resnet(depth, "RGB_SECO", _S2_RGB, "apache-2.0", source=_SECO, full=255.0)
    yield resnet(50, "ALL_DINO", _S2_ALL, "cc-by-4.0", source=_SSL4EO_S12, full=1e4)
    yield resnet(50, "ALL_DECUR", _S2_ALL, _NOT_STATED, source=_DECUR, full=1e4)
    yield resnet(50, "ALL_SOFTCON", _S2_ALL, _NOT_STATED, source=_SOFTCON, full=1e4)
    yield resnet(50, "ALL_CLOSP", _S2_ALL, _NOT_STATED, source=_CLOSP, full=1e4)
    yield resnet(50, "ALL_GEOCLOSP", _S2_ALL, _NOT_STATED, source=_CLOSP, full=1e4)
    yield resnet(50, "ALL_SECO_ECO", _S2_NO_CIRRUS, _NOT_STATED, source=_SSL4ECO, full=1e4)
    for depth in (50, 152):
        for images in ("MI", "SI"):
            yield resnet(depth, f"{images}_MS_SATLAS", _S2_SATLAS, "apache-2.0", source=_SATLAS, full=0.0)
            yield resnet(depth, f"{images}_RGB_SATLAS", _S2_TCI, "apache-2.0", source=_SATLAS, full=255.0)


def _others() -> Iterator[NamedWeights]:
    for name, licence, source in (
        ("ALL_MOCO", "cc-by-4.0", _SSL4EO_S12),
        ("ALL_DECUR", _NOT_STATED, _DECUR),
        ("GRD_SOFTCON", _NOT_STATED, _SOFTCON),
        ("GRD_CLOSP", _NOT_STATED, _CLOSP),
        ("GRD_GEOCLOSP", _NOT_STATED, _CLOSP),
    ):
        yield _resnet(50, f"SENTINEL1_{name}", bands=("VV", "VH"), gsd_m="10", licence=licence, source=source)
    yield _resnet(
        50,
        "FMOW_RGB_GASSL",
        bands=RGB,
        gsd_m="0.3-1",
        licence=_NOT_STATED,
        source="GASSL on fMoW, arxiv.org/abs/2011.09980",
        full=255.0,
    )
    for depth in (34, 50):
        name = f"OAM_RGB_RESNET{depth}_TCD"
        yield NamedWeights(
            name=f"Unet_Weights.{name}",
            short=_short(name),
            backbone=f"resnet{depth}",
            bands=RGB,
            gsd_m="0.1",
            licence="cc-by-nc-4.0",
            source="OAM-TCD trees, github.com/restor-foundation/tcd",
        )


def _resnet(
    depth: int,
    name: str,
    *,
    bands: tuple[str, ...],
    gsd_m: str,
    licence: str,
    source: str,
    sensor: str = "",
    full: float = 0.0,
) -> NamedWeights:
    return NamedWeights(
        name=f"ResNet{depth}_Weights.{name}",
        short=_short(name),
        backbone=f"resnet{depth}",
        bands=bands,
        gsd_m=gsd_m,
        licence=licence,
        source=source,
        sensor=sensor,
        full=full,
    )


def _imagenet() -> Iterator[NamedWeights]:
    for backbone, licence in _IMAGENET_LICENCES.items():
        yield NamedWeights(
            name=IMAGENET,
            short=IMAGENET,
            backbone=backbone,
            bands=RGB,
            gsd_m="photographs",
            licence=licence,
            source="timm",
            full=1.0,
        )


def _short(name: str) -> str:
    return name.lower().replace("_", "-")


def named_weights() -> tuple[NamedWeights, ...]:
    """All weights: those of ImageNet first, then those of Earth observation."""
    return (*_imagenet(), *_sentinel2(), *_landsat(), *_others())


def is_name(text: str) -> bool:
    """True for what can only be a name of torchgeo: `CLASS.MEMBER`, or a short name of the list."""
    class_name, dot, member = text.partition(".")
    if dot and class_name.endswith("_Weights") and member.isidentifier():
        return True
    return _short(text) in {weights.short for weights in named_weights()}


def find_named(text: str, backbone: str) -> NamedWeights:
    """The weights of a full or a short name for `backbone`.

    Raises:
        ConfigError: The name is unknown, or the weights are for another backbone.
    """
    known = [weights for weights in named_weights() if weights.name != IMAGENET]
    named = [weights for weights in known if text == weights.name or _short(text) == weights.short]
    if not named:
        close = difflib.get_close_matches(text, [weights.name for weights in known], n=1, cutoff=0)
        raise ConfigError(
            f"unknown weights {text}: not among those that fit a network here (ViT and Swin have no pyramid "
            f"of feature maps); did you mean {close[0]}? `eo-dl model backbones` lists all"
        )
    for weights in named:
        if weights.backbone == backbone:
            return weights
    raise ConfigError(
        f"weights {text} were trained with {' or '.join(weights.backbone for weights in named)}, not "
        f"{backbone}; set `backbone` to {named[0].backbone}"
    )

"""The weights that `--weights` knows by name: what they saw, and whose they are. No torch, timm or torchgeo
here, so that the list is instant.

What torchgeo says of a weight (address, normalization) is asked of torchgeo when it is used; what it does not
say (ground sample distance, licence, units of its input) stands here. Licences are those that the publishers'
pages gave in 2026-11; "not stated" means asking them. A test compares names, backbones and bands with
torchgeo, and the ImageNet rows with timm.

Only weights of backbones with a pyramid of feature maps are here; torchgeo's transformers (ViT, Swin) give
none at any image size.
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
_NOT_STATED = "not stated"


@dataclass(frozen=True)
class NamedWeights:
    """Weights by name for one backbone. `name` is what --weights takes in full, `short` is enough beside
    --backbone.

    `full`: the input value that stands for 1 (255: 8-bit pictures, 10000: Sentinel-2 reflectance as it is
    stored); 0 where values are not comparable (decibels, mixed units). `sensor`: whose number names the bands
    have, see `core.spectral`.
    """

    name: str
    short: str
    backbone: str
    bands: tuple[str, ...]
    gsd_m: str
    licence: str
    source: str
    sensor: str = ""
    full: float = 0.0


_TIMM = (
    ("resnet10t", "apache-2.0"), ("resnet14t", "apache-2.0"), ("resnet18", "apache-2.0"), ("resnet26", "apache-2.0"), ("resnet34", "apache-2.0"),
    ("resnet50", "apache-2.0"), ("resnet101", "apache-2.0"), ("resnext50_32x4d", "apache-2.0"), ("mobilenetv3_large_100", "apache-2.0"),
    ("efficientnet_b0", "apache-2.0"), ("efficientnet_b2", "apache-2.0"), ("efficientnet_b3", "apache-2.0"), ("convnext_atto", "apache-2.0"),
    ("convnext_nano", "apache-2.0"), ("convnext_tiny", "apache-2.0"), ("regnety_008", "mit"), ("densenet121", "apache-2.0"), ("hrnet_w18", "mit"),
)  # fmt: skip


def _landsat() -> Iterator[NamedWeights]:
    kinds = (
        ("TM_TOA", _TM, "landsat_tm"),
        ("ETM_TOA", _ETM, "landsat_etm"),
        ("ETM_SR", _ETM_SR, "landsat_etm"),
        ("OLI_TIRS_TOA", _OLI, "landsat_oli"),
        ("OLI_SR", _OLI_SR, "landsat_oli"),
    )
    for depth in (18, 50):
        for kind, bands, sensor in kinds:
            for method in ("MOCO", "SIMCLR"):
                yield _of_resnet(
                    depth, f"LANDSAT_{kind}_{method}", bands, "30", "cc0-1.0", _SSL4EO_L, sensor, 255.0
                )


def _sentinel2() -> Iterator[NamedWeights]:
    s2 = "sentinel2"
    for depth in (18, 50):
        yield _of_resnet(depth, "SENTINEL2_ALL_MOCO", _S2_ALL, "10", "cc-by-4.0", _SSL4EO_S12, s2, 1e4)
        yield _of_resnet(depth, "SENTINEL2_RGB_MOCO", _S2_RGB, "10", "cc-by-4.0", _SSL4EO_S12, s2, 1e4)
        yield _of_resnet(depth, "SENTINEL2_RGB_SECO", _S2_RGB, "10", "apache-2.0", _SECO, s2, 255.0)
    yield _of_resnet(50, "SENTINEL2_ALL_DINO", _S2_ALL, "10", "cc-by-4.0", _SSL4EO_S12, s2, 1e4)
    yield _of_resnet(
        50, "SENTINEL2_ALL_DECUR", _S2_ALL, "10", _NOT_STATED, "DeCUR, github.com/zhu-xlab/DeCUR", s2, 1e4
    )
    yield _of_resnet(
        50,
        "SENTINEL2_ALL_SOFTCON",
        _S2_ALL,
        "10",
        _NOT_STATED,
        "SoftCon, github.com/zhu-xlab/softcon",
        s2,
        1e4,
    )
    yield _of_resnet(
        50, "SENTINEL2_ALL_CLOSP", _S2_ALL, "10", _NOT_STATED, "CLOSP, github.com/DarthReca/closp", s2, 1e4
    )
    yield _of_resnet(
        50, "SENTINEL2_ALL_GEOCLOSP", _S2_ALL, "10", _NOT_STATED, "CLOSP, github.com/DarthReca/closp", s2, 1e4
    )
    yield _of_resnet(
        50,
        "SENTINEL2_ALL_SECO_ECO",
        _S2_NO_CIRRUS,
        "10",
        _NOT_STATED,
        "SSL4Eco, github.com/PlekhanovaElena/ssl4eco",
        s2,
        1e4,
    )
    for depth in (50, 152):
        for images in ("MI", "SI"):
            yield _of_resnet(
                depth, f"SENTINEL2_{images}_MS_SATLAS", _S2_SATLAS, "10", "apache-2.0", _SATLAS, s2
            )
            yield _of_resnet(
                depth, f"SENTINEL2_{images}_RGB_SATLAS", _S2_TCI, "10", "apache-2.0", _SATLAS, s2, 255.0
            )


def _others() -> Iterator[NamedWeights]:
    for method, licence, source in (
        ("ALL_MOCO", "cc-by-4.0", _SSL4EO_S12),
        ("ALL_DECUR", _NOT_STATED, "DeCUR, github.com/zhu-xlab/DeCUR"),
        ("GRD_SOFTCON", _NOT_STATED, "SoftCon, github.com/zhu-xlab/softcon"),
        ("GRD_CLOSP", _NOT_STATED, "CLOSP, github.com/DarthReca/closp"),
        ("GRD_GEOCLOSP", _NOT_STATED, "CLOSP, github.com/DarthReca/closp"),
    ):
        yield _of_resnet(50, f"SENTINEL1_{method}", ("VV", "VH"), "10", licence, source)
    yield _of_resnet(
        50, "FMOW_RGB_GASSL", RGB, "0.3-1", _NOT_STATED, "GASSL on fMoW, arxiv.org/abs/2011.09980", "", 255.0
    )
    for depth in (34, 50):
        name = f"OAM_RGB_RESNET{depth}_TCD"
        yield NamedWeights(
            f"Unet_Weights.{name}",
            _short(name),
            f"resnet{depth}",
            RGB,
            "0.1",
            "cc-by-nc-4.0",
            "OAM-TCD trees, github.com/restor-foundation/tcd",
        )


def _of_resnet(
    depth: int,
    name: str,
    bands: tuple[str, ...],
    gsd_m: str,
    licence: str,
    source: str,
    sensor: str = "",
    full: float = 0.0,
) -> NamedWeights:
    return NamedWeights(
        f"ResNet{depth}_Weights.{name}",
        _short(name),
        f"resnet{depth}",
        bands,
        gsd_m,
        licence,
        source,
        sensor,
        full,
    )


def _short(name: str) -> str:
    return name.lower().replace("_", "-")


def named_weights() -> tuple[NamedWeights, ...]:
    """All of them: ImageNet's first, then those of earth observation."""
    photographs = tuple(
        NamedWeights(IMAGENET, IMAGENET, name, RGB, "photographs", licence, "timm", "", 1.0)
        for name, licence in _TIMM
    )
    return (*photographs, *_sentinel2(), *_landsat(), *_others())


def is_name(text: str) -> bool:
    """True for what can only be meant as a name of torchgeo: `CLASS.MEMBER`, or a short form of the list."""
    kind, dot, member = text.partition(".")
    return (bool(dot) and kind.endswith("_Weights") and member.isidentifier()) or _short(text) in {
        weights.short for weights in named_weights()
    }


def find_named(text: str, backbone: str) -> NamedWeights:
    """The weights of a full or a short name for `backbone`. Raises `ConfigError` for an unknown name or
    another backbone, with what to type.
    """
    known = [weights for weights in named_weights() if weights.name != IMAGENET]
    fitting = [weights for weights in known if text == weights.name or _short(text) == weights.short]
    if not fitting:
        near = difflib.get_close_matches(text, [weights.name for weights in known], n=1, cutoff=0)
        raise ConfigError(
            f"--weights {text}: is not among the weights that fit a network here (ViT and Swin give no pyramid of feature maps); "
            f"did you mean {near[0]}? eo-dl model backbones lists all"
        )
    for weights in fitting:
        if weights.backbone == backbone:
            return weights
    raise ConfigError(
        f"--weights {text}: was trained with {' or '.join(w.backbone for w in fitting)}, not {backbone}; add --backbone {fitting[0].backbone}"
    )

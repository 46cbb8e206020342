"""VRTs, checked as text before GDAL sees them: only plain mosaics of local files are accepted.

Everything that is not on the list of harmless elements is refused, so new features of GDAL are refused until
they were reviewed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import SceneError

_MAX_BYTES = 64 * 2**20
_MAX_DEPTH = 4
# Domains of metadata that GDAL acts upon.
_ACTIVE_DOMAINS = ("xml:", "new_vrt_sources", "vrt_sources", "OVERVIEWS")
_HARMLESS = frozenset(
    [
        "VRTDataset",
        "SRS",
        "GeoTransform",
        "GCPList",
        "GCP",
        "Metadata",
        "MDI",
        "VRTRasterBand",
        "ColorInterp",
        "NoDataValue",
        "HideNoDataValue",
        "ColorTable",
        "Entry",
        "CategoryNames",
        "Category",
        "Description",
        "UnitType",
        "Offset",
        "Scale",
        "Minimum",
        "Maximum",
        "Histograms",
        "HistItem",
        "HistMin",
        "HistMax",
        "BucketCount",
        "IncludeOutOfRange",
        "Approximate",
        "HistCounts",
        "SimpleSource",
        "ComplexSource",
        "AveragedSource",
        "SourceFilename",
        "SourceBand",
        "SourceProperties",
        "SrcRect",
        "DstRect",
        "NODATA",
        "UseMaskBand",
        "MaskBand",
        "OverviewList",
        "Overview",
        "ScaleOffset",
        "ScaleRatio",
        "LUT",
        "ColorTableComponent",
        "BlockXSize",
        "BlockYSize",
    ]
)


def check_vrt(path: Path, check_source: Callable[[Path], bool], depth: int = 0) -> None:
    """Refuse a VRT that does more than mosaic local files of its own folder.

    Args:
        path: The VRT.
        check_source: Checks a file that the VRT names; returns True if it is a VRT too, which is then checked
            in turn.
        depth: Number of VRTs that this one is nested in.

    Raises:
        SceneError: The VRT is refused, or is no XML.
    """
    if depth > _MAX_DEPTH:
        raise _refusal(path, f"VRTs inside VRTs, more than {_MAX_DEPTH} deep")
    root = _parse(path)
    if root.tag != "VRTDataset":
        raise _refusal(path, f"<{root.tag}> as its root")
    for element in root.iter():
        _check_element(element, path)
    for source in sorted({_inside(element, path) for element in root.iter("SourceFilename")}):
        if check_source(source):
            check_vrt(source, check_source, depth + 1)


def vrt_sources(path: Path) -> list[Path]:
    """The existing local files that a VRT names, sorted."""
    sources = {_local(element, path) for element in _parse(path).iter("SourceFilename")}
    return sorted(source for source in sources if source.is_file())


def _parse(path: Path) -> Element:
    if path.stat().st_size > _MAX_BYTES:
        raise _refusal(path, f"more than {_MAX_BYTES >> 20} MB of text")
    try:
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except ParseError as cause:
        raise SceneError(
            f"{path}: is not well-formed XML ({cause}); write the VRT again, e.g. with gdalbuildvrt"
        ) from cause
    except DefusedXmlException as cause:
        raise SceneError(
            f"{path}: holds XML declarations that a VRT does not need ({type(cause).__name__}); write it "
            "again with gdalbuildvrt"
        ) from cause
    return root


def _check_element(element: Element, path: Path) -> None:
    if element.tag not in _HARMLESS:
        raise _refusal(path, f"<{element.tag}>")
    if element.get("subClass") is not None:
        raise _refusal(path, f"a {element.tag} of kind {element.get('subClass')!r}")
    domain = element.get("domain") or ""
    if element.tag == "Metadata" and domain.startswith(_ACTIVE_DOMAINS):
        raise _refusal(path, f"a Metadata domain {domain!r}")


def _inside(element: Element, path: Path) -> Path:
    text = (element.text or "").strip()
    has_scheme = ":" in text and not Path(text).drive
    if text.startswith("/vsi") or "<" in text or "://" in text or has_scheme:
        raise _refusal(path, f"a source that is no local file ({text[:60]!r})")
    source = _local(element, path)
    if not source.is_relative_to(path.resolve().parent):
        raise _refusal(path, f"a source outside its own folder ({text[:60]!r})")
    if not source.is_file():
        raise SceneError(
            f"{path}: its source {text!r} does not exist; put it beside the VRT or write the VRT again"
        )
    return source


def _local(element: Element, path: Path) -> Path:
    text = (element.text or "").strip()
    return (path.resolve().parent / text if element.get("relativeToVRT") == "1" else Path(text)).resolve()


def _refusal(path: Path, content: str) -> SceneError:
    return SceneError(
        f"{path}: the VRT holds {content}; only mosaics of local files in or below its own folder are "
        "opened; if you wrote it yourself, set `trust_vrt=True`"
    )

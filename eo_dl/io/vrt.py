"""A VRT read as text before GDAL sees it: only plain mosaics of local files are let in.

Everything that is not on the list of harmless elements is refused, so a new ability of GDAL is refused until
it is looked at.
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
_HARMLESS = frozenset({
    "VRTDataset", "SRS", "GeoTransform", "GCPList", "GCP", "Metadata", "MDI", "VRTRasterBand", "ColorInterp", "NoDataValue", "HideNoDataValue",
    "ColorTable", "Entry", "CategoryNames", "Category", "Description", "UnitType", "Offset", "Scale", "Minimum", "Maximum", "Histograms", "HistItem",
    "HistMin", "HistMax", "BucketCount", "IncludeOutOfRange", "Approximate", "HistCounts", "SimpleSource", "ComplexSource", "AveragedSource",
    "SourceFilename", "SourceBand", "SourceProperties", "SrcRect", "DstRect", "NODATA", "UseMaskBand", "MaskBand", "OverviewList", "Overview",
    "ScaleOffset", "ScaleRatio", "LUT", "ColorTableComponent", "BlockXSize", "BlockYSize",
})  # fmt: skip


def check_vrt(path: Path, check_source: Callable[[Path], bool], depth: int = 0) -> None:
    """Refuse a VRT that does more than put local files of its own folder together.

    `check_source` looks at each file it names and says whether that is a VRT too, which is then checked
    likewise. Raises `SceneError` naming `--trust-vrt`.
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
    """The local files that a VRT names, sorted; files that are not there are left out."""
    named = {_local(element, path) for element in _parse(path).iter("SourceFilename")}
    return sorted(source for source in named if source.is_file())


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
            f"{path}: holds XML declarations that a VRT has no use for ({type(cause).__name__}); write it again with gdalbuildvrt"
        ) from cause
    return root


def _check_element(element: Element, path: Path) -> None:
    if element.tag not in _HARMLESS:
        raise _refusal(path, f"<{element.tag}>")
    if element.get("subClass") is not None:
        raise _refusal(path, f"a {element.tag} of kind {element.get('subClass')!r}")
    if element.tag == "Metadata" and (element.get("domain") or "").startswith(
        ("xml:", "new_vrt_sources", "vrt_sources", "OVERVIEWS")
    ):
        raise _refusal(path, f"a Metadata domain {element.get('domain')!r}")


def _inside(element: Element, path: Path) -> Path:
    text = (element.text or "").strip()
    if text.startswith("/vsi") or "<" in text or "://" in text or (":" in text and not Path(text).drive):
        raise _refusal(path, f"a source that is no local file ({text[:60]!r})")
    source = _local(element, path)
    if not source.is_relative_to(path.resolve().parent):
        raise _refusal(path, f"a source outside its own folder ({text[:60]!r})")
    if not source.is_file():
        raise SceneError(
            f"{path}: its source {text!r} is not there; put it beside the VRT or write the VRT again"
        )
    return source


def _local(element: Element, path: Path) -> Path:
    text = (element.text or "").strip()
    return (path.resolve().parent / text if element.get("relativeToVRT") == "1" else Path(text)).resolve()


def _refusal(path: Path, found: str) -> SceneError:
    return SceneError(
        f"{path}: the VRT holds {found}; only mosaics of local files in or below its own folder are opened; if you wrote it yourself, give --trust-vrt"
    )

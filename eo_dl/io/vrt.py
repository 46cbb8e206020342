"""VRTs, checked as text before GDAL sees them: only plain mosaics of local files are accepted.

GDAL reads names without regard to case, and takes an attribute for an element of the same name
(`<SimpleSource SourceFilename="...">`). So both elements and attributes are on a list, everything else is
refused (new features of GDAL until they were reviewed), and what GDAL's own parser reads otherwise than XML
says is refused too: comments, CDATA and elements inside a text, spaces around a file name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Comment, Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from ..errors import SceneError

_MAX_BYTES = 64 * 2**20
_MAX_DEPTH = 4
_SOURCE = "sourcefilename"
# Domains of metadata that GDAL acts upon.
_ACTIVE_DOMAINS = ("xml:", "json:", "new_vrt_sources", "vrt_sources", "overviews", "derived_subdatasets")
# Elements that hold other elements, with their attributes. All names in lower case.
_CONTAINERS: Mapping[str, tuple[str, ...]] = {
    "vrtdataset": ("rasterxsize", "rasterysize"),
    "gcplist": ("projection", "dataaxistosrsaxismapping"),
    "metadata": ("domain",),
    "vrtrasterband": ("datatype", "band", "blockxsize", "blockysize"),
    "colortable": (),
    "categorynames": (),
    "histograms": (),
    "histitem": (),
    "simplesource": ("resampling",),
    "complexsource": ("resampling",),
    "averagedsource": ("resampling",),
    "maskband": (),
    "overview": (),
}
# Elements that hold text or nothing, with their attributes.
_LEAVES: Mapping[str, tuple[str, ...]] = {
    "srs": ("dataaxistosrsaxismapping", "coordinateepoch"),
    "geotransform": (),
    "gcp": ("id", "info", "pixel", "line", "x", "y", "z"),
    "mdi": ("key",),
    "colorinterp": (),
    "nodatavalue": (),
    "hidenodatavalue": (),
    "entry": ("c1", "c2", "c3", "c4"),
    "category": (),
    "description": (),
    "unittype": (),
    "offset": (),
    "scale": (),
    "minimum": (),
    "maximum": (),
    "histmin": (),
    "histmax": (),
    "bucketcount": (),
    "includeoutofrange": (),
    "approximate": (),
    "histcounts": (),
    _SOURCE: ("relativetovrt", "shared"),
    "sourceband": (),
    "sourceproperties": ("rasterxsize", "rasterysize", "datatype", "blockxsize", "blockysize"),
    "srcrect": ("xoff", "yoff", "xsize", "ysize"),
    "dstrect": ("xoff", "yoff", "xsize", "ysize"),
    "nodata": (),
    "usemaskband": (),
    "overviewlist": ("resampling",),
    "scaleoffset": (),
    "scaleratio": (),
    "lut": (),
    "colortablecomponent": (),
    "blockxsize": (),
    "blockysize": (),
}


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
    if _name(root) != "vrtdataset":
        raise _refusal(path, f"<{root.tag}> as its root")
    for element in root.iter():
        _check_element(element, path)
    for source in sorted({_inside(element, path) for element in _sources(root)}):
        if check_source(source):
            check_vrt(source, check_source, depth + 1)


def vrt_sources(path: Path) -> list[Path]:
    """The existing local files that a VRT names, sorted."""
    sources = {_local(element, path) for element in _sources(_parse(path))}
    return sorted(source for source in sources if source.is_file())


def pixel_files(path: Path, depth: int = 0) -> list[Path]:
    """The files with the pixels of a VRT: its sources, and those of the VRTs among them."""
    files: list[Path] = []
    for source in vrt_sources(path):
        nested = source.suffix.lower() == ".vrt" and depth < _MAX_DEPTH
        files += pixel_files(source, depth + 1) if nested else [source]
    return files


def _sources(root: Element) -> Iterator[Element]:
    return (element for element in root.iter() if _name(element) == _SOURCE)


def _name(element: Element) -> str:
    """The name of an element as GDAL compares it; "" for a comment or an instruction."""
    return element.tag.lower() if isinstance(element.tag, str) else ""


def _parse(path: Path) -> Element:
    if path.stat().st_size > _MAX_BYTES:
        raise _refusal(path, f"more than {_MAX_BYTES >> 20} MB of text")
    # UTF-8 whatever the declaration says: GDAL does not look at it.
    parser = DefusedXMLParser(
        target=TreeBuilder(insert_comments=True, insert_pis=True), encoding="utf-8", forbid_dtd=True
    )
    data = path.read_bytes()
    try:
        parser.feed(data)
        root: Element = parser.close()
    except ParseError as cause:
        raise SceneError(
            f"{path}: is not well-formed XML in UTF-8 ({cause}); write the VRT again, e.g. with gdalbuildvrt"
        ) from cause
    except DefusedXmlException as cause:
        raise SceneError(
            f"{path}: holds XML declarations that a VRT does not need ({type(cause).__name__}); write it "
            "again with gdalbuildvrt"
        ) from cause
    if b"<![cdata[" in data.lower():
        raise _refusal(path, "a CDATA section")
    return root


def _check_element(element: Element, path: Path) -> None:
    if _is_comment(element):  # between elements; inside a text it is refused below
        return
    name = _name(element)
    if not name:
        raise _refusal(path, "a processing instruction")
    if name not in _CONTAINERS and name not in _LEAVES:
        raise _refusal(path, f"<{element.tag}>")
    kind = _attribute(element, "subclass")
    if kind:
        raise _refusal(path, f"a {element.tag} of kind {kind!r}")
    _check_attributes(element, path)
    if name in _LEAVES and len(element):
        raise _refusal(path, f"something inside the text of <{element.tag}>")
    domain = _attribute(element, "domain").lower()
    if name == "metadata" and domain.startswith(_ACTIVE_DOMAINS):
        raise _refusal(path, f"a Metadata domain {domain!r}")


def _is_comment(element: Element) -> bool:
    tag: object = element.tag
    return tag is Comment


def _check_attributes(element: Element, path: Path) -> None:
    """Only listed attributes, spelt as they are listed apart from case, each once."""
    name = _name(element)
    allowed = _CONTAINERS.get(name, _LEAVES.get(name, ()))
    seen: set[str] = set()
    for attribute in element.attrib:
        lowered = attribute.lower()
        if lowered not in allowed or lowered in seen:
            raise _refusal(path, f"the attribute {attribute!r} in <{element.tag}>")
        seen.add(lowered)


def _inside(element: Element, path: Path) -> Path:
    text = element.text or ""
    has_scheme = ":" in text and not Path(text).drive
    if text.startswith("/vsi") or "<" in text or "://" in text or has_scheme:
        raise _refusal(path, f"a source that is no local file ({text[:60]!r})")
    if not text or text != text.strip() or not text.isprintable():
        raise _refusal(path, f"a source name with spaces or control characters around it ({text[:60]!r})")
    if _attribute(element, "relativetovrt") not in ("", "0", "1"):
        raise _refusal(path, f"relativeToVRT={_attribute(element, 'relativetovrt')!r}")
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
    relative = _attribute(element, "relativetovrt") == "1"
    return (path.resolve().parent / text if relative else Path(text)).resolve()


def _attribute(element: Element, name: str) -> str:
    """The attribute of this name in lower case, spelt in whatever case; "" without one."""
    values = [value for attribute, value in element.items() if attribute.lower() == name]
    return values[0] if values else ""


def _refusal(path: Path, content: str) -> SceneError:
    return SceneError(
        f"{path}: the VRT holds {content}; only mosaics of local files in or below its own folder are "
        "opened; if you wrote it yourself, set `trust_vrt=True`"
    )

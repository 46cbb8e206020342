"""Maps on the web become GeoTIFFs: the right pixels at the right place, politely, also after a stop."""

from __future__ import annotations

import http.server
import io
import itertools
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from pyproj import Transformer

from eo_dl.errors import AnswerError, ConfigError, InputError, OutputExistsError
from eo_dl.io.scene import open_scene
from eo_dl.io.services.asking import Asker
from eo_dl.io.services.fetching import Service, fetch
from eo_dl.io.services.pyramids import xyz_pyramid

HALF = 20_037_508.342789244
LON, LAT = 11.5, 48.1
BOUNDS = (LON, LAT, LON + 0.004, LAT + 0.003)
TO_MERCATOR = Transformer.from_crs(4326, 3857, always_xy=True)


def colour(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """(..., 3) a smooth colour of Web Mercator coordinates: waves of 400 m and more."""
    return np.stack(
        [127 + 90 * np.sin(xs / 70), 127 + 90 * np.sin(ys / 90), 127 + 90 * np.sin((xs + ys) / 80)], -1
    )


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype("uint8")).save(buffer, "PNG")
    return buffer.getvalue()


def tile(zoom: int, col: int, row: int) -> bytes:
    size = 2 * HALF / (256 * 2**zoom)
    xs = -HALF + (col * 256 + np.arange(256) + 0.5) * size
    ys = HALF - (row * 256 + np.arange(256) + 0.5) * size
    return png(colour(*np.meshgrid(xs, ys)))


@dataclass
class Map:
    """A map server on this machine: what it answers, and what it was asked."""

    answer: Callable[[str], tuple[int, bytes]]
    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Map]:
    served = Map(lambda path: (404, b""))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            status, body = served.answer(self.path)
            self.send_response(status)
            if status == 503:
                self.send_header("Retry-After", "7")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """No lines on the terminal of the tests."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        served.url = f"http://127.0.0.1:{listener.server_address[1]}"
        yield served
        listener.shutdown()


def xyz(path: str) -> tuple[int, bytes]:
    zoom, col, row = path.strip("/").removesuffix(".png").split("/")
    return 200, tile(int(zoom), int(col), int(row))


def wanted_colours(path: Path) -> np.ndarray:
    """(3, H, W) the colours of the pixel centres of a file, by its own georeference."""
    with rasterio.open(path) as dataset:
        cols, rows = np.meshgrid(np.arange(dataset.width) + 0.5, np.arange(dataset.height) + 0.5)
        xs = dataset.transform.a * cols + dataset.transform.c
        ys = dataset.transform.e * rows + dataset.transform.f
        mercator = Transformer.from_crs(dataset.crs.to_wkt(), 3857, always_xy=True).transform(xs, ys)
    return np.moveaxis(colour(*map(np.asarray, mercator)), -1, 0)


QUICK = Service(pause_s=0)


@pytest.mark.parametrize("gsd_m", [1.1, 2.5])
def test_tiles_lie_where_they_belong_at_the_stated_gsd(server: Map, tmp_path: Path, gsd_m: float) -> None:
    server.answer = xyz
    out = tmp_path / "town.tif"
    found = fetch(f"{server.url}/{{z}}/{{x}}/{{y}}.png", out=out, gsd_m=gsd_m, bounds=BOUNDS, service=QUICK)
    scene = open_scene(out)
    assert scene.bands.names == ("red", "green", "blue")
    assert scene.grid.gsd_m == pytest.approx(gsd_m, rel=1e-3)
    assert scene.grid.crs is not None and scene.grid.crs.to_epsg() == 32632
    with rasterio.open(out) as dataset:
        pixels, mask = dataset.read(), dataset.read_masks(1)
    assert (mask == 255).all()
    assert np.abs(pixels - wanted_colours(out)).max() < 3
    assert found.requests == len(server.asked) == len(set(server.asked))
    assert int(found.notes[0].split()[-2]) >= found.requests
    assert not out.with_name("town.tif.part.d").exists()


def test_a_wms_is_asked_for_the_pixels_of_the_file(
    server: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eo_dl.io.services.fetching.BLOCK_PX", 128)

    def wms(path: str) -> tuple[int, bytes]:
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
        assert (query["LAYERS"], query["SRS"], query["map"]) == ("dop", "EPSG:25832", "/a.map")
        west, south, east, north = map(float, query["BBOX"].split(","))
        width, height = int(query["WIDTH"]), int(query["HEIGHT"])
        cols, rows = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
        xs, ys = west + cols * (east - west), north - rows * (north - south)
        mercator = Transformer.from_crs(25832, 3857, always_xy=True).transform(xs, ys)
        return 200, png(colour(*map(np.asarray, mercator)))

    server.answer = wms
    out = tmp_path / "town.tif"
    service = Service("dop", pause_s=0)
    fetch(
        f"{server.url}/wms?map=/a.map", out=out, gsd_m=2.0, bounds=BOUNDS, crs="EPSG:25832", service=service
    )
    with rasterio.open(out) as dataset:
        assert np.abs(dataset.read() - wanted_colours(out)).max() <= 1
    assert len(server.asked) == 4


def capabilities(url: str) -> bytes:
    matrices = "".join(
        f"<TileMatrix><ows:Identifier>L{zoom}</ows:Identifier><ScaleDenominator>"
        f"{2 * HALF / 256 / 2**zoom / 0.00028!r}</ScaleDenominator><TopLeftCorner>{-HALF!r} {HALF!r}"
        f"</TopLeftCorner><TileWidth>256</TileWidth><TileHeight>256</TileHeight><MatrixWidth>{2**zoom}"
        f"</MatrixWidth><MatrixHeight>{2**zoom}</MatrixHeight></TileMatrix>"
        for zoom in range(19)
    )
    return (
        '<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1">'
        "<Contents><Layer><ows:Identifier>dop</ows:Identifier><Style><ows:Identifier>default</ows:Identifier>"
        "</Style><Format>image/png</Format><TileMatrixSetLink><TileMatrixSet>web</TileMatrixSet>"
        f'</TileMatrixSetLink><ResourceURL format="image/png" resourceType="tile" template="{url}/'
        '{TileMatrix}/{TileCol}/{TileRow}.png"/></Layer><TileMatrixSet><ows:Identifier>web</ows:Identifier>'
        f"<ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>{matrices}</TileMatrixSet></Contents>"
        "</Capabilities>"
    ).encode()


def test_a_wmts_is_read_by_its_capabilities(server: Map, tmp_path: Path) -> None:
    def wmts(path: str) -> tuple[int, bytes]:
        if "Capabilities" in path:
            return 200, capabilities(server.url)
        return xyz(path.replace("/L", "/"))

    server.answer = wmts
    source, out = f"{server.url}/wmts/WMTSCapabilities.xml", tmp_path / "town.tif"
    fetch(source, out=out, gsd_m=1.0, bounds=BOUNDS, service=QUICK)
    with rasterio.open(out) as dataset:
        assert np.abs(dataset.read() - wanted_colours(out)).max() < 3
    with pytest.raises(InputError, match="has no layer 'roads'; choose one with `map_layer`: dop"):
        fetch(source, out=tmp_path / "b.tif", gsd_m=1.0, bounds=BOUNDS, service=Service("roads", pause_s=0))


def test_a_stopped_run_asks_only_for_what_is_missing(server: Map, tmp_path: Path) -> None:
    answered: list[str] = []

    def until_tired(path: str) -> tuple[int, bytes]:
        if len(answered) == 3:
            return 403, b"enough"
        answered.append(path)
        return xyz(path)

    server.answer = until_tired
    source, out = f"{server.url}/{{z}}/{{x}}/{{y}}.png", tmp_path / "town.tif"
    with pytest.raises(InputError, match="the server answers 403"):
        fetch(source, out=out, gsd_m=1.8, bounds=BOUNDS, service=QUICK)
    assert not out.exists()
    server.answer = xyz
    server.asked.clear()
    found = fetch(source, out=out, gsd_m=1.8, bounds=BOUNDS, service=QUICK)
    assert found.kept == 3
    assert not set(answered) & set(server.asked)
    whole = tmp_path / "whole.tif"
    fetch(source, out=whole, gsd_m=1.8, bounds=BOUNDS, service=QUICK)
    with rasterio.open(out) as one, rasterio.open(whole) as other:
        assert (one.read() == other.read()).all()


def test_a_busy_server_is_waited_for_as_long_as_it_asks(server: Map, tmp_path: Path) -> None:
    waits: list[float] = []
    answers = iter([(503, b""), (200, b"a"), (503, b""), (429, b""), (200, b"b")])
    server.answer = lambda path: next(answers)
    asker = Asker(tmp_path, 0.5, waits.append)
    assert asker.answer(f"{server.url}/1") == b"a"
    assert asker.answer(f"{server.url}/2") == b"b"
    assert asker.answer(f"{server.url}/1") == b"a"  # remembered
    assert waits == [7, 0.5, 0.5, 7, 0.5, 4.0, 0.5]
    server.answer = lambda path: (503, b"")
    with pytest.raises(AnswerError, match="503"):
        asker.answer(f"{server.url}/3")
    assert asker.asked == 10


def test_ground_without_tiles_is_masked_and_a_map_of_nothing_is_no_file(server: Map, tmp_path: Path) -> None:
    def half(path: str) -> tuple[int, bytes]:
        return xyz(path) if int(path.split("/")[2]) % 2 else (404, b"")

    server.answer = half
    source, out = f"{server.url}/{{z}}/{{x}}/{{y}}.png", tmp_path / "town.tif"
    fetch(source, out=out, gsd_m=1.8, bounds=BOUNDS, service=QUICK)
    with rasterio.open(out) as dataset:
        assert 0.2 < (dataset.read_masks(1) > 0).mean() < 0.8
    server.answer = lambda path: (404, b"")
    with pytest.raises(InputError, match="has nothing here"):
        fetch(source, out=tmp_path / "none.tif", gsd_m=1.8, bounds=BOUNDS, service=QUICK)
    assert not (tmp_path / "none.tif").exists()


def test_a_message_in_place_of_a_picture_is_told_and_not_kept(server: Map, tmp_path: Path) -> None:
    server.answer = lambda path: (200, b"<ServiceException>layer dop is not defined</ServiceException>")
    options = {"out": tmp_path / "town.tif", "gsd_m": 1.0, "bounds": BOUNDS}
    for _ in range(2):
        with pytest.raises(InputError, match="the server says: layer dop is not defined"):
            fetch(f"{server.url}/wms", service=Service("dop", pause_s=0), **options)  # type: ignore[arg-type]
    assert len(server.asked) == 2


def test_what_cannot_be_fetched_is_refused_before_the_first_request(server: Map, tmp_path: Path) -> None:
    source, out = f"{server.url}/{{z}}/{{x}}/{{y}}.png", tmp_path / "town.tif"
    with pytest.raises(InputError, match=r"take \d+ requests, more than 5000"):
        fetch(source, out=out, gsd_m=0.5, bounds=(11, 48, 11.5, 48.5))
    with pytest.raises(ConfigError, match="west < east"):
        fetch(source, out=out, gsd_m=1, bounds=(12, 48, 11, 49))
    with pytest.raises(ConfigError, match="by `bounds`"):
        fetch(source, out=out, gsd_m=1)
    with pytest.raises(InputError, match="a WMS needs the name of a layer; state it with `map_layer`"):
        fetch(f"{server.url}/wms", out=out, gsd_m=1, bounds=BOUNDS)
    with pytest.raises(InputError, match="over https only"):
        fetch("http://example.org/wmts.xml", out=out, gsd_m=1, bounds=BOUNDS)
    with pytest.raises(InputError, match="is no address"):
        fetch("file:///etc/{x}/{y}/{z}", out=out, gsd_m=1, bounds=BOUNDS)
    with pytest.raises(ConfigError, match="`gsd_m` must be a number above 0 m"):
        fetch(source, out=out, gsd_m=float("inf"), bounds=BOUNDS)
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        fetch(source, out=out, gsd_m=1, bounds=BOUNDS)
    assert not server.asked
    assert not out.with_name("town.tif.part.d").exists()


def test_what_was_not_there_is_asked_for_again(server: Map, tmp_path: Path) -> None:
    """A wrong address or an empty map that the server has put right is no answer to continue from."""
    server.answer = lambda path: (404, b"")
    out = tmp_path / "town.tif"
    for source, message in (
        (f"{server.url}/wmts", "is not there"),
        (f"{server.url}/{{z}}/{{x}}/{{y}}", "nothing"),
    ):
        with pytest.raises(InputError, match=message):
            fetch(source, out=out, gsd_m=20.0, bounds=BOUNDS, service=QUICK)
        assert not out.with_name("town.tif.part.d").exists()


def test_levels_halve_and_the_coarsest_that_suffices_is_taken() -> None:
    pyramid = xyz_pyramid("{z}/{x}/{y}")
    sizes = [level.grid.transform.a for level in pyramid.levels]
    assert all(coarse == pytest.approx(2 * fine) for coarse, fine in itertools.pairwise(sizes))
    assert pyramid.url(pyramid.levels[3], 5, 2) == "3/5/2"
    assert xyz_pyramid("{z}/{x}/{-y}").url(pyramid.levels[3], 5, 2) == "3/5/5"

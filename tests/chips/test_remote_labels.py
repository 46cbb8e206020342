"""Label rasters that a user names by a URL, from a server on loopback."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from eo_dl.chips.chipset import open_chip_set
from eo_dl.chips.tile import tile
from eo_dl.errors import ChipSetError
from tests.making import noise, write_raster


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with the byte ranges that GDAL asks for."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        asked = self.headers.get("Range")
        if asked is None:
            first, last = 0, len(content) - 1
        else:
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(begin), min(int(end or len(content)), len(content) - 1)
        self.send_response(200 if asked is None else 206)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(content[first : last + 1])

    def log_message(self, format: str, *args: object) -> None:
        """No lines on the terminal of the tests."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Handler, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_chips_are_cut_with_a_label_raster_of_a_server(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, host = served
    write_raster(folder / "scene.tif", np.kron(np.eye(8), np.ones((16, 16))).astype(np.uint8))
    scene = write_raster(tmp_path / "scene.tif", noise(3, 128, 128))
    chips = tile([scene], f"http://{host}/scene.tif", out=tmp_path / "chips", size_px=32)
    assert len(chips.records) == 16
    with pytest.raises(ChipSetError, match=f"{host}.*not asked for"):
        open_chip_set(tmp_path / "chips")
    assert open_chip_set(tmp_path / "chips", allow_remote=[host]).content_hash == chips.content_hash

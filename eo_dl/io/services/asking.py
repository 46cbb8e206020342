"""`Asker`: one request after the other to a server, with a pause, patience and a memory on disk.

A server of an office or a community is not ours: requests are never made at once, wait between each other,
come back later when the server says that it is busy, and no answer is asked for twice, also not by a later
run.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path

from ...errors import AnswerError, InputError
from ...version import __version__
from ..atomic import disk_errors, part_name
from ..download import fetch_bytes

ANSWER_NAMES = re.compile(r"\.?[0-9a-f]{64}\.answer(\..*)?")
"""What files of answers are called."""

_BUSY = (429, 500, 502, 503, 504)
_TRIES = 5
_LONGEST_WAIT_S = 60.0
_MOST_BYTES = 64 * 2**20


class Asker:
    """Asks for addresses, and keeps the answers in a folder.

    Args:
        folder: Where answers are kept; exists.
        pause_s: Seconds between two requests.
        wait: Waits so many seconds; for tests.
    """

    def __init__(self, folder: Path, pause_s: float, wait: Callable[[float], None] = time.sleep) -> None:
        self._folder, self._pause_s, self._wait = folder, pause_s, wait
        self.asked = 0
        """Requests that were made."""

    def answer(self, url: str) -> bytes | None:
        """The content of an address, asked for or remembered; None if the server has none there (404).

        Raises:
            InputError: The server refuses, stays busy, or cannot be reached.
            WriteError: The answer cannot be kept.
        """
        kept = self._file(url)
        if kept.is_file():
            return kept.read_bytes() or None
        content = self._asked(url)
        temporary = part_name(kept)
        with disk_errors(kept):
            temporary.write_bytes(content or b"")
            temporary.replace(kept)
        return content or None

    def forget(self, url: str) -> None:
        """Ask anew next time, as the answer was of no use."""
        self._file(url).unlink(missing_ok=True)

    def _file(self, url: str) -> Path:
        return self._folder / f"{hashlib.sha256(url.encode()).hexdigest()}.answer"

    def _asked(self, url: str) -> bytes | None:
        for attempt in range(1, _TRIES + 1):
            if self.asked:
                self._wait(self._pause_s)
            self.asked += 1
            try:
                return fetch_bytes(url, _MOST_BYTES, headers={"User-Agent": f"eo_dl/{__version__}"})
            except AnswerError as error:
                if error.status == 404:
                    return None
                if error.status not in _BUSY or attempt == _TRIES:
                    raise
                self._wait(min(error.wait_s or 2.0**attempt, _LONGEST_WAIT_S))
        raise InputError(f"{url}: gave no answer")

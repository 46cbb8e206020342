"""What killed runs leave beside an output, and how the next run of the same command clears it.

All names are ours: they hold random digits. Call it with the output locked, or another run may lose its work.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import stat
from pathlib import Path

from .workfolder import unmark_folder

_RANDOM = "[0-9a-f]{1,16}"
# SQLite keeps a journal beside a GeoPackage while it writes.
_SQLITE_FILES = "(-journal|-wal|-shm)?"


def clear_leftovers(target: Path) -> None:
    """Clear what a killed run left beside an output.

    - Temporary files (`.NAME.<random>.part.SUFFIX`) and their journals are deleted.
    - A folder that was being replaced (`.NAME.<random>.old.d`) gets its name back if the new one has not got
      it yet, else it is deleted.
    - A folder that had just got its name loses the mark of a work folder.

    What cannot be deleted stays. Unfinished work that a run continues (`NAME.part.d`) is not touched.

    Args:
        target: The output.
    """
    stem, suffix, name = re.escape(target.stem), re.escape(target.suffix), re.escape(target.name)
    part = re.compile(rf"\.{stem}\.{_RANDOM}\.part{suffix}{_SQLITE_FILES}")
    replaced = re.compile(rf"\.{name}\.{_RANDOM}\.old\.d")
    with contextlib.suppress(OSError):
        if target.is_dir() and not target.is_symlink():
            unmark_folder(target)
        for path in sorted(target.parent.iterdir()):
            mode = path.lstat().st_mode
            if part.fullmatch(path.name) and stat.S_ISREG(mode):
                path.unlink(missing_ok=True)
            elif replaced.fullmatch(path.name) and stat.S_ISDIR(mode):
                _put_back_or_delete(path, target)


def _put_back_or_delete(old: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.rename(target)

"""How much memory a run may still take."""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN = 2**30
_CGROUP = Path("/sys/fs/cgroup")


def free_memory_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int:
    """Memory that is free, or held by files that the system can drop, within the limit of a container.

    Args:
        meminfo: Linux' account of memory.
        cgroup: Folder of the container's limit (version 2).

    Returns:
        Bytes; 1 GiB where the system does not tell.
    """
    if not meminfo.is_file():
        return _physical_free()
    line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable"))
    free = int(line.split()[1]) * 2**10
    limit, used = _number(cgroup / "memory.max"), _number(cgroup / "memory.current")
    if limit is None or used is None:
        return free
    return max(0, min(free, limit - used + _droppable(cgroup / "memory.stat")))


def _droppable(stat: Path) -> int:
    """Bytes of a container that hold files and can be dropped."""
    if not stat.is_file():
        return 0
    counts = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines())
    return int(counts.get("inactive_file", 0))


def _physical_free() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def _number(file: Path) -> int | None:
    """The number in a file; None if there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" where there is no limit
        return None

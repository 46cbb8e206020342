"""A warmed-up process in which commands are run with faults: one forked child per command.

Reads one JSON object per line from standard input: "args" of the command line; "folder", below which calls
count; "mode", "at" and "error", the arguments of `faults_arm`; "together", the number of children that run
the command at once. Answers with "codes" (negative for a signal), "errors" (what they said) and "counted".
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

# Everything that the commands load, so that a child begins with its work.
import lightning  # noqa: F401
import rasterio  # noqa: F401
import torch  # noqa: F401

import eo_dl.chips.tile
import eo_dl.evaluation.evaluate
import eo_dl.inference.imagetable
import eo_dl.inference.predict
import eo_dl.io.vectorlayers
import eo_dl.training.judging.judge
import eo_dl.training.loop.fit
import eo_dl.training.train  # noqa: F401
from eo_dl_cli.main import run

SHIM = ctypes.CDLL(os.environ["LD_PRELOAD"])


def run_child(request: dict[str, Any], log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    args = [str(arg) for arg in request["args"]]
    sys.argv = ["eo-dl", *args]
    code = 99
    try:
        SHIM.faults_arm(str(request["folder"]).encode(), request["mode"], request["at"], request["error"])
        code = run(args)
    finally:
        counted = SHIM.faults_counted()
        SHIM.faults_arm(b"", 0, 0, 0)
        sys.stdout.flush()
        sys.stderr.flush()
        log.with_suffix(".count").write_text(str(counted))
        os._exit(code)


def main() -> None:
    SHIM.faults_counted.restype = ctypes.c_long
    SHIM.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
    with tempfile.TemporaryDirectory() as scratch:
        print("ready", flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            logs = [Path(scratch, f"{number}.log") for number in range(request.get("together", 1))]
            children = []
            for log in logs:
                log.with_suffix(".count").unlink(missing_ok=True)
                child = os.fork()
                if not child:
                    run_child(request, log)
                children.append(child)
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            counts = [log.with_suffix(".count") for log in logs]
            answer = {
                "codes": codes,
                "counted": int(counts[0].read_text()) if counts[0].exists() else 0,
                "errors": [log.read_text(errors="replace") for log in logs],
            }
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

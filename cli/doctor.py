"""`eo-dl doctor`: check this installation."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys

import click

from eo_dl import __version__

from . import options
from .reporter import Reporter, table

PACKAGES = (
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "segmentation-models-pytorch",
    "albumentations",
    "rasterio",
    "pyogrio",
    "geopandas",
    "shapely",
    "pyproj",
    "numpy",
    "torchgeo",
    "onnxruntime",
)
# Variables of another GDAL, PROJ or Python installation that make this one read the wrong files.
LEAKS = (
    "PROJ_LIB",
    "PROJ_DATA",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
)


@click.command("doctor", cls=options.Command, short_help="Check this installation.")
def command(reporter: Reporter) -> None:
    """Check this installation, for bug reports and QGIS: versions, devices, and known problems."""
    reporter.log("checking the installation")
    values: dict[str, object] = {
        "eo_dl": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }
    problems: list[str] = []
    values["packages"] = _versions(problems)
    values.update(_geo(problems))
    values.update(_devices(problems))
    values["variables"] = {name: os.environ[name] for name in LEAKS if name in os.environ}
    problems += [
        f"{name} is set and may point to another installation; unset it if CRS or formats are not found"
        for name in LEAKS[:4]
        if name in os.environ
    ]
    values["problems"] = problems
    rows = [(key, value) for key, value in _flat(values)]
    reporter.result(
        values,
        [
            *table(rows, ("item", "value")),
            *(f"problem: {text}" for text in problems),
            "no problem found" if not problems else "",
        ],
    )
    if problems:
        raise SystemExit(1)


def _versions(problems: list[str]) -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{name} is not installed; install eo-dl again")
    return found


def _geo(problems: list[str]) -> dict[str, object]:
    try:
        import pyogrio
        import pyproj
        import rasterio

        pyproj.CRS("EPSG:32633")
        return {
            "gdal_raster": rasterio.__gdal_version__,
            "gdal_vector": ".".join(map(str, pyogrio.__gdal_version__)),
            "proj": pyproj.proj_version_str,
        }
    except Exception as error:  # any failure is what this command reports
        problems.append(f"rasters, vectors or CRS do not work: {type(error).__name__}: {error}")
        return {}


def _devices(problems: list[str]) -> dict[str, object]:
    try:
        import torch
        import torchvision  # a CPU-only torch beside PyPI's torchvision fails here

        _ = torchvision.ops.nms
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return {
            "cpu_threads": torch.get_num_threads(),
            "cuda": torch.version.cuda if torch.cuda.is_available() else None,
            "gpus": gpus,
        }
    except Exception as error:
        problems.append(f"torch does not work: {type(error).__name__}: {error}")
        return {}


def _flat(values: dict[str, object]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += [(str(name), text) for name, text in value.items()]
        elif key != "problems":
            rows.append((key, ", ".join(map(str, value)) if isinstance(value, list) else value))
    return rows

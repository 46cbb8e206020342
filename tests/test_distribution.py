"""The wheel and the source distribution: what they hold, and that `eo-dl demo` runs from the wheel alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What building needs: the package, what the wheel carries beside it, and what describes it.
SOURCES = ("eo_dl", "cli", "configs", "docs", "sample_data", "tests", "notebooks", "benchmarks")
FILES = (
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
)

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Built:
    """A source distribution, and two wheels: of the sources and of the unpacked source distribution."""

    sdist: Path
    wheel: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("distribution")
    sources = folder / "sources"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "cache")
    for name in SOURCES:
        shutil.copytree(ROOT / name, sources / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, sources)
    sdist = _build(sources, "sdist", folder / "sdist")
    wheel = _build(sources, "wheel", folder / "wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    unpacked = next((folder / "unpacked").iterdir())
    return Built(sdist, wheel, _build(unpacked, "wheel", folder / "wheel_of_sdist"))


def _build(sources: Path, kind: str, out: Path) -> Path:
    """Build with the backend that pyproject.toml names, without an isolated environment and so without a
    network.
    """
    out.mkdir()
    program = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", program], cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return next(out.iterdir())


def _names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def test_the_source_distribution_builds_the_same_wheel(built: Built) -> None:
    assert _names(built.wheel) == _names(built.wheel_of_sdist)


def test_the_wheel_carries_sample_data_configurations_and_documentation(built: Built) -> None:
    names = set(_names(built.wheel))
    for folder, suffixes in (("sample_data", {".tif", ".gpkg"}), ("configs", {".yaml"}), ("docs", {".md"})):
        files = [path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
        missing = {f"eo_dl/{path.relative_to(ROOT)}" for path in files} - names
        assert files and not missing, sorted(missing)
    plugin = ROOT / "eo_dl" / "qgis" / "eo_dl_qgis"
    assert {f"eo_dl/qgis/eo_dl_qgis/{path.name}" for path in plugin.iterdir() if path.is_file()} <= names
    assert not [name for name in names if "generator" in name or name.endswith(".png")]
    assert built.wheel.stat().st_size < 4 * 2**20


def test_the_source_distribution_holds_the_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    assert tests <= names, sorted(tests - names)
    assert {
        "Makefile",
        "CHANGELOG.md",
        "notebooks/quickstart.ipynb",
        "sample_data/generator/make.py",
    } <= names


def test_the_demo_runs_from_the_wheel_in_an_empty_folder(built: Built, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    binaries = environment / ("Scripts" if sys.platform == "win32" else "bin")
    python = binaries / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*install, "--no-deps", "--no-index", "--disable-pip-version-check", str(built.wheel)], check=True
    )
    # The packages that eo_dl needs are those of this environment; a path added this way brings no editable
    # install.
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = subprocess.run(
        [python, "-c", question], capture_output=True, text=True, check=True
    ).stdout
    present = [path for path in sys.path if path.endswith("site-packages")]
    (Path(site_packages.strip()) / "present.pth").write_text("\n".join(present), encoding="utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(binaries / "eo-dl"), "demo", "--task", "classification", "--out", "demo"]  # the quickest
    done = subprocess.run(command, cwd=empty, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (empty / "demo" / "index.html").is_file()
    assert (empty / "demo" / "classification" / "map.gpkg").is_file()

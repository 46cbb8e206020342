"""The house of CONTRIBUTING.md stands: imports go down, starts are light, the public names are the ones listed."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import eo_dl

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "eo_dl"

FLOORS = {
    "errors": 0,
    "core": 1,
    "io": 2,
    "labeling": 3,
    "mosaic": 3,
    "scores": 3,
    "chips": 4,
    "networks": 4,
    "tasks": 5,
    "modelspec": 6,
    "bundle": 6,
    "bundle_card": 6,
    "training": 7,
    "inference": 7,
    "export": 7,
    "evaluation": 8,
    "advice": 8,
    "qgis": 8,
}
# Shown values only: imported lazily by the methods that a notebook calls, and by nothing else.
OUTSIDE = {"display"}


def _room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[tuple[str, int]]:
    """(room, line) of every import of our own package in a file, lazy ones too."""
    found = set()
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
            found |= {(name, node.lineno) for name in names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("eo_dl"):
            raise AssertionError(f"{path}:{node.lineno}: import inside eo_dl must be relative")
    return found


def _modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py" and "eo_dl_qgis" not in p.parts)


def test_every_room_has_a_floor() -> None:
    rooms = {_room(path) for path in _modules()}
    assert rooms - set(FLOORS) - OUTSIDE == set()


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    room = _room(path)
    if room in OUTSIDE:
        return
    for target, line in _imported_rooms(path):
        if target in OUTSIDE or target == room or target not in FLOORS:
            continue
        below = FLOORS[target] < FLOORS[room] or (room, target) == ("bundle", "modelspec") or FLOORS[target] == FLOORS[room] == 6
        assert below, f"{path.name}:{line}: {room} (floor {FLOORS[room]}) imports {target} (floor {FLOORS[target]})"


def test_the_plugin_imports_nothing_of_ours_and_no_third_party() -> None:
    for path in sorted((PACKAGE / "qgis" / "eo_dl_qgis").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            foreign = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"qgis", "processing"}
            assert not foreign, f"{path.name}: {foreign}"
            assert not any(name.startswith(("PyQt", "qgis.PyQt5")) for name in names), f"{path.name}: Qt only through qgis.PyQt"


def _loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint('\\n'.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


HEAVY = {"torch", "rasterio", "numpy", "geopandas", "lightning", "torchgeo", "albumentations", "segmentation_models_pytorch", "matplotlib"}


def test_importing_the_package_is_light() -> None:
    assert _loaded_by("import eo_dl") & HEAVY == set()


def test_help_is_light() -> None:
    code = "from click.testing import CliRunner\nfrom eo_dl_cli.main import cli\nassert CliRunner().invoke(cli, ['--help']).exit_code == 0"
    assert _loaded_by(code) & HEAVY == set()


def test_tile_never_loads_torch() -> None:
    assert _loaded_by("from eo_dl import tile, open_scene, read_labels, vectorize, evaluate") & {"torch", "lightning", "torchgeo"} == set()


def test_predict_loads_no_training_packages() -> None:
    assert _loaded_by("from eo_dl import predict, load_model") & {"lightning", "torchgeo", "albumentations", "torchmetrics"} == set()


def test_public_names_agree() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1 for alias in node.names}
    assert typed == set(eo_dl.__all__) == set(eo_dl._HOME)
    for name in eo_dl.__all__:
        assert callable(getattr(eo_dl, name)), name
        assert callable(getattr(eo_dl, name)), f"{name} turned into a module on second access"


def test_packages_are_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    on_disk = {".".join(p.parent.relative_to(ROOT).parts) for p in PACKAGE.rglob("__init__.py") if "eo_dl_qgis" not in p.parts} | {"eo_dl_cli"}
    assert listed == on_disk


def test_version_is_said_once() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == eo_dl.__version__


@pytest.mark.parametrize("path", [*_modules(), *sorted((ROOT / "cli").glob("*.py"))], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400, "one noun a file"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= 60, f"{node.name}: {length} lines below its signature and docstring"
            assert node.args.kwarg is None or node.name.startswith("_"), f"{node.name}: **{node.args.kwarg.arg} in a public function"


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_does_not_print(path: Path) -> None:
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"]
    assert calls == []

"""The house of CONTRIBUTING.md stands: imports go down, starts are light, the public names are the ones
listed.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import eo_dl

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "eo_dl"

FLOORS = {
    "version": 0,
    "errors": 0,
    "shipped": 0,
    "core": 1,
    "io": 2,
    "labels": 3,
    "mosaic": 3,
    "scores": 3,
    "chips": 4,
    "networks": 4,
    "exchange": 5,
    "tasks": 5,
    "modelspec": 6,
    "modelcard": 6,
    "bundle": 6,
    "training": 7,
    "inference": 7,
    "evaluation": 8,
    "curation": 9,
    "qgis": 9,
}
# The files of the model file stand on one floor and may know each other; the test of circles keeps their
# order.
MODEL_FILE = {"modelspec", "modelcard", "bundle"}


def _room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def _modules() -> list[Path]:
    return sorted(
        p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py" and "eo_dl_qgis" not in p.parts
    )


def _name(path: Path) -> str:
    """The dotted name of a file below `eo_dl`: `io.scene`, and `io` for the file of a package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


BY_NAME = {_name(path): path for path in _modules()}


def _imports(path: Path) -> dict[str, int]:
    """Every module of ours that a file imports, with the line; also in functions and for typing."""
    package = list(path.parent.relative_to(PACKAGE).parts)
    imported: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        assert node.level or not (node.module or "").startswith("eo_dl"), (
            f"{path}:{node.lineno}: write imports inside eo_dl relative"
        )
        if not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        module = ".".join([*base, *(node.module.split(".") if node.module else [])])
        for alias in node.names:
            submodule = f"{module}.{alias.name}" if module else alias.name
            imported[submodule if submodule in BY_NAME else module] = node.lineno
    return imported


def test_every_room_has_a_floor() -> None:
    assert {_room(path) for path in _modules()} == set(FLOORS)


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    room = _room(path)
    for module, line in _imports(path).items():
        target = module.split(".")[0]
        if target == room or {target, room} <= MODEL_FILE:
            continue
        assert target, f"{path.name}:{line}: {room} imports the face of the package"
        assert FLOORS[target] < FLOORS[room], (
            f"{path.name}:{line}: {room} (floor {FLOORS[room]}) imports {target} (floor {FLOORS[target]})"
        )


def test_no_circle_among_files() -> None:
    """Take away the files that import nothing that is left, again and again: what stays is in a circle or
    imports one.
    """
    left = {name: {module for module in _imports(path) if module != name} for name, path in BY_NAME.items()}
    while free := [name for name, imports in left.items() if not imports & left.keys()]:
        for name in free:
            del left[name]
    assert sorted(left) == []


CITED = re.compile(
    r"\b(?:docs|configs|notebooks|benchmarks|reference)/[\w./-]*\w\.(?:md|yaml|py|ipynb|html)\b"
)


def test_every_file_that_the_code_cites_is_in_the_repository() -> None:
    cited = [
        (path.relative_to(ROOT), name)
        for folder in ("eo_dl", "cli", "configs")
        for path in sorted([*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")])
        for name in CITED.findall(path.read_text())
    ]
    assert [(str(path), name) for path, name in cited if not (ROOT / name).is_file()] == []


# A head is a folder of these files (CONTRIBUTING, "Adding a head").
PARTS_OF_A_HEAD = {"codec", "config", "network"}


def test_no_two_modules_have_one_name() -> None:
    names = [path.stem for path in _modules() if path.stem != "__init__" and path.stem not in PARTS_OF_A_HEAD]
    names += [path.parent.name for path in _modules() if path.stem == "__init__"]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_no_two_public_classes_have_one_name() -> None:
    names = [
        node.name
        for path in _modules()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


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
            foreign = (
                {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"qgis", "processing"}
            )
            assert not foreign, f"{path.name}: {foreign}"
            assert not any(name.startswith(("PyQt", "qgis.PyQt5")) for name in names), (
                f"{path.name}: Qt only through qgis.PyQt"
            )


def _loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint('\\n'.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


HEAVY = {
    "torch",
    "rasterio",
    "numpy",
    "geopandas",
    "lightning",
    "torchgeo",
    "albumentations",
    "segmentation_models_pytorch",
    "matplotlib",
}


def test_importing_the_package_is_light() -> None:
    assert _loaded_by("import eo_dl") & HEAVY == set()


def test_help_is_light() -> None:
    code = (
        "from click.testing import CliRunner\nfrom eo_dl_cli.main import cli\nassert "
        "CliRunner().invoke(cli, ['--help']).exit_code == 0"
    )
    assert _loaded_by(code) & HEAVY == set()


def test_tile_never_loads_torch() -> None:
    assert (
        _loaded_by("from eo_dl import tile, open_scene, read_labels, vectorize, evaluate")
        & {"torch", "lightning", "torchgeo"}
        == set()
    )


def test_predict_loads_no_training_packages() -> None:
    assert (
        _loaded_by("from eo_dl import predict, load_model")
        & {"lightning", "torchgeo", "albumentations", "torchmetrics"}
        == set()
    )


def test_public_names_agree() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    if_type_checking = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in if_type_checking.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.name for node in imports for alias in node.names}
    assert typed == set(eo_dl.__all__) == set(eo_dl._HOME)
    for name in eo_dl.__all__:
        assert callable(getattr(eo_dl, name)), name
        assert callable(getattr(eo_dl, name)), f"{name} turned into a module on second access"


def test_packages_are_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    on_disk = {
        ".".join(p.parent.relative_to(ROOT).parts)
        for p in PACKAGE.rglob("__init__.py")
        if "eo_dl_qgis" not in p.parts
    } | {"eo_dl_cli", "eo_dl.configs", "eo_dl.docs", "eo_dl.sample_data"}
    assert listed == on_disk


def test_all_files_have_the_same_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == eo_dl.__version__
    assert f"\nversion: {eo_dl.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{eo_dl.__version__}] - 20" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_functions_name_their_parameters(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            assert node.args.kwarg is None, f"{node.name}: **{node.args.kwarg.arg} in a public function"


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_does_not_print(path: Path) -> None:
    calls = [
        n
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"
    ]
    assert calls == []


HOUSE_FILES = [*_modules(), *sorted((ROOT / "cli").rglob("*.py"))]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
MOST_PARAMETERS = 16
MOST_POSITIONAL = 8


def _inside(node: ast.AST) -> list[ast.AST]:
    return [child for child in ast.walk(node) if child is not node]


def _has_condition(comprehension: ast.AST) -> bool:
    return any(
        isinstance(node, ast.IfExp) or (isinstance(node, ast.comprehension) and node.ifs)
        for node in ast.walk(comprehension)
    )


def _broken_habit(node: ast.AST) -> str | None:
    """What in this expression takes a second reading, or None."""
    if isinstance(node, ast.IfExp) and any(isinstance(child, ast.IfExp) for child in _inside(node)):
        return "a conditional inside a conditional"
    if isinstance(node, COMPREHENSIONS):
        nested = [child for child in _inside(node) if isinstance(child, COMPREHENSIONS)]
        if any(_has_condition(child) for child in nested):
            return "a comprehension with a condition inside a comprehension"
    if isinstance(node, ast.Call) and len(node.args) > MOST_POSITIONAL:
        return f"a call with {len(node.args)} positional arguments"
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.name != "command":
        count = len(node.args.args) + len(node.args.kwonlyargs)
        if count > MOST_PARAMETERS:
            return f"{node.name} has {count} parameters"
    return None


@pytest.mark.parametrize("path", HOUSE_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_expressions_and_signatures_stay_short(path: Path) -> None:
    problems = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        problem = _broken_habit(node)
        if problem is not None:
            problems.append(f"line {getattr(node, 'lineno', '?')}: {problem}")
    assert problems == []


COMMANDS = json.loads((PACKAGE / "qgis" / "eo_dl_qgis" / "commands.json").read_text(encoding="utf-8"))
FLAGS = set(re.findall(r"--[a-z][a-z-]+", json.dumps(COMMANDS)))


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_names_no_command_line_flag(path: Path) -> None:
    """The command line turns a backquoted parameter into its flag. Only docstrings may cite a flag."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
    assert [text for text in texts if FLAGS & set(re.findall(r"--[a-z][a-z-]+", text))] == []

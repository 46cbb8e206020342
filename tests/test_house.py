"""The house of CONTRIBUTING.md stands: imports go down, starts are light, the public names are the ones
listed. Every file is parsed once; a test that looks at all files lists every place that breaks its rule.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
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
    "uncertainty": 3,
    "postprocessing": 4,
    "chips": 4,
    "networks": 4,
    "exchange": 5,
    "tasks": 5,
    "modeladdress": 6,
    "modelspec": 6,
    "modelcard": 6,
    "modelitem": 6,
    "modelshelf": 6,
    "shelving": 6,
    "bundle": 6,
    "export": 7,
    "training": 8,
    "inference": 8,
    "evaluation": 9,
    "curation": 10,
    "workflow": 10,
    "qgis": 10,
}
# The files of the model file stand on one floor and may know each other; the test of circles keeps their
# order.
MODEL_FILE = {"modeladdress", "modelspec", "modelcard", "modelitem", "modelshelf", "shelving", "bundle"}


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


MODULES = _modules()
BY_NAME = {_name(path): path for path in MODULES}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(_tree(path)))


def _at(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', '?')}"


@cache
def _imports(path: Path) -> dict[str, int]:
    """Every module of ours that a file imports, with the line; also in functions and for typing."""
    package = list(path.parent.relative_to(PACKAGE).parts)
    imported: dict[str, int] = {}
    for node in _nodes(path):
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
    assert {_room(path) for path in MODULES} == set(FLOORS)


def _uphill(room: str, target: str) -> str | None:
    """What is wrong with a file of `room` that imports from `target`, or None."""
    if target == room or {target, room} <= MODEL_FILE:
        return None
    if not target:
        return f"{room} imports the face of the package"
    if FLOORS[target] < FLOORS[room]:
        return None
    return f"{room} (floor {FLOORS[room]}) imports {target} (floor {FLOORS[target]})"


def test_imports_only_go_down() -> None:
    problems = []
    for path in MODULES:
        for module, line in _imports(path).items():
            problem = _uphill(_room(path), module.split(".")[0])
            if problem is not None:
                problems.append(f"{path.relative_to(ROOT)}:{line}: {problem}")
    assert not problems, "\n".join(problems)


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
    names = [path.stem for path in MODULES if path.stem != "__init__" and path.stem not in PARTS_OF_A_HEAD]
    names += [path.parent.name for path in MODULES if path.stem == "__init__"]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_no_two_public_classes_have_one_name() -> None:
    names = [
        node.name
        for path in MODULES
        for node in _tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_the_plugin_imports_nothing_of_ours_and_no_third_party() -> None:
    for path in sorted((PACKAGE / "qgis" / "eo_dl_qgis").rglob("*.py")):
        for node in _nodes(path):
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


# What each step may not load. One process takes the steps in this order, so each list also holds for what the
# steps before it loaded.
LIGHT_STEPS = {
    "import eo_dl": HEAVY,
    "from click.testing import CliRunner\n"
    "from eo_dl_cli.main import cli\n"
    "assert CliRunner().invoke(cli, ['--help']).exit_code == 0": HEAVY,
    "from eo_dl import tile, open_scene, read_labels, vectorize, evaluate": {
        "torch",
        "lightning",
        "torchgeo",
    },
    "from eo_dl import predict, load_model": {"lightning", "torchgeo", "albumentations", "torchmetrics"},
    "from eo_dl import train": {"lightning", "torchgeo", "albumentations", "torchmetrics", "timm", "sklearn"},
}
LOAD_ONE_BY_ONE = """
import json, sys
for step in json.loads(sys.argv[1]):
    exec(step)
    print(json.dumps(sorted({module.split(".")[0] for module in sys.modules})))
"""


@pytest.fixture(scope="module")
def loaded() -> list[set[str]]:
    """The packages that are loaded after each of LIGHT_STEPS."""
    program = [sys.executable, "-c", LOAD_ONE_BY_ONE, json.dumps(list(LIGHT_STEPS))]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=ROOT)
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "number",
    range(len(LIGHT_STEPS)),
    ids=[
        "importing_the_package",
        "help",
        "tile_without_torch",
        "predict_without_training_packages",
        "train_until_its_input_is_checked",
    ],
)
def test_starts_are_light(loaded: list[set[str]], number: int) -> None:
    assert len(loaded) == len(LIGHT_STEPS)
    assert loaded[number] & list(LIGHT_STEPS.values())[number] == set()


def test_public_names_agree() -> None:
    tree = _tree(PACKAGE / "__init__.py")
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


def test_public_functions_name_their_parameters() -> None:
    problems = [
        f"{_at(path, node)}: {node.name}(**{node.args.kwarg.arg})"
        for path in MODULES
        for node in _nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and node.args.kwarg is not None
    ]
    assert not problems, "\n".join(problems)


def test_the_library_does_not_print() -> None:
    calls = [
        _at(path, node)
        for path in MODULES
        for node in _nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not calls, "\n".join(calls)


HOUSE_FILES = [*MODULES, *sorted((ROOT / "cli").rglob("*.py"))]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
MOST_PARAMETERS = 14
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


def test_expressions_and_signatures_stay_short() -> None:
    problems = []
    for path in HOUSE_FILES:
        for node in _nodes(path):
            problem = _broken_habit(node)
            if problem is not None:
                problems.append(f"{_at(path, node)}: {problem}")
    assert not problems, "\n".join(problems)


COMMANDS = json.loads((PACKAGE / "qgis" / "eo_dl_qgis" / "commands.json").read_text(encoding="utf-8"))
FLAG = re.compile(r"--[a-z][a-z-]+")
FLAGS = set(FLAG.findall(json.dumps(COMMANDS)))


def test_the_library_names_no_command_line_flag() -> None:
    """The command line turns a backquoted parameter into its flag. Only docstrings may cite a flag."""
    problems = []
    for path in MODULES:
        docstrings = {id(node.value) for node in _nodes(path) if isinstance(node, ast.Expr)}
        for node in _nodes(path):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if id(node) not in docstrings and FLAGS & set(FLAG.findall(node.value)):
                problems.append(f"{_at(path, node)}: {node.value}")
    assert not problems, "\n".join(problems)

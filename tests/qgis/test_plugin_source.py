"""What can be told of the plug-in by reading it: Qt 6, imports, and the rules of plug-in servers. No QGIS
needed.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from eo_dl_qgis import commands, environment

from eo_dl.qgis.install import package

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(environment.__file__).parent
SOURCES = sorted(FOLDER.glob("*.py"))
COMPATIBLE = "qt.py"  # the one file where old and new names stand beside each other

# Gone in Qt 6 or PyQt 6, or in QGIS 4.
GONE = {
    "exec_",
    "QRegExp",
    "QDesktopWidget",
    "QTextCodec",
    "QMatrix",
    "QVariant",
    "QgsMapLayerRegistry",
    "QgsMapLayerType",
    "setMargin",
    "QSignalMapper",
    "toTime_t",
    "fromTime_t",
}
# look like values of an enum
INNER_CLASSES = {"QgsProcessingContext.LayerDetails", "QgsVectorFileWriter.SaveVectorOptions"}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        yield path.name, ast.parse(path.read_text(encoding="utf-8"))


def chains(tree: ast.Module) -> Iterator[tuple[list[str], int]]:
    """ "A.b.C" as (["A", "b", "C"], line), the longest only."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        parts, one = [node.attr], node.value
        while isinstance(one, ast.Attribute):
            parts, one = [one.attr, *parts], one.value
        if isinstance(one, ast.Name):
            yield [one.id, *parts], node.lineno


def unscoped(parts: list[str]) -> bool:
    """True for a value of an enum without the enum's name: `Qt.AlignLeft`, `QgsProcessing.TypeRaster`."""
    if not re.match(r"Qt$|Qgis$|Q[A-Z]|Qgs", parts[0]) or ".".join(parts) in INNER_CLASSES:
        return False
    return len(parts) == 2 and parts[1][:1].isupper() and not parts[1].isupper()


def test_the_check_knows_an_unscoped_enum_when_it_sees_one() -> None:
    source = (
        "Qt.AlignLeft; Qt.AlignmentFlag.AlignLeft; QgsProcessing.TypeRaster; Qgis.QGIS_VERSION_INT; "
        "QgsProject.instance(); QMessageBox.Yes"
    )
    assert [".".join(parts) for parts, _ in chains(ast.parse(source)) if unscoped(parts)] == [
        "Qt.AlignLeft",
        "QgsProcessing.TypeRaster",
        "QMessageBox.Yes",
    ]


def test_every_enum_is_named_in_full() -> None:
    """PyQt 6 knows no other way, and PyQt 5 knows this one too."""
    found = [
        f"{name}:{line} {'.'.join(parts)}"
        for name, tree in trees()
        if name != COMPATIBLE
        for parts, line in chains(tree)
        if unscoped(parts)
    ]
    assert not found


def test_nothing_is_used_that_qt_6_or_qgis_4_has_not() -> None:
    found = [
        f"{name}:{getattr(node, 'lineno', 0)} {word}"
        for name, tree in trees()
        if name != COMPATIBLE
        for node in ast.walk(tree)
        for word in (
            [node.attr]
            if isinstance(node, ast.Attribute)
            else [node.id]
            if isinstance(node, ast.Name)
            else []
        )
        if word in GONE
    ]
    assert not found
    moved = {"QAction", "QActionGroup", "QShortcut", "QUndoStack"}  # to QtGui
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "qgis.PyQt.QtWidgets":
                assert not moved & {alias.name for alias in node.names}, f"{name}: take it from .qt"


def test_only_the_standard_library_and_qgis_are_imported() -> None:
    allowed = {"qgis", "processing"}
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                roots = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                roots = {str(node.module).split(".")[0]}
            else:
                continue
            assert roots <= allowed | set(sys.stdlib_module_names), f"{name}:{node.lineno}"
            assert not roots & {"PyQt5", "PyQt6", "sip"}, f"{name}:{node.lineno}: Qt comes from qgis.PyQt"


def test_it_is_python_that_the_oldest_qgis_understands() -> None:
    """QGIS 3.22 brings Python 3.9 on Windows and macOS."""
    for path in SOURCES:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_every_name_from_its_own_files_exists() -> None:
    """A module that only a window loads is not seen by tests without one."""
    own = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    for name, tree in own.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                for alias in node.names:
                    if node.module is None:
                        assert alias.name in own, f"{name} imports {alias.name}"
                    else:
                        assert alias.name in _defined(own[node.module]), (
                            f"{name} imports {alias.name} from {node.module}"
                        )


def _defined(tree: ast.Module) -> set[str]:
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        names |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return names


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(package(tmp_path_factory.mktemp("zip") / "eo_dl_qgis.zip")) as found:
        yield found


def test_the_zip_keeps_the_rules_of_the_plugin_server(archive: zipfile.ZipFile) -> None:
    """One folder of an importable name, all that metadata needs, no binaries, no hidden or compiled files,
    under 20 MB.
    """
    names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"eo_dl_qgis"} and "eo_dl_qgis".isidentifier()
    assert {"eo_dl_qgis/__init__.py", "eo_dl_qgis/metadata.txt", "eo_dl_qgis/LICENSE"} <= set(names)
    assert {Path(name).suffix for name in names} <= {".py", ".txt", ".json", ".svg", ""}
    assert not [
        name
        for name in names
        if "__pycache__" in name or "/." in name or ".." in name or name.startswith("/")
    ]
    assert sum(one.file_size for one in archive.infolist()) < 20e6
    assert archive.testzip() is None
    assert archive.read("eo_dl_qgis/LICENSE") == (ROOT / "LICENSE").read_bytes()
    for name in names:
        archive.read(name).decode("utf-8")


def test_the_metadata_is_complete(archive: zipfile.ZipFile) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(archive.read("eo_dl_qgis/metadata.txt").decode())
    found = parser["general"]
    for name in (
        "name",
        "qgisMinimumVersion",
        "description",
        "about",
        "version",
        "author",
    ):
        assert found[name].strip(), name
    # without the second QGIS 4 does not load it
    assert (found["qgisMinimumVersion"], found["qgisMaximumVersion"]) == ("3.22", "4.99")
    # without the first qgis_process does not
    assert (found["hasProcessingProvider"], found["supportsQt6"]) == ("yes", "True")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", found["version"]) and found["version"] != "0.0.0"
    assert f"eo_dl_qgis/{found['icon']}" in archive.namelist()
    assert "qgis" not in found["name"].lower() and "plugin" not in found["name"].lower()
    # Fields of the project's addresses come with the addresses; until then none is a placeholder.
    for name in ("email", "repository", "tracker", "homepage"):
        assert "example" not in found.get(name, "")
    assert json.loads(archive.read("eo_dl_qgis/commands.json"))["commands"].keys() == commands.load().keys()

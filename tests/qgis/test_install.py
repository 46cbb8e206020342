"""The plug-in in profiles and in a zip."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest

from eo_dl import __version__
from eo_dl.errors import InputError, OutputExistsError
from eo_dl.qgis.install import install, package
from eo_dl.qgis.profiles import enable, profile_folders, settings_file


def profiles(root: Path, *names: str) -> Path:
    for name in names:
        (root / "profiles" / name).mkdir(parents=True)
    return root


def test_every_profile_gets_it_enabled_and_told_where_eo_dl_is(tmp_path: Path) -> None:
    root = profiles(tmp_path, "default", "work")
    done = install(sys.executable, profiles_path=root)
    assert [place.parents[2].name for place in done] == ["default", "work"]
    for place in done:
        assert json.loads((place / "environment.json").read_text())["python"] == sys.executable
        assert f"version={__version__}" in (place / "metadata.txt").read_text()
        assert "eo_dl_qgis=true" in settings_file(place.parents[2]).read_text()
        assert not list(place.rglob("__pycache__"))


def test_an_older_copy_is_replaced_as_a_whole(tmp_path: Path) -> None:
    root = profiles(tmp_path, "default")
    (place,) = install("/old/python", profiles_path=root)
    (place / "left_over.py").write_text("x")
    install("/new/python", profiles_path=root / "profiles", profile="default")
    assert not (place / "left_over.py").exists()
    assert json.loads((place / "environment.json").read_text())["python"] == "/new/python"
    assert settings_file(root / "profiles" / "default").read_text().count("eo_dl_qgis=") == 1


def test_a_folder_of_that_name_that_is_no_plugin_is_left_alone(tmp_path: Path) -> None:
    root = profiles(tmp_path, "default")
    own = root / "profiles" / "default" / "python" / "plugins" / "eo_dl_qgis"
    own.mkdir(parents=True)
    (own / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputExistsError, match=r"holds no metadata\.txt"):
        install("/python", profiles_path=root)
    assert (own / "thesis.txt").exists()


def test_enabling_keeps_every_other_setting(tmp_path: Path) -> None:
    ini = tmp_path / "QGIS" / "QGIS3.ini"
    ini.parent.mkdir()
    ini.write_text(
        "[General]\nlocale\\userLocale=de\n\n[PythonPlugins]\nother=true\neo_dl_qgis=false\n\n[UI]\nstate=@ByteArray(\\0\\0\\xff)\n"
    )
    enable(tmp_path, "eo_dl_qgis")
    lines = ini.read_text().splitlines()
    assert [line for line in lines if line] == [
        "[General]",
        "locale\\userLocale=de",
        "[PythonPlugins]",
        "eo_dl_qgis=true",
        "other=true",
        "[UI]",
        "state=@ByteArray(\\0\\0\\xff)",
    ]


def test_no_profile_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="start QGIS once"):
        profile_folders(profiles_path=tmp_path)
    with pytest.raises(InputError, match="profile 'home' was not found; available: work"):
        profile_folders("home", profiles(tmp_path, "work"))


def test_the_zip_holds_the_plugin_and_nothing_else(tmp_path: Path) -> None:
    first, second = package(tmp_path / "a.zip"), package(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
        assert f"version={__version__}" in archive.read("eo_dl_qgis/metadata.txt").decode()
    assert {name.split("/")[0] for name in names} == {"eo_dl_qgis"}
    assert "eo_dl_qgis/commands.json" in names
    assert not any("environment.json" in name or name.endswith(".pyc") for name in names)
    with pytest.raises(OutputExistsError):
        package(first)

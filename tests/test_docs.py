"""The documentation is true: links lead somewhere, the pages name what exists, messages are those of the
code.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml

from eo_dl_cli.capabilities import describe
from eo_dl_cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
OTHER_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
# Made when the site is built (docs/tools).
MADE = {DOCS / "reference" / "cli.md"}


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_of_the_repository(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    paths = {(page.parent / target).resolve() for target in targets}
    assert not [str(path) for path in sorted(paths - MADE) if not path.exists()]


def test_every_page_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """mkdocs.yml has tags of mkdocs, which do not matter here."""

    Loader.add_multi_constructor("", lambda loader, suffix, node: None)
    navigation = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)["nav"]
    listed = set(re.findall(r"'([^']+\.md)'", repr(navigation)))
    pages = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert pages <= listed, "mkdocs.yml does not list a page"


def test_the_reference_has_every_option_of_every_command() -> None:
    page = _tool("clireference").cli_reference()
    sections = page.split("\n## ")[1:]
    commands = describe(click.Context(cli))
    assert [section.split(" {#")[0] for section in sections] == [f"eo-dl {name}" for name in commands]
    for section, (name, found) in zip(sections, commands.items(), strict=True):
        for parameter in found["parameters"]:
            if parameter["flag"]:
                assert f"`{parameter['flag']}`" in section, f"{name}: {parameter['flag']}"


def test_links_of_the_repository_become_links_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs")
    monkeypatch.setattr(sys, "path", [*sys.path])
    relinked = _tool("sitepages").relinked
    page = "[a](../../benchmarks/nms.md#x) [b](labels.md) [c](../../notebooks/labels.ipynb) [d](https://a.b/c.md)"
    assert relinked(page, "docs/how-to/training.md", "how-to/training.md") == (
        "[a](../benchmarks/nms.md#x) [b](labels.md) [c](../notebooks/labels.ipynb) [d](https://a.b/c.md)"
    )
    assert relinked("[g](docs/glossary.md)", "CONTRIBUTING.md", "development/contributing.md") == (
        "[g](../glossary.md)"
    )


def _texts() -> str:
    """All string literals of the package and the command line, f-strings with ... for their values."""
    texts = []
    for folder in (ROOT / "eo_dl", ROOT / "cli"):
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return "\n".join(texts)


def test_messages_of_troubleshooting_are_those_of_the_code() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    foreign = {"operator torchvision::nms does not exist", "CUDA out of memory"}
    texts = _texts()
    for message in re.findall(r"^### `(.+)`$", page, re.MULTILINE):
        if message in foreign:
            continue
        for part in message.split("..."):
            assert part.strip() in texts, f"no message contains {part.strip()!r}"


def test_every_test_that_the_table_of_checks_names_is_there() -> None:
    page = (DOCS / "robustness.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 40
    for file, name in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in text, f"{file}::{name}"

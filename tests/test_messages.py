"""Messages of the library name parameters, which the command line spells as its flags."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import eo_dl

PACKAGE = Path(__file__).resolve().parents[1] / "eo_dl"
# The plug-in runs the command line, so it writes flags.
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if "eo_dl_qgis" not in path.parts]
FLAG = re.compile(r"(?<![\w-])--[a-z]|(?<!\w)-o/--out|\(-o[ )]")
PARAMETER = re.compile(r"`([a-z]\w*)(?:\.\w+)*(?:=[^`]*)?`")
# `fix` is how `labels check` calls `fix_labels`, `split_by` how `tile` calls `Split.by`; the others are no
# parameters: a file, a method of Lightning.
OTHER_NAMES = {"fix", "split_by", "map", "val_dataloader"}


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string that is no docstring; an f-string with "{}" for its values."""
    inner = {id(value) for node in nodes(path) if isinstance(node, ast.JoinedStr) for value in ast.walk(node)}
    documentation = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
    for node in nodes(path):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in inner | documentation:
            yield node.lineno, str(node.value)


def names() -> set[str]:
    """Parameters of all functions, fields of all classes (those of configurations among them), and what
    `eo_dl` itself offers.
    """
    found = {*OTHER_NAMES, *eo_dl.__all__}
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef):
                found |= {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return found


def test_no_message_spells_a_flag() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in FILES
        for line, text in texts(path)
        if FLAG.search(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_what_messages_put_in_backquotes_is_a_parameter() -> None:
    known = names()
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {match[0]}"
        for path in FILES
        for line, text in texts(path)
        for match in PARAMETER.finditer(text)
        if match[1] not in known
    ]
    assert not wrong, "\n".join(wrong)

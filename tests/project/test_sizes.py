"""Files and functions stay of a size that is read in one sitting."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT

FUNCTION = 60
FILE = {"harness": 300, "tests": 500}


def sources(folder: str) -> Iterator[Path]:
    return (ROOT / folder).rglob("*.py")


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def size_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the last one."""
    return function.end_lineno - function.lineno + 1


def long_functions(path: Path, most: int) -> list[str]:
    """Functions and methods of more than so many lines."""
    return [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and size_of(node) > most
    ]


@pytest.mark.parametrize("folder", FILE)
def test_no_file_is_too_long(folder):
    sizes = {str(path.relative_to(ROOT)): lines_of(path) for path in sources(folder)}
    assert len(sizes) > 50
    assert {name: size for name, size in sizes.items() if size > FILE[folder]} == {}


@pytest.mark.parametrize("folder", FILE)
def test_no_function_is_too_long(folder):
    assert [name for path in sources(folder) for name in long_functions(path, FUNCTION)] == []


def test_a_long_function_is_seen():
    assert long_functions(Path(__file__), 1)

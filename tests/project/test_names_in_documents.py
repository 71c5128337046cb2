"""Names of code and of files that the documents mention are there."""

import ast
import importlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.helpers.documents import PAGES

TESTING = ROOT / "harness" / "testing" / "__init__.py"  # its docstring is a page for other projects
CARDS = [ROOT / folder / "README.md" for folder in ("db", "data", "fixtures/organism")]
DOCUMENTS = (*PAGES, ROOT / "CHANGELOG.md", *CARDS, TESTING)
every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)
GROUP = "harness.metrics"  # of entry points, which is no module
DOTTED = re.compile(r"(?<![\w./-])harness(?:\.[A-Za-z_]\w*)+")
IMPORT = re.compile(r"^ *(?:>>> )?from (harness[\w.]*) import \(?([\w, \n]+)", flags=re.M)
RUN = re.compile(r"python -m ((?:harness|tests|benchmarks|fixtures|data)[\w.]*)")
PATH = re.compile(r"(?<![\w./-])(?:harness|tests|db|docs|benchmarks)/[\w./*-]*")
# In the page on how the package is built, paths begin at the package.
WITHIN = re.compile(r"`((?:{})/[\w./*-]*)".format("|".join(
    sorted(path.parent.name for path in (ROOT / "harness").glob("*/__init__.py"))
)))  # fmt: skip


def text_of(document: Path) -> str:
    text = document.read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(text)) or "" if document.suffix == ".py" else text


def names_in(text: str) -> Iterator[str]:
    """Dotted names of the package, those that are imported among them."""
    yield from (name for name in DOTTED.findall(text) if name != GROUP)
    for module, names in IMPORT.findall(text):
        yield from (f"{module}.{name.split()[0]}" for name in names.split(",") if name.strip())


def is_importable(name: str) -> bool:
    """Whether a dotted name is a module, or something in one, however deep."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            there = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(there, part):
                return False
            there = getattr(there, part)
        return True
    return False


def paths_in(text: str) -> Iterator[str]:
    """Paths of the checkout, without those that a run makes; a capital N or NAME stands for any."""
    for path in PATH.findall(text):
        path = path.rstrip(".")
        if not path.endswith(".duckdb"):
            yield path


def is_there(path: str, folder: Path = ROOT) -> bool:
    pattern = re.sub(r"NAME|N(?=\.)", "*", path).rstrip("/")
    return any(folder.glob(pattern))


@every_document
def test_names_of_code_can_be_imported(document):
    assert [name for name in names_in(text_of(document)) if not is_importable(name)] == []


@every_document
def test_modules_that_are_run_are_there(document):
    assert [name for name in RUN.findall(text_of(document)) if not find_spec(name)] == []


@every_document
def test_paths_are_there(document):
    assert [path for path in paths_in(text_of(document)) if not is_there(path)] == []


def test_paths_within_the_package_are_there():
    page = ROOT / "docs" / "architecture.md"
    paths = WITHIN.findall(page.read_text(encoding="utf-8"))
    assert len(paths) > 50
    assert [path for path in paths if not is_there(path, ROOT / "harness")] == []


def test_a_wrong_name_is_seen():
    text = "`harness.wire.run_question`, `harness.api.nothing` and\nfrom harness.sae import encode, nought\n"
    wrong = ["harness.wire.run_question", "harness.api.nothing", "harness.sae.nought"]
    assert [name for name in names_in(text) if not is_importable(name)] == wrong
    text = "`harness/wire.py`, `tests/test_run.py`, `tests/schemas/vN.sql`, `harness/*/nought.py`"
    wrong = ["harness/wire.py", "tests/test_run.py", "harness/*/nought.py"]
    assert [path for path in paths_in(text) if not is_there(path)] == wrong

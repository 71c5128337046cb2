"""Evals that pytest runs in this process, which costs seconds less than one of its own."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def imported(tmp_path_factory) -> None:
    """All that a run imports is there: `pytester` forgets what is first imported while it runs."""
    from tests.helpers.runs import run_on_organism
    from tests.helpers.specs import write_few

    folder: Path = tmp_path_factory.mktemp("imported")
    run_on_organism(write_few(folder), folder / "r.duckdb")


@pytest.fixture
def run_here(pytester, imported):
    """Runs pytest in this process, with whatever has been imported."""
    return pytester.runpytest_inprocess

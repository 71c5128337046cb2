"""Runs in parts: three small ones, and a folder of one's own to damage."""

import shutil

import pytest

from harness.store.parts.layout import INDEX
from tests.helpers.parts import all_in_parts
from tests.helpers.runs import made_once
from tests.helpers.store import changed_copy


@pytest.fixture(scope="session")
def copies(tmp_path_factory, three_runs):
    """`three_runs`, each of which says truly of what spec it is, and the first one's id."""
    db, run_id, _ = three_runs
    statement = "UPDATE runs SET spec_name = 'few', finished_at = created_at + INTERVAL 1 MINUTE"
    return changed_copy(db, tmp_path_factory.mktemp("copies"), statement), run_id


@pytest.fixture(scope="session")
def divided(tmp_path_factory, copies):
    """The index of `copies` in parts; copy its folder to change it."""

    def make(_, folder):
        all_in_parts(copies[0], folder)

    return made_once(tmp_path_factory, "divided", make) / INDEX


@pytest.fixture
def own(divided, tmp_path):
    """A copy of that, to be changed."""
    return shutil.copytree(divided.parent, tmp_path / "own") / INDEX

"""Pages: of the shipped voices, and of files that were changed."""

import pytest

from tests.helpers.pages import Page, page_of
from tests.helpers.runs import made_once
from tests.helpers.store import changed_copy


@pytest.fixture
def changed(finished, tmp_path):
    """The finished runs as a file that is changed by SQL before it is read."""
    return lambda *statements: changed_copy(finished, tmp_path, *statements)


@pytest.fixture(scope="session")
def voices(finished, tmp_path_factory):
    """The text of the page of `voices`, with its pictures."""

    def make(folder, file):
        file.write_text(page_of(finished), encoding="utf-8")

    return made_once(tmp_path_factory, "voices.html", make).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(voices):
    return Page(voices)

"""What is asked of a run's page here is asked of its words."""

import pytest


@pytest.fixture(autouse=True)
def pages_without_pictures(undrawn):
    """Drawing takes seconds a page, and `tests/reports` looks at what is drawn."""

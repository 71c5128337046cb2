"""How many rows at a time, by the memory that is free."""

import pytest

from harness.models.memory import free_memory, rows_that_fit
from harness.models.row_bytes import bytes_per_row
from harness.testing.models import random_model


@pytest.mark.parametrize("free, rows", [(10**12, 16), (10**5, 1), (None, 16)])
def test_rows_follow_the_free_memory(monkeypatch, free, rows):
    model = random_model(1)
    monkeypatch.setattr("harness.models.memory.free_memory", lambda device: free)
    assert rows_that_fit(model, 40) == rows
    if free == 10**12:
        each = bytes_per_row(model, 40)
        monkeypatch.setattr("harness.models.memory.free_memory", lambda device: 2 * 7 * each)
        assert rows_that_fit(model, 40) == 4


def test_free_memory_is_known_here():
    assert free_memory("cpu") > 10**6

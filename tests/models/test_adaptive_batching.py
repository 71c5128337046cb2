"""How rows are put together: by length, and apart where padding would take longer than a forward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.adaptive_batching import split_by_length, split_by_padding
from harness.models.padded_batch import Tokens


def rows_of(lengths):
    return [Tokens((2,) * length) for length in lengths]


def columns(rows, parts):
    return sum(len(part) * max(len(rows[i]) for i in part) for part in parts)


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 16), st.integers(0, 100))
def test_every_row_is_in_one_part_and_a_cut_pays_for_its_forward(lengths, size, overhead):
    rows = rows_of(lengths)
    parts, plain = [*split_by_padding(rows, size, overhead)], [*split_by_length(rows, size)]
    assert [i for part in parts for i in part] == [i for part in plain for i in part]
    assert all(0 < len(part) <= size for part in parts)
    saved, cuts = columns(rows, plain) - columns(rows, parts), len(parts) - len(plain)
    assert saved >= cuts * overhead
    assert cuts == 0 or saved > cuts * overhead


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([74, 212] * 8, [8, 8]), ([74] * 16, [16]), ([74, 90] * 8, [16]), ([9, 400, 900], [1, 1, 1])],
)
def test_rows_are_cut_where_many_are_far_shorter(lengths, sizes):
    overhead = 512 if len(lengths) > 3 else 100
    assert [len(part) for part in split_by_padding(rows_of(lengths), 16, overhead)] == sizes

"""Tables of the store made from columns, and from values that hold in every row."""

import numpy as np
import pytest

from harness.store.tables.observations import Activations

SHARED = {"run_id": "r", "layer": 3, "readout": "answer", "origin": None}


def test_a_value_of_all_rows_is_repeated_to_the_length_of_the_columns():
    made = Activations.filled(
        prompt_id=["a", "b"], feature=np.array([5, 6]), value=np.array([0.5, 1.5]), **SHARED
    )
    assert list(made.rows()) == [
        {**SHARED, "prompt_id": "a", "feature": 5, "value": 0.5},
        {**SHARED, "prompt_id": "b", "feature": 6, "value": 1.5},
    ]


def test_a_table_without_rows_has_all_of_its_columns():
    made = Activations.filled(prompt_id=[], feature=np.array([]), value=np.array([]), **SHARED)
    assert len(made) == 0
    assert list(made.rows()) == []


def test_columns_of_several_lengths_are_refused():
    with pytest.raises(ValueError, match="activations"):
        Activations.filled(prompt_id=["a"], feature=np.array([5, 6]), value=1.0, **SHARED)


def test_without_a_column_no_length_is_known():
    with pytest.raises(ValueError, match="activations"):
        Activations.filled(prompt_id="a", feature=5, value=1.0, **SHARED)


def test_a_column_that_is_missing_is_refused():
    with pytest.raises(TypeError):
        Activations.filled(prompt_id=["a"], feature=[5], **SHARED)

"""Columns of a query as numpy arrays."""

import numpy as np
import pyarrow as pa

from harness.store.arrow import numpy_columns


def test_a_text_that_is_in_many_rows_is_one_object():
    texts = pa.chunked_array([pa.array(["a", "b", None, "a"]), pa.array(["c", "".join("a")])])
    rows = pa.table({"text": texts, "number": [1.5, None, 2.0, 3.0, 4.0, 5.0]})
    found = numpy_columns(rows)
    assert list(found) == ["text", "number"]
    assert found["text"].dtype == object
    assert found["text"].tolist() == ["a", "b", None, "a", "c", "a"]
    assert len({id(one) for one in found["text"]}) == 4
    assert np.array_equal(found["number"], [1.5, np.nan, 2, 3, 4, 5], equal_nan=True)


def test_columns_of_no_rows_are_empty():
    empty = pa.table({"text": pa.array([], "string"), "none": pa.array([None], "string")[:0]})
    assert {name: len(column) for name, column in numpy_columns(empty).items()} == {
        "text": 0,
        "none": 0,
    }
    chunkless = pa.table({"text": pa.chunked_array([], "string")})
    assert numpy_columns(chunkless)["text"].dtype == object
    alone = pa.table({"text": pa.array([None, None], "string")})
    assert numpy_columns(alone)["text"].tolist() == [None, None]

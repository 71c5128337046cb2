"""A query's rows in every format."""

import ast
import csv
import io
import json
import re

import pyarrow.parquet as pq
import pytest

from tests.helpers.cli import invoke

MIXED = """
    SELECT * FROM (VALUES
        (1, 0.1::DOUBLE, 'a|b', true, [1, 2], TIMESTAMP '2026-01-02 03:04:05', 3::HUGEINT),
        (-2, NULL, 'two' || chr(10) || 'lines, "quoted"', false, [], NULL, 4),
        (NULL, 1e-9, '', NULL, NULL, TIMESTAMP '2026-01-02 03:04:05.5', 5)
    ) AS t(n, x, s, b, l, moment, h)
"""


def by_format(db, query_, tmp_path):
    """The same query in each format: names and rows of strings, or of values."""
    text = {
        shape: invoke("sql", *query_, "--format", shape, "--db", db).stdout
        for shape in ("csv", "json", "markdown")
    }
    path = tmp_path / "out.parquet"
    found = invoke("sql", *query_, "--format", "parquet", "--output", path, "--db", db)
    assert (found.exit_code, found.output) == (0, "")
    return text, pq.read_table(path).to_pylist()


def as_text(value):
    """A value as CSV has it."""
    if value is None:
        return ""
    return value.isoformat(sep=" ") if hasattr(value, "isoformat") else str(value)


@pytest.mark.parametrize(
    "query_",
    [
        ("top_features", "--run", "few", "--set", "limit=7"),
        ("verdicts", "--run", "odd"),
        ("stages", "--run", "few"),
        ("FROM runs",),
        ("SELECT sum(layer) AS whole, sum(layer) / 3 AS part FROM feature_tests",),
        (MIXED,),
        ("FROM runs WHERE false",),
    ],
    ids=lambda query_: query_[0].split()[0] + query_[0].split()[-1],
)
def test_every_format_says_the_same(three_runs, tmp_path, query_):
    text, rows = by_format(three_runs[0], query_, tmp_path)
    names = pq.read_table(tmp_path / "out.parquet").column_names
    header, *lines = csv.reader(io.StringIO(text["csv"]))
    assert header == names
    objects = json.loads(text["json"])
    top, rule, *cells = text["markdown"].splitlines()
    assert top == "| " + " | ".join(names) + " |"
    assert set(rule) <= set("|- :")
    assert len(lines) == len(objects) == len(cells) == len(rows)
    for row, line, object_, cell in zip(rows, lines, objects, cells, strict=True):
        plain = [int(v) if type(v).__name__ == "Decimal" and v == int(v) else v for v in row.values()]  # fmt: skip
        assert line == [as_text(value) for value in plain]
        assert list(object_) == names
        for value, told in zip(plain, object_.values(), strict=True):
            assert told == (as_text(value) if hasattr(value, "isoformat") else value)
        shown = [part.strip() for part in re.split(r"(?<!\\)\|", cell)[1:-1]]
        assert len(shown) == len(names)
        for value, part in zip(plain, shown, strict=True):
            if isinstance(value, float):
                assert float(part) == pytest.approx(value, rel=1e-4)
            else:
                assert re.sub(r"\\(.)", r"\1", part) == as_text(value).replace("\n", " ")


@pytest.mark.parametrize("shape", ["table", "csv", "json", "markdown"])
def test_a_file_holds_what_the_terminal_shows(three_runs, tmp_path, shape):
    path = tmp_path / "out"
    invoke(
        "sql",
        "verdicts",
        "--run",
        "few",
        "--format",
        shape,
        "--output",
        path,
        "--db",
        three_runs[0],
    )
    there = "markdown" if shape == "table" else shape
    said = invoke(
        "sql", "verdicts", "--run", "few", "--format", there, "--db", three_runs[0]
    ).stdout
    assert path.read_text() == said


@pytest.mark.parametrize("value", ["'nan'::DOUBLE", "'-inf'::DOUBLE", "['nan'::DOUBLE, 1]", "{'a': 'inf'::DOUBLE}"])  # fmt: skip
def test_json_has_null_for_what_is_not_finite(three_runs, value):
    found = invoke("sql", f"SELECT {value} AS x", "--format", "json", "--db", three_runs[0])
    assert found.exit_code == 0, found.exception
    (row,) = json.loads(found.stdout)
    assert row["x"] in (None, [None, 1], {"a": None})


def test_lists_are_lists_in_every_format(three_runs, tmp_path):
    text, rows = by_format(three_runs[0], ("SELECT layers, sae_files FROM runs",), tmp_path)
    _, line, *_ = csv.reader(io.StringIO(text["csv"]))
    assert [ast.literal_eval(part) for part in line] == list(rows[0].values())
    assert json.loads(text["json"])[0] == rows[0]

"""Two runs on one page."""

import pytest

from harness.analysis.comparison import compare
from harness.reports.html.comparison_page import comparison_page
from harness.store.database import Store
from harness.store.find_run import find_run
from tests.helpers.pages import Page


@pytest.fixture(scope="module")
def comparison(finished):
    """A run of voices against what it would have been as a mock in bfloat16, and their page."""
    with Store.open_to_read(finished) as store:
        run = find_run(store, "voices")
        found = compare(store, run, dict(run) | {"origin": "mock", "dtype": "bfloat16"})
    return found, Page(comparison_page(found, finished))


def test_a_run_that_is_no_evidence_is_named_by_its_letter(comparison):
    assert "B: Random SAEs: a trial of the pipeline." in comparison[1].text


def test_the_verdicts_of_both_stand_side_by_side(comparison):
    _, page = comparison
    told = {
        row["claim"]: (row["A"], row["B"]) for row in page.table("Verdicts of both runs, table")
    }
    assert told["context-moves-answer"] == ("supported", "mock: supported")


def test_what_was_made_in_another_way_is_listed(comparison):
    _, page = comparison
    rows = page.table("What is not the same, table")
    assert {"not the same": "dtype", "A": "float32", "B": "bfloat16"} in rows


def test_each_quantity_has_its_row_and_each_unit_its_chart(comparison):
    found, page = comparison
    for row in found.rows:
        told = {
            (cells["quantity"], cells["unit"]): cells["A"]
            for cells in page.table(f"{row.about}, table")
        }
        assert told[row.quantity, row.unit] == f"{row.a:+.3f}"
    assert len(page.all("div", class_="chart")) == len({(r.about, r.unit) for r in found.rows})

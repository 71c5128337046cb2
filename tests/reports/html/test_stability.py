"""Whether other families would select the same: what the page and the terminal say of it."""

import json

import pytest

from harness.reports.html.run_page import run_page
from harness.reports.text import overlap_text
from harness.store.database import Store
from harness.store.find_run import find_run
from tests.helpers.cli import invoke
from tests.helpers.pages import Page, page_of, text_of
from tests.helpers.store import changed_copy, query

pytestmark = pytest.mark.usefixtures("undrawn")

OFTEN = 0.1


def test_the_page_has_each_feature_s_share_and_how_far_sets_overlap(few):
    db, run_id = few
    page = Page(page_of(db, "few"))
    told = {
        row["feature"]: (row["selected"], row["share of bootstraps"], row["ranks, from 0"])
        for row in page.table("Stability of top, table")
    }
    rows = query(
        db, "SELECT * EXCLUDE (run_id, ablation, half_share, origin) FROM selection_stability WHERE run_id = $r", r=run_id
    )  # fmt: skip
    shown = [row for row in rows if row[3] or row[2] >= OFTEN]
    assert set(told) == {f"{layer}:{feature}" for layer, feature, *_ in shown}
    for layer, feature, share, selected, low, high in shown:
        assert told[f"{layer}:{feature}"][::2] == ("yes" if selected else "no", f"{low} to {high}")
        assert int(told[f"{layer}:{feature}"][1].rstrip("%")) - 100 * share <= 0.5
    assert sum(selected for *_, selected, _, _ in shown) == 2
    ((jaccard, halves),) = query(db, "SELECT jaccard, halves FROM selection_overlap")
    said = text_of(page.part("ablations"))
    assert f"select overlap with the selected one by {jaccard:.2f} on average" in said
    assert f"those of two halves with each other by {halves:.2f}: 1 is the same" in said
    assert "Stability of one" not in page.text  # which lists its features


def test_show_says_how_far_sets_overlap(few):
    db, run_id = few
    ((jaccard,),) = query(db, "SELECT jaccard FROM selection_overlap")
    said = invoke("show", run_id, "--db", db).output
    assert "top: sets that 200 bootstraps of the 3 families that discover select overlap" in said
    assert f"by {jaccard:.2f} on average" in said
    (row,) = json.loads(invoke("show", run_id, "--db", db, "--json").stdout)["stability"]
    assert (row["ablation"], row["jaccard"]) == ("top", jaccard)


def test_a_run_of_before_it_was_computed_says_nothing_of_it(few, tmp_path):
    old = changed_copy(
        few[0], tmp_path, "DELETE FROM selection_stability", "DELETE FROM selection_overlap"
    )
    with Store.open_to_read(old) as store:
        page = run_page(store, find_run(store, "few"), old)
    assert "Would other families select the same" not in page
    assert "overlap" not in invoke("show", "few", "--db", old).output


def test_clusters_are_called_what_they_are():
    row = {"bootstraps": 200, "n_units": 8, "unit": "principle", "jaccard": 0.5, "halves": 0.25}
    assert "200 bootstraps of the 8 principles that discover select" in overlap_text(row)


def test_analysing_again_gives_the_same_rows(few, tmp_path):
    copy = changed_copy(few[0], tmp_path, "UPDATE selection_stability SET share = 2")
    wanted = query(few[0], "FROM selection_stability ORDER BY ALL")
    assert query(copy, "FROM selection_stability ORDER BY ALL") != wanted
    found = invoke("analyse", "few", "--db", copy)
    assert found.exit_code in (0, 1), found.output
    assert query(copy, "FROM selection_stability ORDER BY ALL") == wanted

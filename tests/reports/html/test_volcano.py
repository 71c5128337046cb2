"""Feature differences layer by layer, beside the placebo."""

import json
import re

from harness.reports.html.volcano import _Axes, _merge_spots
from tests.helpers.pages import Page, page_of
from tests.helpers.store import query


def test_no_found_feature_shares_its_dot(voices, finished):
    """Pale dots may stand for several; every feature below alpha has a dot of its own."""
    specs = [
        json.loads(one)
        for one in re.findall(r'<script type="application/json">(.*?)</script>', voices)
    ]
    dots = [
        dict(zip(part["names"], row, strict=True))
        for spec in specs
        if "statistic" in (part := spec.get("data", {"names": ()}))["names"]
        for row in part["rows"]
    ]
    found = [dot["feature"] for dot in dots if dot["kind"].startswith("adjusted")]
    rows = query(
        finished,
        "SELECT layer || ':' || feature FROM feature_tests JOIN runs USING (run_id) "
        "WHERE split = 'confirmation' AND p_adjusted <= 0.05 AND spec_name = 'voices'",
    )
    ((tested,),) = query(
        finished,
        "SELECT count(*) FROM feature_tests JOIN runs USING (run_id) "
        "WHERE split = 'confirmation' AND spec_name IN ('voices', 'placebo')",
    )
    assert sorted(found) == sorted(name for (name,) in rows)
    assert sum(dot["here"] for dot in dots) == tested


def test_dots_stand_for_several_features_only_where_nothing_is_lost():
    """Of eight features at one spot: two are found, one is shown elsewhere, the others are one dot."""
    rows = [
        {"layer": 0, "feature": n, "mean_difference": 0.5, "statistic": 1.0, "p_adjusted": p}
        for n, p in enumerate([0.01, 0.02, *[0.5] * 6])
    ]
    drawn = _merge_spots(rows, _Axes(1.0, 2.0), 0.05, {(0, 4)})
    assert sorted(here for _, here in drawn) == [1, 1, 1, 5]
    assert {row["feature"] for row, here in drawn if here == 1} == {0, 1, 4}
    assert [row["feature"] for row, _ in drawn[-2:]] == [0, 1]  # on top of the others


def test_a_placebo_that_did_not_finish_is_no_placebo(changed, undrawn):
    page = Page(page_of(changed("UPDATE runs SET status = 'running' WHERE spec_name = 'placebo'")))
    assert "No placebo run of this target is in the results file" in page.text


def test_a_placebo_that_was_read_elsewhere_says_so(changed, undrawn):
    page = Page(
        page_of(changed("UPDATE runs SET readout = 'answer:mean' WHERE spec_name = 'placebo'"))
    )
    assert "which reads its features at answer:mean and not at last_prompt_token" in page.text


def test_a_placebo_at_the_same_readout_comes_before_a_later_one(changed, undrawn):
    db = changed(
        "INSERT INTO runs SELECT * REPLACE ('later-' || run_id AS run_id, finished_at + INTERVAL 1 DAY "
        "AS finished_at, 'answer:mean' AS readout) FROM runs WHERE spec_name = 'placebo'"
    )
    page = Page(page_of(db))
    assert "on the same axes: run 2" in page.text
    assert "later-" not in page.text

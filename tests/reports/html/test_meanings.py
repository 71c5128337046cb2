"""What features mean, and what lies outside of them: the page's output scores and attribution errors."""

import pytest

from tests.helpers.pages import Page, page_of
from tests.helpers.store import changed_copy, query

pytestmark = pytest.mark.usefixtures("undrawn")


def test_each_feature_has_its_output_score_and_the_tokens_that_it_writes(few):
    db, run_id = few
    page = Page(page_of(db, "few"))
    scores = {
        f"{layer}:{feature}": (score, base)
        for layer, feature, score, base in query(
            db, "SELECT layer, feature, score, base FROM output_scores WHERE run_id = $r", r=run_id
        )
    }
    told = page.table("Strongest features, table")
    assert len(told) > 2
    for row in told:
        score, base = scores[row["feature"]]
        assert row["output score"] == f"{score:.3f}"
        assert f"Output score {score:.3f}, {base:.3f} without the edit" in page.text
        layer, feature = row["feature"].split(":")
        ((first,),) = query(
            db,
            "SELECT token FROM feature_logits WHERE run_id = $r AND side = 'up' AND rank = 0 "
            f"AND layer = {layer} AND feature = {feature}",
            r=run_id,
        )
        assert first.strip() in row["writes"]


def test_a_run_of_before_there_were_scores_has_no_such_column(few, tmp_path):
    page = Page(page_of(changed_copy(few[0], tmp_path, "DELETE FROM output_scores"), "few"))
    assert "output score" not in page.table("Strongest features, table")[0]
    assert "Output score" not in page.text


def test_an_ablation_with_attributions_says_what_lies_outside_of_its_features(few, tmp_path):
    assert "outside of the dictionary" not in Page(page_of(few[0], "few")).text
    rows = ", ".join(
        f"('{few[1]}', 'top', '{family}', 3, {features}, {error}, 0.25, 'stand-in')"
        for (family,), features, error in zip(
            query(
                few[0],
                "SELECT DISTINCT family FROM prompts WHERE split = 'confirmation' ORDER BY 1",
            ),
            (2.0, -1.0, 1.0),
            (1.0, -1.0, -2.0),
            strict=False,
        )
    )
    db = changed_copy(few[0], tmp_path, f"INSERT INTO attribution_errors VALUES {rows}")
    (row,) = Page(page_of(db, "few")).table("Attribution errors of top, table")
    given = rows.count("'top'")
    features, error = sum((2.0, -1.0, 1.0)[:given]), sum((1.0, -1.0, -2.0)[:given])
    sizes = sum((2.0, 1.0, 1.0)[:given]), sum((1.0, 1.0, 2.0)[:given])
    assert row["families"] == f"{given}, confirmation"
    assert row["all features, nats"] == f"{features / given:+.3f}"
    assert row["the SAE's error"] == f"{error / given:+.3f}"
    assert row["its bias"] == "+0.250"
    assert row["the error's share"] == f"{sizes[1] / sum(sizes):.0%}"

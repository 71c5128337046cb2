"""Every verdict's number is found on the page, with what it is made of."""

import json
import re

import pytest

from harness.reports.html.estimates import BehaviourMeans, Figures
from harness.specs.claims import AblationClaim, BehaviourClaim, FeatureClaim
from tests.helpers.pages import Page, page_of, text_of
from tests.helpers.store import query

TARGET = {
    "mean_impact": 1.5,
    "ci_low": 1.0,
    "ci_high": 2.0,
    "p": 0.01,
    "n_controls": 20,
    "mean_control": 0.25,
    "beyond_controls": 1.25,
    "beyond_low": 0.75,
    "beyond_high": 1.75,
    "p_beyond": 0.02,
}


def figures(**given):
    means = BehaviourMeans("logit_difference", 2.0, -1.0, 8, False, ())
    usual = {
        "behaviour": {("logit_difference", ()): means},
        "on_metric": {("top", "logit_difference"): TARGET},
        "metric": "logit_difference",
        "significant": [(0, 3), (2, 5)],
        "tested": 9,
        "alpha": 0.05,
        "known": frozenset({(2, 5), (2, 6)}),
        "baselines": {},
    }
    return Figures(**usual | given)


def card(page, claim):
    return text_of(page.part(f"claim-{claim}"))


def told(page, claim):
    """The estimate of a claim's card, and the numbers of the sentence that says what it is made of."""
    (made,) = page.all("p", within=page.part(f"claim-{claim}"), class_="made")
    estimate = re.search(r"estimate ([-+\d.]+)", card(page, claim))[1]
    return float(estimate), [float(one) for one in re.findall(r"[-+]\d+\.\d+", text_of(made))], made


def test_an_estimate_beyond_controls_is_one_figure_minus_the_other(page):
    estimate, (own, controls), made = told(page, "top-features-matter")
    assert own - controls == pytest.approx(estimate, abs=0.0016)
    assert next(made.iter("a")).get("href") == "#ablation-top"
    rows = page.table("Impacts of top, table")
    assert [float(row["nats"]) for row in rows] == [own, controls, estimate]
    assert [row["claims"] for row in rows] == [
        "top-features-matter",
        "",
        "top-features-matter",
    ]


def test_an_estimate_of_behaviour_stands_in_the_table_of_means(page):
    estimate, (after_correct, after_misconception), _ = told(page, "context-moves-answer")
    assert after_correct - after_misconception == pytest.approx(estimate, abs=0.0016)
    (row,) = page.table("Means that claims are about, table")
    assert float(row["after correct"]) == after_correct
    assert float(row["difference"]) == estimate
    assert row["claims"] == "context-moves-answer"


def test_a_claim_about_the_mean_of_shared_prompts_finds_it_too(finished, undrawn):
    page = Page(page_of(finished, "pilot"))
    (row,) = page.table("Means that claims are about, table")
    assert f"estimate {row['mean of both']} nats" in card(page, "answers-right")
    assert "whose variants share their prompt" in card(page, "answers-right")


def test_counted_features_are_those_of_the_layers_and_known_ones_are_named(page):
    counts = [
        int(text_of(one).split()[0])
        for one in page.part("layers").iter("figcaption")
        if not text_of(one).startswith("placebo")
    ]
    assert f"estimate {sum(counts)} " in card(page, "features-exist")
    assert f"They are {sum(counts)} of " in text_of(page.part("layers"))
    estimate, _, made = told(page, "known-features-found")
    named = re.findall(r"(?<![\d:])\d+:\d+(?= ?[,;])", text_of(made))
    assert len(named) == estimate > 1
    assert re.search(rf"; {named[0]} is feature \d+ of layer \d+", text_of(made))


def test_a_name_is_explained_where_it_first_stands(changed, undrawn):
    """Also on a page whose verdicts name no feature."""
    page = Page(page_of(changed("DELETE FROM verdicts")))
    first = re.search(r"\b(\d+):(\d+)\b", page.text[page.text.index("Feature differences") :])
    layer, number = first.groups()
    assert f"{layer}:{number} is feature {number} of layer {layer}" in page.text


def test_what_each_kind_of_claim_is_made_of():
    made = figures()
    beyond = AblationClaim(name="a", ablation="top", direction="toward-correct")
    own = beyond.model_copy(update={"name": "b", "beyond": "zero"})
    assert "+1.500 nats, minus the mean of its 20 controls, +0.250" in made.derive(beyond).words
    assert made.derive(own).words == "the target's own impact, +1.500 nats"
    rows = made.of_ablation("top", [beyond, own])
    assert [(row.impact, row.claims) for row in rows] == [
        (1.5, ("b", "a")),
        (0.25, ()),
        (1.25, ("a",)),
    ]
    behaviour = BehaviourClaim(name="c", behaviour="logit_difference", direction="greater")
    assert "the mean of +2.000" in made.derive(behaviour).words
    assert "minus -1.000" in made.derive(behaviour.model_copy(update={"contrast": True})).words
    truth = FeatureClaim(name="d", features="truth", at_least=1)
    assert made.derive(truth).features == ((2, 5),)


def test_what_is_not_there_is_not_derived():
    alone = figures(
        on_metric={
            ("top", "logit_difference"): TARGET | {"mean_control": None, "beyond_controls": None}
        },
        behaviour={},
        tested=0,
    )
    beyond = AblationClaim(name="a", ablation="top", direction="toward-correct")
    assert alone.derive(beyond) is None
    assert [row.impact for row in alone.of_ablation("top", [beyond])] == [1.5]
    assert alone.of_ablation("other", [beyond]) == []
    assert alone.derive(BehaviourClaim(name="c", behaviour="log_p_correct", within=1.0)) is None
    assert alone.derive(FeatureClaim(name="d", features="significant", at_least=1)) is None


def test_the_tokens_on_which_a_feature_fires_are_all_in_its_bars(voices, finished):
    specs = map(json.loads, re.findall(r'<script type="application/json">(.*?)</script>', voices))
    drawn = [
        sum(row[-1] for row in data["rows"])
        for spec in specs
        if (data := spec.get("data", {})).get("names") == ["from", "to", "variant", "tokens"]
    ]
    rows = query(
        finished,
        "SELECT count(*) FROM token_activations JOIN runs USING (run_id) WHERE spec_name = 'voices' "
        "GROUP BY layer, feature",
    )
    assert sorted(drawn) == sorted(count for (count,) in rows)
    ((tokens,),) = query(
        finished,
        "SELECT count(*) FROM prompt_tokens JOIN runs USING (run_id) "
        "WHERE spec_name = 'voices' AND token <> '<bos>'",
    )
    assert f"It fires on {max(drawn)} of the {tokens} tokens" in text_of(Page(voices).root)

"""A run's page: each part has its numbers from the store."""

import re

import pytest

from harness.characters import make_visible
from tests.helpers.pages import Page, page_of, text_of
from tests.helpers.store import query


@pytest.fixture(scope="module")
def ask(finished):
    """Rows of the run that the page is of."""
    ((run_id,),) = query(finished, "SELECT run_id FROM runs WHERE spec_name = 'voices'")
    return lambda sql: query(finished, sql, run=run_id)


def test_the_question_and_the_verdicts_come_first(page, ask):
    ((question,),) = ask("SELECT question FROM runs WHERE run_id = $run")
    claims = [row[0] for row in ask("SELECT claim FROM verdicts WHERE run_id = $run")]
    begins = [page.text.index(word) for word in (question, "Verdicts", *claims)]
    assert begins[0] < begins[1] < min(begins[2:])
    assert max(begins[2:]) < page.text.index("Behaviour by family")


def test_each_claim_has_its_verdict_and_what_it_rests_on(page, ask):
    told = {}
    for card in page.all("li", within=page.part("verdicts")):
        (badge,), (name,) = page.all("p", within=card, class_="badge"), page.all("h3", within=card)
        facts = {text_of(one[0]): text_of(one[1]) for one in next(card.iter("dl"))}
        told[text_of(name)] = (text_of(badge), facts["rests on"])
    rows = ask("SELECT claim, verdict, because FROM verdicts WHERE run_id = $run")
    assert told == {claim: (verdict, because) for claim, verdict, because in rows}


def test_each_layer_counts_its_features_below_alpha(page, ask):
    told = {
        text_of(next(one.iter("h3"))): [text_of(under) for under in one.iter("figcaption")]
        for one in page.all("div", within=page.part("layers"), class_="layer")
    }
    rows = ask(
        "SELECT layer, count(*), count(*) FILTER (p_adjusted <= 0.05) FROM feature_tests "
        "WHERE run_id = $run AND split = 'confirmation' GROUP BY layer ORDER BY layer"
    )
    assert list(told) == [f"Layer {layer}" for layer, _, _ in rows]
    for layer, tested, below in rows:
        own, placebo = told[f"Layer {layer}"]
        assert own == f"{below} of {tested} features"
        assert placebo.startswith("placebo: 0 of ")


def test_the_ablation_says_what_it_does_alone_and_together(page, ask):
    said = text_of(page.part("ablations"))
    ((impact, synergy),) = ask(
        "SELECT mean_impact, synergy FROM ablation_summary WHERE run_id = $run AND role = 'target'"
    )
    ((stronger, sets),) = ask(
        f"SELECT count(*) FILTER (abs(mean_impact) >= {abs(impact)}), count(*) FROM ablation_summary "
        "WHERE run_id = $run AND role = 'control'"
    )
    assert sets in (19, 49, 99)
    assert f"moves the answers by {impact:+.3f} nats; {stronger} of {sets} matched" in said
    assert "each in the target's place among the others, would be called" in said
    apart = ask("SELECT property, difference FROM control_balance WHERE run_id = $run")
    for name, difference in apart:
        assert f"{difference:+.2f} in {name}" in said
    assert f"differ by {synergy:+.3f} nats" in said
    ((floor,),) = ask("SELECT noise_floor FROM runs WHERE run_id = $run")
    assert 0 < floor < 1e-4
    assert (
        f"seems to move a prompt by {floor:.2g} nats at most: the noise of cpu in float32" in said
    )


def test_what_an_impact_depends_on_is_told_as_exploratory(page, ask):
    told = {
        (row["term"], row["level"]): (row["nats"], row["how, or why not"])
        for row in page.table("Moderators of top, table")
    }
    rows = ask("SELECT term, level, estimate, note, method FROM moderators WHERE run_id = $run")
    assert {term for term, *_ in rows} == {
        "dose", "condition", "quantity", "principle", "form", "sentence",
    }  # fmt: skip
    found = {
        (term, level): (f"{estimate:+.3f}", f"{note}; {method}")
        for term, level, estimate, note, method in rows
        if estimate is not None
    }
    assert found == {key: told[key] for key in found}
    # What could not be estimated is told as well, with the reason.
    notes = [note for _, _, estimate, note, _ in rows if estimate is None]
    assert notes
    assert all(any(note in said for _, said in told.values()) for note in notes)
    assert "Exploratory: on what the impact depends" in text_of(page.part("ablations"))


def test_each_family_has_its_pairs_and_its_mean(page, ask):
    told = {
        row["family"]: (row["side"], row["pairs"], row["after correct"])
        for row in page.table("Behaviour by family, table")
    }
    rows = ask("SELECT family, split, after_correct FROM family_contrasts WHERE run_id = $run")
    assert told == {family: (side, "4", f"{after:+.3f}") for family, side, after in rows}


def test_the_behaviour_says_on_how_many_prompts_the_right_answer_is_preferred(page, ask):
    ((right, asked),) = ask(
        "SELECT count(*) FILTER (logit_difference > 0), count(*) FROM behaviour WHERE run_id = $run"
    )
    assert f"On {right} of {asked} prompts" in text_of(page.part("behaviour"))


def test_each_sae_has_its_width_and_its_l0(page, ask):
    told = [(row["layer"], row["width"], row["L0"]) for row in page.table("SAE health, table")]
    rows = ask("SELECT layer, l0 FROM sae_health WHERE run_id = $run ORDER BY layer")
    assert told == [(str(layer), "1024", f"{l0:.1f}") for layer, l0 in rows]


def test_the_design_has_its_families_and_pairs(page):
    assert "48 of 12 principles (and 32 that selected), 192 pairs" in text_of(page.part("power"))


def test_the_command_that_repeats_the_run_names_it(page, ask):
    ((run_id,),) = ask("SELECT run_id FROM runs WHERE run_id = $run")
    assert f"harness rerun {run_id}" in text_of(page.part("provenance"))


def strongest(ask):
    return ask(
        "SELECT layer, feature, mean_difference FROM top_features WHERE run_id = $run LIMIT 20"
    )


def test_each_of_the_strongest_features_has_a_card_that_the_table_leads_to(page, ask):
    for layer, feature, difference in strongest(ask):
        name = f"feature-{layer}-{feature}"
        (card,) = page.all("details", id=name)
        assert page.all("a", href=f"#{name}")
        begins = rf"{layer}:{feature} rank \d+; difference {re.escape(f'{difference:+.3f}')}"
        assert re.match(begins, text_of(next(card.iter("summary"))))


def test_features_are_shown_in_context_the_strongest_token_darkest(page, ask):
    """Each feature has up to three contexts, and each of them one token that is the darkest."""
    shares = [mark.get("style") for mark in page.all("mark")]
    assert len(strongest(ask)) * 2 < shares.count("--share:1.00")
    assert "Its tokens were not traced" not in page.text


def test_each_feature_has_the_tokens_that_it_moves_most_by_itself(page, ask, changed, undrawn):
    for layer, feature, _ in strongest(ask)[:5]:
        told = page.table(f"Logits of {layer}:{feature}, table")
        rows = ask(
            f"SELECT side, token, logit FROM feature_logits WHERE run_id = $run AND layer = {layer} "
            f"AND feature = {feature} ORDER BY rank"
        )
        up = [
            (make_visible(" ".join(t.split())), f"{logit:+.2f}")
            for side, t, logit in rows
            if side == "up"
        ]
        assert len(up) == 10
        # Both sides have a column named so: the last of a name is the one that the helper keeps.
        down = [f"{logit:+.2f}" for side, _, logit in rows if side == "down"]
        assert [row["up"] for row in told] == [token for token, _ in up]
        assert [row["logit"] for row in told] == down
        assert float(up[0][1]) > float(up[-1][1]) > 0 > float(down[-1]) > float(down[0])
    without = Page(page_of(changed("DELETE FROM feature_logits")))
    assert "is of a model whose unembedding cannot be read." in without.text
    assert "is of a model whose unembedding cannot be read." not in page.text


def test_labels_and_pages_of_features_are_shown_where_there_are_any(changed, undrawn):
    db = changed(
        "UPDATE runs SET neuronpedia = ['gemma/' || layer FOR layer IN layers]",
        "INSERT INTO feature_labels SELECT DISTINCT 'gemma/' || layer, feature, 'words of ' || feature, 'm', now() FROM feature_tests",
    )
    page = Page(page_of(db))
    assert page.text.count("words of ") >= 40
    links = [
        one
        for one in page.all("a")
        if one.get("href", "").startswith("https://www.neuronpedia.org/gemma/")
    ]
    assert len(links) >= 20
    assert all(one.get("rel") == "noopener noreferrer" for one in links)


@pytest.mark.parametrize(
    "change,said",
    [
        ("SELECT 1", "--target organism --dtype float32 --db"),
        ("UPDATE runs SET origin = 'mock', sae = 'mock:orthogonal'", "--dtype float32 --mock --db"),
        (
            "UPDATE runs SET exploratory = 'limited to 3 families of each side', dtype = 'bfloat16'",
            "--dtype bfloat16 --limit 3 --db",
        ),
    ],
)
def test_the_command_that_runs_the_spec_again_asks_for_the_same(changed, undrawn, change, said):
    page = Page(page_of(changed(change)))
    assert re.search(rf"harness run \S*voices.yaml .*{said}", page.text)


def test_a_prompt_that_both_variants_share_is_counted_once(finished, undrawn):
    ((pairs, right),) = query(
        finished,
        "SELECT count(DISTINCT pair_id), count(DISTINCT pair_id) FILTER (logit_difference > 0) "
        "FROM behaviour WHERE run_id = (SELECT run_id FROM runs WHERE spec_name = 'pilot')",
    )
    page = Page(page_of(finished, "pilot"))
    assert f"On {right} of {pairs} prompts" in page.text
    assert "it is counted once" in page.text
    assert "it is counted once" not in Page(page_of(finished)).text


def test_the_smallest_p_of_each_claim_is_said_with_what_bounds_it(page, changed, undrawn):
    text = page.text
    assert "top-features-matter: 0.01, its rank among 99 controls" in text
    assert "context-moves-answer: 0.00049, sign flips of the principles" in text
    assert "untestable" not in text
    strict = Page(page_of(changed("UPDATE runs SET alpha = 0.005")))
    assert "its rank among 99 controls: above alpha 0.005, so it is untestable" in strict.text


def test_labels_say_whose_they_are_and_since_when(changed, undrawn):
    db = changed(
        "UPDATE runs SET neuronpedia = ['gemma/' || layer FOR layer IN layers]",
        "INSERT INTO feature_labels SELECT DISTINCT 'gemma/' || layer, feature, 'a thing', "
        "'some-model', TIMESTAMPTZ '2026-02-03 12:00:00+00' FROM feature_tests",
    )
    page = Page(page_of(db))
    assert "a thing (said by some-model on Neuronpedia, fetched on 03 February 2026;" in page.text

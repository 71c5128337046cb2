"""What a page says of how much its run can show."""

import json
import re

import pytest

from harness.reports.html.caveats import caveats_of
from harness.store.database import Store
from harness.store.tables.runs import Runs
from tests.helpers.pages import Page, page_of, text_of

# Of `voices`, whose prompts tell the trait in words.
NO_WAIVER = """UPDATE runs SET spec = json_merge_patch(spec, '{"shortcuts": null}')"""


@pytest.mark.parametrize(
    "change,kind,word,verdict",
    [
        ("UPDATE runs SET origin = 'mock'", "mock", "Mock", "mock: supported"),
        (
            "UPDATE runs SET exploratory = 'prompts changed'",
            "exploratory",
            "Exploratory",
            "exploratory: supported",
        ),
        (
            "UPDATE runs SET exploratory = 'limited to 3 families'",
            "limited",
            "Limited",
            "limited: supported",
        ),
    ],
)
def test_what_is_no_evidence_says_so_on_every_screen(changed, undrawn, change, kind, word, verdict):
    """In the title, in a bar that stays, around the page, and at each verdict."""
    text = page_of(changed(change))
    page = Page(text)
    assert re.search(rf"<title>[^<]*{word}", text)
    assert kind in page.all("body")[0].get("class").split()
    assert page.all("p", class_=f"stamp {kind}")
    assert page.text.count(verdict) == 4
    assert page.text.count(verdict.replace("supported", "inconclusive")) == 2
    assert page.text.count(verdict.replace("supported", "refuted")) == 3
    said = page.text[: page.text.index("The spec, with every default written out")]
    assert "significant" not in said.lower()
    assert ".stamps { position: sticky; top: 0;" in text
    assert f"body.{kind} main" in text


def test_a_mock_on_some_families_is_stamped_twice(changed, undrawn):
    db = changed(
        "UPDATE runs SET origin = 'mock', exploratory = 'limited to 3 families of each side'",
        NO_WAIVER,
    )
    page = Page(page_of(db))
    assert [
        one.get("class") for one in page.all("p") if "stamp" in one.get("class", "").split()
    ] == [
        "stamp mock",
        "stamp limited",
    ]


def test_a_stand_in_is_told_apart_from_the_real_thing(page, changed, undrawn):
    said = "Stand-in organism shows that the method works, and says nothing about Gemma."
    assert said in page.text
    real = Page(page_of(changed("UPDATE runs SET origin = 'real'", NO_WAIVER)))
    assert not real.all("aside")
    assert "stand-in" not in real.text.lower()


def test_a_shortcut_that_is_allowed_is_said_with_its_reason():
    run = {"run_id": "r", "origin": "real", "status": "finished", "exploratory": None}
    said = {"shortcuts": {"allow": "it <has> to be said"}}
    (caveat,) = caveats_of(run | {"spec": json.dumps(said)}, "The first run: ")
    assert (caveat.kind, caveat.word) == ("shortcuts", "Shortcuts")
    assert caveat.words == (
        "The first run: Words, answers or lengths alone tell the variants apart, which is allowed: "
        "it <has> to be said"
    )
    assert caveats_of(run | {"spec": "{}"}) == []


def test_what_speaks_against_an_sae_is_said_with_the_verdicts(changed, undrawn):
    page = Page(page_of(changed("UPDATE sae_health SET warning = 'off by one' WHERE layer = 2")))
    assert page.text.count("Warning the SAE of layer 2: off by one") == 1
    assert page.text.count("Warning ") == 1
    assert page.text.index("Warning the SAE") < page.text.index("Behaviour by family")


def test_an_sae_without_recovered_loss_says_why(changed, undrawn):
    page = Page(
        page_of(
            changed(
                "UPDATE sae_health SET loss_recovered = NULL, loss = 3.5, loss_zeroed = 3.25 WHERE layer = 1",
                "UPDATE sae_health SET loss_recovered = 'nan', loss = NULL WHERE layer = 2",
            )
        )
    )
    told = [row["loss recovered"] for row in page.table("SAE health, table")]
    assert told[1].startswith("none to recover: without the layer's output the loss is 3.250")
    assert told[2] == "not measured"
    assert all(told)


def test_an_effect_size_that_does_not_exist_says_why(changed, undrawn):
    change = "UPDATE feature_tests SET d_z = NULL, flag = 'constant'"
    told = {row["d z"] for row in Page(page_of(changed(change))).table("Strongest features, table")}
    assert told == {"constant"}


def test_a_column_that_would_be_empty_is_left_out(page, finished, undrawn):
    assert "edited by" in page.table("Strongest features, table")[0]
    pilot = Page(page_of(finished, "pilot"))
    assert "edited by" not in pilot.table("Strongest features, table")[0]
    assert "warning" not in page.table("SAE health, table")[0]
    assert "Nothing says that an SAE does not fit." in page.text


def test_a_run_that_has_just_begun_says_what_it_has_not(changed, undrawn):
    tables = ("answers", "activations", "feature_tests", "verdicts", "sae_health", "ablation_tests",
              "interventions", "impacts", "prompt_tokens", "token_activations")  # fmt: skip
    db = changed(
        "UPDATE runs SET status = 'running', finished_at = NULL",
        *(f"DELETE FROM {name}" for name in tables),
    )
    with Store.open_to_read(db) as store:
        name = next(r["run_id"] for r in store.read(Runs).rows() if r["spec_name"] == "voices")
    page = Page(page_of(db, name))
    assert page.all("p", class_="stamp unfinished")
    for told in (
        "No verdict has been drawn: the run is not finished.",
        "Nothing has been observed yet.",
        "No feature was tested: none is active on the confirming families, or the run is not finished.",
        "There is no feature to show.",
        "No ablation has been tested: the run is not finished.",
        "No SAE was read.",
    ):
        assert told in page.text


def test_features_that_a_selection_could_not_order_are_named(changed):
    path = changed("UPDATE interventions SET tied = 14 WHERE role = 'target' AND rank < 10")
    said = text_of(Page(page_of(path)).part("ablations"))
    assert re.search(
        r"Consistency cannot order (\d+:\d+, ){4}\d+:\d+ and 5 more: 14 features tie at its largest "
        r"value, and size orders them\.",
        said,
    )


def test_a_run_without_ablations_placebo_or_tokens_says_so(changed, undrawn, finished):
    pilot = Page(page_of(finished, "pilot"))
    assert "The spec asks for no ablation on this target." in pilot.text
    alone = Page(
        page_of(
            changed(
                "DELETE FROM runs WHERE spec_name = 'placebo'",
                "DELETE FROM prompt_tokens",
                "DELETE FROM token_activations",
            )
        )
    )
    assert "No placebo run of this target is in the results file: harness run placebo" in alone.text
    assert "Its tokens were not traced" in alone.text


def test_features_are_not_called_silent_before_they_are_tested(changed, undrawn):
    begun = Page(page_of(changed("DELETE FROM feature_tests")))
    assert "not tested yet; edited by top" in begun.text
    assert "silent" not in begun.text.replace("silent ", "", 1)  # a column's head

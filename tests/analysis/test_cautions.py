"""Verdicts that rest on features of a layer whose SAE has a warning: which, and that every surface says so."""

import io
import json
from dataclasses import asdict, replace

import pytest

import harness
from harness.analysis.cautions import cautions_of
from harness.analysis.verdict import Caution, Verdict
from harness.reports.markdown import summary
from harness.reports.plain_data import outcome_data
from harness.reports.terminal.progress import console
from harness.reports.terminal.verdicts import print_verdicts
from harness.reports.text import caution_text
from harness.specs.known_features import KnownFeature
from harness.store.database import Store
from tests.helpers.cli import invoke
from tests.helpers.outcomes import an_outcome
from tests.helpers.pages import Page, page_of
from tests.helpers.store import changed_copy, query

WARN = "UPDATE sae_health SET warning = 'wrong layer: it fits block 2' WHERE layer = {}"


def read_cautions(db, run_id, target="organism"):
    with Store.open_to_read(db) as store:
        return dict(cautions_of(store, run_id, target))


@pytest.fixture
def warned(few, tmp_path):
    """The small run with a warning against layer 3, and the features there that are significant or edited."""
    db, run_id = changed_copy(few[0], tmp_path, WARN.format(3)), few[1]
    significant = query(
        db,
        "SELECT feature FROM feature_tests WHERE split = 'confirmation' AND layer = 3 "
        "AND p_adjusted <= .3 ORDER BY feature",
    )
    edited = query(
        db,
        "SELECT feature FROM interventions WHERE ablation = 'top' AND role = 'target' AND layer = 3 "
        "ORDER BY feature",
    )
    return db, run_id, [f for (f,) in significant], [f for (f,) in edited]


def test_without_a_warning_there_is_no_caution(few):
    assert read_cautions(*few) == {}


def test_claims_name_the_features_of_the_layer_that_they_count_or_edit(warned):
    db, run_id, significant, edited = warned
    assert significant
    warning = "wrong layer: it fits block 2"
    expected = {"any": (Caution(3, tuple(significant), warning),)}
    if edited:
        expected["matters"] = (Caution(3, tuple(edited), warning),)
    assert read_cautions(db, run_id) == expected  # `moved`, about behaviour, rests on no feature


def test_an_ablation_rests_on_the_features_that_it_edits(few, tmp_path):
    edited = query(
        few[0],
        "SELECT layer, feature FROM interventions WHERE ablation = 'top' AND role = 'target' ORDER BY ALL",
    )
    db = changed_copy(few[0], tmp_path, WARN.format("layer"))
    found = read_cautions(db, few[1])["matters"]
    assert [(one.layer, feature) for one in found for feature in one.features] == edited


def test_that_too_few_are_significant_rests_on_the_layers_that_have_none(warned):
    db, run_id, *_ = warned
    folder = db.parent / "none"
    folder.mkdir()
    changed = changed_copy(
        db,
        folder,
        "UPDATE feature_tests SET p_adjusted = 1",
        "UPDATE verdicts SET verdict = 'inconclusive' WHERE claim = 'any'",
    )
    (found,) = read_cautions(changed, run_id)["any"]
    assert found == Caution(3, (), "wrong layer: it fits block 2")
    assert caution_text(found).startswith(
        "rests on no feature of layer 3 being found to differ, whose SAE"
    )


def test_of_known_truth_only_known_features_are_named(few, tmp_path, monkeypatch):
    about = 'replace(spec, \'"features":"significant"\', \'"features":"truth"\')'
    db = changed_copy(
        few[0],
        tmp_path,
        WARN.format(3),
        f"UPDATE runs SET spec = {about}",
        "UPDATE feature_tests SET p_adjusted = 0.01 WHERE split = 'confirmation' AND layer = 3",
    )
    tested = (
        "SELECT feature FROM feature_tests WHERE split = 'confirmation' AND layer = 3 ORDER BY ALL"
    )
    (first,), (second,), *_ = query(db, tested)
    known = (KnownFeature(3, second, 1, 1.0), KnownFeature(1, first, 1, 1.0))
    monkeypatch.setattr("harness.analysis.cautions.load_truth", lambda _: known)
    (found,) = read_cautions(db, few[1])["any"]
    assert found.features == (second,)


def test_stored_verdicts_have_their_cautions_in_every_way_of_asking(warned):
    db, run_id, significant, _ = warned
    with harness.open_store(db) as results:
        verdicts = {one.claim: one for one in results.verdicts(run_id)}
        rows = results.sql("cautions", run=run_id).to_pylist()
    assert verdicts["any"].cautions[0].features == tuple(significant)
    assert verdicts["any"].verdict == "supported"
    assert verdicts["moved"].cautions == ()
    assert [row["feature"] for row in rows if row["claim"] == "any"] == significant
    assert {row["warning"] for row in rows} == {"wrong layer: it fits block 2"}
    shown = " ".join(invoke("show", run_id, "--db", db).output.split())
    assert "caution: any rests on feature" in shown
    assert "of layer 3, whose SAE has a warning: wrong layer: it fits block 2" in shown
    data = json.loads(invoke("show", run_id, "--json", "--db", db).output)["verdicts"]
    (said,) = [one for one in data if one["claim"] == "any"]
    assert said["cautions"] == [json.loads(json.dumps(asdict(verdicts["any"].cautions[0])))]


def test_a_page_links_the_features_and_the_warning(warned, undrawn):
    db, _, significant, _ = warned
    page = Page(page_of(db, "few"))
    (card,) = [
        one
        for one in page.root.iter("li")
        if one.findtext(".//h3") == "any" and "claim" in one.get("class", "")
    ]
    links = {link.get("href"): "".join(link.itertext()) for link in card.iter("a")}
    assert links["#health"] == "SAE has a warning"
    for feature in significant[:24]:
        if f"#feature-3-{feature}" in links:
            assert links[f"#feature-3-{feature}"] == f"3:{feature}"
    assert len(links) > 1
    words = " ".join("".join(card.itertext()).split())
    assert "Caution It rests on feature" in words
    assert "of layer 3, whose SAE has a warning: wrong layer: it fits block 2." in words


CAUTIONED = Verdict(
    "found", "features", "features", "supported", "6 families, 9 features", "FROM top_features",
    2.0, p=0.01, cautions=(Caution(3, (12, 40), "L0 is far | off"), Caution(5, (7,), "no fit")),
)  # fmt: skip


@pytest.mark.parametrize("width", [60, 140])
def test_a_terminal_says_it_beside_the_verdict_and_below(width):
    out = io.StringIO()
    print_verdicts(console(out, width=width), [an_outcome(verdicts=(CAUTIONED,), warnings=())])
    words = " ".join(out.getvalue().split())
    assert "6 families, 9 features; see the caution" in words
    assert (
        "caution: found rests on features 12, 40 of layer 3, whose SAE has a warning: L0 is far | off"
        in words
    )
    assert "caution: found rests on feature 7 of layer 5, whose SAE has a warning: no fit" in words


def test_a_step_summary_and_plain_data_say_it():
    outcome = an_outcome(verdicts=(CAUTIONED,), warnings=())
    text = summary([outcome])
    assert "| 6 families, 9 features; see the caution |" in text
    assert (
        "- caution: found rests on features 12, 40 of layer 3, whose SAE has a warning: L0 is far \\| off\n"
        in text
    )
    (said,) = outcome_data(outcome)["verdicts"]
    assert said["cautions"][1] == {"layer": 5, "features": (7,), "warning": "no fit"}
    json.dumps(said)


def test_what_has_no_caution_says_nothing_of_it():
    out = io.StringIO()
    plain = an_outcome(verdicts=(replace(CAUTIONED, cautions=()),))
    print_verdicts(console(out, width=120), [plain])
    assert "caution" not in out.getvalue() + summary([plain])

"""Metrics of a run by name: each verdict is what a plain computation from the stored log-probabilities gives."""

import json

import numpy as np
import pytest

from harness.errors import InputError
from harness.specs.spec_file import load
from tests.helpers.cli import invoke
from tests.helpers.own_metrics import install
from tests.helpers.pages import Page, page_of
from tests.helpers.runs import run_on_organism
from tests.helpers.specs import some_voices
from tests.helpers.store import query

SPEC = """\
name: measured
question: What is it measured in?
targets: {organism: {layers: [1, 3]}}
prompts: few.jsonl
new_tokens: 0
contrast: {alpha: 0.3}
unadjusted: three families confirm
metric: accuracy
ablations: [{name: top, select: {top: 2, by: contrast}, doses: [0, 2], controls: 2}]
claims:
  - {name: right, behaviour: accuracy, direction: greater, than: 0.1}
  - {name: differs, behaviour: accuracy, contrast: true, direction: greater}
  - {name: likely, behaviour: mass, direction: greater, than: 0.01}
  - {name: log-likely, behaviour: log_mass, direction: greater, than: -20}
  - {name: own, behaviour: margin, direction: greater, than: -4}
  - {name: moves, ablation: top, within: 1, beyond: zero}
  - {name: moves-own, ablation: top, within: 9, beyond: zero, metric: margin}
  - {name: moves-log-p, ablation: top, direction: toward-correct, beyond: zero, metric: log_p_misconception}
  - {name: disturbs, ablation: top, within: 2, beyond: zero, metric: kl}
  - {name: spares, specific: top, within: 9, metric: mass}
  - {name: spares-others, collateral: top, prompts: few.jsonl, within: 9, metric: margin}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "few.jsonl").write_text(some_voices(6))
    (folder / "measured.yaml").write_text(SPEC)
    db = folder / "r.duckdb"
    with pytest.MonkeyPatch.context() as patched:
        install(folder, patched, "margin")
        run_on_organism(folder / "measured.yaml", db)
        yield db


def margin(positive, negative):
    return np.clip(positive - negative, -3, 3)


def behaviour(db):
    rows = query(
        db,
        "SELECT family, label, log_p_correct, log_p_misconception FROM behaviour "
        "WHERE split = 'confirmation'",
    )
    labels = np.array([row[1] for row in rows])
    return labels, np.array([row[2] for row in rows]), np.array([row[3] for row in rows])


def impacts(db, table="impacts", role="target", file=None):
    """Log-probabilities before and after the target's edit: (before, after) of each answer."""
    of_target = (
        "intervention_id IN (SELECT intervention_id FROM interventions WHERE role = 'target')"
    )
    where = of_target if file is None else f"{of_target} AND file = '{file}'"
    both = []
    for name in ("log_p_correct", "log_p_misconception"):
        rows = query(
            db,
            f"SELECT baseline, edited FROM {table} WHERE metric = '{name}' AND {where} ORDER BY prompt_id",
        )
        both.append(np.array(rows).T)
    return both


def verdicts(db):
    rows = query(db, "SELECT claim, estimate, unit, verdict, ci_low, ci_high, p FROM verdicts")
    return {row[0]: row[1:] for row in rows}


def test_levels_and_contrasts_are_those_of_the_answers(done):
    label, positive, negative = behaviour(done)
    found, correct = verdicts(done), label == "correct"
    right = positive > negative
    expected = {
        "right": right.mean(),
        "differs": right[correct].mean() - right[~correct].mean(),
        "likely": (np.exp(positive) + np.exp(negative)).mean(),
        "log-likely": np.log(np.exp(positive) + np.exp(negative)).mean(),
        "own": margin(positive, negative).mean(),
    }
    for claim, value in expected.items():
        assert found[claim][0] == pytest.approx(value, abs=1e-9), claim
    units = ["share", "share", "probability", "nats", "capped nats"]
    assert [found[claim][1] for claim in expected] == units


def test_a_level_is_held_by_bets_inside_its_bounds(done):
    (because,) = query(done, "SELECT because FROM verdicts WHERE claim = 'right'")[0]
    assert "by betting" in because
    _, _, _, low, high, _ = verdicts(done)["right"]
    assert low is None or 0 <= low <= high <= 1


def test_impacts_are_those_of_the_answers_before_and_after(done):
    (before, after), (other_before, other_after) = impacts(done)
    found = verdicts(done)
    expected = {
        "moves": ((after > other_after) * 1.0 - (before > other_before)).mean(),
        "moves-own": (margin(after, other_after) - margin(before, other_before)).mean(),
        "moves-log-p": (other_after - other_before).mean(),
    }
    for claim, value in expected.items():
        assert found[claim][0] == pytest.approx(value, abs=1e-9), claim
    ((kl,),) = query(
        done,
        "SELECT avg(edited) FROM impacts WHERE metric = 'kl' AND intervention_id IN "
        "(SELECT intervention_id FROM interventions WHERE role = 'target')",
    )
    assert found["disturbs"][0] == pytest.approx(kl)
    assert found["disturbs"][2] == "supported" if kl < 0.5 else found["disturbs"][2]


def test_a_metric_of_the_other_answer_is_claimed_the_other_way_round(done):
    estimate, _, verdict, low, high, _ = verdicts(done)["moves-log-p"]
    if verdict == "supported":
        assert high < 0
    elif verdict == "refuted":
        assert low > 0
    assert estimate != 0


def test_side_effects_are_in_the_claims_metric(done):
    (before, after), (other_before, other_after) = impacts(done, "side_effects", file="")
    mass = np.exp(after) + np.exp(other_after) - np.exp(before) - np.exp(other_before)
    assert verdicts(done)["spares"][0] == pytest.approx(mass.mean(), abs=1e-9)
    (before, after), (other_before, other_after) = impacts(done, "side_effects", file="few.jsonl")
    own = margin(after, other_after) - margin(before, other_before)
    assert verdicts(done)["spares-others"][0] == pytest.approx(own.mean(), abs=1e-9)


@pytest.mark.parametrize(
    "claim", ["right", "likely", "log-likely", "moves", "moves-own", "moves-log-p", "spares", "spares-others"]
)  # fmt: skip
def test_the_rows_behind_a_claim_have_its_mean(done, claim):
    ((run,),) = query(done, "SELECT run_id FROM runs")
    sql = "SELECT avg(value) FROM evidence($run, $claim)"
    ((mean,),) = query(done, sql, run=run, claim=claim)
    assert mean == pytest.approx(verdicts(done)[claim][0], abs=1e-9)


def test_whose_a_metric_is_is_recorded(done):
    ((metric, said),) = query(done, "SELECT metric, metrics FROM runs")
    assert metric == "accuracy"
    assert json.loads(said)["margin"]["distribution"] == "my-metrics"
    assert json.loads(said)["margin"]["version"] == "1.4"


def test_a_report_says_the_units(done):
    text = Page(page_of(done, "measured")).text
    assert "in share" in text
    assert "the share of prompts on which the right answer is the likelier one" in text
    assert "capped nats" in text


def test_without_its_distribution_a_run_says_what_is_missing(done, monkeypatch):
    monkeypatch.setattr("harness.specs.metrics.entry_points", lambda group: ())
    found = invoke("check", done.parent / "measured.yaml")
    assert found.exit_code == 2
    assert "behaviour is 'margin'; use one of" in found.output
    assert invoke("show", "measured", "--db", done).exit_code == 0
    with pytest.raises(InputError):
        load(done.parent / "measured.yaml")

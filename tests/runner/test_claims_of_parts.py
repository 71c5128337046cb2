"""Claims that are made of some of the prompts: what the store shows of them is what they rest on."""

import pytest

from tests.helpers.runs import made_once, run_on_organism
from tests.helpers.specs import FEW_ABLATIONS, write_few
from tests.helpers.store import dictionaries, query

CLAIMS = """\
unadjusted: few families confirm
claims:
  - {name: all, behaviour: logit_difference, contrast: true, direction: greater}
  - {name: half, behaviour: logit_difference, contrast: true, where: {quantity: acceleration}, direction: greater}
  - {name: quarter, behaviour: logit_difference, where: {quantity: velocity, condition: shown}, direction: greater}
  - {name: matters, ablation: top, where: {quantity: acceleration}, direction: toward-correct}
  - {name: closes, share: top, where: {quantity: acceleration}, than: 0.1}
  - {name: less, monotone: top, where: {quantity: acceleration}, direction: toward-correct}
"""
PARTS = {
    "all": {},
    "half": {"quantity": "acceleration"},
    "quarter": {"quantity": "velocity", "condition": "shown"},
    "matters": {"quantity": "acceleration"},
    "closes": {"quantity": "acceleration"},
    "less": {"quantity": "acceleration"},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    def make(folder, db):
        both = ("named", "shown")
        run_on_organism(write_few(folder, FEW_ABLATIONS, CLAIMS, name="parts", conditions=both), db)

    return made_once(tmp_path_factory, "parts.duckdb", make)


def evidence(db, claim):
    return dictionaries(db, "FROM evidence((SELECT run_id FROM runs), $claim)", claim=claim)


@pytest.mark.parametrize("claim", PARTS)
def test_evidence_is_of_the_prompts_that_the_claim_is_made_of(done, claim):
    tags = {}
    for prompt, tag, value in query(done, "SELECT prompt_id, tag, value FROM prompt_tags"):
        tags.setdefault(prompt, {})[tag] = value
    edited = "" if claim in ("all", "half", "quarter") else " AND label = 'misconception'"
    confirming = query(done, f"SELECT prompt_id FROM prompts WHERE split = 'confirmation'{edited}")
    asked = {one for (one,) in confirming if PARTS[claim].items() <= tags[one].items()}
    rows = evidence(done, claim)
    assert {row["prompt_id"] for row in rows} == asked
    assert len(rows) == len(asked) * (2 if claim == "less" else 1)  # a dose is a row
    assert 0 < len(asked) < len(confirming) or claim == "all"


def test_its_mean_is_the_estimate(done):
    """Families have as many pairs, so a mean over them is one over rows."""
    estimates = dict(query(done, "SELECT claim, estimate FROM verdicts"))

    def mean(claim, keep=lambda row: True):
        values = [row["value"] for row in evidence(done, claim) if keep(row)]
        return sum(values) / len(values)

    labels = dict(query(done, "SELECT prompt_id, label FROM prompts"))
    for claim in ("all", "half"):
        after = [
            mean(claim, lambda row, label=label: labels[row["prompt_id"]] == label)
            for label in ("correct", "misconception")
        ]
        assert estimates[claim] == pytest.approx(after[0] - after[1], abs=1e-6)
    assert estimates["all"] != pytest.approx(estimates["half"], abs=1e-3)
    assert estimates["quarter"] == pytest.approx(mean("quarter"), abs=1e-6)
    beyond = [row["value"] - row["beside"] for row in evidence(done, "matters")]
    assert estimates["matters"] == pytest.approx(sum(beyond) / len(beyond), abs=1e-6)
    assert estimates["closes"] == pytest.approx(mean("closes") / estimates["half"], abs=1e-6)


def test_a_verdict_s_query_shows_its_part_and_others_their_view(done):
    queries = dict(query(done, "SELECT claim, query FROM verdicts"))
    ((run,),) = query(done, "SELECT run_id FROM runs")
    assert queries["half"] == f"FROM evidence('{run}', 'half')"
    assert query(done, queries["half"])
    assert queries["all"].startswith("FROM behaviour WHERE")
    told = dict(query(done, "SELECT claim, part FROM claims"))
    assert told["half"] == '{"quantity":"acceleration"}'
    assert told["all"] is None

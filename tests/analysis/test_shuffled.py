"""Claims beyond sources of other families: of impacts whose true sources matter, and of such that do not."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.control_errors import with_control_errors
from harness.analysis.shuffled import Shuffled, shuffled_of
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import AblationClaim
from harness.specs.intervention import Intervention
from harness.store.tables.interventions import Impacts
from tests.helpers.specs import ablation_plan

ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
CLAIM = {"name": "c", "ablation": "a", "direction": "toward-correct", "beyond": "shuffled"}
FAMILIES, PAIRS = 7, 2
NAMES = np.repeat([f"f{i}" for i in range(FAMILIES)], PAIRS)


def impacts_of(own, seed=0, edits=FAMILIES - 1, level=3.0):
    """A prompt's impact is by its family and its source's, and `own` more where the source is its own."""
    random = np.random.default_rng(seed)
    of, by = random.normal(0, 0.3, (2, FAMILIES))
    table = level + of[:, None] + by + random.normal(0, 0.2, (FAMILIES, FAMILIES))
    table += own * np.eye(FAMILIES)
    places = (np.arange(FAMILIES) + np.arange(edits + 1)[:, None]) % FAMILIES
    done = np.repeat(table[np.arange(FAMILIES), places], PAIRS, axis=1)
    names = np.repeat(np.array([f"f{i}" for i in range(FAMILIES)])[places], PAIRS, axis=1)
    controls = random.normal(0, 0.1, (99, len(NAMES)))
    shuffled = Shuffled(done[1:], names[1:])
    return AblationImpacts(
        ABLATION, done[0], controls, Units.by_family(NAMES), shuffled=shuffled
    ), table


def judged(impacts, alpha=0.05, **changes):
    claim = AblationClaim.model_validate(CLAIM | changes)
    return with_control_errors(judge_ablation(impacts, claim, alpha), impacts, claim, alpha)


def test_a_set_that_carries_its_own_scenario_is_supported():
    impacts, table = impacts_of(2.0)
    found = judged(impacts)
    assert found.verdict == "supported", found.because
    assert "rank p 0.0002 of 5039 arrangements of sources of other families" in found.because
    others = (table.sum() - np.trace(table)) / (FAMILIES * (FAMILIES - 1))
    assert found.estimate == pytest.approx(np.trace(table) / FAMILIES - others)
    assert "of its 99 controls" not in found.because


def test_a_set_that_does_the_same_with_any_source_is_not_though_it_moves_the_answers():
    impacts, table = impacts_of(0.0)
    assert judged(impacts, beyond="zero").verdict == "supported"
    assert judged(impacts, beyond="controls").verdict == "supported"
    found = judged(impacts)
    assert found.verdict == "inconclusive"
    assert "not shown: beyond sources of other families, its rank" in found.because
    rows = range(FAMILIES)
    own = np.trace(table)
    sums = [
        sum(table[i, j] for i, j in zip(rows, dealt, strict=True)) for dealt in permutations(rows)
    ]
    rank = np.mean([one >= own - 1e-9 for one in sums])
    assert found.p >= rank
    assert impacts.beside("shuffled").rank_p(1.0) == pytest.approx(rank)
    assert impacts.beside("shuffled").rank_p(-1.0) == pytest.approx(
        np.mean([one <= own + 1e-9 for one in sums])
    )


def test_a_set_whose_own_source_does_less_is_refuted_by_its_rank():
    found = judged(impacts_of(-2.0)[0])
    assert found.verdict == "refuted"
    assert "the other way: its rank" in found.because


def test_of_fewer_shuffled_edits_the_rank_is_among_these():
    impacts, _ = impacts_of(2.0, edits=4)
    found = judged(impacts)
    assert found.verdict == "untestable"
    assert "too few sources of other families" in found.because
    assert "rank p 0.2 of 4 sources of other families" in found.because
    assert impacts.beside("shuffled").rank_p(1.0) == 1 / 5


def test_a_part_of_the_prompts_keeps_whose_sources_they_had():
    impacts, table = impacts_of(2.0)
    part = impacts.only(np.isin(NAMES, ["f0", "f3", "f4", "f5", "f6"]))
    assert "of 2519 arrangements" in judged(part, 0.1).because
    kept = [0, 3, 4, 5, 6]
    others = [table[i, j] for i in kept for j in range(FAMILIES) if j != i]
    own = [table[i, i] for i in kept]
    assert judged(part, 0.1).estimate == pytest.approx(np.mean(own) - np.mean(others))


def test_where_no_other_family_confirms_nothing_can_be_said():
    impacts, _ = impacts_of(2.0)
    found = judged(replace(impacts, shuffled=None))
    assert (found.verdict, found.p) == ("untestable", None)
    assert "no other family" in found.because


def test_the_families_of_stored_sources_are_those_of_their_prompts():
    plan = ablation_plan()
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    edits = [
        Intervention("top", role, i, "resample", "all", "misconception", ((1, 2),), source="pair")
        for role, i in (("target", 0), ("shuffled", 0), ("shuffled", 1))
    ]
    lent = {p.id: q.id for p, q in zip(prompts, [*prompts[2:], *prompts[:2]], strict=True)}
    rows = Impacts.of(
        {
            "run_id": "r", "intervention_id": edit.id, "prompt_id": prompt.id, "metric": metric,
            "baseline": 0.0, "edited": 1.0, "impact": 1.0, "active": True, "origin": "mock",
            "source_id": prompt.id if edit.role == "target" else lent[prompt.id] if not edit.number else "gone",
        }
        for edit in edits for prompt in prompts for metric in ("kl", "logit_difference")
    )  # fmt: skip
    matrix = np.arange(3.0 * len(prompts)).reshape(3, -1)
    found = shuffled_of(plan, edits, rows, prompts, matrix)
    np.testing.assert_array_equal(found.impacts, matrix[1:])
    family = {p.id: p.family for p in plan.prompts}
    assert found.sources[0].tolist() == [family[lent[p.id]] for p in prompts]
    assert {*found.sources[1]} == {""}
    assert found.arranged(matrix[0], np.array([p.family for p in prompts])) is None
    assert shuffled_of(plan, edits[:1], rows, prompts, matrix[:1]) is None

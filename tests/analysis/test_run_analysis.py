"""From stored rows to tests and verdicts: designs that are unusual."""

import dataclasses

import pytest

from harness.analysis.run_analysis import analyse
from harness.analysis.verdicts import verdicts
from harness.runner.in_process import crew_of
from harness.runner.pipeline import execute
from harness.specs.ablations import Ablation
from harness.specs.claims import AblationClaim, FeatureClaim
from harness.store.database import Store
from harness.store.prompts import prompt_tables
from tests.helpers.runs import a_run_context, quiet
from tests.helpers.specs import ablation_plan, family_lines

COUNT = FeatureClaim(name="count", features="significant", at_least=1)
MOVES = AblationClaim(name="moves", ablation="top", direction="toward-correct")


def concluded(tmp_path, plan, **spec):
    plan = dataclasses.replace(plan, spec=plan.spec.model_copy(update=spec))
    with Store.open(tmp_path / "a.duckdb") as store:
        store.commit(*prompt_tables(plan.prompts, plan.sides, "r"))
        execute(crew_of(a_run_context(), plan), plan, store, quiet)
        analysis = analyse(store, plan, "r", "mock")
        store.replace("r", *analysis.rows)
        return analysis, list(verdicts(analysis, None, "r"))


def test_two_ablations_may_measure_different_variants(tmp_path):
    both = tuple(
        Ablation.model_validate(
            {
                "name": variant,
                "select": {"top": 2, "by": "contrast"},
                "variant": variant,
                "controls": 4,
            }
        )
        for variant in ("correct", "misconception")
    )
    claims = tuple(MOVES.model_copy(update={"name": a.name, "ablation": a.name}) for a in both)
    analysis, found = concluded(tmp_path, ablation_plan(), ablations=both, claims=claims)
    assert [one.claim for one in found] == ["correct", "misconception"]
    for ablation in both:
        values = analysis.ablations[ablation.name].target
        assert len(values) == sum(
            p.label == ablation.variant for p in analysis.plan.of("confirmation")
        )
        assert (values == values).all()  # every prompt has its own impact


@pytest.mark.parametrize("confirming", [0, 1])
def test_too_few_confirming_families_leave_every_claim_untestable(tmp_path, confirming):
    plan = ablation_plan(family_lines(6))
    sides = dict.fromkeys(plan.sides, "discovery")
    sides |= dict.fromkeys(list(sides)[:confirming], "confirmation")
    _, found = concluded(tmp_path, dataclasses.replace(plan, sides=sides), claims=(COUNT, MOVES))
    assert [one.verdict for one in found] == ["untestable", "untestable"]
    assert all(f"{confirming} families" in one.because for one in found)


def test_a_claim_among_the_features_of_an_ablation_counts_no_others(tmp_path):
    claims = (COUNT, COUNT.model_copy(update={"name": "edited", "among": "top"}))
    analysis, found = concluded(tmp_path, ablation_plan(family_lines(24)), claims=claims)
    result, chosen = analysis.features["family"], analysis.chosen["top"]
    p = dict(zip(result.features, result.test.p_adjusted.tolist(), strict=True))
    alpha = analysis.plan.spec.contrast.alpha
    everything, edited = found
    assert everything.estimate == sum(value <= alpha for value in p.values())
    assert edited.estimate == sum(p.get(feature, 1) <= alpha for feature in chosen)
    assert edited.estimate < everything.estimate
    assert edited.p == min(p[feature] for feature in chosen if feature in p)
    assert edited.because.endswith(f"{sum(one in p for one in chosen)} of those that top edits")

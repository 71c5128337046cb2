"""From stored rows to tests and verdicts: designs that are unusual, and earlier runs that count."""

import dataclasses
from datetime import UTC, datetime

import pytest

from harness.analysis.feature_tests import analyse
from harness.analysis.verdicts import verdicts
from harness.runner.exploratory import reason_exploratory
from harness.runner.pipeline import execute
from harness.specs.ablations import Ablation
from harness.specs.claims import AblationClaim, FeatureClaim
from harness.specs.spec import Split
from harness.store.database import Store
from harness.store.prompts import prompt_rows
from harness.store.tables.runs import Runs, Units
from tests.test_run import QUIET, a_bench, a_plan, lines

NOW = datetime.now(UTC)
COUNT = FeatureClaim(name="count", features="significant", at_least=1)
MOVES = AblationClaim(name="moves", ablation="top", direction="toward-correct")


def concluded(tmp_path, plan, **spec):
    plan = dataclasses.replace(plan, spec=plan.spec.model_copy(update=spec))
    with Store.open(tmp_path / "a.duckdb") as store:
        store.commit(*prompt_rows(plan.prompts, plan.sides, "r"))
        execute(a_bench(), plan, store, QUIET)
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
    analysis, found = concluded(tmp_path, a_plan(), ablations=both, claims=claims)
    assert [one.claim for one in found] == ["correct", "misconception"]
    for ablation in both:
        values = analysis.ablations[ablation.name].target
        assert len(values) == sum(
            p.label == ablation.variant for p in analysis.plan.of("confirmation")
        )
        assert (values == values).all()  # every prompt has its own impact


@pytest.mark.parametrize("confirming", [0, 1])
def test_too_few_confirming_families_leave_every_claim_untestable(tmp_path, confirming):
    plan = a_plan(lines(6))
    sides = dict.fromkeys(plan.sides, "discovery")
    sides |= dict.fromkeys(list(sides)[:confirming], "confirmation")
    _, found = concluded(tmp_path, dataclasses.replace(plan, sides=sides), claims=(COUNT, MOVES))
    assert [one.verdict for one in found] == ["untestable", "untestable"]
    assert all(f"{confirming} families" in one.because for one in found)


@pytest.mark.parametrize("seen", [True, False])
def test_an_unfinished_run_counts_as_soon_as_rows_of_it_could_be_seen(tmp_path, seen):
    plan = a_plan()
    row = dict.fromkeys(Runs.names(), "1")
    row |= {
        "run_id": "early", "status": "unfinished", "spec_name": "demo", "target": "organism",
        "origin": plan.target.origin, "spec_hash": plan.spec.hash, "prompts_hash": plan.prompts_hash,
        "sae_hash": "s", "created_at": NOW, "finished_at": None, "layers": [1],
        "neuronpedia": [None], "sae_files": ["f"], "sae_hashes": ["s"],
        "git_dirty": False, "exploratory": None,
    }  # fmt: skip
    later = dataclasses.replace(plan, spec=plan.spec.model_copy(update={"split": Split(seed=1)}))
    with Store.open(tmp_path / "a.duckdb") as store:
        store.commit(Runs.of([row]))
        if seen:
            unit = dict.fromkeys(Units.names(), "") | {
                "run_id": "early", "finished_at": NOW, "seconds": 0.1,
            }  # fmt: skip
            store.commit(Units.of([unit]))
        assert (reason_exploratory(store, later, "s") == "the spec changed since run early") is seen
        assert reason_exploratory(store, plan, "s") is None

"""A run on a small random model: against brute force, twice, in any order, and interrupted."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.ablation_impacts import AblationImpacts
from harness.errors import CannotRun
from harness.runner import checkpoint, staged_units
from harness.runner.stages import ablate as ablate_stage
from harness.runner.tasks import Task
from harness.store.database import Store
from harness.store.tables.interventions import Interventions
from tests.helpers.runs import a_run_context, run_into, sae
from tests.helpers.specs import ablation_plan, family_lines


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_into(tmp_path_factory.mktemp("run") / "a.duckdb", ablation_plan(), a_run_context())


def test_two_runs_give_identical_tables(whole, tmp_path):
    assert run_into(tmp_path / "b.duckdb", ablation_plan(), a_run_context()) == whole
    assert all(
        whole[kind]
        for kind in ("answers", "activations", "generations", "topk_logits", "impacts",
                     "interventions", "sae_health", "feature_activity", "units", "prompts")
    )  # fmt: skip


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 8, 11])
def test_an_interrupted_run_ends_with_the_same_tables(whole, tmp_path, stop, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)  # every group that is done is committed

    class Stopping(Store):
        commits = 0

        def commit(self, *columns):
            if Stopping.commits == stop:
                raise KeyboardInterrupt
            Stopping.commits += 1
            super().commit(*columns)

    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path / "b.duckdb", ablation_plan(), a_run_context(), Stopping)
    assert run_into(tmp_path / "b.duckdb", ablation_plan(), a_run_context()) == whole


def test_no_more_rows_wait_than_a_commit_takes_however_fast_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 3600.0)

    def most(rows):
        held = [0]

        class Counting(Store):
            def commit(self, *columns):
                held.append(sum(map(len, columns)))
                super().commit(*columns)

        monkeypatch.setattr(staged_units, "ROWS", rows)
        run_into(
            tmp_path / f"{rows}.duckdb", ablation_plan(), a_run_context(batch_size=1), Counting
        )
        return max(held)

    assert most(100) < 1000 < most(10**6)


@pytest.mark.parametrize("change", ["batch", "padding", "order"])
def test_batch_padding_and_order_change_nothing_that_matters(whole, tmp_path, change):
    plan, run_context = ablation_plan(), a_run_context()
    if change == "batch":
        run_context = a_run_context(batch_size=2)
    elif change == "padding":
        run_context = a_run_context(side="right")
    else:
        shuffled = np.random.default_rng(0).permutation(len(family_lines()))
        plan = ablation_plan([family_lines()[i] for i in shuffled])
    other = run_into(tmp_path / "b.duckdb", plan, run_context)
    for table, rows in (("answers", 6), ("impacts", 6)):
        a, b = ({row[:4]: row for row in found[table]} for found in (whole, other))
        assert set(a) == set(b)
        for key, row in a.items():
            assert row[rows] == pytest.approx(b[key][rows], abs=1e-5)
    a, b = ({row[1:5]: row[5] for row in found["activations"]} for found in (whole, other))
    for key in set(a) & set(b):
        assert a[key] == pytest.approx(b[key], abs=1e-4)
    # A feature within 1e-3 of its threshold may fire in one and not in the other.
    for prompt, layer, _, feature in set(a) ^ set(b):
        value = (a | b)[prompt, layer, "last_prompt_token", feature]
        assert value - float(sae(layer).threshold[feature]) < 1e-3


def test_editing_one_token_answers_is_refused_as_zero_by_construction(tmp_path):
    one = [
        {key: value.replace("not zero", "east") for key, value in line.items()}
        for line in family_lines()
    ]
    with pytest.raises(CannotRun, match="every answer is one token"):
        run_into(tmp_path / "a.duckdb", ablation_plan(one, positions="answer"), a_run_context())
    run_into(tmp_path / "b.duckdb", ablation_plan(positions="answer"), a_run_context())


def test_all_that_is_done_is_told_of_whatever_a_share_is_rounded_to():
    told = []
    one = staged_units._Told(lambda _, done, total: told.append((done, total)), "observe", 49, 0)
    for _ in range(49):
        one.advance(Task("observe", len, size=1))
    assert told == [(done, 49) for done in range(50)]


def test_selection_sees_the_discovery_families_alone(whole, tmp_path):
    """Scrambling the confirming families' prompts leaves the selected features as they are."""
    plan = ablation_plan()
    confirming = set(plan.families("confirmation"))
    changed = [
        line | {"prompt": line["prompt"].replace("Thing", "Some other thing entirely")}
        if line["family"] in confirming
        else line
        for line in family_lines()
    ]
    other = run_into(tmp_path / "b.duckdb", ablation_plan(changed), a_run_context())

    def features(found):
        names = [n for n in Interventions.names() if n not in ("finished_at", "seconds")]
        role, layer, feature = (names.index(n) for n in ("role", "layer", "feature"))
        return [
            (row[layer], row[feature]) for row in found["interventions"] if row[role] == "target"
        ]

    assert features(other) == features(whole)
    assert other["impacts"] != whole["impacts"]


def with_controls(impact_of, monkeypatch, path, controls=99):
    """The tables of a run of so many controls, whose impacts are made up by `impact_of(intervention)`."""
    ablated = ablate_stage.ablate

    def ablate(context, interventions, edits, sources, prompts):
        impacts, *others = ablated(context, interventions, edits, sources, prompts)
        made = {edit.id: impact_of(edit) for edit in interventions}
        impact = [made[one] for one in impacts.intervention_id]
        return [replace(impacts, impact=impact), *others]

    monkeypatch.setattr(ablate_stage, "ablate", ablate)
    plan = ablation_plan(select={"by": "list", "features": {1: (3, 9, 11)}}, controls=controls)
    return run_into(path, plan, a_run_context())


@pytest.mark.parametrize("target, replayed", [(9.5, 19), (-9.5, 99), (99.0, 99)])
def test_controls_end_at_a_look_where_more_could_show_nothing(
    tmp_path, monkeypatch, target, replayed
):
    def impact_of(edit):
        return target if edit.role == "target" else float(edit.number % 19)

    tables = with_controls(impact_of, monkeypatch, tmp_path / "a.duckdb")
    controls = {row[1] for row in tables["interventions"] if "control" in row}
    assert len(controls) == 99
    measured = {row[1] for row in tables["impacts"]} & controls
    assert len(measured) == replayed
    # Nothing is replayed twice, and each look has units of its own.
    assert len(tables["impacts"]) == len({row[1:4] for row in tables["impacts"]})
    stages = [row[2] for row in tables["units"]]
    parts = {19: 1, 49: 2, 99: 3}[replayed]
    assert stages.count("ablate") == parts * len(ablation_plan().units("ablate", "top"))


def test_a_balance_is_kept_of_every_ablation(whole):
    properties = {row[2] for row in whole["control_balance"]}
    assert properties == {"firing rate", "mean activation", "edit size"}
    assert whole["edit_activity"]


def test_a_run_that_ended_between_two_looks_goes_on(tmp_path, monkeypatch):
    """Some rows of the second look are in: the first is decided by its own controls."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)

    class Stopping(Store):
        def commit(self, *columns):
            super().commit(*columns)
            units = self.query("SELECT count(*) FROM units WHERE stage = 'ablate'")[1][0][0]
            if units == 1 + len(ablation_plan().units("ablate", "top")):
                raise KeyboardInterrupt

    plan = ablation_plan(select={"by": "list", "features": {1: (3, 9, 11)}}, controls=99)
    monkeypatch.setattr(AblationImpacts, "is_futile", property(lambda self: self.rank_p(1.0) > 2))
    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path / "a.duckdb", plan, a_run_context(batch_size=1), Stopping)
    run_into(tmp_path / "a.duckdb", plan, a_run_context(batch_size=1))

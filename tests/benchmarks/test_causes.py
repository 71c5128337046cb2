"""A slice of the verdicts on features whose effects are known, from a small measurement of them."""

import sys
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from benchmarks import causes as module
from benchmarks.cause_splits import ORGANISM, OtherCauses, splits
from benchmarks.causes import CLAIMS, Judge, caused, false_calls, powers, rows_of
from fixtures.training.causes import Causes, Extent, measure
from harness.analysis import ablation_verdicts
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.specs.prompt_file import load_prompts
from harness.specs.spec_file import load

EXTENT = Extent(families=14, features=24, random_sets=180, strong_sets=1)
LAYERS = (3, 5)


@pytest.fixture(scope="module")
def causes():
    model = load_model(ModelFiles(ORGANISM, "organism"))
    return measure(
        model, ORGANISM, load_prompts(bundled("data", "voices.jsonl")), EXTENT, layers=LAYERS
    )


@pytest.fixture(scope="module")
def judge(causes):
    return Judge(causes, list(splits(causes, 2)))


def test_a_random_set_is_called_no_more_often_than_promised(judge):
    rows = list(false_calls(judge, 40))
    assert [row.what for row in rows if not row.holds] == []
    assert {row.replicates for row in rows if row.kind == "at most"} >= {40}
    assert len({row.what for row in rows}) == len(rows) == 10


def test_a_rank_that_peeks_is_caught_where_nothing_else_keeps_a_set_from_a_call(judge, monkeypatch):
    """p values a fifth as large as they should be, with the tests over families taken for passed."""
    rank, part = AblationImpacts.rank_p, ablation_verdicts.family_part
    monkeypatch.setattr(AblationImpacts, "rank_p", lambda *given: rank(*given) / 5)
    monkeypatch.setattr(
        ablation_verdicts,
        "family_part",
        lambda *given: replace(part(*given), is_shown=True, is_refuted=False),
    )
    broken = {row.what for row in false_calls(judge, 60) if not row.holds}
    assert {what.rpartition(": ")[2] for what in broken} >= {"supported"}
    monkeypatch.setattr(AblationImpacts, "rank_p", rank)
    assert [row.what for row in false_calls(judge, 60) if not row.holds] == []


def test_power_is_by_the_size_of_the_true_effect(judge):
    rows = list(powers(judge, 100))
    strong = np.flatnonzero(judge.causes.set_strong > 0)
    assert sum(row.replicates for row in rows) == 2 * len(strong)
    sizes = np.abs(judge.causes.set_impact[strong].astype(float).mean(axis=1))
    largest = [row for row in rows if "3 nats or more" in row.what]
    assert [row.replicates for row in largest] == [(sizes >= 3).sum()] * 2
    assert not any(row.hits for row in rows if "0 to 0.1 nats" in row.what)
    assert {row.kind for row in rows} == {"none"}


@pytest.mark.parametrize("sign", [1, -1])
def test_what_moves_the_answers_far_in_every_family_has_power(judge, sign):
    impact = judge.causes.set_impact.copy()
    strong = judge.causes.set_strong > 0
    impact[strong] = sign * np.linspace(20, 22, EXTENT.families)
    far = Judge(replace(judge.causes, set_impact=impact), judge.splits)
    rows = list(powers(far, 6))
    # Beside matched controls a set may have none that are like it.
    assert [row.replicates for row in rows] == [6, 6]
    assert min(row.hits for row in rows) >= 5
    assert max(row.hits for row in rows) == 6
    assert all("by 3 nats or more, " in row.what for row in rows)


def test_a_set_is_judged_on_the_confirming_families_by_what_was_measured(judge):
    causes = judge.causes
    number = int(judge.random_sets(1)[0])
    split = judge.split(number)
    measured, added = judge.beside_measured(number)
    families = [i for i, family in enumerate(causes.family) if family in set(split.units.families)]
    assert 0 < len(families) < EXTENT.families
    assert np.array_equal(measured.target, causes.set_impact[number][families].astype(float))
    layer = causes.set_layer[number]
    alike = [i for i in range(len(causes.set_layer))
             if causes.set_layer[i] == layer and not causes.set_strong[i] and i != number]  # fmt: skip
    assert len(measured.controls) == len(alike) == 29
    every = sorted(causes.set_impact[i][families].astype(float).tolist() for i in alike)
    assert sorted(measured.controls.tolist()) == every
    own = (causes.layer == layer) & np.isin(causes.feature, causes.set_members[number])
    total = sum(row[families].astype(float) for row in causes.impact[own])
    assert np.allclose(added.target, total)
    assert measured.balance == {}


def test_controls_are_drawn_as_a_run_draws_them(judge):
    number = int(judge.random_sets(1)[0])
    split = judge.split(number)
    sets = split.matched(judge.features(number), seed=3)
    assert len(set(map(frozenset, sets))) == 100
    assert {layer for one in sets for layer, _ in one} == {int(judge.causes.set_layer[number])}
    found = judge.beside_matched(number)
    assert set(found.balance) == {"firing rate", "mean activation", "edit size"}
    assert found.profiles.shape == (100, 3)
    own = judge.beside_matched(number, own=True)
    assert np.array_equal(own.controls, found.controls)
    assert not np.array_equal(own.target, found.target)
    assert np.array_equal(own.target, judge.measured([number])[0])


def test_families_are_split_as_the_spec_splits_them(judge):
    """In a trial one by one; the whole of the families as `voices` does."""
    first, second = judge.splits
    assert set(first.units.families) != set(second.units.families)
    assert first.units.n == second.units.n == EXTENT.families / 2
    seed = load("voices").spec.split.seed
    for number, one in enumerate(judge.splits):
        named = [(sha256(f"{seed + number}/{family}".encode()).digest(), family)
                 for family in judge.causes.family.tolist()]  # fmt: skip
        assert set(one.units.families) == {
            family for _, family in sorted(named)[EXTENT.families // 2 :]
        }
    assert first.ablation.name == "top"


def test_what_moves_all_families_alike_is_supported_of_its_own_direction_alone(judge):
    number = int(judge.random_sets(1)[0])
    found = judge.beside_measured(number)[0]
    moved = replace(found, target=np.linspace(20, 22, len(found.target)))
    assert judge_ablation(moved, CLAIMS[1], 0.05).verdict == "supported"
    assert judge_ablation(moved, CLAIMS[-1], 0.05).verdict == "refuted"


@pytest.mark.parametrize("what", ["prompts", "weights"])
def test_causes_of_something_else_are_refused(causes, what):
    other = replace(causes, **{f"{what}_sha256": "0" * 64})
    with pytest.raises(OtherCauses, match=f"of other {what}: write it again"):
        list(splits(other, 1))


def test_the_command_prints_each_row(causes, judge, tmp_path, monkeypatch, figures, capsys):
    path = tmp_path / "causes.npz"
    causes.write(path)
    monkeypatch.setattr(module, "splits", lambda *_: judge.splits)
    monkeypatch.setattr(sys, "argv", ["causes", "--quick", "--file", str(path)])
    assert module.main() == 0
    shown = figures()
    rows = list(rows_of(Causes.read(path), 60))
    assert [(row.what, row.share) for row in rows] == [
        (name, shown[name]["value"]) for name in list(shown)[: len(rows)]
    ]
    assert len(shown) == len(rows) + 2
    monkeypatch.setattr(sys, "argv", ["causes", "--file", str(tmp_path / "none.npz")])
    with pytest.raises(SystemExit, match="2"):
        module.main()
    assert "--causes` writes it" in capsys.readouterr().err


def test_calibration_has_the_rows_where_the_file_is(causes, judge, tmp_path, monkeypatch):
    path = tmp_path / "causes.npz"
    monkeypatch.setattr(module, "COMMITTED", path)
    assert list(caused(240)) == []
    causes.write(path)
    monkeypatch.setattr(module, "splits", lambda *_: judge.splits)
    assert {row.group for row in caused(240)} == {"causes"}

"""Claims that are made of some of the prompts alone: the numbers are those of these prompts."""

import dataclasses

import numpy as np
import pytest

from harness.analysis.units import Units
from harness.analysis.verdicts import verdicts
from tests.analysis.test_clusters import CLAIMS, drawn

MADE = (
    "behaviour",
    "behaviour within",
    "own",
    "controls",
    "directions",
    "within",
    "share",
    "monotone",
)


def tagged(lines):
    """Lines with the half of their family that they ask for."""
    return [
        line | {"tags": {**line.get("tags", {}), "quantity": line["pair_id"].split("-")[1]}}
        for line in lines
    ]


def sliced(impacts, columns):
    """An ablation's impacts on some of its prompts, one array after another by plain loops."""

    def of(rows):
        return None if rows is None else np.array([[row[i] for i in columns] for row in rows])

    def each(doses):
        return {factor: np.array([row[i] for i in columns]) for factor, row in doses.items()}

    units = Units(
        np.array([impacts.units.of[i] for i in columns]),
        np.array([impacts.units.families[i] for i in columns]),
        impacts.units.tag,
    )
    (target,) = of([impacts.target])
    return dataclasses.replace(
        impacts, target=target, controls=of(impacts.controls), units=units, mass=of(impacts.mass),
        doses=each(impacts.doses), dose_mass=each(impacts.dose_mass), rotated=of(impacts.rotated),
        baselines=impacts.baselines and each(impacts.baselines),
    )  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_a_claim_of_a_part_is_that_of_a_run_of_no_other_prompts(name):
    claim = CLAIMS[name]
    changed = 0
    for seed in range(2):
        found, analysis = drawn({**claim, "where": {"quantity": "velocity"}}, tagged, seed=seed)
        whole, _ = drawn(claim, tagged, seed=seed)
        edited = sorted(p.id for p in analysis.plan.prompts if p.label == "misconception")
        columns = [i for i, one in enumerate(edited) if "velocity" in one]
        assert 0 < len(columns) < len(edited)
        plain = analysis.plan.spec.claims[0].model_copy(update={"where": {}})
        spec = analysis.plan.spec.model_copy(update={"claims": (plain,)})
        part = dataclasses.replace(
            analysis,
            plan=dataclasses.replace(analysis.plan, spec=spec),
            pairs=tuple(pair for pair in analysis.pairs if "velocity" in pair.correct.pair_id),
            ablations={"top": sliced(analysis.ablations["top"], columns)},
        )
        (theirs,) = verdicts(part, None, "r")
        assert dataclasses.replace(found, query="") == dataclasses.replace(theirs, query="")
        changed += found.estimate != whole.estimate
    assert changed


def test_impacts_keep_what_is_not_of_a_prompt():
    _, analysis = drawn(CLAIMS["controls"], tagged)
    impacts = dataclasses.replace(
        analysis.ablations["top"], mass=analysis.ablations["top"].controls[:3], profiles=np.eye(21),
        dose_mass={0.0: analysis.ablations["top"].target}, baselines={"probe": analysis.ablations["top"].target},
    )  # fmt: skip
    mask = np.arange(len(impacts.target)) % 3 == 0
    part, theirs = impacts.only(mask), sliced(impacts, np.flatnonzero(mask))
    for field in dataclasses.fields(part):
        one, other = getattr(part, field.name), getattr(theirs, field.name)
        if field.name == "units":
            assert (one.of == other.of).all()
            assert (one.families == other.families).all()
        elif isinstance(one, dict) and one:
            assert all(np.array_equal(one[key], other[key]) for key in other)
        else:
            assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one is other

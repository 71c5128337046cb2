"""What swapping does: the members of every pair, and the candidates."""

import dataclasses

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.pairs import behaviours, pair_activations
from harness.analysis.run_analysis import analyse
from harness.analysis.verdicts import verdicts
from harness.specs.claims import BehaviourClaim
from harness.specs.prompt import LABELS
from harness.store.arrow import arrow_tables
from harness.store.tables.observations import Activations, Answers
from tests.helpers.drawn import (
    a_prompt,
    few_examples,
    planned,
    seeds,
)


class Rows:
    """Observed rows as analysis reads them."""

    def __init__(self, *tables):
        self.tables = {type(table): table for table in tables}

    def read(self, kind, run_id, **equal):
        return self.tables[kind] if kind in self.tables else kind.of([])

    def arrays(self, sql, parameters, wanted):
        rows = arrow_tables(self.tables.values())
        with duckdb.connect() as connection:
            connection.register("activations", rows["activations"])
            connection.register("wanted", pa.table(wanted))
            return connection.sql(sql, params=parameters).fetchnumpy()


def observed(prompts, seed):
    """Sparse activations of five features, some of them tied, and log-probabilities."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 9, (len(prompts), 5)) * (rng.random((len(prompts), 5)) < 0.6)
    at, feature = values.nonzero()
    ids = np.array([prompt.id for prompt in prompts])
    activations = dict.fromkeys(Activations.names(), ["-"] * len(at)) | {
        "prompt_id": ids[at], "layer": np.ones(len(at)), "feature": feature,
        "value": values[at, feature] / 2,
    }  # fmt: skip
    said = [(prompt, label) for prompt in ids for label in LABELS for _ in range(2)]
    answers = dict.fromkeys(Answers.names(), ["-"] * len(said)) | {
        "prompt_id": [prompt for prompt, _ in said],
        "candidate": [label for _, label in said],
        "logprob": -rng.exponential(size=len(said)),
        "member": [0] * len(said),
    }
    return Activations(**activations), Answers(**answers)


OTHER = dict(zip(LABELS, LABELS[::-1], strict=True))


def claiming(direction):
    return (
        BehaviourClaim(
            name="b", behaviour="logit_difference", contrast=True, direction=direction, than=0.0
        ),
    )


@few_examples
@given(seeds, st.sampled_from(["greater", "less"]))
def test_swapping_the_members_of_every_pair_flips_every_sign(seed, direction):
    prompts = [a_prompt(f, q, label) for f in range(14) for q in "ab" for label in LABELS]
    swapped = [dataclasses.replace(prompt, label=OTHER[prompt.label]) for prompt in prompts]
    tables = observed(prompts, seed)
    plan = planned(prompts, claims=claiming(direction))
    turned = planned(swapped, claims=claiming({"greater": "less", "less": "greater"}[direction]))
    for side in ("discovery", "confirmation"):
        a, b = (pair_activations(one, side, tables[0]) for one in (plan, turned))
        assert (a.correct != b.misconception).nnz == 0
        assert (a.misconception != b.correct).nnz == 0
        assert a.correct.nnz
    was, now = (analyse(Rows(*tables), one, "r", "mock") for one in (plan, turned))

    def same(name, other, of=lambda values: values):
        for before, after in zip(was.rows, now.rows, strict=True):
            a = np.array(getattr(before, name), dtype=float)
            b = of(np.array(getattr(after, other), dtype=float))
            np.testing.assert_allclose(a, b, atol=1e-9, err_msg=name)

    for name in ("mean_difference", "u", "statistic", "d_z", "g_av", "rank_biserial"):
        same(name, name, np.negative)
    for low, high in (("ci_low", "ci_high"), ("d_z_low", "d_z_high")):
        same(low, high, np.negative)
    same("common_language", "common_language", lambda values: 1 - values)
    same("rate_correct", "rate_misconception")
    for name in ("p_marginal", "p_adjusted", "p_fdr", "n_pairs", "n_units"):
        same(name, name)
    (claim,), (turned_claim,) = (list(verdicts(one, None, "r")) for one in (was, now))
    assert claim.estimate == pytest.approx(-turned_claim.estimate)
    assert claim.ci_low == pytest.approx(-turned_claim.ci_high)
    assert (claim.p, claim.verdict) == (turned_claim.p, turned_claim.verdict)
    assert claim.estimate != 0


@given(seeds)
def test_swapping_the_candidates_flips_every_logit_difference(seed):
    _, answers = observed([a_prompt(0, "a", label) for label in LABELS], seed)
    turned = dataclasses.replace(answers, candidate=[OTHER[c] for c in answers.candidate])
    was, now = behaviours(answers), behaviours(turned)
    for prompt, metrics in was.items():
        assert metrics["logit_difference"] == -now[prompt]["logit_difference"] != 0
        assert metrics["log_p_correct"] == now[prompt]["log_p_misconception"]

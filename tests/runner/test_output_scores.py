"""Whether a feature's tokens come out when it is amplified: against a plain hooked forward."""

import math
from dataclasses import replace

import duckdb
import pytest
import torch

from harness.runner.feature_logits import feature_logits
from harness.runner.output_scores import FACTOR, OPENINGS, output_scores, score
from harness.runner.traced_features import prepare_trace
from harness.sae import Sae
from harness.store.tables.observations import FeatureLogits
from tests.helpers.runs import a_run_context, run_into, sae
from tests.helpers.specs import ablation_plan

FEATURES = {(1, 3), (2, 7), (2, 40), (1, 11)}


def scores_of(context, features=FEATURES):
    traced = prepare_trace(context, features)
    logits = feature_logits(context, traced)
    return list(output_scores(context, traced, logits).rows()), logits


def slow_scores(context, layer, feature, ids):
    """By transformers' own forward of one text at a time, with a hook on the block; sorted for the rank."""
    found, of = {"score": [], "base": [], "added": []}, sae(layer)
    for text in OPENINGS:
        prompt = context.model.tokens(text).prompt
        last = {}

        def amplify(module, args, output, last=last, edited=False):
            stream = output[0] if isinstance(output, tuple) else output
            x = stream[0, -1].double()
            values = []
            for column in range(of.features):
                before = float(x @ of.w_enc[:, column].double()) + float(of.b_enc[column])
                values.append(before if before > float(of.threshold[column]) else 0.0)
            last["added"] = FACTOR * max(values)
            if last.get("edited"):
                stream[0, -1] += last["added"] * of.w_dec[feature]

        hook = context.model.blocks[layer].register_forward_hook(amplify)
        try:
            for name in ("base", "score"):
                last["edited"] = name == "score"
                logits = context.model.network(torch.tensor([prompt])).logits[0, -1].double()
                p = [math.exp(x) for x in (logits - logits.logsumexp(0)).tolist()]
                order = sorted(range(len(p)), key=lambda i: -p[i])
                found[name].append(
                    (1 - min(order.index(i) for i in ids) / len(p)) * max(p[i] for i in ids)
                )
        finally:
            hook.remove()
        found["added"].append(last["added"])
    return {name: sum(values) / len(values) for name, values in found.items()}


def test_the_score_is_that_of_a_plain_forward():
    context = a_run_context()
    rows, logits = scores_of(context)
    assert {(row["layer"], row["feature"]) for row in rows} == FEATURES
    for row in rows:
        ids = [
            one["token_id"]
            for one in logits.rows()
            if (one["layer"], one["feature"], one["side"]) == (row["layer"], row["feature"], "up")
        ]
        known = slow_scores(context, row["layer"], row["feature"], ids)
        for name, value in known.items():
            assert row[name] == pytest.approx(value, rel=1e-3), name
        assert row["n_texts"] == len(OPENINGS)
        assert abs(row["score"] - row["base"]) > 1e-4
    assert context.model.taps_left == 0


def test_a_score_is_the_likeliest_tokens_probability_less_its_rank():
    p = torch.tensor([[0.5, 0.2, 0.2, 0.1], [0.1, 0.6, 0.2, 0.1]])
    found = score(p.log(), torch.tensor([[3, 1], [2, 0]]))
    assert found.tolist() == pytest.approx([0.75 * 0.2, 0.75 * 0.2])
    assert float(score(p.log(), torch.tensor([[0], [1]]))[1]) == pytest.approx(0.6)


def test_how_many_fit_changes_nothing():
    few, _ = scores_of(a_run_context(batch_size=1))
    many, _ = scores_of(a_run_context(batch_size=64))
    for one, other in zip(few, many, strict=True):
        assert one["score"] == pytest.approx(other["score"], rel=1e-4)


def test_where_nothing_is_active_there_is_no_score():
    def silent(layer) -> Sae:
        return replace(sae(layer), threshold=torch.full_like(sae(layer).threshold, 1e9))

    context = replace(a_run_context(), saes=silent)
    rows, logits = scores_of(context)
    assert len(logits)
    assert rows == []
    assert list(output_scores(context, {}, FeatureLogits.of([])).rows()) == []


def test_a_run_has_one_of_each_feature_whose_tokens_it_has(tmp_path):
    path = tmp_path / "r.duckdb"
    first = run_into(path, ablation_plan(), a_run_context())["output_scores"]
    with duckdb.connect(str(path)) as connection:
        distinct = "SELECT count(*) FROM (SELECT DISTINCT layer, feature FROM feature_logits)"
        assert connection.execute(distinct).fetchall() == [(len(first),)]
        connection.execute("DELETE FROM feature_logits")
        connection.execute("DELETE FROM output_scores")
    assert run_into(path, ablation_plan(), a_run_context())["output_scores"] == first

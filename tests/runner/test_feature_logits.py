"""The tokens that features write to the logits: as the weights say, once a run."""

import duckdb
import torch

from harness.runner.feature_logits import TOP, feature_logits
from harness.runner.traced_features import prepare_trace
from harness.store.database import Store
from harness.store.tables.interventions import Interventions
from harness.store.tables.observations import FeatureLogits, TokenActivations
from tests.helpers.runs import a_run_context, run_into, sae
from tests.helpers.specs import ablation_plan


def rows_of(table):
    found = {}
    for row in table.rows():
        found.setdefault((row["layer"], row["feature"], row["side"]), []).append(row)
    return {key: sorted(rows, key=lambda row: row["rank"]) for key, rows in found.items()}


def test_each_end_has_its_tokens_in_order():
    context = a_run_context()
    found = rows_of(feature_logits(context, prepare_trace(context, {(2, 7), (1, 3)})))
    assert list(found) == [(1, 3, "up"), (1, 3, "down"), (2, 7, "up"), (2, 7, "down")]
    for (layer, feature, side), rows in found.items():
        logits = context.model.direct_logits(sae(layer).w_dec[[feature]])[0]
        best = logits.topk(TOP, largest=side == "up").values
        assert [row["rank"] for row in rows] == list(range(TOP))
        torch.testing.assert_close(torch.tensor([row["logit"] for row in rows]), best)
        of_ids = logits[[row["token_id"] for row in rows]]
        torch.testing.assert_close(torch.tensor([row["logit"] for row in rows]), of_ids)
        assert all(row["token"] == context.model.token_of(row["token_id"]) for row in rows)
        assert {row["origin"] for row in rows} == {"mock"}


def test_many_features_are_taken_some_at_a_time(monkeypatch):
    context = a_run_context()
    features = prepare_trace(context, {(n // 3 + 1, n) for n in range(5)})
    whole = list(feature_logits(context, features).rows())
    monkeypatch.setattr("harness.runner.feature_logits.AT_ONCE", 2)
    parts = list(feature_logits(context, features).rows())
    assert [row["token_id"] for row in parts] == [row["token_id"] for row in whole]


def test_equal_logits_are_in_the_order_of_their_tokens(monkeypatch):
    context = a_run_context()
    monkeypatch.setattr(
        type(context.model), "direct_logits", lambda self, d: torch.zeros(len(d), 50)
    )
    (up, down) = rows_of(feature_logits(context, prepare_trace(context, {(1, 0)}))).values()
    assert [row["token_id"] for row in up] == [row["token_id"] for row in down] == list(range(TOP))


def test_a_run_has_them_once_of_the_features_that_it_traces(tmp_path):
    """Also one that was killed before they were written; without an unembedding there are none."""
    plan, path = ablation_plan(), tmp_path / "r.duckdb"
    tables = run_into(path, plan, a_run_context())
    with Store.open(path) as store:
        first = rows_of(store.read(FeatureLogits, "r"))
        traced = store.read(TokenActivations, "r")
        edited = store.read(Interventions, "r", role="target")
    features = {key[:2] for key in first}
    assert set(zip(traced.layer.tolist(), traced.feature.tolist(), strict=True)) <= features
    assert set(zip(edited.layer.tolist(), edited.feature.tolist(), strict=True)) <= features
    assert all(len(rows) == TOP for rows in first.values())
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM feature_logits")
    for _ in range(2):
        again = run_into(path, plan, a_run_context())
        assert again["feature_logits"] == tables["feature_logits"]


def test_a_model_whose_unembedding_cannot_be_read_has_none(monkeypatch):
    context = a_run_context()
    monkeypatch.setattr(type(context.model), "direct_logits", lambda self, directions: None)
    assert len(feature_logits(context, prepare_trace(context, {(1, 0)}))) == 0
    assert len(feature_logits(context, {})) == 0

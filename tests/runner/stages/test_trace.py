"""Features token by token: the tokens they were read on, and the values that the readout has too."""

import json
from collections import defaultdict

import numpy as np
import pytest
import torch

from harness.analysis.pairs import pair_activations
from harness.analysis.run_analysis import analyse
from harness.analysis.selection import strongest_features
from harness.errors import CannotRun
from harness.runner.in_process import crew_of
from harness.runner.pipeline import STRONGEST, execute
from harness.runner.stages.trace import trace
from harness.sae.encoding import encode
from harness.specs.spec_file import load
from harness.specs.workload import workload
from harness.store.database import Store
from harness.store.prompts import prompt_tables
from harness.store.tables.interventions import Interventions
from harness.store.tables.observations import Activations, PromptTokens, TokenActivations
from harness.store.tables.results import FeatureTests
from harness.store.tables.runs import Units
from tests.helpers.cli import invoke
from tests.helpers.runs import a_run_context, quiet, sae
from tests.helpers.specs import ablation_plan, family_lines


@pytest.fixture(scope="module", params=["last_prompt_token", "answer"])
def run(request, tmp_path_factory):
    """A finished run of either readout: its plan, and its store."""
    # What is read at an answer cannot change it: what is edited is then found in another way.
    more = (
        {} if request.param == "last_prompt_token" else {"by": "attribution", "positions": "prompt"}
    )
    plan = ablation_plan(at=request.param, **more)
    with Store.open(tmp_path_factory.mktemp("trace") / "r.duckdb") as store:
        store.commit(*prompt_tables(plan.prompts, plan.sides, "r"))
        execute(crew_of(a_run_context(), plan), plan, store, quiet)
        yield plan, store


def confirming(plan):
    return {prompt.id: prompt for prompt in plan.of("confirmation")}


def values_of(store):
    """Each traced value, by prompt, layer, feature and position."""
    rows = store.read(TokenActivations, "r").rows()
    return {(r["prompt_id"], r["layer"], r["feature"], r["position"]): r["value"] for r in rows}


def streams_of(model, batch, layers):
    """The residual stream of the first row after some blocks."""
    found = {}
    model.forward(batch, {n: lambda x, n=n: found.__setitem__(n, x[0]) for n in layers})
    return found


def tokens_of(store):
    found = defaultdict(list)
    for row in store.read(PromptTokens, "r").rows():
        found[row["prompt_id"]].append(row)
    return {prompt: sorted(rows, key=lambda row: row["position"]) for prompt, rows in found.items()}


def traced(store, plan):
    """What is to be traced, by the tables of the run alone."""
    tests = analyse(store, plan, "r", "mock").rows
    (rows,) = (t for t in tests if isinstance(t, FeatureTests) and set(t.split) == {"confirmation"})
    order = sorted(
        zip(np.abs(rows.statistic), rows.layer, rows.feature, strict=True),
        key=lambda row: (-row[0], row[1], row[2]),
    )
    top = {(int(layer), int(feature)) for _, layer, feature in order[:STRONGEST]}
    edited = store.read(Interventions, "r", role="target")
    return top | set(zip(edited.layer.tolist(), edited.feature.tolist(), strict=True))


def test_every_token_of_the_confirming_prompts_and_their_own_answers_is_there(run):
    plan, store = run
    model = a_run_context().model
    found = tokens_of(store)
    assert set(found) == set(confirming(plan))
    for prompt in confirming(plan).values():
        tokens = model.tokens(prompt.text, prompt.answer)
        rows = found[prompt.id]
        assert [row["token_id"] for row in rows] == [*tokens.prompt, *tokens.answers[0]]
        assert [row["position"] for row in rows] == list(range(len(rows)))
        assert rows[0]["token_id"] == model.bos
        parts = ["prompt"] * len(tokens.prompt) + ["answer"] * len(tokens.answers[0])
        assert [row["part"] for row in rows] == parts
        assert all(row["token"] == model.token_of(row["token_id"]) for row in rows)
        assert {row["origin"] for row in rows} == {"mock"}


def test_each_value_is_the_feature_s_at_that_token_and_at_no_other(run):
    """Against one forward a prompt, with the whole SAE and the prompt's own answer alone."""
    plan, store = run
    model, found, features = a_run_context().model, values_of(store), traced(store, plan)
    expected = {}
    for prompt in confirming(plan).values():
        batch = model.batch([model.tokens(prompt.text, prompt.answer)])
        streams = streams_of(model, batch, plan.layers)
        for layer, feature in features:
            values = encode(sae(layer), streams[layer])[:, feature].tolist()
            expected |= {
                (prompt.id, layer, feature, at): value
                for at, value in enumerate(values)
                if at and value
            }
    for key in set(expected) ^ set(found):  # within 1e-3 of its threshold it may fire in one alone
        _, layer, feature, _ = key
        assert (expected | found)[key] - float(sae(layer).threshold[feature]) < 1e-3
    assert len(found) > 200
    for key in set(expected) & set(found):
        assert found[key] == pytest.approx(expected[key], abs=1e-4)


def test_values_agree_with_those_at_the_readout(run):
    plan, store = run
    tokens, found = tokens_of(store), values_of(store)
    part = "prompt" if plan.spec.readout.at == "last_prompt_token" else "answer"
    read = {
        prompt: [row["position"] for row in rows if row["part"] == part]
        for prompt, rows in tokens.items()
    }
    if part == "prompt":
        read = {prompt: positions[-1:] for prompt, positions in read.items()}
    stored = {
        (row["prompt_id"], row["layer"], row["feature"]): row["value"]
        for row in store.read(Activations, "r").rows()
        if row["prompt_id"] in tokens
    }
    features = traced(store, plan)
    compared = 0
    for prompt, positions in read.items():
        for layer, feature in features:
            mean = np.mean([found.get((prompt, layer, feature, at), 0.0) for at in positions])
            expected = stored.get((prompt, layer, feature), 0.0)
            assert mean == pytest.approx(expected, rel=1e-5, abs=1e-5)
            compared += expected > 0
    assert compared > 50


def test_what_is_traced_is_what_is_edited_and_the_strongest_of_the_tests(run):
    plan, store = run
    wanted = traced(store, plan)
    rows = store.read(TokenActivations, "r")
    assert set(zip(rows.layer.tolist(), rows.feature.tolist(), strict=True)) <= wanted
    data = pair_activations(plan, "confirmation", store.read(Activations, "r"))
    edited = store.read(Interventions, "r", role="target")
    known = set(zip(edited.layer.tolist(), edited.feature.tolist(), strict=True))
    assert set(strongest_features(plan, data, STRONGEST)) | known == wanted
    # All that fires at the readout of a confirming prompt is seen to fire.
    fires = set(strongest_features(plan, data, STRONGEST))
    assert fires <= set(zip(rows.layer.tolist(), rows.feature.tolist(), strict=True))


def test_the_strongest_are_ranked_as_they_are_tested(run):
    plan, store = run
    data = pair_activations(plan, "confirmation", store.read(Activations, "r"))
    tests = analyse(store, plan, "r", "mock").rows
    (rows,) = (t for t in tests if isinstance(t, FeatureTests) and set(t.split) == {"confirmation"})
    statistic = dict(zip(data.features, rows.statistic, strict=True))
    order = [
        abs(statistic[feature]) for feature in strongest_features(plan, data, len(data.features))
    ]
    assert order == sorted(order, reverse=True)
    assert len(order) == len(statistic) > STRONGEST
    few = strongest_features(plan, data, 5)
    assert few == strongest_features(plan, data, len(data.features))[:5]


def test_it_is_the_last_stage_and_in_the_ledger(run):
    plan, store = run
    units = list(store.read(Units, "r", stage="trace").rows())
    assert {unit["unit_id"] for unit in units} == {unit.id for unit in plan.units("trace")}
    assert {unit["family"] for unit in units} == set(plan.families("confirmation"))
    last = max(store.read(Units, "r").rows(), key=lambda unit: unit["finished_at"])
    assert last["stage"] == "trace"


def test_a_text_with_two_answers_has_each_at_its_own_prompt():
    """Both variants share a row: what fires at the one's answer is not the other's."""
    same = family_lines()
    for line in same:
        line["prompt"] = line["prompt"].replace("Someone mixes them up", "A careful reader says so")
    plan, run_context = (
        ablation_plan(same, at="answer", by="attribution", positions="prompt"),
        a_run_context(),
    )
    features = [(1, f) for f in range(sae(1).features)]
    _, *tables = trace(run_context, features, plan.prompts)
    alone = {}
    for prompt in plan.prompts:
        _, *own = trace(run_context, features, [prompt])
        alone[prompt.id] = {
            (row["feature"], row["position"]): row["value"] for t in own for row in t.rows()
        }
    together = defaultdict(dict)
    for table in tables:
        for row in table.rows():
            together[row["prompt_id"]][row["feature"], row["position"]] = row["value"]
    differ = 0
    for pair in {prompt.pair_id for prompt in plan.prompts}:
        one, other = (p for p in plan.prompts if p.pair_id == pair)
        differ += together[one.id] != together[other.id]
    assert differ
    for prompt, values in alone.items():
        for key in set(values) | set(together[prompt]):
            assert together[prompt].get(key, 0) == pytest.approx(values.get(key, 0), abs=1e-3)


def test_nothing_is_forwarded_where_no_feature_is_traced():
    plan, run_context = ablation_plan(), a_run_context()
    found = trace(run_context, (), plan.prompts[:2])
    assert [type(table) for table in found] == [PromptTokens]


def test_one_family_has_no_strongest_feature():
    plan = ablation_plan(family_lines(2))
    data = pair_activations(plan, "confirmation", Activations.of([]))
    assert strongest_features(plan, data, 5) == ()


def test_it_is_planned_where_layers_are_read():
    units = {}
    for spec, target in (("voices", "organism"), ("pilot", "gemma-3-270m")):
        found = invoke("plan", spec, "--target", target, "--json")
        units[spec] = json.loads(found.stdout)["units"]
        work = {one.stage: one.tokens for one in workload(load(spec).plan(target))}
        assert ("trace" in work) == ("trace" in units[spec])
        assert 0 <= work.get("trace", 0) < work["observe"]
    assert units["voices"]["trace"] == 48
    assert "trace" not in units["pilot"]


def test_a_stream_that_is_not_finite_is_said(monkeypatch):
    plan, run_context = ablation_plan(), a_run_context()
    with torch.no_grad():
        run_context.model.blocks[1].mlp.down_proj.weight.fill_(torch.nan)
    with pytest.raises(CannotRun, match="layer 1: the residual stream after it holds NaN"):
        trace(run_context, [(1, 0)], plan.prompts[:2])

"""A run on a small random model: against brute force, twice, in any order, and interrupted."""

import dataclasses
import gc
import weakref
from functools import cache

import numpy as np
import pytest
import torch

from harness.analysis.pairs import pair_activations
from harness.errors import CannotRun
from harness.interventions.edits import Edit, apply
from harness.models.adaptive_batching import BatchLimit
from harness.models.padded_batch import positions_of
from harness.runner.context import RunContext
from harness.runner.pipeline import execute
from harness.runner.resources import sae_provider
from harness.runner.stages.ablate import intervene as intervene_on
from harness.runner.stages.ablate import prepare_edits
from harness.runner.stages.attribute import attribute
from harness.runner.stages.generate import generate
from harness.runner.stages.observe import observe
from harness.runner.stages.survey import survey
from harness.sae.jumprelu import encode
from harness.specs.plan import make_plan
from harness.specs.prompt_pairs import complete
from harness.specs.spec import Spec
from harness.specs.targets import load_targets
from harness.store.database import Store
from harness.store.prompts import prompt_rows
from harness.store.tables import TABLES
from harness.store.tables.interventions import Impacts, Interventions
from harness.store.tables.observations import Activations, Answers, Attributions
from harness.testing.models import random_model, random_sae

QUIET = lambda stage, done, total: None  # noqa: E731


@cache
def sae(layer):
    return random_sae(layer)


def lines(families=6):
    return [
        {
            "id": f"{family}-{question}{suffix}",
            "pair_id": f"{family}-{question}",
            "family": f"f{family}",
            "label": label,
            "prompt": f"{context}. Thing {family} moves; its {question} is",
            "answer": answers[0] if label == "correct" else answers[1],
            "expected_correct_answer": answers[0],
        }
        for family in range(families)
        for question, answers in (
            ("velocity", ("zero", "not zero")),
            ("rate", ("not zero", "zero")),
        )
        for suffix, label, context in (
            ("a", "correct", "A careful reader says so"),
            ("b", "misconception", "Someone mixes them up"),
        )
    ]


def a_plan(
    objects=None,
    at="last_prompt_token",
    by="contrast",
    positions="all",
    select=None,
    layers=(1, 2),
    **ablation,
):
    spec = Spec.model_validate(
        {
            "name": "demo",
            "question": "?",
            "targets": {"organism": {"layers": layers}},
            "prompts": "-",
            "readout": {"at": at},
            "new_tokens": 3,
            "ablations": (
                {
                    "name": "top",
                    "select": select or {"top": 3, "by": by},
                    "controls": 4,
                    "positions": positions,
                }
                | ablation,
            ),
            "claims": ({"name": "c", "features": "significant", "at_least": 1},),
        }
    )  # fmt: skip
    prompts, faults = complete("-", list(enumerate(objects or lines(), 1)), balanced=True)
    assert not faults
    return make_plan(spec, load_targets()["organism"], prompts)


def intervene(bench, edits, prompts, donors=None):
    """Impacts alone, by (intervention, prompt, metric)."""
    impacts, _ = intervene_on(
        bench, edits, lambda: prepare_edits(bench, edits), donors or {}, prompts
    )
    return impacts


def a_bench(batch_size=5, side="left", seed=0):
    return RunContext("r", "mock", random_model(seed, side), sae, BatchLimit(batch_size))


def run_into(path, plan, bench, store_type=Store):
    with store_type.open(path) as store:
        if not len(store.read(TABLES[2], "r")):
            store.commit(*prompt_rows(plan.prompts, plan.sides, "r"))
        execute(bench, plan, store, QUIET)
        return tables(store)


def tables(store):
    """Every table's rows without the times."""
    found = {}
    for kind in TABLES:
        names = [n for n in kind.names() if n not in ("finished_at", "seconds")]
        found[kind.table] = store.query(
            f"SELECT {', '.join(names)} FROM {kind.table} ORDER BY ALL"
        )[1]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_into(tmp_path_factory.mktemp("run") / "a.duckdb", a_plan(), a_bench())


def test_two_runs_give_identical_tables(whole, tmp_path):
    assert run_into(tmp_path / "b.duckdb", a_plan(), a_bench()) == whole
    assert all(
        whole[kind]
        for kind in ("answers", "activations", "generations", "topk_logits", "impacts",
                     "interventions", "sae_health", "feature_activity", "units", "prompts")
    )  # fmt: skip


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 6])
def test_an_interrupted_run_ends_with_the_same_tables(whole, tmp_path, stop):
    class Stopping(Store):
        commits = 0

        def commit(self, *columns):
            if Stopping.commits == stop:
                raise KeyboardInterrupt
            Stopping.commits += 1
            super().commit(*columns)

    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path / "b.duckdb", a_plan(), a_bench(), Stopping)
    assert run_into(tmp_path / "b.duckdb", a_plan(), a_bench()) == whole


@pytest.mark.parametrize("change", ["batch", "padding", "order"])
def test_batch_padding_and_order_change_nothing_that_matters(whole, tmp_path, change):
    plan, bench = a_plan(), a_bench()
    if change == "batch":
        bench = a_bench(batch_size=2)
    elif change == "padding":
        bench = a_bench(side="right")
    else:
        shuffled = np.random.default_rng(0).permutation(len(lines()))
        plan = a_plan([lines()[i] for i in shuffled])
    other = run_into(tmp_path / "b.duckdb", plan, bench)
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


def test_attribution_is_the_slope_of_the_metric():
    """Against a finite difference: each feature shrunk by a little, at every edited position."""
    plan, bench = a_plan(by="attribution", positions="prompt"), a_bench()
    prompts = [prompt for prompt in plan.prompts if prompt.family == "f1"]
    columns = attribute(bench, plan, plan.spec.ablations[0], prompts)
    predicted = {
        (int(layer), int(feature)): value
        for table in columns
        for layer, feature, value in zip(table.layer, table.feature, table.predicted, strict=True)
    }
    strongest = sorted(predicted, key=lambda key: -abs(predicted[key]))[:4]
    step = 1e-2
    for layer, feature in strongest:
        part = sae(layer).only(torch.tensor([feature]))
        total = 0.0
        for prompt in prompts:
            batch = bench.model.batch(
                [bench.model.tokens(prompt.text, prompt.correct, prompt.misconception)]
            )
            positions = positions_of(batch, "prompt")

            def shrink(x, scale, at=positions, part=part):
                return apply(Edit(part, scale - 1.0), x, at)

            (up,), (down,) = (
                bench.model.forward(batch, {layer: lambda x, s=s: shrink(x, s)})
                for s in (1 - step, 1 + step)
            )
            total += float((up[0].sum() - up[1].sum()) - (down[0].sum() - down[1].sum())) / (
                2 * step
            )
        assert predicted[layer, feature] == pytest.approx(total, rel=0.05, abs=1e-3)


def predicted_by(bench, plan, prompts):
    tables = attribute(bench, plan, plan.spec.ablations[0], prompts)
    return {
        (int(layer), int(feature)): value
        for table in tables
        for layer, feature, value in zip(table.layer, table.feature, table.predicted, strict=True)
    }


def test_integrated_gradients_add_up_to_the_effect_of_removing_everything():
    """Completeness (Sundararajan et al. 2017, proposition 1), layer by layer."""
    select = {"top": 3, "by": "attribution", "method": "integrated-gradients", "steps": 200}
    plan, bench = a_plan(select=select, positions="prompt"), a_bench()
    prompts = [prompt for prompt in plan.prompts if prompt.family == "f1"]
    predicted = predicted_by(bench, plan, prompts)
    for layer in (1, 2):
        total = 0.0
        for prompt in prompts:
            batch = bench.model.batch(
                [bench.model.tokens(prompt.text, prompt.correct, prompt.misconception)]
            )
            tap = {
                layer: lambda x, b=batch, n=layer: apply(
                    Edit(sae(n), -1.0), x, positions_of(b, "prompt")
                )
            }
            (was,), (now,) = bench.model.forward(batch), bench.model.forward(batch, tap)
            total += float((now[0].sum() - now[1].sum()) - (was[0].sum() - was[1].sum()))
        found = sum(value for (of, _), value in predicted.items() if of == layer)
        assert abs(total) > 0.1
        assert found == pytest.approx(total, rel=0.02, abs=0.02)


def test_one_step_of_integrated_gradients_is_the_slope_half_way():
    few = {"top": 3, "by": "attribution", "method": "integrated-gradients", "steps": 1}
    plan, bench = a_plan(select=few, positions="prompt"), a_bench()
    local = predicted_by(bench, a_plan(by="attribution", positions="prompt"), plan.prompts)
    along = predicted_by(bench, plan, plan.prompts)
    assert set(along) <= set(local)
    assert any(along[key] != pytest.approx(local[key], rel=0.05) for key in along)


def test_predictions_of_the_confirming_families_are_kept_apart_from_selection(tmp_path):
    select = {"top": 3, "by": "attribution"}
    found = run_into(tmp_path / "a.duckdb", a_plan(select=select, positions="prompt"), a_bench())
    plan = a_plan(select=select, positions="prompt")
    names = Attributions.names()
    family, layer, feature = (names.index(n) for n in ("family", "layer", "feature"))
    by_side = {"discovery": set(), "confirmation": set()}
    for row in found["attributions"]:
        by_side[plan.sides[row[family]]].add((row[layer], row[feature]))
    edited = {
        (row[Interventions.names().index("layer")], row[Interventions.names().index("feature")])
        for row in found["interventions"]
    }
    assert by_side["confirmation"] <= edited < by_side["discovery"]


def test_editing_one_token_answers_is_refused_as_zero_by_construction(tmp_path):
    one = [
        {key: value.replace("not zero", "east") for key, value in line.items()} for line in lines()
    ]
    with pytest.raises(CannotRun, match="every answer is one token"):
        run_into(tmp_path / "a.duckdb", a_plan(one, positions="answer"), a_bench())
    run_into(tmp_path / "b.duckdb", a_plan(positions="answer"), a_bench())


def test_never_more_than_two_saes_are_resident(tmp_path, monkeypatch):
    read, most = [], []

    def load(path, width, layer, checked):
        made = random_sae(layer, width)
        read.append(weakref.ref(made.w_enc))
        gc.collect()
        most.append(sum(weights() is not None for weights in read))
        return made

    monkeypatch.setattr("harness.runner.resources.load_sae", load)
    for select in ({"by": "attribution", "top": 3}, {"by": "contrast", "top": 3}):
        plan = a_plan(select=select, positions="prompt", layers=(0, 1, 2, 3))
        plan = dataclasses.replace(plan, target=dataclasses.replace(plan.target, width=32))
        saes = sae_provider(plan.target, {layer: layer for layer in range(4)}, "cpu")
        bench = dataclasses.replace(a_bench(), saes=saes)
        run_into(tmp_path / f"{select['by']}.duckdb", plan, bench)
    assert len(most) > 20
    assert max(most) == 2


def test_readouts_at_the_answer_read_the_own_answer_alone():
    same = [line | {"prompt": line["prompt"].split(". ")[1]} for line in lines()]
    plan, bench = a_plan(same, at="answer", by="attribution"), a_bench()
    columns = observe(bench, plan, plan.prompts)
    found = {
        (p, int(layer), int(f)): v
        for table in columns
        if isinstance(table, Activations)
        for p, layer, f, v in zip(table.prompt_id, table.layer, table.feature, table.value, strict=True)
    }  # fmt: skip
    for prompt in plan.prompts[:6]:
        batch = bench.model.batch([bench.model.tokens(prompt.text, prompt.answer)])
        seen = {}
        bench.model.forward(batch, {1: lambda x, seen=seen: seen.update(x=x)})
        values = encode(sae(1), seen["x"][positions_of(batch, "answer")]).mean(0)
        for feature in values.nonzero()[:, 0].tolist():
            assert found[prompt.id, 1, feature] == pytest.approx(float(values[feature]), abs=1e-4)


def test_selection_sees_the_discovery_families_alone(whole, tmp_path):
    """Scrambling the confirming families' prompts leaves the selected features as they are."""
    plan = a_plan()
    confirming = set(plan.families("confirmation"))
    changed = [
        line | {"prompt": line["prompt"].replace("Thing", "Some other thing entirely")}
        if line["family"] in confirming
        else line
        for line in lines()
    ]
    other = run_into(tmp_path / "b.duckdb", a_plan(changed), a_bench())

    def features(found):
        names = [n for n in Interventions.names() if n not in ("finished_at", "seconds")]
        role, layer, feature = (names.index(n) for n in ("role", "layer", "feature"))
        return [
            (row[layer], row[feature]) for row in found["interventions"] if row[role] == "target"
        ]

    assert features(other) == features(whole)
    assert other["impacts"] != whole["impacts"]


def test_the_top_logits_are_those_of_the_chosen_tokens():
    plan, bench = a_plan(), a_bench()
    said, top = generate(bench, plan, plan.prompts)
    tokens = dict(zip(said.prompt_id, said.token_ids, strict=True))
    assert len(top) == 50 * sum(map(len, tokens.values()))
    for prompt, step, rank, token in zip(
        top.prompt_id, top.step, top.rank, top.token_id, strict=True
    ):
        if rank == 0:
            assert tokens[prompt][step] == token


def test_the_survey_covers_prompt_positions_but_bos():
    plan, bench = a_plan(), a_bench()
    health, *activity = survey(bench, plan, plan.prompts)
    texts = {prompt.text for prompt in plan.prompts}
    positions = sum(len(bench.model.tokens(text).prompt) - 1 for text in texts)
    assert list(health.n_positions) == [positions, positions]
    assert all(0 < rate <= 1 for table in activity for rate in table.firing_rate)


def test_contrasted_pairs_are_aligned_and_keep_to_their_side(whole):
    plan = a_plan()
    columns = Activations.names()
    rows = Activations(**{
        name: [row[i] for row in whole["activations"]] for i, name in enumerate(columns)
    })  # fmt: skip
    data = pair_activations(plan, "discovery", rows)
    assert set(data.units) == set(plan.families("discovery"))
    values = {(r[1], r[2], r[4]): r[5] for r in whole["activations"]}
    pair = sorted(p.pair_id for p in plan.of("discovery"))[0]
    for column, (layer, feature) in enumerate(data.features):
        assert data.correct[0, column] == values.get((pair + "a", layer, feature), 0.0)
        assert data.misconception[0, column] == values.get((pair + "b", layer, feature), 0.0)
    assert Answers.table == "answers"
    assert Impacts.table == "impacts"

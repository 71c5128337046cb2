"""The baseline that is selected in a random dictionary: by hand, stopped and taken up, and in a claim."""

import shutil
from functools import cache

import numpy as np
import pytest
import torch

from fixtures.training.causes import FILE, Causes
from harness.paths import bundled
from harness.runner import checkpoint
from harness.runner.reanalysis import analyse_again
from harness.runner.rerun import rerun
from harness.runner.stages.random_features import _seed
from harness.sae.random_features import random_blocks
from harness.store.database import Store
from harness.store.tables.interventions import Interventions, RandomFeatures
from tests.helpers.cli import invoke
from tests.helpers.runs import a_run_context, made_once, quiet, run_into, run_on_organism, sae
from tests.helpers.specs import ablation_plan, write_few
from tests.helpers.store import query

KINDS = [{"kind": "zero"}, {"kind": "mean"}, {"kind": "steer", "value": 2.0}]


@cache
def plan_of_kind(number=0):
    return ablation_plan(baselines=("random-sae", "probe"), **KINDS[number])


def rows_of(stored):
    names = RandomFeatures.names()
    return [dict(zip(names, row, strict=True)) for row in stored["random_features"]]


def targets_of(stored):
    names = Interventions.names()
    found = [dict(zip(names, row, strict=True)) for row in stored["interventions"]]
    return [row for row in found if row["role"] == "target"]


@cache
def streams(label, side, at):
    """By layer what plain forwards hold of each prompt: a list of (n_tokens, width) in float64."""
    plan, model = plan_of_kind(), a_run_context().model
    found = {layer: [] for layer in plan.layers}
    for prompt in sorted(plan.of(side), key=lambda one: one.pair_id):
        if prompt.label != label:
            continue
        tokens = model.tokens(prompt.text, *prompt.answers)
        for number, answer in enumerate(tokens.answers):
            ids = torch.tensor([[*tokens.prompt, *answer]])
            states = model.network(ids, output_hidden_states=True).hidden_states
            # The prompt's tokens once, and those of each answer.
            first, last = len(tokens.prompt) if number else 1, None
            if at == "last":
                first, last = len(tokens.prompt) - 1, len(tokens.prompt)
            for layer, parts in found.items():
                if not number or at != "last":
                    parts.append(states[layer + 1][0, first:last].double())
    return found


def edited(layer, label="misconception"):
    """All that is edited of one layer, (n_positions, width)."""
    return torch.cat(streams(label, "discovery", "all")[layer])


def trained_values(layer, x):
    one = sae(layer)
    before = x @ one.w_enc.double() + one.b_enc.double()
    return before * (before > one.threshold.double())


@cache
def whole_dictionary(layer):
    plan = plan_of_kind()
    blocks = [b for _, b in random_blocks(sae(layer), _seed(plan, plan.ablations[0], layer))]
    return (torch.cat([b.w_enc for b in blocks], 1).double(),
            torch.cat([b.w_dec for b in blocks]).double())  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By kind of edit what a run has stored, and its file."""

    @cache
    def made(number):
        db = tmp_path_factory.mktemp("run") / "a.duckdb"
        return run_into(db, plan_of_kind(number), a_run_context()), db

    return made


@pytest.mark.parametrize("number", range(len(KINDS)), ids=[one["kind"] for one in KINDS])
def test_each_fires_as_often_as_the_trained_one_and_is_as_large_on_average(number, runs):
    stored, _ = runs(number)
    kind = KINDS[number]
    rows, targets = rows_of(stored), targets_of(stored)
    assert {row["layer"] for row in rows} == {row["layer"] for row in targets}
    for layer in {row["layer"] for row in rows}:
        mine = [row for row in rows if row["layer"] == layer]
        theirs = [row for row in targets if row["layer"] == layer]
        assert len(mine) == len(theirs)
        x, both = edited(layer), torch.cat([edited(layer, "correct"), edited(layer)])
        encoder, decoder = whole_dictionary(layer)
        assert torch.allclose(encoder.norm(dim=0), sae(layer).w_enc.double().norm(dim=0))
        assert torch.allclose(decoder.norm(dim=1), sae(layer).w_dec.double().norm(dim=1))
        own = torch.nn.functional.normalize(decoder, dim=1)
        assert torch.allclose(torch.nn.functional.normalize(encoder.T, dim=1), own, atol=1e-5)
        moved = torch.zeros_like(x)
        for row in mine:
            j, q = row["feature"], row["threshold"]
            # A token that all six prompts begin with has one value: all six fire, or none.
            rate = float((trained_values(layer, x)[:, j] > 0).double().mean())
            assert row["firing_rate"] == pytest.approx(rate, abs=3.5 / len(x))
            value = (x @ encoder[:, j] - q).clamp(min=0)
            assert row["firing_rate"] == pytest.approx(float((value > 0).double().mean()))
            if kind["kind"] == "mean":
                mean = float((both @ encoder[:, j] - q).clamp(min=0).mean())
                assert row["mean_value"] == pytest.approx(mean, rel=1e-4)
                coefficient = mean - value
            else:
                assert row["mean_value"] is None
                coefficient = -value if kind["kind"] == "zero" else torch.full_like(value, 2.0)
            moved += coefficient[:, None] * decoder[j] * row["factor"]
        size = torch.zeros_like(x)
        for row in theirs:
            j = row["feature"]
            value = trained_values(layer, x)[:, j]
            put = {"zero": -value, "mean": (row["value"] or 0) - value}
            size += (
                put.get(kind["kind"], torch.full_like(value, 2.0))[:, None] * sae(layer).w_dec[j]
            )
        assert float(moved.norm(dim=1).mean()) == pytest.approx(mine[0]["edit_size"], rel=1e-3)
        assert float(size.norm(dim=1).mean()) == pytest.approx(mine[0]["edit_size"], rel=1e-3)


def test_the_selection_is_that_of_slow_code_over_the_whole_dictionary(runs):
    stored, _ = runs(0)
    for layer in {row["layer"] for row in rows_of(stored)}:
        mine = sorted(
            (row for row in rows_of(stored) if row["layer"] == layer), key=lambda row: row["rank"]
        )
        encoder, decoder = whole_dictionary(layer)
        x = edited(layer)
        read = {
            label: torch.cat(streams(label, "discovery", "last")[layer])
            for label in ("misconception", "correct")
        }
        scores = {}
        active = (trained_values(layer, x) > 0).sum(0)
        for j in range(encoder.shape[1]):
            if not active[j]:
                continue
            values = (x @ encoder[:, j]).sort(descending=True).values
            spread = float(values[0] - values[-1])
            gaps = [i for i in range(1, len(values))
                    if float(values[i - 1] - values[i]) > 1e-5 * spread]  # fmt: skip
            k = min(gaps, key=lambda i: (abs(i - int(active[j])), i))
            q = float(values[k - 1] + values[k]) / 2
            a, b = ((read[label] @ encoder[:, j] - q).clamp(min=0) for label in read)
            difference = float((a - b).mean()) * float(decoder[j].norm())
            if difference > 0 and float((a - b).sum()) > 0:
                scores[j] = difference
        best = sorted(scores, key=lambda j: -scores[j])[: len(mine)]
        assert [row["feature"] for row in mine] == best
        assert [row["score"] for row in mine] == pytest.approx([scores[j] for j in best], rel=1e-3)


def test_its_impact_is_that_of_plain_hooks_in_float64(runs):
    stored, db = runs(0)
    plan, model = plan_of_kind(), a_run_context().model
    by_layer = {}
    for row in rows_of(stored):
        by_layer.setdefault(row["layer"], []).append(row)

    def hook(layer):
        encoder, decoder = whole_dictionary(layer)

        def change(module, inputs, output):
            held = output[0] if isinstance(output, tuple) else output
            x = held.double().clone()
            for row in by_layer[layer]:
                j = row["feature"]
                value = (held.double() @ encoder[:, j] - row["threshold"]).clamp(min=0)
                x[:, 1:] -= row["factor"] * value[:, 1:, None] * decoder[j]
            new = x.to(held.dtype)
            return (new, *output[1:]) if isinstance(output, tuple) else new

        return change

    def difference(prompt):
        found = []
        for answer in prompt.answers:
            tokens = model.tokens(prompt.text, answer)
            ids = torch.tensor([[*tokens.prompt, *tokens.answers[0]]])
            logits = model.network(ids).logits[0].double().log_softmax(-1)
            at = range(len(tokens.prompt) - 1, ids.shape[1] - 1)
            found.append(sum(float(logits[i, ids[0, i + 1]]) for i in at))
        return found[0] - found[1]

    impacts = dict(
        query(
            db,
            "SELECT prompt_id, impact FROM impacts JOIN (SELECT DISTINCT intervention_id FROM interventions "
            "WHERE baseline = 'random-sae') USING (intervention_id) WHERE metric = 'logit_difference'",
        )
    )
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    assert {*impacts} == {p.id for p in prompts}
    for prompt in prompts:
        before = difference(prompt)
        handles = [model.network.model.layers[n].register_forward_hook(hook(n)) for n in by_layer]
        after = difference(prompt)
        for handle in handles:
            handle.remove()
        assert impacts[prompt.id] == pytest.approx(after - before, abs=1e-4)
    assert np.abs(list(impacts.values())).max() > 1e-3


@pytest.mark.parametrize("stop", ["baseline directions", "random features", "ablate"])
def test_a_run_that_is_stopped_goes_on_with_the_same_features(tmp_path, stop, monkeypatch, runs):
    stored, _ = runs(0)
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)

    class Stopping(Store):
        """It is stopped once something of a stage is in."""

        def commit(self, *columns):
            super().commit(*columns)
            if self.query("SELECT 1 FROM units WHERE stage = $stage", {"stage": stop})[1]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_into(tmp_path / "b.duckdb", plan_of_kind(), a_run_context(), Stopping)
    assert run_into(tmp_path / "b.duckdb", plan_of_kind(), a_run_context()) == stored


LAYER, SOME = 3, 10
TOP = """\
ablations:
  - name: top
    select: {by: list, features: {3: FEATURES}}
    controls: 2
    baselines: [random-sae]
"""
CLAIMS = """\
unadjusted: three families confirm
claims:
  - {name: beats, ablation: top, direction: toward-correct, beyond: random-sae}
"""


@cache
def causal():
    """An ablation of the features whose removal is known to move the organism most toward correct."""
    truth = Causes.read(bundled("fixtures", "organism") / FILE)
    features, impact = truth.of_layer(LAYER)
    strongest = np.argsort(-impact.mean(axis=1))[:SOME]
    return TOP.replace("FEATURES", str(features[strongest].tolist()))


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A results file with a run of this claim on three families."""

    def make(folder, db):
        run_on_organism(write_few(folder, causal(), CLAIMS, name="rivals"), db)

    return made_once(tmp_path_factory, "random.duckdb", make)


def test_features_that_cause_it_do_more_and_every_surface_tells_it(held, tmp_path):
    ((run, estimate, verdict, because),) = query(
        held, "SELECT run_id, estimate, verdict, because FROM verdicts"
    )
    ((beyond, rows),) = query(
        held, f"SELECT avg(value - beside), count(*) FROM evidence('{run}', 'beats')"
    )
    assert rows > 5
    assert estimate == pytest.approx(beyond)
    assert verdict == "supported"
    assert estimate > 2.0
    assert "the same selection in a random SAE" in because
    page = tmp_path / "page.html"
    invoke("report", "rivals", "--db", held, "--output", page)
    text = page.read_text(encoding="utf-8")
    assert "the same selection in a random SAE, an edit as large on average" in text
    spec = write_few(tmp_path, causal(), CLAIMS, name="rivals")
    said = " ".join(invoke("plan", spec, "--target", "organism").output.split())
    assert "top: baseline random-sae, random-sae as large on average" in said
    assert "random features top" in said
    assert "baseline directions top" not in said


def test_it_is_analysed_again_and_repeated_from_the_store_alone(held, tmp_path):
    db = shutil.copy(held, tmp_path / "r.duckdb")
    rows = "SELECT claim, verdict, p, estimate, because FROM verdicts"
    before = query(db, rows)
    ((run,),) = query(db, "SELECT run_id FROM runs")
    analyse_again(run, db=db)
    assert query(db, rows) == before
    assert rerun(run, db=db, device="cpu", progress=quiet, say=lambda _: None).agrees

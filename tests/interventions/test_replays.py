"""Impacts against an implementation that shares nothing with it: one prompt, one answer, one hook."""

import dataclasses

import pytest
import torch

from harness.interventions.resampling import choose_sources
from harness.runner.prompt_replays import prepare_edits
from harness.runner.stages.ablate import ablate
from harness.specs.shuffled_sources import lenders
from harness.store.database import Store
from harness.store.interventions import interventions_of
from harness.store.tables.interventions import Impacts, Interventions
from tests.helpers.edits import METRICS, an_ablation, an_edit, impacts_of, run_context, sae
from tests.helpers.runs import a_run_context, run_into
from tests.helpers.specs import ablation_plan, family_lines

KINDS = [
    ("zero", None),
    ("mean", (0.7, 0.1, 2.0)),
    ("clamp", (5.0,) * 3),
    ("scale", (3.0,) * 3),
    ("steer", (-2.0,) * 3),
    ("direction", None),
    ("resample", None),
]


# The same by hand: a token at a time, a feature at a time, in float64. Nothing of the harness' edits.


def value_of(feature, layer, x):
    """A feature's value at a token's stream x (width,)."""
    one = sae(layer)
    pre = x @ one.w_enc[:, feature].double() + one.b_enc[feature].double()
    return pre * (pre > one.threshold[feature].double())


def written(feature, layer):
    """What one unit of a feature adds to the stream, (width,)."""
    return sae(layer).w_dec[feature].double()


# A feature's new value: of its value f, the number that the edit has for it, and the source's value.
NEW_VALUE = {
    "zero": lambda f, number, sourced: 0.0,
    "mean": lambda f, number, sourced: number,
    "clamp": lambda f, number, sourced: number,
    "scale": lambda f, number, sourced: number * f,
    "steer": lambda f, number, sourced: f + number,
    "resample": lambda f, number, sourced: sourced,
}


def replaced_values(edit, layer, x, source_x):
    """x with new values in the place of an edit's features; `source_x` is the source's stream."""
    numbers = edit.values or (None,) * len(edit.features)
    moved = x.clone()
    for (of, feature), number in zip(edit.features, numbers, strict=True):
        if of == layer:
            sourced = None if source_x is None else value_of(feature, layer, source_x)
            f = value_of(feature, layer, x)
            moved += (NEW_VALUE[edit.kind](f, number, sourced) - f) * written(feature, layer)
    return moved


def without_directions(edit, layer, x):
    """x without what it has in the span of an edit's features."""
    rows = torch.stack([written(feature, layer) for of, feature in edit.features if of == layer])
    return x - torch.linalg.pinv(rows) @ (rows @ x)


def edited_at(positions, start, length):
    """Which tokens of a row are edited whose answer begins at `start`; token 0 is BOS."""
    named = {
        "all": range(1, length),
        "prompt": range(1, start),
        "answer": range(start, length),
        "last_prompt_token": range(start - 1, start),
    }
    if isinstance(positions, str):
        return set(named[positions])
    counted = {place if place > 0 else start + place for place in positions}
    return counted & set(range(1, length))


def long_answers():
    """Families whose answers have several tokens, so that an edit at one is felt by the next."""
    names = {"zero": "zero", "not zero": "anything but quite zero"}
    return [
        line | {key: names[line[key]] for key in ("answer", "expected_correct_answer")}
        for line in family_lines()
    ]


def plain_row(model, prompt, answer):
    """A prompt with an answer as ids (1, tokens), and where the answer begins."""
    tokens = model.tokens(prompt.text, answer)
    return torch.tensor([[*tokens.prompt, *tokens.answers[0]]]), len(tokens.prompt)


def by_hand(model, prompt, answer, edit, source=None):
    """Log-probabilities (answer tokens, vocabulary) of a plain forward, edited by a plain hook."""
    ids, start = plain_row(model, prompt, answer)
    sourced = {}
    if source is not None:
        # Prompts are aligned at their ends: the answer's first tokens stand at each other's place.
        source_ids, source_start = plain_row(model, source, answer)
        states = model.network(source_ids, output_hidden_states=True).hidden_states
        sourced = {layer: states[layer + 1][0].double() for layer, _ in edit.features}

    def moved(layer, at, x):
        if edit.kind == "direction":
            return without_directions(edit, layer, x)
        if source is None:
            return replaced_values(edit, layer, x, None)
        there = at - start + source_start
        return replaced_values(edit, layer, x, sourced[layer][there]) if there >= 1 else x

    def hook(layer):
        def edited(_module, _inputs, output):
            out = output.clone()
            for at in edited_at(edit.positions, start, ids.shape[1]):
                out[0, at] = moved(layer, at, output[0, at].double()).to(out.dtype)
            return out

        return edited

    blocks = model.network.model.layers
    handles = [blocks[layer].register_forward_hook(hook(layer)) for layer in edit.layers]
    try:
        logits = model.network(ids).logits[0, start - 1 : -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits.double().log_softmax(-1), ids[0, start:].tolist()


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3"])
@pytest.mark.parametrize("at", ["all", "prompt", "answer", "last_prompt_token", (2, -2, 30)])
@pytest.mark.parametrize("kind, values", KINDS)
def test_every_kind_of_edit_is_a_plain_hooked_forward(architecture, at, kind, values):
    plan, tools = ablation_plan(long_answers()), run_context(architecture)
    prompts = plan.of("confirmation")[:4]
    edit = an_edit(kind, values, at=at)
    sources = {}
    if kind == "resample":
        sources = choose_sources(
            plan, an_ablation(kind="resample", source="pair", variant="correct")
        )
        sources |= choose_sources(plan, an_ablation(kind="resample", source="pair"))
    summed, apart = impacts_of(tools, [edit], prompts, sources)
    moved = 0
    for prompt in prompts:
        total, kl = {}, {}
        for label in ("correct", "misconception"):
            answer = prompt.candidate(label)
            source = sources.get(prompt.id)
            after, ids = by_hand(tools.model, prompt, answer, edit, source)
            before, _ = by_hand(tools.model, prompt, answer, an_edit("scale", (1.0,) * 3))
            steps = range(len(ids))
            total[label] = float(sum(after[i, ids[i]] - before[i, ids[i]] for i in steps))
            for i in steps:
                kl[(label, i) if i else 0] = float((before[i].exp() * (before[i] - after[i])).sum())
                if (0, prompt.id, label, i) in apart:
                    was, now, _, flipped = apart[0, prompt.id, label, i]
                    assert was == pytest.approx(float(before[i, ids[i]]), abs=1e-5)
                    assert now == pytest.approx(float(after[i, ids[i]]), abs=1e-5)
                    assert flipped == (int(before[i].argmax()) != int(after[i].argmax()))
        impact = {metric: summed[0, prompt.id, metric][2] for metric in METRICS}
        assert impact["log_p_correct"] == pytest.approx(total["correct"], abs=2e-5)
        assert impact["log_p_misconception"] == pytest.approx(total["misconception"], abs=2e-5)
        assert impact["logit_difference"] == pytest.approx(
            total["correct"] - total["misconception"], abs=2e-5
        )
        assert impact["kl"] == pytest.approx(sum(kl.values()), abs=2e-5)
        moved += max(map(abs, total.values())) > 1e-3
    assert moved


def test_a_run_s_shuffled_edits_are_hooked_forwards_with_another_family_s_values(tmp_path):
    plan, tools = ablation_plan(kind="resample", source="pair", shuffled=9), a_run_context()
    run_into(tmp_path / "r.duckdb", plan, tools)
    with Store.open_to_read(tmp_path / "r.duckdb") as store:
        impacts = store.read(Impacts, "r", metric="logit_difference")
        edits = {one.id: one for one in interventions_of(store.read(Interventions, "r"))}
    prompts = {prompt.id: prompt for prompt in plan.prompts}
    (target,) = (one for one in edits.values() if one.role == "target")
    found = {}
    for edit_id, prompt_id, source_id, impact in zip(
        impacts.intervention_id, impacts.prompt_id, impacts.source_id, impacts.impact, strict=True
    ):
        edit, prompt, source = edits[edit_id], prompts[prompt_id], prompts[source_id]
        if edit.role not in ("target", "shuffled"):
            continue
        family = prompt.family
        if edit.role == "shuffled":
            family = lenders(plan, plan.ablations[0], edit.number)[family]
        assert (source.family, source.label) == (family, "correct")
        assert edit.features == target.features
        total = 0.0
        for label, sign in (("correct", 1), ("misconception", -1)):
            answer = prompt.candidate(label)
            after, ids = by_hand(tools.model, prompt, answer, edit, source)
            before, _ = by_hand(tools.model, prompt, answer, an_edit("scale", (1.0,) * 3))
            total += sign * sum(float(after[i, t] - before[i, t]) for i, t in enumerate(ids))
        assert impact == pytest.approx(total, abs=2e-5)
        found[edit.role, edit.number, prompt_id] = impact
    assert len({key[:2] for key in found}) == 3
    assert len({round(impact, 4) for impact in found.values()}) == len(found) == 18


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_interventions_do_not_disturb_each_other(dtype):
    """Together with many others in the same replays, each has the impact it has alone."""
    plan, tools = ablation_plan(), run_context(dtype=dtype)
    prompts = plan.of("confirmation")
    edits = [
        an_edit("zero", features=((layer, f),), number=f) for layer in (1, 2) for f in range(9)
    ]
    edits += [an_edit(kind, values) for kind, values in KINDS if kind != "resample"]
    edits.append(an_edit("steer", (1.0,) * 3, role="no-op"))
    together, _ = impacts_of(tools, edits, prompts)
    for i in (0, 4, 12, *range(18, len(edits))):
        alone, _ = impacts_of(tools, [edits[i]], prompts)
        for (_, prompt, metric), found in alone.items():
            near = 1e-5 if dtype == torch.float32 else 0.3
            assert together[i, prompt, metric][2] == pytest.approx(found[2], abs=near)
            assert together[i, prompt, metric][3] == found[3]


def test_what_an_intervention_does_not_touch_is_exactly_its_baseline(monkeypatch):
    silent = dataclasses.replace(sae(1), threshold=torch.full((64,), 1e9))
    tools = dataclasses.replace(run_context(), saes=lambda layer: silent)

    def never(*_, **__):
        raise AssertionError("nothing needs a replay")

    monkeypatch.setattr(type(tools.model), "replay", never)
    summed, apart = impacts_of(tools, [an_edit(features=((1, 3),))], ablation_plan().prompts)
    assert all(
        was == now and impact == 0.0 and not active for was, now, impact, active in summed.values()
    )
    assert not apart


def test_a_kind_that_moves_inactive_features_is_replayed():
    silent = dataclasses.replace(sae(1), threshold=torch.full((64,), 1e9))
    tools = dataclasses.replace(run_context(), saes=lambda layer: silent)
    summed, _ = impacts_of(
        tools, [an_edit("clamp", (4.0,), features=((1, 3),))], ablation_plan().prompts
    )
    assert all(active for *_, active in summed.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind, values", KINDS)
def test_a_no_op_of_every_kind_is_exact(kind, values, dtype):
    plan = ablation_plan()
    sources = (
        choose_sources(plan, an_ablation(kind="resample", source="pair"))
        if kind == "resample"
        else {}
    )
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    edits = [an_edit(kind, values), an_edit(kind, values, role="no-op")]
    summed, apart = impacts_of(run_context(dtype=dtype), edits, prompts, sources)
    noop = {key: found for key, found in summed.items() if key[0] == 1}
    assert any(active for *_, active in noop.values())
    assert {found[2] for found in noop.values()} == {0.0}
    assert {found[2] for key, found in apart.items() if key[0] == 1} == {0.0}


def test_what_a_no_op_changes_is_stored_and_stops_nothing(monkeypatch):
    import harness.interventions.replays

    exact = harness.interventions.replays.apply
    monkeypatch.setattr(
        "harness.interventions.replays.apply",
        lambda edit, x, at, cut: exact(edit, x, at, cut) + 1e-3 * at[..., None],
    )
    summed, _ = impacts_of(run_context(), [an_edit(role="no-op")], ablation_plan().prompts)
    assert any(impact != 0 for _, _, impact, active in summed.values() if active)


def noise_of(tools, prompts):
    """The stored noise by prompt and metric, with a no-op beside another edit."""
    edits = [an_edit(), an_edit(role="no-op")]
    *_, noise = ablate(tools, edits, lambda context: prepare_edits(context, edits), {}, prompts)
    return dict(zip(zip(noise.prompt_id, noise.metric, strict=True), noise.difference, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_noise_is_what_a_row_differs_by_from_its_twin(monkeypatch, dtype):
    """A replay whose rows differ by their place: every impact is off by as much, and says so."""
    tools, prompts = run_context(dtype=dtype), ablation_plan().of("confirmation")
    calm = noise_of(tools, prompts)
    assert calm
    replay = type(tools.model).replay

    def uneven(*args, **options):
        found = replay(*args, **options)
        return found + 0.01 * torch.arange(1, len(found) + 1)[:, None, None]

    monkeypatch.setattr(type(tools.model), "replay", uneven)
    shaken = noise_of(tools, prompts)
    assert shaken.keys() == calm.keys()
    moved = [key for key in shaken if key[1] == "log_p_correct"]
    assert all(shaken[key] >= 0.0099 for key in moved)
    assert all(calm[key] < 1e-5 for key in moved if dtype == torch.float32)
    # Held against the same batch once more, a no-op is exact all the same.
    summed, _ = impacts_of(tools, [an_edit(), an_edit(role="no-op")], prompts)
    assert {impact for (number, *_), (_, _, impact, _) in summed.items() if number == 1} == {0.0}


def test_in_half_precision_the_baseline_is_replayed_beside_the_edit(monkeypatch):
    """Noise of the geometry, here planted, cancels."""
    plan, tools = ablation_plan(), run_context(dtype=torch.bfloat16)
    prompts = plan.of("confirmation")
    plain, _ = impacts_of(tools, [an_edit()], prompts)
    replay = type(tools.model).replay

    def noisy(*args, **options):
        found = replay(*args, **options)
        return found + 0.01 * found.shape[0]

    monkeypatch.setattr(type(tools.model), "replay", noisy)
    shaken, _ = impacts_of(tools, [an_edit()], prompts)
    for key, (_, _, impact, active) in plain.items():
        if active and key[2] == "log_p_correct":
            assert shaken[key][2] == pytest.approx(impact, abs=1e-5)
            assert shaken[key][0] != plain[key][0]

"""Impacts against an implementation that shares nothing with it: one prompt, one answer, one hook."""

import dataclasses
from functools import cache

import pytest
import torch

from harness.errors import CannotRun
from harness.interventions.resampling import choose_sources
from harness.models.adaptive_batching import BatchLimit
from harness.runner.context import RunContext
from harness.runner.stages.ablate import intervene, prepare_edits
from harness.specs.ablations import Ablation
from harness.specs.intervention import Intervention
from harness.specs.prompt import LABELS, Prompt
from harness.testing.models import random_model, random_sae
from tests.test_run import a_plan

KINDS = [
    ("zero", None),
    ("mean", (0.7, 0.1, 2.0)),
    ("clamp", (5.0,) * 3),
    ("scale", (3.0,) * 3),
    ("steer", (-2.0,) * 3),
    ("direction", None),
    ("resample", None),
]
FEATURES = ((1, 3), (1, 9), (2, 5))


@cache
def sae(layer):
    return random_sae(layer)


@cache
def bench(architecture="gemma2", dtype=torch.float32, size=5):
    model = random_model(3, architecture=architecture, dtype=dtype)
    return RunContext("r", "mock", model, sae, BatchLimit(size))


def an_edit(kind="zero", values=None, *, at="all", role="target", features=FEATURES, number=0):
    values = values[: len(features)] if values else ()
    source = "pair" if kind == "resample" else None
    return Intervention(
        "top", role, number, kind, at, "misconception", features, (), values, source
    )


def impacts_of(bench, edits, prompts, lenders=None):
    """Both tables as dictionaries, by (intervention number, prompt, ...)."""
    impacts, tokens = intervene(
        bench, edits, lambda: prepare_edits(bench, edits), lenders or {}, prompts
    )
    number = {one.id: i for i, one in enumerate(edits)}
    summed = {
        (number[one], prompt, metric): (baseline, edited, impact, active)
        for one, prompt, metric, baseline, edited, impact, active in zip(
            impacts.intervention_id, impacts.prompt_id, impacts.metric, impacts.baseline,
            impacts.edited, impacts.impact, impacts.active, strict=True,
        )
    }  # fmt: skip
    apart = {
        (number[one], prompt, candidate, index): (baseline, edited, kl, flipped)
        for one, prompt, candidate, index, baseline, edited, kl, flipped in zip(
            tokens.intervention_id, tokens.prompt_id, tokens.candidate, tokens.token_index,
            tokens.baseline, tokens.edited, tokens.kl, tokens.flipped, strict=True,
        )
    }  # fmt: skip
    return summed, apart


def features_by_hand(x, layer, feature):
    """A feature's values along a row, (tokens,), in float64."""
    one = sae(layer)
    pre = x.double() @ one.w_enc[:, feature].double() + one.b_enc[feature].double()
    return pre * (pre > one.threshold[feature].double())


def by_hand(model, prompt, answer, edit, donor=None):
    """Log-probabilities (answer tokens, vocabulary) of a plain forward, edited by a plain hook."""
    tokens = model.tokens(prompt.text, answer)
    ids = torch.tensor([[*tokens.prompt, *tokens.answers[0]]])
    n = len(tokens.prompt)
    lent = {}
    if donor is not None:
        other = model.tokens(donor.text, answer)
        lent_ids = torch.tensor([[*other.prompt, *other.answers[0]]])
        states = model.network(lent_ids, output_hidden_states=True).hidden_states
        lent = {layer: states[layer + 1][0] for layer, _ in edit.features}
        shift = len(other.prompt) - n

    def positions():
        for at in range(1, ids.shape[1]):
            named = {
                "all": True,
                "prompt": at < n,
                "answer": at >= n,
                "last_prompt_token": at == n - 1,
            }
            if named.get(
                edit.positions,
                at
                in {
                    p if p > 0 else n + p
                    for p in edit.positions
                    if not isinstance(edit.positions, str)
                },
            ):
                yield at

    def hook(layer):
        def edited(_module, _inputs, output):
            out = output.clone()
            for at in positions():
                x = output[0, at].double()
                if edit.kind == "direction":
                    rows = sae(layer).w_dec[[f for of, f in edit.features if of == layer]].double()
                    out[0, at] = (x - torch.linalg.pinv(rows) @ (rows @ x)).to(out.dtype)
                    continue
                for i, (of, feature) in enumerate(edit.features):
                    if of != layer:
                        continue
                    f = features_by_hand(x, layer, feature)
                    value = edit.values[i] if edit.values else 0.0
                    if edit.kind == "resample":
                        source = at + shift
                        if source < 1:
                            continue
                        v = features_by_hand(lent[layer][source], layer, feature)
                    else:
                        v = {
                            "zero": 0.0, "mean": value, "clamp": value,
                            "scale": value * f, "steer": f + value,
                        }[edit.kind]  # fmt: skip
                    out[0, at] += ((v - f) * sae(layer).w_dec[feature].double()).to(out.dtype)
            return out

        return edited

    blocks = model.network.model.layers
    handles = [blocks[layer].register_forward_hook(hook(layer)) for layer in edit.layers]
    try:
        logits = model.network(ids).logits[0, n - 1 : -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits.double().log_softmax(-1), tokens.answers[0]


@pytest.mark.parametrize("architecture", ["gemma2", "gemma3"])
@pytest.mark.parametrize("at", ["all", "prompt", "answer", "last_prompt_token", (2, -2, 30)])
@pytest.mark.parametrize("kind, values", KINDS)
def test_every_kind_of_edit_is_a_plain_hooked_forward(architecture, at, kind, values):
    plan, tools = a_plan(), bench(architecture)
    prompts = plan.of("confirmation")[:4]
    edit = an_edit(kind, values, at=at)
    lenders = {}
    if kind == "resample":
        lenders = choose_sources(
            plan, an_ablation(kind="resample", source="pair", variant="correct")
        )
        lenders |= choose_sources(plan, an_ablation(kind="resample", source="pair"))
    summed, apart = impacts_of(tools, [edit], prompts, lenders)
    moved = 0
    for prompt in prompts:
        total, kl = {}, {}
        for label in ("correct", "misconception"):
            answer = prompt.candidate(label)
            donor = lenders.get(prompt.id)
            after, ids = by_hand(tools.model, prompt, answer, edit, donor)
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


METRICS = ("log_p_correct", "log_p_misconception", "logit_difference", "kl", "top1_flips")


def an_ablation(**fields):
    return Ablation.model_validate(
        {"name": "top", "select": {"by": "contrast"}, "variant": "misconception"} | fields
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_interventions_do_not_disturb_each_other(dtype):
    """Together with many others in the same replays, each has the impact it has alone."""
    plan, tools = a_plan(), bench(dtype=dtype)
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
    tools = dataclasses.replace(bench(), saes=lambda layer: silent)

    def never(*_, **__):
        raise AssertionError("nothing needs a replay")

    monkeypatch.setattr(type(tools.model), "replay", never)
    summed, apart = impacts_of(tools, [an_edit(features=((1, 3),))], a_plan().prompts)
    assert all(
        was == now and impact == 0.0 and not active for was, now, impact, active in summed.values()
    )
    assert not apart


def test_a_kind_that_moves_inactive_features_is_replayed():
    silent = dataclasses.replace(sae(1), threshold=torch.full((64,), 1e9))
    tools = dataclasses.replace(bench(), saes=lambda layer: silent)
    summed, _ = impacts_of(tools, [an_edit("clamp", (4.0,), features=((1, 3),))], a_plan().prompts)
    assert all(active for *_, active in summed.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind, values", KINDS)
def test_a_no_op_of_every_kind_is_exact(kind, values, dtype):
    plan = a_plan()
    lenders = (
        choose_sources(plan, an_ablation(kind="resample", source="pair"))
        if kind == "resample"
        else {}
    )
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    edits = [an_edit(kind, values), an_edit(kind, values, role="no-op")]
    summed, apart = impacts_of(bench(dtype=dtype), edits, prompts, lenders)
    noop = {key: found for key, found in summed.items() if key[0] == 1}
    assert any(active for *_, active in noop.values())
    assert {found[2] for found in noop.values()} == {0.0}
    assert {found[2] for key, found in apart.items() if key[0] == 1} == {0.0}


def test_a_no_op_that_changes_something_stops_the_run(monkeypatch):
    import harness.interventions.replays

    exact = harness.interventions.replays.apply
    monkeypatch.setattr(
        "harness.interventions.replays.apply",
        lambda edit, x, at: exact(edit, x, at) + 1e-3 * at[..., None],
    )
    with pytest.raises(CannotRun, match="an edit that changes nothing changed"):
        impacts_of(bench(), [an_edit(role="no-op")], a_plan().prompts)


def test_in_half_precision_the_baseline_is_replayed_beside_the_edit(monkeypatch):
    """Noise of the geometry, here planted, cancels."""
    plan, tools = a_plan(), bench(dtype=torch.bfloat16)
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


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_when_memory_runs_out_the_batch_halves_and_says_so(monkeypatch, error):
    plan, said = a_plan(), []
    plain, _ = impacts_of(bench(size=8), [an_edit()], plan.prompts)
    tools = dataclasses.replace(bench(), limit=BatchLimit(8, said.append))
    whole = type(tools.model).cached_forward

    def full(self, batch, reads, blocks):
        if len(batch) > 3:
            raise error
        return whole(self, batch, reads, blocks)

    monkeypatch.setattr(type(tools.model), "cached_forward", full)
    found, _ = impacts_of(tools, [an_edit()], plan.prompts)
    assert said == ["memory ran out: going on with 4 rows at a time",
                    "memory ran out: going on with 2 rows at a time"]  # fmt: skip
    assert set(found) == set(plain)
    assert all(found[key][2] == pytest.approx(plain[key][2], abs=1e-5) for key in plain)
    assert tools.model.taps_left == 0


def test_replays_of_a_single_prompt_are_made_smaller_before_it_is_given_up(monkeypatch):
    said, rows = [], []
    tools = dataclasses.replace(bench(), limit=BatchLimit(16, said.append))
    replay = type(tools.model).replay

    def full(self, kept, tail, *rest, **options):
        rows.append(len(tail.row))
        if len(tail.row) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return replay(self, kept, tail, *rest, **options)

    monkeypatch.setattr(type(tools.model), "replay", full)
    edits = [an_edit("clamp", (3.0,), features=((1, f),), number=f) for f in range(20)]
    found, _ = impacts_of(tools, edits, a_plan().prompts[:1])
    assert max(rows) > 5 >= rows[-1]
    assert tools.limit.rows < 16
    assert len(said) >= 1
    assert len(found) == 20 * len(METRICS)


def test_a_single_prompt_that_does_not_fit_is_said_in_a_sentence(monkeypatch):
    tools = dataclasses.replace(bench(), limit=BatchLimit(2))

    def full(self, batch, reads, blocks):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(type(tools.model), "cached_forward", full)
    with pytest.raises(CannotRun, match="with a single prompt"):
        impacts_of(tools, [an_edit()], a_plan().prompts)


def test_another_error_is_not_taken_for_a_full_memory(monkeypatch):
    tools = dataclasses.replace(bench(), limit=BatchLimit(2))

    def wrong(self, batch, reads, blocks):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(type(tools.model), "cached_forward", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        impacts_of(tools, [an_edit()], a_plan().prompts)


def test_pairs_that_share_a_text_are_resampled_each_with_its_own_answers():
    def pair(name, right, wrong):
        texts = "One ball rises and it goes", "A stone falls down and it goes"
        return [
            Prompt(f"{name}{at}", name, "f", label, text, answer, right, wrong, 1)
            for at, label, text, answer in zip("ab", LABELS, texts, (right, wrong), strict=True)
        ]

    first = pair("A", "along the tangent", "toward the center")
    second = pair("B", "along the orbit", "toward the inside of the bend")
    edit = an_edit("resample", at="answer", features=tuple((1, f) for f in range(40)))

    def impacts(*pairs):
        lenders = {confused.id: right for right, confused in pairs}
        found, _ = impacts_of(bench(), [edit], [confused for _, confused in pairs], lenders)
        return {key[1:]: impact for key, (_, _, impact, _) in found.items()}

    alone = impacts(first) | impacts(second)
    assert all(abs(alone[p, "logit_difference"]) > 1e-4 for p in ("Ab", "Bb"))
    for together in (impacts(first, second), impacts(second, first)):
        assert together == pytest.approx(alone, abs=5e-5)


def test_a_dose_beside_a_resampled_target_only_scales():
    """The donor's values are the target's alone."""
    plan, tools = a_plan(), bench()
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    lenders = choose_sources(plan, an_ablation(kind="resample", source="pair"))
    dose = an_edit("scale", (2.0,) * 3, role="dose")
    beside, _ = impacts_of(tools, [an_edit("resample"), dose], prompts, lenders)
    alone, _ = impacts_of(tools, [dose], prompts)
    assert any(active for *_, active in alone.values())
    for (_, *key), found in alone.items():
        assert beside[1, *key][2] == pytest.approx(found[2], abs=1e-5)
        assert beside[1, *key][3] == found[3]


def test_an_edit_that_leaves_the_numbers_is_said_in_a_sentence():
    with pytest.raises(CannotRun, match="infinite or NaN; give a smaller value"):
        impacts_of(bench(), [an_edit("clamp", (1e39,), features=((1, 3),))], a_plan().prompts)


@pytest.mark.parametrize("source", ["pair", "random"])
def test_donors_are_the_pairs_other_member_or_a_discovery_prompt(source):
    plan = a_plan()
    found = choose_sources(plan, an_ablation(kind="resample", source=source))
    prompts = {prompt.id: prompt for prompt in plan.prompts}
    assert set(found) == {p.id for p in plan.of("confirmation") if p.label == "misconception"}
    for receiver, donor in found.items():
        if source == "pair":
            assert donor.pair_id == prompts[receiver].pair_id
            assert donor.label == "correct"
        else:
            assert plan.sides[donor.family] == "discovery"
    assert found == choose_sources(plan, an_ablation(kind="resample", source=source))

"""How much work a plan is, counted from its prompts and its spec."""

import pytest

from harness.specs.spec_file import load
from harness.specs.workload import OUTPUTS, replays_of, workload


def of(plan):
    return {one.name: one for one in workload(plan)}


def test_every_stage_has_its_rows_and_tokens():
    plan = load("voices").plan("gemma-2-2b")
    work = of(plan)
    steps = [f"{stage} {name}".strip() for stage, name in plan.steps]
    assert list(work) == [*steps, OUTPUTS]
    texts = {prompt.text for prompt in plan.prompts}
    assert work["observe"].rows == work["generate"].rows == len(texts)
    assert work["survey"].rows == len({prompt.text for prompt in plan.of("discovery")})
    # A word is a token and a bit: within a quarter of what counting words and commas gives.
    words = sum(len(text.replace(",", " ,").replace(".", " .").split()) for text in texts)
    assert work["generate"].tokens == pytest.approx(words + 7 * len(texts), rel=0.25)
    assert work["generate"].forwards == plan.spec.new_tokens
    assert not {"survey", OUTPUTS} & of(load("pilot").plan("gemma-3-270m")).keys()


def test_an_ablation_replays_each_set_on_each_row_above_the_layer():
    plan = load("voices").plan("gemma-2-2b")
    (ablation,) = plan.ablations
    # Three of the doses are neither nothing nor the ablation itself: they scale nine controls each.
    own = 3 + ablation.select.top + len(ablation.doses) + 3 * 9
    assert replays_of(ablation) == own + ablation.controls
    assert of(plan)[f"ablate {ablation.name}"].features == 10 * (1 + ablation.controls)
    work = of(plan)[f"ablate {ablation.name}"]
    edited = [p for p in plan.of("confirmation") if p.label == ablation.variant]
    assert work.rows == len(edited)
    # Layers 0, 6, 12, 18 and 24 of 26 leave 25, 19, 13, 7 and 1 blocks.
    once = sum((len(p.text) + len(p.correct) + len(p.misconception)) / 4.2 + 3 for p in edited)
    assert work.tokens == pytest.approx(once * (1 + work.replays * 65 / 5 / 26))

"""Which prompt lends its values to which."""

import pytest

from harness.interventions.resampling import choose_sources, shuffled_sources
from harness.specs.prompt import LABELS, Prompt
from harness.specs.shuffled_sources import lenders
from tests.helpers.edits import an_ablation, an_edit, impacts_of, run_context
from tests.helpers.specs import ablation_plan, family_lines


@pytest.mark.parametrize("source", ["pair", "random"])
def test_sources_are_the_pairs_other_member_or_a_discovery_prompt(source):
    plan = ablation_plan()
    found = choose_sources(plan, an_ablation(kind="resample", source=source))
    prompts = {prompt.id: prompt for prompt in plan.prompts}
    assert set(found) == {p.id for p in plan.of("confirmation") if p.label == "misconception"}
    for receiver, taken in found.items():
        if source == "pair":
            assert taken.pair_id == prompts[receiver].pair_id
            assert taken.label == "correct"
        else:
            assert plan.sides[taken.family] == "discovery"
    assert found == choose_sources(plan, an_ablation(kind="resample", source=source))


@pytest.mark.parametrize("variant", ["correct", "misconception"])
def test_shuffled_sources_are_the_other_variants_of_another_family_s_pairs_in_their_order(variant):
    """A family of two pairs lends them twice to one of four; of one with more, the first are taken."""
    of = {"f7": "f4"}
    lines = [one | {"family": of.get(one["family"], one["family"])} for one in family_lines(8)]
    plan = ablation_plan(lines)
    ablation = an_ablation(kind="resample", source="pair", shuffled=9, variant=variant)
    confirming = plan.families("confirmation")
    pairs = {f: sorted({p.pair_id for p in plan.prompts if p.family == f}) for f in confirming}
    assert {len(some) for some in pairs.values()} == {2, 4}
    prompts = {prompt.id: prompt for prompt in plan.prompts}
    for number in range(len(confirming) - 1):
        found = shuffled_sources(plan, ablation, number)
        of = lenders(plan, ablation, number)
        assert {*found} == {p.id for p in plan.of("confirmation") if p.label == variant}
        for receiver, taken in found.items():
            mine = prompts[receiver]
            place = pairs[mine.family].index(mine.pair_id)
            theirs = pairs[of[mine.family]]
            assert taken.pair_id == (theirs + theirs)[place]
            assert taken.label != variant
            assert taken.family != mine.family


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
        sources = {confused.id: right for right, confused in pairs}
        found, _ = impacts_of(run_context(), [edit], [confused for _, confused in pairs], sources)
        return {key[1:]: impact for key, (_, _, impact, _) in found.items()}

    alone = impacts(first) | impacts(second)
    assert all(abs(alone[p, "logit_difference"]) > 1e-4 for p in ("Ab", "Bb"))
    for together in (impacts(first, second), impacts(second, first)):
        assert together == pytest.approx(alone, abs=5e-5)


def test_a_dose_beside_a_resampled_target_only_scales():
    """The source's values are the target's alone."""
    plan, tools = ablation_plan(), run_context()
    prompts = [p for p in plan.of("confirmation") if p.label == "misconception"]
    sources = choose_sources(plan, an_ablation(kind="resample", source="pair"))
    dose = an_edit("scale", (2.0,) * 3, role="dose")
    beside, _ = impacts_of(tools, [an_edit("resample"), dose], prompts, sources)
    alone, _ = impacts_of(tools, [dose], prompts)
    assert any(active for *_, active in alone.values())
    for (_, *key), found in alone.items():
        assert beside[1, *key][2] == pytest.approx(found[2], abs=1e-5)
        assert beside[1, *key][3] == found[3]

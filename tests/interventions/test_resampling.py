"""Which prompt lends its values to which."""

import pytest

from harness.interventions.resampling import choose_sources
from harness.specs.prompt import LABELS, Prompt
from tests.helpers.edits import an_ablation, an_edit, impacts_of, run_context
from tests.helpers.specs import ablation_plan


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

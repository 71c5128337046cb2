"""Whole replays, whatever is drawn: a no-op changes no bit, and BOS is never edited."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.interventions.edits import Edit, apply, gain_and_shift
from harness.models.padded_batch import positions_of
from harness.runner.prompt_replays import prepare_edits
from harness.runner.stages.ablate import ablate
from harness.specs.intervention import Intervention
from harness.testing.models import ARCHITECTURES, tokenizer
from harness.testing.strategies import (
    feature_sets,
    padding_sides,
    positions,
    rows,
)
from tests.helpers.drawn import (
    LAYERS,
    Poisoned,
    few_examples,
    model,
    orthonormal,
    overlapping,
    prompts,
    run_context_of,
)


def an_edit(kind, value, features, at, role="target"):
    own = () if kind in ("zero", "direction") else (value,) * len(features)
    return Intervention("top", role, 0, kind, at, "correct", features, (), own)


def impacts_of(run_context, edits, chosen):
    """Baseline, edited and impact by intervention, prompt and metric."""
    impacts, *_ = ablate(
        run_context, edits, lambda context: prepare_edits(context, edits), {}, chosen
    )
    keys = zip(impacts.intervention_id, impacts.prompt_id, impacts.metric, strict=True)
    values = zip(impacts.baseline, impacts.edited, impacts.impact, impacts.active, strict=True)
    return dict(zip(keys, values, strict=True))


sets = st.lists(
    st.tuples(st.sampled_from(LAYERS), st.integers(0, 31)), min_size=4, max_size=8, unique=True
).map(tuple)
valued = st.sampled_from([("zero", 0.0), ("clamp", 3.0), ("scale", 2.0), ("direction", 0.0)])
some = st.permutations(prompts()).map(lambda order: order[:5])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("saes", [orthonormal, overlapping])
@few_examples
@given(sets, valued, positions(), padding_sides(), st.integers(1, 6), some, st.booleans())
def test_a_no_op_changes_no_bit_of_a_whole_replay(
    architecture, saes, features, kind, at, side, size, chosen, half
):
    used = model(architecture, side, torch.bfloat16 if half else torch.float32)
    edits = [an_edit(*kind, features, at, role) for role in ("target", "no-op")]
    found = impacts_of(run_context_of(used, size, saes), edits, chosen)
    for (one, _, _), (was, now, impact, active) in found.items():
        if one == edits[1].id or not active:
            assert now == was
            assert impact == 0
    if at == "all":
        assert any(impact for (one, _, _), (_, _, impact, _) in found.items() if one == edits[0].id)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few_examples
@given(sets, valued, positions(), padding_sides(), some)
def test_bos_is_never_edited_in_a_replay(architecture, features, kind, at, side, chosen):
    """NaN there would reach every answer of the row."""
    used, edits = model(architecture, side), [an_edit(*kind, features, at)]
    found = impacts_of(run_context_of(Poisoned(used)), edits, chosen)
    assert found == impacts_of(run_context_of(used), edits, chosen)


# An expert multiplies the tokens that chose it together: how many they are decides how sums are rounded.
MIXTURES = ("gpt_oss", "qwen3_moe")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@few_examples
@given(rows(len(tokenizer())), padding_sides(), st.sampled_from(LAYERS), feature_sets(32))
def test_the_stream_at_bos_stays_as_it_is_under_every_edit(
    architecture, batched, side, layer, features
):
    """An edit that moves every other token leaves BOS and padding bit for bit, up to the last block."""
    used = model(architecture, side)
    batch = used.batch(batched)
    place = torch.arange(batch.columns) - (batch.ids == 2).long().argmax(1)[:, None]
    still = (batch.ids == 0) | (place == 0)

    def streams(edit):
        seen = {}

        def tap(block):
            def look(x):
                seen[block] = edit(x) if block == layer else x
                return seen[block]

            return look

        used.forward(batch, {block: tap(block) for block in range(used.depth)})
        return seen

    for saes in (overlapping, orthonormal):
        steer = Edit(saes(layer).only(features), *gain_and_shift("steer", 5.0))
        plain = streams(lambda x: x)
        moved = streams(lambda x, e=steer: apply(e, x, positions_of(batch, "all")))
        for block, before in plain.items():
            if architecture in MIXTURES:
                assert torch.allclose(moved[block][still], before[still], atol=1e-4, rtol=1e-5)
            else:
                assert torch.equal(moved[block][still], before[still])
        assert (moved[layer] != plain[layer]).any(-1)[~still].all()

"""What becomes of an ablation when memory runs out, or its numbers do."""

import dataclasses

import pytest
import torch

from harness.errors import CannotRun
from harness.models.adaptive_batching import BatchLimit
from tests.helpers.edits import METRICS, an_edit, impacts_of, run_context
from tests.helpers.specs import ablation_plan


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_when_memory_runs_out_the_batch_halves_and_says_so(monkeypatch, error):
    plan, said = ablation_plan(), []
    plain, _ = impacts_of(run_context(size=8), [an_edit()], plan.prompts)
    tools = dataclasses.replace(run_context(), limit=BatchLimit(8, said.append))
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
    tools = dataclasses.replace(run_context(), limit=BatchLimit(16, said.append))
    replay = type(tools.model).replay

    def full(self, kept, tail, *rest, **options):
        rows.append(len(tail.row))
        if len(tail.row) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return replay(self, kept, tail, *rest, **options)

    monkeypatch.setattr(type(tools.model), "replay", full)
    edits = [an_edit("clamp", (3.0,), features=((1, f),), number=f) for f in range(20)]
    found, _ = impacts_of(tools, edits, ablation_plan().prompts[:1])
    assert max(rows) > 5 >= rows[-1]
    assert tools.limit.rows < 16
    assert len(said) >= 1
    assert len(found) == 20 * len(METRICS)


def test_a_single_prompt_that_does_not_fit_is_said_in_a_sentence(monkeypatch):
    tools = dataclasses.replace(run_context(), limit=BatchLimit(2))

    def full(self, batch, reads, blocks):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(type(tools.model), "cached_forward", full)
    with pytest.raises(CannotRun, match="with a single prompt"):
        impacts_of(tools, [an_edit()], ablation_plan().prompts)


def test_another_error_is_not_taken_for_a_full_memory(monkeypatch):
    tools = dataclasses.replace(run_context(), limit=BatchLimit(2))

    def wrong(self, batch, reads, blocks):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(type(tools.model), "cached_forward", wrong)
    with pytest.raises(RuntimeError, match="shapes"):
        impacts_of(tools, [an_edit()], ablation_plan().prompts)


def test_an_edit_that_leaves_the_numbers_is_said_in_a_sentence():
    with pytest.raises(CannotRun, match="infinite or NaN; give a smaller value"):
        impacts_of(
            run_context(), [an_edit("clamp", (1e39,), features=((1, 3),))], ablation_plan().prompts
        )

"""Which of the edited positions a random dictionary is fitted on, where not all of them are held."""

import torch

from harness.runner.stages import random_features
from tests.helpers.runs import a_run_context
from tests.helpers.specs import ablation_plan


def test_of_too_many_positions_every_second_or_fourth_is_held(monkeypatch):
    plan = ablation_plan(baselines=("random-sae",))
    (ablation,) = plan.ablations
    prompts = [prompt for prompt in plan.prompts if prompt.label == ablation.variant]

    def held(most, parts):
        monkeypatch.setattr(random_features, "HELD_BYTES", most)
        streams = whole.split(parts)
        monkeypatch.setattr(random_features, "held_streams", lambda *_: ({1: s} for s in streams))
        return random_features._held(a_run_context(), 1, prompts, ablation)

    whole = torch.arange(101.0)[:, None]
    for parts in (1, 7, 40, 101):
        assert torch.equal(held(101 * 4, parts), whole)
        assert torch.equal(held(100 * 4, parts), whole[::2])
        assert torch.equal(held(30 * 4, parts), whole[::4])

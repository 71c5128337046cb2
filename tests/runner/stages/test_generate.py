"""What the model says by itself."""

from harness.runner.stages.generate import generate
from tests.helpers.runs import a_run_context
from tests.helpers.specs import ablation_plan


def test_the_top_logits_are_those_of_the_chosen_tokens():
    plan, run_context = ablation_plan(), a_run_context()
    said, top = generate(run_context, plan, plan.prompts)
    tokens = dict(zip(said.prompt_id, said.token_ids, strict=True))
    assert len(top) == 50 * sum(map(len, tokens.values()))
    for prompt, step, rank, token in zip(
        top.prompt_id, top.step, top.rank, top.token_id, strict=True
    ):
        if rank == 0:
            assert tokens[prompt][step] == token

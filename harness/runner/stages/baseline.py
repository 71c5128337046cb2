"""How likely a prompt's two answers are after its sentence without the scene: rows of `baselines`."""

from collections.abc import Sequence

from harness.interventions.replay_scores import log_sum
from harness.models.finite import check_scores
from harness.models.forward_types import AnswerScores
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.specs.prompt import Prompt, baselines_of
from harness.store.tables.columns import Columns
from harness.store.tables.observations import Baselines


def baseline(context: RunContext, prompts: Sequence[Prompt]) -> list[Columns]:
    """The log-probability of both candidates, in nats, summed over their tokens.

    Raises `CannotRun` where NaN or infinity arises.
    """
    bare = baselines_of(prompts)
    rows = PromptRows(context.model, bare)

    def score(chosen: list[int]) -> AnswerScores:
        answers = context.model.forward(context.model.batch([rows.tokens[i] for i in chosen]))
        check_scores(answers, context.model.dtype)
        return answers

    scores: dict[int, Sequence[float]] = {}
    for chosen, answers in context.batches(rows.tokens, score):
        for row, of_row in zip(chosen, answers, strict=True):
            scores[row] = [float(tokens.double().sum()) for tokens in of_row]
    return [
        Baselines.of(
            {
                "run_id": context.run_id,
                "prompt_id": prompt.id,
                "candidate": label,
                "logprob": float(log_sum([scores[rows.row(prompt)][one] for one in answers])),
                "origin": context.origin,
            }
            for prompt in bare
            for label, answers in rows.candidates(prompt).items()
        )
    ]

"""What only the model's own tokens tell of prompts: answers that cannot be told apart, and positions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.errors import Fault, InputError, first_few
from harness.models.chat_tokens import check_template
from harness.models.prompt_rows import PromptRows
from harness.runner.context import RunContext
from harness.runner.tasks import Crew, Task
from harness.specs.answer_tokens import beginning
from harness.specs.plan import Plan
from harness.specs.prompt import Label, Prompt

BARE = "check baselines"
TOGETHER = 4096  # prompts that are looked at together


@dataclass(frozen=True)
class _Seen:
    """Of some prompts: what is wrong with a pair, and the most tokens of a prompt of each variant."""

    faults: tuple[tuple[str, Fault], ...]
    longest: dict[Label, int]


def check_answers(crew: Crew, plan: Plan, path: Path) -> None:
    """Raises `InputError` with each pair without tokens, or of which one answer begins the other.

    And where an edit is at a token that none of its prompts has: it would do nothing. `path` is the file of
    the prompts.
    """
    work = partial(_look, path=path, target=plan.target.name)
    tasks = (
        Task(stage, work, asked[first : first + TOGETHER])
        for stage, asked in (("check", plan.prompts), (BARE, plan.baselines))
        for first in range(0, len(asked), TOGETHER)
    )
    faults: dict[str, Fault] = {}
    longest: dict[Label, int] = {}
    for task, done in crew.results(tasks, ordered=True):
        if done.error is not None:
            raise done.error
        for pair, fault in done.value.faults:
            faults.setdefault(pair, fault)  # the other variant says the same
        # A baseline is never edited.
        of = done.value.longest if task.stage != BARE else {}
        for label, tokens in of.items():
            longest[label] = max(longest.get(label, 0), tokens)
    if faults:
        raise InputError(*faults.values())
    if beyond := list(_beyond(plan, longest)):
        raise InputError(*beyond)


def longest_answer(crew: Crew, prompts: Sequence[Prompt]) -> int:
    """The most tokens of an answer to any of the prompts. Raises as `LanguageModel.tokens`."""
    parts = (prompts[first : first + TOGETHER] for first in range(0, len(prompts), TOGETHER))
    tasks = (Task("check", _longest, tuple(some), index=at) for at, some in enumerate(parts))
    most = 0
    for _, done in crew.results(tasks):
        if done.error is not None:
            raise done.error
        most = max(most, done.value)
    return most


def _longest(context: RunContext, prompts: Sequence[Prompt]) -> int:
    rows = PromptRows(context.model, prompts)
    return max(len(answer) for row in rows.tokens for answer in row.answers)


def _look(context: RunContext, path: Path, target: str, prompts: Sequence[Prompt]) -> _Seen:
    model = context.model
    if any(prompt.chat for prompt in prompts):
        check_template(model.tokenizer)  # of the model, and not of each line
    faults: dict[str, Fault] = {}
    longest: dict[Label, int] = {}
    for prompt in prompts:
        if prompt.pair_id in faults:
            continue
        where = f"{path}:{prompt.line}"
        try:
            tokens = model.tokens(prompt.asked, *prompt.answers)
            found = beginning(where, prompt, target, *tokens.answers)
            longest[prompt.label] = max(longest.get(prompt.label, 0), len(tokens.prompt) - 1)
        except InputError as error:
            found = replace(error.faults[0], where=f"{where}, {error.faults[0].where}")
        if found:
            faults[prompt.pair_id] = found
    return _Seen(tuple(faults.items()), longest)


def _beyond(plan: Plan, longest: dict[Label, int]) -> Iterator[Fault]:
    for ablation in plan.ablations:
        if isinstance(ablation.positions, str):
            continue
        most = longest[ablation.variant]
        if absent := [place for place in ablation.positions if abs(place) > most]:
            what = f"no prompt has a token {first_few(map(str, absent))}: the longest has {most}"
            remedy = "count from 1 after BOS, or from -1 at the end"
            yield Fault(f"{plan.spec.name}, ablation {ablation.name}", what, remedy)

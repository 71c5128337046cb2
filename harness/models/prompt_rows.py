"""Prompts as rows of tokens: each distinct text once, with all of its candidate answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from harness.models.forward_types import CachedForward
from harness.models.language_model import LanguageModel
from harness.models.padded_batch import Tokens, reads_of
from harness.models.suffix import compact
from harness.specs.chat import Chat
from harness.specs.prompt import LABELS, Label, Prompt


class PromptRows:
    """The distinct texts of some prompts, each with all of its candidate answers, tokenized once.

    `tokens` has one entry a row. Prompts that ask the same share a row, unless `apart` tells them
    apart. Raises `InputError` where a prompt cannot be tokenized, see `LanguageModel.tokens`.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Iterable[Prompt],
        apart: Callable[[Prompt], str] = lambda _: "",
    ) -> None:
        # By row: each distinct answer of its prompts, and which of them it is.
        answers: dict[tuple[str | Chat, str], dict[str, int]] = {}
        for prompt in prompts:
            numbers = answers.setdefault((prompt.asked, apart(prompt)), {})
            for answer in (*prompt.answers, prompt.answer):
                numbers.setdefault(answer, len(numbers))
        self._apart = apart
        self._answers = answers
        self._rows = {key: row for row, key in enumerate(answers)}
        self.tokens: list[Tokens] = [
            model.tokens(text, *numbers) for (text, _), numbers in answers.items()
        ]

    def row(self, prompt: Prompt) -> int:
        """The row of a prompt: an index into `tokens`."""
        return self._rows[prompt.asked, self._apart(prompt)]

    def answers(self, row: int) -> tuple[str, ...]:
        """The answers of a row as texts, in the order of its `Tokens.answers`."""
        return tuple(list(self._answers.values())[row])

    def own_answer(self, prompt: Prompt) -> int:
        """The prompt's own answer, as an index into `Tokens.answers` of its row."""
        return self._answers[prompt.asked, self._apart(prompt)][prompt.answer]

    def candidates(self, prompt: Prompt) -> dict[Label, tuple[int, ...]]:
        """The members of its two candidates, by label, as indices like `own_answer`."""
        numbers = self._answers[prompt.asked, self._apart(prompt)]
        return {label: tuple(numbers[one] for one in prompt.members(label)) for label in LABELS}


def members_in(candidates: Mapping[Label, Sequence[int]]) -> Iterator[tuple[Label, int, int]]:
    """Each member of the candidates of a prompt: whose, which of them, and its index in the row."""
    for label, answers in candidates.items():
        for number, answer in enumerate(answers):
            yield label, number, answer


def cached_forward(
    model: LanguageModel, rows: Sequence[Tokens], blocks: Sequence[int]
) -> CachedForward:
    """A forward of these rows to replay from: their answers, and the stream after some blocks."""
    batch = model.batch(rows)
    return model.cached_forward(*compact(batch, reads_of(batch)), blocks)

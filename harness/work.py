"""What the stages of a run share: the model and sink they are given, and rows in batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.batch import Batch, Tokens
from harness.plan import Unit
from harness.records import LABELS, Columns, Label, Origin, Prompt
from harness.sae.jumprelu import Sae

Tap = Callable[[Tensor], Tensor | None]
Answers = list[list[Tensor]]


class GeneratedToken(Protocol):
    """One generated token and the best logits where it was chosen, (top,) each."""

    @property
    def token(self) -> int: ...
    @property
    def top_ids(self) -> Tensor: ...
    @property
    def top_logits(self) -> Tensor: ...
    @property
    def top_logprobs(self) -> Tensor: ...


class Kept(Protocol):
    """A forward to replay from."""

    @property
    def batch(self) -> Batch: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def residuals(self) -> Mapping[int, Tensor]: ...


class Model(Protocol):
    """What a run needs of a language model; `harness.model` says what each part does."""

    @property
    def device(self) -> torch.device: ...
    def tokens(self, text: str, *answers: str) -> Tokens: ...
    def text_of(self, ids: Sequence[int]) -> str: ...
    def token_of(self, token: int) -> str: ...
    def batch(self, rows: Sequence[Tokens]) -> Batch: ...
    def forward(
        self, batch: Batch, taps: Mapping[int, Tap] | None = None, *, gradients: bool = False
    ) -> Answers: ...
    def keep(self, batch: Batch, blocks: Sequence[int]) -> Kept: ...
    def replay(
        self,
        kept: Any,
        block: int,
        residual: Tensor,
        taps: Mapping[int, Tap] | None = None,
    ) -> Answers: ...
    def generate(
        self, rows: Sequence[Tokens], new_tokens: int, top: int
    ) -> Sequence[Sequence[GeneratedToken]]: ...


class Sink(Protocol):
    """Where rows go. A commit is all or nothing."""

    def finished(self, run_id: str) -> set[str]:
        """The ids of the units whose rows are in."""

    def commit(self, *columns: Columns) -> None:
        """Write all of these in one transaction."""


@dataclass(frozen=True)
class Bench:
    """A run's tools: what every stage reads and none changes."""

    run_id: str
    origin: Origin
    model: Model
    saes: Callable[[int], Sae]
    batch_size: int


class Rows:
    """The distinct texts of some prompts, each with all of its candidate answers, tokenized once."""

    def __init__(self, model: Model, prompts: Iterable[Prompt]) -> None:
        answers: dict[str, dict[str, int]] = {}
        for prompt in prompts:
            known = answers.setdefault(prompt.text, {})
            for answer in (prompt.correct, prompt.misconception, prompt.answer):
                known.setdefault(answer, len(known))
        self._answers = answers
        self._rows = {text: row for row, text in enumerate(answers)}
        self.tokens: list[Tokens] = [model.tokens(text, *known) for text, known in answers.items()]

    def row(self, prompt: Prompt) -> int:
        """The row of a prompt's text."""
        return self._rows[prompt.text]

    def own(self, prompt: Prompt) -> int:
        """Which of its row's answers is the prompt's own."""
        return self._answers[prompt.text][prompt.answer]

    def candidates(self, prompt: Prompt) -> dict[Label, int]:
        """Which of its row's answers are the two candidates."""
        known = self._answers[prompt.text]
        return {label: known[prompt.candidate(label)] for label in LABELS}


def by_length(rows: Sequence[Tokens], size: int) -> Iterator[list[int]]:
    """Indices of rows of similar length together, `size` at a time, whatever their order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i].prompt))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def batches(model: Model, rows: Sequence[Tokens], size: int) -> Iterator[tuple[list[int], Batch]]:
    """The same, padded."""
    for chosen in by_length(rows, size):
        yield chosen, model.batch([rows[i] for i in chosen])


def groups(units: Sequence[Unit], prompts: int) -> Iterator[tuple[Unit, ...]]:
    """Whole units together until they hold so many prompts.

    Groups are the same whatever is finished already: a run that is taken up again computes each row
    in the same company, so its floats are the same.
    """
    group: list[Unit] = []
    for unit in units:
        group.append(unit)
        if sum(len(member.prompts) for member in group) >= prompts:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)

"""What the stages of a run share: the model and sink they are given, and rows in batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from harness.batch import Batch, Tokens
from harness.plan import Unit
from harness.records import LABELS, Columns, Label, Origin, Prompt
from harness.sae.jumprelu import Sae

Tap = Callable[[Tensor], Tensor | None]


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


class Model(Protocol):
    """What a run needs of a language model; `harness.model` says what each part does."""

    @property
    def device(self) -> torch.device: ...
    def tokens(self, text: str, answer: str | None = None) -> Tokens: ...
    def text_of(self, ids: Sequence[int]) -> str: ...
    def token_of(self, token: int) -> str: ...
    def batch(self, rows: Sequence[Tokens]) -> Batch: ...
    def forward(
        self,
        batch: Batch,
        taps: Mapping[int, Tap] | None = None,
        *,
        after: tuple[int, Tensor] | None = None,
        gradients: bool = False,
    ) -> list[Tensor]: ...
    def generate(
        self, batch: Batch, new_tokens: int, top: int
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
    """The distinct (prompt, candidate answer) texts of some prompts, tokenized once each."""

    def __init__(self, model: Model, prompts: Iterable[Prompt]) -> None:
        self._index: dict[tuple[str, str], int] = {}
        self.tokens: list[Tokens] = []
        for prompt in prompts:
            for answer in dict.fromkeys((prompt.correct, prompt.misconception, prompt.answer)):
                key = (prompt.text, answer)
                if key not in self._index:
                    self._index[key] = len(self.tokens)
                    self.tokens.append(model.tokens(*key))

    def own(self, prompt: Prompt) -> int:
        """The row of a prompt with its own answer."""
        return self._index[prompt.text, prompt.answer]

    def candidate(self, prompt: Prompt, which: Label) -> int:
        return self._index[prompt.text, prompt.candidate(which)]

    def candidates(self, prompt: Prompt) -> dict[Label, int]:
        return {label: self.candidate(prompt, label) for label in LABELS}


def batches(
    model: Model, rows: Sequence[Tokens], size: int
) -> Iterator[tuple[list[int], Batch]]:
    """Rows of similar length together, `size` at a time, with their indices."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), rows[i].ids))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
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

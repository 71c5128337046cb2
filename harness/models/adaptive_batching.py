"""What the stages of a run share: the model and sink they are given, and rows in batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from harness.batch import Batch, Reads, Tokens, reads_of
from harness.faults import CannotRun, Fault
from harness.plan import Unit
from harness.records import LABELS, Columns, Label, Origin, Prompt
from harness.sae.jumprelu import Sae
from harness.tail import Tail, compact

Tap = Callable[[Tensor], Tensor | None]
Answers = list[list[Tensor]]
T = TypeVar("T")


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
    def reads(self) -> Reads: ...
    @property
    def logprobs(self) -> Tensor: ...
    @property
    def residuals(self) -> Mapping[int, Tensor]: ...


class Model(Protocol):
    """What a run needs of a language model; `harness.model` says what each part does."""

    @property
    def device(self) -> torch.device: ...
    @property
    def depth(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def bos(self) -> int | None: ...
    def tokens(self, text: str, *answers: str) -> Tokens: ...
    def text_of(self, ids: Sequence[int]) -> str: ...
    def token_of(self, token: int) -> str: ...
    def batch(self, rows: Sequence[Tokens]) -> Batch: ...
    def forward(
        self, batch: Batch, taps: Mapping[int, Tap] | None = None, *, gradients: bool = False
    ) -> Answers: ...
    def keep(self, batch: Batch, reads: Reads, blocks: Sequence[int]) -> Kept: ...
    def replay(
        self,
        kept: Any,
        tail: Tail,
        block: int,
        residual: Tensor,
        taps: Mapping[int, Tap] | None = None,
        *,
        gradients: bool = False,
    ) -> Tensor: ...
    def rows_within(self, budget: int, columns: int, blocks: Sequence[int]) -> int: ...
    @property
    def bytes_per_read(self) -> int: ...
    def generate(
        self, rows: Sequence[Tokens], new_tokens: int, top: int
    ) -> Sequence[Sequence[GeneratedToken]]: ...


class Sink(Protocol):
    """Where rows go. A commit is all or nothing."""

    def finished(self, run_id: str) -> set[str]:
        """The ids of the units whose rows are in."""

    def commit(self, *columns: Columns) -> None:
        """Write all of these in one transaction."""


@dataclass
class Limit:
    """How many rows a forward may have: `asked` for, and `rows` since memory last ran out."""

    asked: int
    say: Callable[[str], None] = lambda _: None
    rows: int = 0

    def __post_init__(self) -> None:
        self.rows = self.rows or self.asked


@dataclass(frozen=True)
class Bench:
    """A run's tools, which all stages share. `saes` holds one at a time: a stage takes them in turn."""

    run_id: str
    origin: Origin
    model: Model
    saes: Callable[[int], Sae]
    limit: Limit


class Rows:
    """The distinct texts of some prompts, each with all of its candidate answers, tokenized once.

    Prompts with the same text share a row, unless `apart` tells them apart.
    """

    def __init__(
        self,
        model: Model,
        prompts: Iterable[Prompt],
        apart: Callable[[Prompt], str] = lambda _: "",
    ) -> None:
        answers: dict[tuple[str, str], dict[str, int]] = {}
        for prompt in prompts:
            known = answers.setdefault((prompt.text, apart(prompt)), {})
            for answer in (prompt.correct, prompt.misconception, prompt.answer):
                known.setdefault(answer, len(known))
        self._apart = apart
        self._answers = answers
        self._rows = {key: row for row, key in enumerate(answers)}
        self.tokens: list[Tokens] = [
            model.tokens(text, *known) for (text, _), known in answers.items()
        ]

    def row(self, prompt: Prompt) -> int:
        """The row of a prompt."""
        return self._rows[prompt.text, self._apart(prompt)]

    def answers(self, row: int) -> tuple[str, ...]:
        """The answers of a row, in their order."""
        return tuple(list(self._answers.values())[row])

    def own(self, prompt: Prompt) -> int:
        """Which of its row's answers is the prompt's own."""
        return self._answers[prompt.text, self._apart(prompt)][prompt.answer]

    def candidates(self, prompt: Prompt) -> dict[Label, int]:
        """Which of its row's answers are the two candidates."""
        known = self._answers[prompt.text, self._apart(prompt)]
        return {label: known[prompt.candidate(label)] for label in LABELS}


def check_finite(streams: Mapping[int, Tensor], dtype: str) -> None:
    """Raises `CannotRun` naming the first layer whose residual stream holds NaN or infinity."""
    for layer in sorted(streams):
        if not bool(torch.isfinite(streams[layer]).all()):
            raise CannotRun(
                Fault(
                    f"layer {layer}",
                    f"the residual stream after it holds NaN or infinity in {dtype}",
                    "run it in bfloat16 or float32"
                    if dtype == "float16"
                    else "check the model's weights",
                )
            )


def by_length(rows: Sequence[Tokens], size: int) -> Iterator[list[int]]:
    """Indices of rows of similar length together, `size` at a time, whatever their order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i].prompt))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def each(
    limit: Limit, rows: Sequence[Tokens], work: Callable[[list[int]], T], most: int | None = None
) -> Iterator[tuple[list[int], T]]:
    """Rows of similar length, as many at a time as fit (and `most`), and what `work` makes of them.

    Where memory runs out the limit halves, and the same rows are worked on again. Raises `CannotRun`
    where a single row does not fit.
    """

    def parts(left: Iterable[int]) -> list[list[int]]:
        known = list(left)
        size = min(limit.rows, most or limit.rows)
        return [[known[i] for i in part] for part in by_length([rows[i] for i in known], size)]

    waiting = parts(range(len(rows)))
    while waiting:
        chosen = waiting[0]
        try:
            found = work(chosen)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            full = str(error).strip().split("\n")[0]
        else:
            yield waiting.pop(0), found
            continue
        # Outside of the handler, whose traceback holds the tensors that did not fit.
        # What a single prompt's replays take falls with the limit too.
        if limit.rows == 1:
            raise CannotRun(
                Fault(
                    "memory",
                    f"it ran out with a single prompt in the batch: {full}",
                    "use another device, fewer layers or shorter prompts",
                )
            )
        limit.rows = (len(chosen) if len(chosen) > 1 else limit.rows) // 2
        limit.say(f"memory ran out: going on with {limit.rows} rows at a time")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        waiting = parts(i for part in waiting for i in part)


def _out_of_memory(error: BaseException) -> bool:
    # CUDA has its own class; a CPU's allocator and MPS say so only in words.
    words = str(error).lower()
    return (
        isinstance(error, (torch.OutOfMemoryError, MemoryError))
        or "out of memory" in words
        or "not enough memory" in words
    )


def kept(model: Model, rows: Sequence[Tokens], blocks: Sequence[int]) -> Kept:
    """A forward of these rows to replay from: their answers, and the stream after some blocks."""
    batch = model.batch(rows)
    return model.keep(*compact(batch, reads_of(batch)), blocks)


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

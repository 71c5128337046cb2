"""What all stages of a run are given, what its caller decides, and who hears how far it is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from harness.models.adaptive_batching import BatchLimit, map_batches
from harness.models.language_model import LanguageModel
from harness.models.loading import Attention
from harness.models.padded_batch import Tokens
from harness.sae import Sae
from harness.specs.prompt import Origin
from harness.stats.own_metrics import Metrics
from harness.store.frozen_sets import FrozenSets

T = TypeVar("T")
Heard = Callable[[int, int], None]  # hears that so much of so much is done


@dataclass(frozen=True)
class RunContext:
    """What all stages of a run share: who it is, its model, its SAEs, and how many rows fit.

    `saes` gives the SAE of a layer, which may have to be read again: a stage takes them in turn. The
    context is frozen, its `limit` is not: where memory runs out it is lowered until the stage ends, and the
    lowest that it was is stored as `runs.batch_size`. `heard` is told how much of what a stage was given
    is done. `sets` are the features that ablations have from other evals. `asked` are the metrics that the
    spec names, and `own` those of them that are registered ones. `kept` is what was prepared once for all
    groups of a stage, see `once`.
    """

    run_id: str
    origin: Origin
    model: LanguageModel
    saes: Callable[[int], Sae]
    limit: BatchLimit
    heard: Heard = lambda *_: None
    sets: FrozenSets = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    own: Metrics = field(default_factory=dict)
    kept: dict[object, Any] = field(default_factory=dict)

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What `make` makes: by the first group of a stage that asks for it by this key."""
        if key not in self.kept:
            self.kept[key] = make()
        made: T = self.kept[key]
        return made

    def batches(
        self,
        rows: Sequence[Tokens],
        work: Callable[[list[int]], T],
        most: int | None = None,
    ) -> Iterator[tuple[list[int], T]]:
        """As `map_batches`, within the run's limit; what has been worked on is heard."""
        done = 0
        for chosen, result in map_batches(self.limit, rows, work, most):
            yield chosen, result
            done += len(chosen)
            self.heard(done, len(rows))


class Progress(Protocol):
    """Hears how far a stage is, in prompts."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """So many of a stage's prompts are done."""


@dataclass(frozen=True)
class How:
    """What a caller decides about a run, beside its spec and target.

    `mock` names a kind of random SAEs to take in place of the target's own; `mock_if_missing` takes
    them where the target's own cannot be had. `limit` makes it a trial on so many families of each
    side, which is evidence of nothing; 0 takes all.
    """

    device: str = "auto"
    dtype: str = ""
    attention: Attention = "eager"
    batch_size: int = 0
    threads: int = 0
    mock: str = ""
    mock_if_missing: bool = False
    limit: int = 0

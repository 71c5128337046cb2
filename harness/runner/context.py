"""What all stages of a run are given, what its caller decides, and who hears how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.models.adaptive_batching import BatchLimit
from harness.models.language_model import LanguageModel
from harness.models.loading import Attention
from harness.sae import Sae
from harness.specs.prompt import Origin


@dataclass(frozen=True)
class RunContext:
    """What all stages of a run share: who it is, its model, its SAEs, and how many rows fit.

    `saes` gives the SAE of a layer and holds one at a time: a stage takes them in turn. The context is
    frozen, its `limit` is not: where memory runs out in any stage it is lowered for all that follow,
    and what it is at the end is stored as `runs.batch_size`.
    """

    run_id: str
    origin: Origin
    model: LanguageModel
    saes: Callable[[int], Sae]
    limit: BatchLimit


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

"""A unit of work: what the store commits as a whole.

It is data, and its id is made from its content, so it can be sent to another process and an unfinished
run can be taken up where it stopped.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

# Prompts of a unit: of an ablation few, for each of them is replayed with every intervention. What is
# summed over a family is not divided.
PROMPTS = {
    "observe": 16,
    "baseline": 16,
    "generate": 16,
    "ablate": 2,
    "side effects": 16,
    "decoys": 16,
    "inject": 4,
    "trace": 16,
}
# Of what adds up over all of the discovery families' prompts, which are one group.
ADDED_UP = ("survey", "profile", "tokens", "baseline directions", "random features")
# Of which nothing else follows but verdicts; of an ablation where all of its controls come at once.
FOR_ITSELF = (
    "baseline",
    "generate",
    "predict",
    "ablate",
    "side effects",
    "decoys",
    "inject",
    "trace",
)
Stage = Literal[
    "observe",
    "baseline",
    "generate",
    "survey",
    "attribute",
    "profile",
    "baseline directions",
    "random features",
    "predict",
    "ablate",
    "side effects",
    "decoys",
    "tokens",
    "inject",
    "trace",
]


@dataclass(frozen=True, slots=True)
class Unit:
    """A family in one stage, or a part of it: what the store commits as a whole."""

    stage: Stage
    family: str
    prompts: tuple[str, ...]
    ablation: str = ""
    part: int = 0  # of an ablation's sets of controls, see `looks`
    file: str = ""  # of the prompts, where these are not the spec's own

    @property
    def id(self) -> str:
        """A hash of the content."""
        part = (f"part {self.part}",) * bool(self.part) + (f"file {self.file}",) * bool(self.file)
        content = "\x1f".join((self.stage, self.ablation, *part, self.family, *self.prompts))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

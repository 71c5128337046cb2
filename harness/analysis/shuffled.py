"""What an ablation's edit does with the values of other families' pairs in the place of its own's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.specs.ablations import ARRANGEMENTS
from harness.specs.intervention import Intervention
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.stats import arranged_means
from harness.store.tables.interventions import Impacts

Floats = NDArray[np.float64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Shuffled:
    """`impacts` (n, n_prompts) of the edits, and `sources`, (n, n_prompts), whose values each prompt had.

    A source is named by its family, and by nothing where that is not known.
    """

    impacts: Floats
    sources: Names

    def only(self, mask: NDArray[np.bool_]) -> Self:
        """The same on some of the prompts alone."""
        return type(self)(self.impacts[:, mask], self.sources[:, mask])

    def arranged(self, own: Floats, families: Names) -> Floats | None:
        """The mean impact of the true arrangement of sources, and of others; None where not all is measured.

        `own` (n_prompts,) are the impacts with each prompt's own pair as the source.
        """
        if not self.sources.all():
            return None
        return arranged_means(own, self.impacts, families, self.sources, most=ARRANGEMENTS)


def shuffled_of(
    plan: Plan,
    interventions: Sequence[Intervention],
    impacts: Impacts,
    prompts: Sequence[Prompt],
    matrix: Floats,
) -> Shuffled | None:
    """The shuffled ones of an ablation's interventions, from (n_interventions, n_prompts) of impacts."""
    lines = [i for i, one in enumerate(interventions) if one.role == "shuffled"]
    if not lines:
        return None
    family = {prompt.id: prompt.family for prompt in plan.prompts}
    place = {interventions[line].id: i for i, line in enumerate(lines)}
    column = {prompt.id: i for i, prompt in enumerate(prompts)}
    sources = np.full((len(lines), len(column)), "", dtype=object)
    for edit, prompt, source in zip(
        impacts.intervention_id, impacts.prompt_id, impacts.source_id, strict=True
    ):
        if edit in place:
            sources[place[edit], column[prompt]] = family.get(str(source), "")
    return Shuffled(matrix[lines], sources.astype(str))

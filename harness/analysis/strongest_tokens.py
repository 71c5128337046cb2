"""The tokens at which features are most active: those of the discovering prompts, by their mean."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature
from harness.specs.prompt import LABELS, Label

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenSums:
    """What features do at each distinct token of some texts, by the variant of these, in that order.

    `ids` (n_tokens,) are the tokens, which occur in so many `texts` and at so many `positions` (2, n_tokens);
    `total` (2, n_tokens, n_features) is what a feature adds up to there, and `peaks` (2, n_features) the
    sum of its largest value in each of the `n_texts` (2,).
    """

    ids: Integers
    texts: Integers
    positions: Integers
    total: Floats
    peaks: Floats
    n_texts: Integers


@dataclass(frozen=True)
class StrongToken:
    """One of the strongest tokens of a feature in the variant where it is the stronger, `label`."""

    feature: Feature
    label: Label
    rank: int
    token_id: int
    mean_activation: float
    positions: int
    texts: int


def strongest_tokens(
    sums: TokenSums, features: Sequence[Feature], ablation: Ablation, special: Collection[int]
) -> list[StrongToken]:
    """Each feature's strongest tokens, the strongest first, by its mean over all their positions.

    Of `features` in the order of the sums. Their own variant is the one in whose texts their largest value is
    larger on average; the edited one where that is equal. A token counts that is not `special`, is in as many
    texts as the spec asks for, and at which the feature is active at all. A feature without any has none.
    """
    wanted = ablation.tokens
    assert wanted is not None
    words = ~np.isin(sums.ids, sorted(special))
    edited = LABELS.index(ablation.variant)
    peaks = sums.peaks / np.maximum(sums.n_texts, 1)[:, None]
    found = []
    for column, feature in enumerate(features):
        own = edited if peaks[0, column] == peaks[1, column] else int(peaks[:, column].argmax())
        mean = sums.total[own, :, column] / np.maximum(sums.positions[own], 1)
        counts = words & (sums.texts[own] >= wanted.at_least) & (mean > 0)
        (candidates,) = counts.nonzero()
        order = np.lexsort((sums.ids[candidates], -mean[candidates]))
        found += [
            StrongToken(
                feature,
                LABELS[own],
                rank,
                int(sums.ids[at]),
                float(mean[at]),
                int(sums.positions[own, at]),
                int(sums.texts[own, at]),
            )
            for rank, at in enumerate(candidates[order][: wanted.top])
        ]
    return found

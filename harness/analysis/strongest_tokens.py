"""The tokens at which features are most active: those of the discovering prompts, by their mean.

Or the sequences of adjacent tokens, by what features are at the last of these.
"""

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
class GramSums:
    """What features do at the end of each distinct sequence of n tokens, by the variant of the texts.

    `ids` (n_grams, n) are the tokens, which occur in so many `texts` and at so many `positions`
    (2, n_grams); `total` (2, n_grams, n_features) is what a feature adds up to there.
    """

    ids: Integers
    texts: Integers
    positions: Integers
    total: Floats


@dataclass(frozen=True)
class TokenSums:
    """What features do in some texts, by the variant of these, in that order.

    `grams` are of each length from 1 up, `peaks` (2, n_features) the sum of a feature's largest value in each
    of the `n_texts` (2,).
    """

    grams: Sequence[GramSums]
    peaks: Floats
    n_texts: Integers


@dataclass(frozen=True)
class StrongTokens:
    """One of a feature's strongest tokens, or of its sequences of as many `ids`; rank 0 is the strongest.

    In the variant where the feature is the stronger, `label`.
    """

    feature: Feature
    label: Label
    rank: int
    ids: tuple[int, ...]
    mean_activation: float
    positions: int
    texts: int


def strongest_tokens(
    sums: TokenSums, features: Sequence[Feature], ablation: Ablation, special: Collection[int]
) -> list[StrongTokens]:
    """Each feature's strongest tokens of each length, the strongest first, by its mean over their positions.

    Of `features` in the order of the sums. Their own variant is the one in whose texts their largest value is
    larger on average; the edited one where that is equal. Tokens count of which none is `special`, that are
    in as many texts as the spec asks for, and at which the feature is active at all. A feature without any
    has none.
    """
    wanted = ablation.tokens
    assert wanted is not None
    edited = LABELS.index(ablation.variant)
    peaks = sums.peaks / np.maximum(sums.n_texts, 1)[:, None]
    found = []
    for column, feature in enumerate(features):
        own = edited if peaks[0, column] == peaks[1, column] else int(peaks[:, column].argmax())
        for one in sums.grams:
            words = ~np.isin(one.ids, sorted(special)).any(1)
            mean = one.total[own, :, column] / np.maximum(one.positions[own], 1)
            counts = words & (one.texts[own] >= wanted.at_least) & (mean > 0)
            (candidates,) = counts.nonzero()
            order = np.lexsort((*one.ids[candidates].T[::-1], -mean[candidates]))
            found += [
                StrongTokens(
                    feature,
                    LABELS[own],
                    rank,
                    tuple(one.ids[at].tolist()),
                    float(mean[at]),
                    int(one.positions[own, at]),
                    int(one.texts[own, at]),
                )
                for rank, at in enumerate(candidates[order][: wanted.top])
            ]
    return found

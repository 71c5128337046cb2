"""The sequences of adjacent tokens in some texts, and which of them ends where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Grams:
    """Distinct sequences of n tokens: `ids` (n_grams, n), in the order of their ids.

    `ends` has of each text, (n_tokens,), which of them ends at each token; -1 where none of them does.
    """

    ids: Integers
    ends: tuple[Integers, ...]


def grams_of(
    texts: Sequence[Integers], words: Sequence[Flags], asked: Flags, n: int, at_least: int
) -> Grams:
    """The sequences of n tokens, `words` throughout, in at least so many texts of one of the variants.

    `texts` are their ids, (n_tokens,), of which those that are `words` count, and `asked` (n_variants,
    n_texts) says which variants have a text. Each is at `at_least` positions, so that there are no more of
    them than positions of all variants divided by it: that bounds what is held of each, whatever the texts.
    """
    spans = [_windows(one, n) for one in texts]
    whole = [_windows(one, n).all(1) for one in words]
    ids, codes = np.unique(
        np.concatenate([span[kept] for span, kept in zip(spans, whole, strict=True)]),
        axis=0,
        return_inverse=True,
    )
    ends = [np.full(len(one), -1) for one in texts]
    found = np.split(codes.reshape(-1), np.cumsum([kept.sum() for kept in whole])[:-1])
    counts = np.zeros((len(asked), len(ids)), np.int64)
    for number, (kept, own) in enumerate(zip(whole, found, strict=True)):
        ends[number][n - 1 :][kept] = own
        counts[np.ix_(asked[:, number], np.unique(own))] += 1
    often = (counts >= at_least).any(0)
    # One place more, which is the last: that of no sequence stays what it is.
    renumbered = np.append(np.where(often, often.cumsum() - 1, -1), -1)
    return Grams(ids[often], tuple(renumbered[one] for one in ends))


def _windows(row: NDArray[np.generic], n: int) -> NDArray[np.generic]:
    """Each n adjacent values, (n_windows, n)."""
    count = max(len(row) - n + 1, 0)
    return np.stack([row[i : i + count] for i in range(n)], axis=1)

"""What an edit would do on average were the sources of its values dealt to the families anew.

Where every family has been given every family's source, its own among them, the mean impact of any
arrangement of sources is known without another edit. If it does not matter whose source a family has, the
true arrangement is one of all of them, each as likely, and its rank among some of them, drawn at random, is
an exact p (Hemerik and Goeman 2018): each family may be dealt its own again, as the true one deals it.
"""

from itertools import permutations
from math import perm

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import count, names_of, vector

Floats = NDArray[np.float64]
ROUNDING = 1e-9  # of the largest mean: arrangements that differ by less are equal


def arranged_means(
    own: ArrayLike,
    others: ArrayLike,
    families: ArrayLike,
    sources: ArrayLike,
    *,
    most: int,
    seed: int = 0,
) -> Floats | None:
    """The mean impact of the true arrangement of sources, and of others.

    Arguments:
        own: what the edit did to every prompt with its own family's source, (n_prompts,).
        others: the same with other families' sources, in so many ways, (n, n_prompts).
        families: the family of every prompt, (n_prompts,).
        sources: the family whose source each prompt had, (n, n_prompts).
        most: how many other arrangements to draw at random. Where there are no more, it is each once.
        seed: of the draw.

    Returns:
        (1 + arrangements,), the true one's first. None where some family was not given some source, or where
        families are too few to be dealt another one.
    """
    values = vector("own", own)
    name = names_of("families", families, len(values), each="prompt")
    most, seed = count("most", most, at_least=1), count("seed", seed, at_least=0)
    given = np.vstack([name, np.asarray(sources, dtype=str).reshape(-1, len(name))])
    done = np.vstack([values, np.asarray(others, dtype=float).reshape(-1, len(name))])
    asked, lending = np.unique(name), np.unique(given)
    column = np.searchsorted(lending, given)
    cells = np.full((len(name), len(lending)), np.nan)
    for columns, row in zip(column, done, strict=True):
        cells[np.arange(len(name)), columns] = row
    if not np.isfinite(cells).all() or perm(len(lending), len(asked)) < 2:
        return None
    sums = np.array([cells[name == one].sum(axis=0) for one in asked])
    true = np.searchsorted(lending, asked)
    dealt = _dealt(len(lending), true, most, seed)
    return np.asarray(sums[np.arange(len(asked)), np.vstack([true, dealt])].sum(axis=1) / len(name))


def _dealt(sources: int, true: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """Arrangements of so many sources: each family's, (n, n_families)."""
    if perm(sources, len(true)) <= most + 1:
        every = permutations(range(sources), len(true))
        return np.array([one for one in every if one != tuple(true)], np.intp)
    places = np.tile(np.arange(sources), (most, 1))
    return np.random.default_rng(seed).permuted(places, axis=1)[:, : len(true)]

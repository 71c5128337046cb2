"""What an edit would do on average were the sources of its values dealt to the families anew.

Where every family has been given every family's source, its own among them, the mean impact of any
arrangement of sources is known without another edit. If it does not matter whose source a family has, the
true arrangement is one of all of them, each as likely, and its rank among some of them, drawn at random, is
an exact p (Hemerik and Goeman 2018): each family may be dealt its own again, as the true one deals it.
"""

from collections.abc import Sequence
from itertools import permutations
from math import perm
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import count, names_of, real_array, vector

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
        own: what the edit did to every prompt with its own family's source, (n_prompts,). NaN here and in
            `others` is what was not measured.
        others: the same with other families' sources, in so many ways, (n, n_prompts).
        families: the family of every prompt, (n_prompts,).
        sources: the family whose source each prompt had, (n, n_prompts).
        most: how many other arrangements to draw at random. Where there are no more, it is each once.
        seed: of the draw.

    Returns:
        (1 + arrangements,), the true one's first. None where some family was not given some source, or where
        families are too few to be dealt another one.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    values = vector("own", own)
    name = names_of("families", families, len(values), each="prompt").astype(str)
    most, seed = count("most", most, at_least=1), count("seed", seed, at_least=0)
    done = np.vstack([values, _others(others, len(name))])
    given = np.vstack([name, *_sources(sources, (len(done) - 1, len(name)))])
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


def _others(others: ArrayLike, prompts: int) -> Floats:
    values = real_array("others", others)
    if values.size and (values.ndim != 2 or values.shape[1] != prompts):
        raise ValueError(f"others: has shape {values.shape}, (n, {prompts}) is needed")
    return np.asarray(values, dtype=float).reshape(-1, prompts)


def _sources(sources: ArrayLike, shape: tuple[int, int]) -> list[NDArray[Any]]:
    """The source family of every prompt, of each way."""
    if isinstance(sources, str) or not isinstance(sources, Sequence | np.ndarray):
        raise ValueError("sources: a list of families is needed, one for each prompt, for each way")
    if len(sources) != shape[0]:
        raise ValueError(f"sources: are of {len(sources)} ways, others of {shape[0]}")
    return [names_of("sources", one, shape[1], each="prompt").astype(str) for one in sources]


def _dealt(sources: int, true: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """Arrangements of so many sources: each family's, (n, n_families)."""
    if perm(sources, len(true)) <= most + 1:
        every = permutations(range(sources), len(true))
        return np.array([one for one in every if one != tuple(true)], np.intp)
    places = np.tile(np.arange(sources), (most, 1))
    return np.random.default_rng(seed).permuted(places, axis=1)[:, : len(true)]

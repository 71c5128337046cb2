"""Directions of one set paired with those of another, each with at most one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
CHUNK = 8_192  # directions that are held in float64 at once


@dataclass(frozen=True)
class Matching:
    """For each direction its partner among the `others`, (n,), and their `cosine`, (n,)."""

    partner: NDArray[np.intp]
    cosine: Floats


def match_directions(directions: ArrayLike, others: ArrayLike) -> Matching:
    """The one-to-one pairing of directions with others whose cosines have the largest sum.

    Arguments:
        directions: (n, width), of any length.
        others: (m, width), m >= n; none of them becomes the partner of two.

    Returns:
        `Matching`. A direction of length 0 has a cosine of 0 with every other. Of opposite directions the
        cosine is -1: they are no match.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    The assignment problem, solved exactly (Kuhn 1955; Crouse 2016), as Paulo and Belrose (2025,
    arXiv:2501.16615) pair the features of dictionaries of two seeds.
    """
    rows, every = np.asarray(directions), np.asarray(others)
    if rows.ndim != 2 or every.ndim != 2 or every.shape[1] != rows.shape[1] or not len(rows):
        raise ValueError(f"others: shapes {rows.shape} and {every.shape}, (n, d) and (m, d) needed")
    n, m = len(rows), len(every)
    if m < n:
        raise ValueError(f"others: has {m} directions, {n} or more are needed")
    unit = _of_length_1("directions", rows)
    cosine = np.empty((n, m))
    for start in range(0, m, CHUNK):
        some = _of_length_1("others", every[start : start + CHUNK], start)
        cosine[:, start : start + CHUNK] = unit @ some.T
    # Whatever the others take, one of a direction's n best is left to it: no more need be looked at.
    best = np.argpartition(-cosine, n - 1, axis=1)[:, :n] if n < m else np.arange(m)[None]
    columns = np.unique(best)
    order, chosen = linear_sum_assignment(cosine[:, columns], maximize=True)
    partner = np.empty(n, np.intp)
    partner[order] = columns[chosen]
    return Matching(partner, cosine[np.arange(n), partner])


def _of_length_1(name: str, values: NDArray[np.generic], first: int = 0) -> Floats:
    """Each row in float64, of length 1 or 0. Raises `ValueError` naming a row that is not finite."""
    rows = values.astype(np.float64)
    if not (finite := np.isfinite(rows).all(axis=1)).all():
        raise ValueError(f"{name}: direction {first + int(np.argmin(finite))} is not finite")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)

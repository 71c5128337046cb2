"""Arguments of the statistics: what is wrong with one is said with its name and the place."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def share(name: str, value: float) -> None:
    """`value` lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name}: {value} is not between 0 and 1")


def positive(name: str, value: float) -> None:
    """`value` is finite and larger than 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: {value} is not positive and finite")


def p_values(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """A vector of p values; NaN for what was not tested."""
    found = np.asarray(values, dtype=float)
    if found.ndim != 1:
        raise ValueError(f"{name}: has {found.ndim} dimensions, 1 is needed")
    wrong = (found < 0) | (found > 1)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise ValueError(f"{name}: {found[place]} at {place} is not between 0 and 1")
    return found


def finite(name: str, values: NDArray[np.float64]) -> None:
    """Every value of (n_pairs, n_features) is a finite number."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        pair, feature = np.argwhere(wrong)[0]
        raise ValueError(f"{name}: {values[pair, feature]} at pair {pair}, feature {feature}")

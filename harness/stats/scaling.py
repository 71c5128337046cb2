"""Powers of two that keep sums and squares inside the range of float64; they change no other bit.

Two scales: where things are added up, the largest of a feature lies far up in the range, so that no
sum overflows and next to nothing underflows; where they are squared, it lies near 1.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Powers = NDArray[np.int32]
SUMS = 980  # below 2^1024 by more than any number of pairs


def exponents(*values: Floats) -> Powers:
    """For each feature the n with all of its values within 2^n, (n_features,); 0 where all are 0.

    `values` are arrays (n_features, n) of the same features, finite.
    """
    size = np.max([np.abs(one).max(axis=1, initial=0) for one in values], axis=0)
    return np.asarray(np.frexp(size)[1], np.int32)


def rescale(values: Floats, powers: Powers) -> Floats:
    """Each feature times 2 to its power: `values` (n_features, n) or (n_features,), a power for each."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(values, powers[:, None] if values.ndim > 1 else powers))

"""How much of what one sample has another one reproduces, beyond what there is without."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.stats.arguments import check_share, dense_features, unit_codes, vector

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Transfer:
    """A share of a difference with its interval, `p` and `side` of its test; see `transferred_share`.

    `p_own` is that of the difference itself, which has to be there for a share of it, and `beyond` its sign.
    """

    share: float
    low: float
    high: float
    p: float
    side: int
    p_own: float
    beyond: int
    n_units: int


def transferred_share(
    injected: ArrayLike,
    base: ArrayLike,
    texts: ArrayLike,
    own: ArrayLike,
    units: ArrayLike,
    *,
    against: float,
    level: float = 0.95,
) -> Transfer:
    """The share of what `own` is above `base` that `injected` is above it; no text counts as more than all.

    Arguments:
        injected, base: a quantity of each text with something put into it, and without, (n_texts,).
        texts: the unit of each text, at least two.
        own: the quantity where it belongs, (n,), in the same unit.
        units: the unit of each of these, at least two: others than `texts`, whatever they are called.
        against: the share that the test asks about, in (0, 1].
        level: the coverage of the interval, in (0, 1).

    Returns:
        `Transfer`. With m = mean(own), and no text's value above m, the share is part / gap, where part =
        mean(injected) - mean(base) and gap = m - mean(base). Errors are of a jackknife over the units of each
        sample; the smaller one, `n_units`, has the degrees of freedom. `p` and `side` are of the two-sided
        test of part - against x gap = 0, `p_own` and `beyond` of m against the mean of `base` as it is.
        The share is NaN with infinite ends where the gap is 0, with all units or without one.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    Uncapped, the transfer ratio of Ma et al. (2026), tested as by Fieller (1954). The cap bounds what a text
    can weigh: no test of a mean that nothing bounds keeps its size (Bahadur and Savage 1956).
    """
    level, against = check_share("level", level), float(against)
    with_it, without, there = (
        dense_features(name, vector(name, values))[0]
        for name, values in (("injected", injected), ("base", base), ("own", own))
    )
    if with_it.shape != without.shape:
        raise ValueError(f"base: has {len(without)} texts, {len(with_it)} of injected are needed")
    of_text, of_own = unit_codes(texts, len(without))[0], unit_codes(units, len(there))[0]
    parts = _parts(with_it, without, there)
    left_out = [
        np.array([_parts(with_it[kept], without[kept], there) for kept in _without(of_text)]),
        np.array([_parts(with_it, without, there[kept]) for kept in _without(of_own)]),
    ]
    freedom = min(map(len, left_out)) - 1

    claimed, own_test = (
        _test(float(parts @ weights), [one @ weights for one in left_out], freedom)
        for weights in ([1.0, -against, 0.0], [0.0, 0.0, 1.0])
    )
    tests = *claimed, *own_test, freedom + 1
    if parts[1] <= 0 or any((one[:, 1] <= 0).any() for one in left_out):
        return Transfer(np.nan, -np.inf, np.inf, *tests)
    share = float(parts[0] / parts[1])
    reach = float(stats.t.ppf((1 + level) / 2, freedom))
    reach *= _error(share, [one[:, 0] / one[:, 1] for one in left_out])
    return Transfer(share, share - reach, share + reach, *tests)


def _parts(injected: Floats, base: Floats, own: Floats) -> Floats:
    """What is reproduced of the gap, the gap, and how far both samples lie apart as they are."""
    most = own.mean()
    without = np.minimum(base, most).mean()
    return np.array(
        [np.minimum(injected, most).mean() - without, most - without, most - base.mean()]
    )


def _without(codes: NDArray[np.intp]) -> Iterator[NDArray[np.bool_]]:
    """Which values are left without each unit."""
    return (codes != unit for unit in range(codes.max() + 1))


def _test(value: float, without: list[Floats], freedom: int) -> tuple[float, int]:
    """The two-sided p of a value against 0, and its sign."""
    error = _error(value, without)
    distance = abs(value) / error if error else np.inf if value else 0.0
    return float(2 * stats.t.sf(distance, freedom)), int(np.sign(value))


def _error(value: float, without: list[Floats]) -> float:
    """The jackknife's, of what the value is without each unit of each sample, about the value itself."""
    squares = ((len(one) - 1) / len(one) * np.square(one - value).sum() for one in without)
    return float(np.sqrt(sum(squares)))

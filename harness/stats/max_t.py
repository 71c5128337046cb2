"""The confirmatory test: sign flips of units with max-T over every feature (Westfall and Young 1993).

With x_c the sum of a feature's differences in unit c, u = sum x_c / sqrt(sum x_c^2). Flips leave the
denominator alone, and |t| grows with |u|, so max-|u| is max-|t| without a variance.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from harness.stats.flips import Flips, sign_flips

Statistic = Literal["mean", "signed-rank", "mcnemar", "pratt+mcnemar"]
Alternative = Literal["two-sided", "greater", "less"]
Floats = NDArray[np.float64]

TOLERANCE = 1e-9  # on u, where equal statistics of different flips may differ in the last bits
BLOCK = 2**24  # flips x columns held at once


@dataclass(frozen=True)
class MaxT:
    """Results per feature, (n_features,) each, and what the design could have shown.

    `statistic` is signed: the larger of its columns in absolute value. `floor` is the smallest p
    that these flips can give.
    """

    p_adjusted: Floats
    p_marginal: Floats
    statistic: Floats
    n_units: int
    n_flips: int
    exact: bool
    floor: float


def paired_max_t(
    x: ArrayLike,
    y: ArrayLike | None = None,
    units: ArrayLike | None = None,
    *,
    statistic: Statistic | None = None,
    alternative: Alternative = "two-sided",
    step_down: bool = True,
    flips: str | int = "auto",
    seed: int = 0,
) -> MaxT:
    """Test every feature of paired data, with family-wise error control over all of them.

    `x` and `y` are activations (n_pairs, n_features), dense or scipy sparse; without `y`, `x` holds
    differences. `units` names the unit of each pair, (n_pairs,): each pair its own where None.
    Statistics: `mean`; `signed-rank` (Pratt: zeros are ranked, then dropped); `mcnemar`
    ([x > 0] - [y > 0], needs `y`); `pratt+mcnemar` (the larger; the default with `y`, and
    `signed-rank` without). Raises `ValueError` naming the argument that is wrong.
    """
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"alternative: unknown '{alternative}'; use two-sided, greater or less")
    columns = _columns(x, y, units, statistic)
    if alternative == "less":
        columns = [-column for column in columns]
    two_sided = alternative == "two-sided"
    observed = _strongest(columns, two_sided)
    drawn = sign_flips(len(columns[0]), how=flips, seed=seed)
    marginal, adjusted = _count(
        columns,
        np.abs(observed) if two_sided else observed,
        drawn,
        two_sided=two_sided,
        step_down=step_down,
    )
    return MaxT(
        p_adjusted=adjusted,
        p_marginal=marginal,
        statistic=-observed if alternative == "less" else observed,
        n_units=len(columns[0]),
        n_flips=drawn.count,
        exact=drawn.exact,
        floor=drawn.floor,
    )


def paired_statistic(
    x: ArrayLike,
    y: ArrayLike | None = None,
    units: ArrayLike | None = None,
    *,
    statistic: Statistic | None = None,
) -> Floats:
    """The signed statistic that `paired_max_t` tests, (n_features,), without its p values."""
    return _strongest(_columns(x, y, units, statistic), two_sided=True)


def pratt_scores(differences: Floats) -> Floats:
    """rank |d| over all pairs with the zeros in, times the sign: zeros drop out (Pratt 1959)."""
    return stats.rankdata(np.abs(differences), axis=0) * np.sign(differences)


def unit_sums(differences: ArrayLike, units: ArrayLike | None = None) -> Floats:
    """The sum of each unit's rows, (n_units, n_features), in the order of sorted unit names."""
    rows = _array("differences", differences)
    return _unit_sums(rows, *_units(units, len(rows)))


def _columns(
    x: ArrayLike, y: ArrayLike | None, units: ArrayLike | None, statistic: Statistic | None
) -> list[Floats]:
    """The unit sums of each score, scaled: (n_units, n_features) each."""
    first = _array("x", x)
    second = None if y is None else _array("y", y)
    if second is not None and second.shape != first.shape:
        raise ValueError(f"y: has shape {second.shape}, x has {first.shape}")
    chosen = statistic or ("signed-rank" if second is None else "pratt+mcnemar")
    codes, n_units = _units(units, len(first))
    return [
        _scaled(_unit_sums(scores, codes, n_units)) for scores in _scores(first, second, chosen)
    ]


def _strongest(columns: list[Floats], two_sided: bool) -> Floats:
    """Each feature's signed u: of its columns, the one that counts."""
    observed = np.stack([column.sum(axis=0) for column in columns])
    if not two_sided:
        return observed.max(axis=0)
    return np.take_along_axis(observed, np.abs(observed).argmax(axis=0)[None], axis=0)[0]


def _scores(x: Floats, y: Floats | None, statistic: Statistic) -> list[Floats]:
    if statistic in ("mcnemar", "pratt+mcnemar") and y is None:
        raise ValueError(f"y: the statistic '{statistic}' compares two activations; give y")
    differences = x if y is None else x - y
    if statistic == "mean":
        return [differences]
    scores = []
    if statistic in ("signed-rank", "pratt+mcnemar"):
        scores.append(pratt_scores(differences))
    if y is not None and statistic in ("mcnemar", "pratt+mcnemar"):
        scores.append((x > 0).astype(float) - (y > 0))
    if not scores:
        raise ValueError(
            f"statistic: unknown '{statistic}'; use mean, signed-rank, mcnemar or pratt+mcnemar"
        )
    return scores


def _scaled(sums: Floats) -> Floats:
    """Sums divided by the root of their sum of squares; an all-zero feature stays 0."""
    scale = np.sqrt(np.square(sums).sum(axis=0))
    return sums / np.where(scale > 0, scale, 1.0)


def _count(
    columns: list[Floats], reach: Floats, drawn: Flips, *, two_sided: bool, step_down: bool
) -> tuple[Floats, Floats]:
    """Marginal and adjusted p values: how often a flip reaches each feature's statistic."""
    order = np.argsort(-reach, kind="stable")
    alive = order[np.any([column.any(axis=0) for column in columns], axis=0)[order]]
    sorted_columns = [column[:, alive] for column in columns]
    threshold = reach[alive] - TOLERANCE
    own = np.zeros(len(alive), np.int64)
    joint = np.zeros(len(alive), np.int64)
    # A feature that is zero everywhere has u = 0 under every flip. It changes no one's p: a
    # one-sided maximum is never below 0 while it is in.
    zeros_in = len(alive) < len(reach)
    block = max(1, BLOCK // max(1, len(alive)))
    for start in range(0, drawn.count, block):
        signs = drawn.signs[start : start + block].astype(float)
        flipped = _largest(signs, sorted_columns, two_sided)
        own += (flipped >= threshold).sum(axis=0)
        if step_down:
            flipped = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        else:
            flipped = flipped.max(axis=1, keepdims=True, initial=-np.inf)
        if zeros_in and not two_sided:
            flipped = np.maximum(flipped, 0.0)
        joint += (flipped >= threshold).sum(axis=0)
    marginal, adjusted = np.ones(len(reach)), np.ones(len(reach))
    marginal[alive] = drawn.p(own)
    adjusted[alive] = np.maximum.accumulate(drawn.p(joint)) if step_down else drawn.p(joint)
    return marginal, adjusted


def _largest(signs: Floats, columns: list[Floats], two_sided: bool) -> Floats:
    """Each feature's largest column under each flip, (flips, features)."""
    result = None
    for column in columns:
        values = signs @ column
        if two_sided:
            np.abs(values, out=values)
        result = values if result is None else np.maximum(result, values, out=result)
    assert result is not None
    return result


def _unit_sums(rows: Floats, codes: NDArray[np.intp], n_units: int) -> Floats:
    member = sparse.csr_array(
        (np.ones(len(codes)), (codes, np.arange(len(codes)))), (n_units, len(codes))
    )
    return member @ rows


def _units(units: ArrayLike | None, n_pairs: int) -> tuple[NDArray[np.intp], int]:
    if units is None:
        codes: NDArray[np.intp] = np.arange(n_pairs)
    else:
        names = np.asarray(units)
        if names.shape != (n_pairs,):
            raise ValueError(
                f"units: has shape {names.shape}, one for each of {n_pairs} pairs is needed"
            )
        codes = np.unique(names, return_inverse=True)[1]
    n_units = int(codes.max(initial=-1)) + 1
    if n_units < 2:
        raise ValueError(f"units: {n_units} unit{'s' * (n_units != 1)}, at least 2 are needed")
    return codes, n_units


def _array(name: str, values: ArrayLike) -> Floats:
    dense: Any = values
    array = dense.toarray() if sparse.issparse(values) else np.asarray(values)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name}: has {array.ndim} dimensions, (n_pairs, n_features) is needed")
    array = array.astype(float, copy=False)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ValueError(f"{name}: {array[row, column]} at pair {row}, feature {column}")
    return array

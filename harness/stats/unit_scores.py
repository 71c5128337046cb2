"""What is summed: each pair's score, its sum over a unit, and the unit sums of every feature.

Features come first in every result, (n_features, n_units), and blocks of features are scored one
after the other, so that memory beyond the input stays at the unit sums.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Statistic = Literal["mean", "signed-rank", "mcnemar", "pratt+mcnemar"]
Floats = NDArray[np.float64]

BLOCK = 1024  # features scored at once
EXACT_IN_FLOAT32 = 2**24  # integers up to here are exact in float32, which halves the work,
MANY = 4096  # but is compiled apart, in some seconds, once: features from which that pays


@dataclass(frozen=True)
class Columns:
    """Unit sums, (columns, n_features, n_units), and 1 / sqrt(sum of squares) of each, or 0.

    `sums` is float32 only where it holds integers that every flip's total keeps exact.
    """

    sums: NDArray[Any]
    inverse: Floats

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which features are not zero everywhere, (n_features,)."""
        return np.asarray((self.inverse > 0).any(axis=0))

    @property
    def u(self) -> Floats:
        """The observed statistic of each column, (columns, n_features)."""
        return self.sums.sum(axis=2, dtype=np.float64) * self.inverse


def score_columns(
    x: ArrayLike, y: ArrayLike | None, units: ArrayLike | None, statistic: Statistic | None
) -> Columns:
    """The unit sums of the statistic's scores: two columns for `pratt+mcnemar`, one otherwise.

    Raises `ValueError` naming the argument and the place that is wrong.
    """
    first = _matrix("x", x)
    second = None if y is None else _matrix("y", y)
    if second is not None and second.shape != first.shape:
        raise ValueError(f"y: has shape {second.shape}, x has {first.shape}")
    if statistic is None:
        statistic = "signed-rank" if second is None else "pratt+mcnemar"
    chosen = statistic
    if chosen not in get_args(Statistic):
        raise ValueError(
            f"statistic: unknown '{chosen}'; use mean, signed-rank, mcnemar or pratt+mcnemar"
        )
    if "mcnemar" in chosen and second is None:
        raise ValueError(f"y: the statistic '{chosen}' compares two activations; give y")
    n_pairs, n_features = first.shape
    codes, n_units = unit_codes(units, n_pairs)
    exact = chosen != "mean" and n_pairs * (n_pairs + 1) < EXACT_IN_FLOAT32
    kind = np.float32 if exact and n_features >= MANY else np.float64
    columns = 2 if chosen == "pratt+mcnemar" else 1
    sums = np.zeros((columns, n_features, n_units), kind)
    inverse = np.empty((columns, n_features))
    for at, a, b in _blocks(first, second):
        d = _differences(a, b)
        if chosen == "mean":
            _add_up(d, codes, sums[0, at])
        if chosen in ("signed-rank", "pratt+mcnemar"):
            _add_up(pratt_scores(d), codes, sums[0, at])
        if b is not None and "mcnemar" in chosen:
            _add_up((a > 0).astype(np.float64) - (b > 0), codes, sums[-1, at])
        for column in range(columns):
            wide = sums[column, at].astype(np.float64)
            scale = np.sqrt(np.einsum("fu,fu->f", wide, wide))
            inverse[column, at] = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1.0), 0.0)
    return Columns(sums, inverse)


@njit(nogil=True, cache=True)
def pratt_scores(differences: Floats) -> Floats:
    """Twice the rank of |d| among all pairs, zeros in, times the sign: zeros drop out (Pratt 1959).

    `differences` (n_features, n_pairs). Doubled, so that the mean rank of ties is an integer.
    """
    features, pairs = differences.shape
    scores = np.zeros((features, pairs))
    for f in range(features):
        d = differences[f]
        active = np.flatnonzero(d)
        zeros = pairs - len(active)
        size = np.abs(d[active])
        order = np.argsort(size)
        start = 0
        while start < len(active):
            stop = start + 1
            while stop < len(active) and size[order[stop]] == size[order[start]]:
                stop += 1
            for n in range(start, stop):
                pair = active[order[n]]
                # Ranks count from 1 and the zeros hold the first: twice the mean of the tied ones.
                scores[f, pair] = (2 * zeros + start + stop + 1) * np.sign(d[pair])
            start = stop
    return scores


def dense_rows(name: str, values: ArrayLike) -> Floats:
    """Finite numbers as a dense (n_pairs, n_features) array in float64."""
    matrix = _matrix(name, values)
    return _dense(name, matrix, slice(0, matrix.shape[1])).T


def unit_sums(differences: ArrayLike, units: ArrayLike | None = None) -> Floats:
    """The sum of each unit's rows, (n_units, n_features), in the order of sorted unit names."""
    rows = _matrix("differences", differences)
    codes, n_units = unit_codes(units, rows.shape[0])
    member = sparse.csr_array(
        (np.ones(len(codes)), (codes, np.arange(len(codes)))), (n_units, len(codes))
    )
    dense: Any = member @ rows.astype(np.float64)
    return dense.toarray() if sparse.issparse(dense) else dense


def unit_codes(
    units: ArrayLike | None, n_pairs: int, *, at_least: int = 2
) -> tuple[NDArray[np.intp], int]:
    """Each pair's unit as an index into the sorted unit names, and how many units there are."""
    if units is None:
        codes: NDArray[np.intp] = np.arange(n_pairs)
    else:
        given: Any = units
        names = np.asarray(list(given) if isinstance(given, tuple) else given)
        listed = list(given) if isinstance(given, list | tuple) else names.tolist()
        if names.shape != (n_pairs,):
            raise ValueError(
                f"units: has shape {names.shape}, one for each of {n_pairs} pairs is needed"
            )
        for pair, name in enumerate(listed):
            if name is None or name != name or (isinstance(name, str) and not name.strip()):
                raise ValueError(f"units: pair {pair} has none; every pair needs a unit")
        try:
            codes = np.unique(names, return_inverse=True)[1]
        except TypeError:
            raise ValueError("units: names of several types; use texts or integers") from None
    n_units = int(codes.max(initial=-1)) + 1
    if n_units < at_least:
        raise ValueError(
            f"units: {n_units} unit{'s' * (n_units != 1)}, at least {at_least} are needed"
        )
    return codes, n_units


def _differences(a: Floats, b: Floats | None) -> Floats:
    """a - b, by a power of two nearer to 1 where its squares would leave the range of float64."""
    size = np.abs(a).max(axis=1, initial=0)
    if b is not None:
        size = np.maximum(size, np.abs(b).max(axis=1, initial=0))
    extreme = (size > 1e150) | ((size < 1e-150) & (size > 0))
    if not extreme.any():
        return a if b is None else a - b
    power = np.where(extreme, -np.frexp(size)[1], 0)[:, None]
    return np.ldexp(a, power) - (0 if b is None else np.ldexp(b, power))


def _add_up(scores: Floats, codes: NDArray[np.intp], into: NDArray[Any]) -> None:
    """Adds (features, pairs) up within units, in float64."""
    if len(codes) == into.shape[1] and (codes == np.arange(len(codes))).all():
        into[:] = scores
        return
    total = np.zeros(into.shape)
    _sum_pairs(np.ascontiguousarray(scores), codes, total)
    into[:] = total


@njit(nogil=True, cache=True)
def _sum_pairs(scores: Floats, codes: NDArray[np.intp], total: Floats) -> None:
    for f in range(scores.shape[0]):
        for pair in range(len(codes)):
            total[f, codes[pair]] += scores[f, pair]


def _blocks(x: Any, y: Any) -> Iterator[tuple[slice, Floats, Floats | None]]:
    """Blocks of features, dense in float64 and features first."""
    for start in range(0, x.shape[1], BLOCK):
        at = slice(start, min(x.shape[1], start + BLOCK))
        yield at, _dense("x", x, at), None if y is None else _dense("y", y, at)


def _dense(name: str, matrix: Any, at: slice) -> Floats:
    part = matrix[:, at]
    part = part.toarray() if sparse.issparse(part) else part
    block = np.ascontiguousarray(part.T, dtype=np.float64)
    if not np.isfinite(block).all():
        feature, pair = np.argwhere(~np.isfinite(block))[0]
        raise ValueError(
            f"{name}: {block[feature, pair]} at pair {pair}, feature {at.start + feature}"
        )
    return block


def _matrix(name: str, values: ArrayLike) -> Any:
    """Values as (n_pairs, n_features), dense or in sparse columns."""
    given: Any = values
    if np.ma.is_masked(given):
        raise ValueError(f"{name}: holds masked values; leave out their pairs")
    try:
        array: Any = given if sparse.issparse(given) else np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if array.ndim == 1 and not sparse.issparse(array):
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name}: has {array.ndim} dimensions, (n_pairs, n_features) is needed")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: holds {array.dtype}, numbers are needed")
    return array.tocsc() if sparse.issparse(array) else array

"""Arguments of the statistics: what is wrong with one is said with its name and the place."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]


def dense_rows(name: str, values: ArrayLike) -> Floats:
    """Finite numbers as a dense (n_pairs, n_features) array in float64.

    `values` (n_pairs, n_features), dense or scipy sparse, or (n_pairs,) of one feature. Raises
    `ValueError` as `pair_matrix` does, and where a value is not finite.
    """
    matrix = pair_matrix(name, values)
    return dense_block(name, matrix, slice(0, matrix.shape[1])).T


def unit_codes(
    units: ArrayLike | None, n_pairs: int, *, at_least: int = 2
) -> tuple[NDArray[np.intp], int]:
    """Each pair's unit as an index into the sorted unit names, (n_pairs,), and how many units there are.

    `units` (n_pairs,) are texts or integers; where None, each pair is a unit of its own. Raises
    `ValueError` where one is missing, of another type, or where there are fewer than `at_least`.
    """
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


def dense_block(name: str, matrix: Any, at: slice) -> Floats:
    """The features `at` of a pair matrix, dense in float64: (n_features of these, n_pairs).

    `matrix` (n_pairs, n_features) is what `pair_matrix` returns. Raises `ValueError` naming the first
    value that is not finite.
    """
    part = matrix[:, at]
    part = part.toarray() if sparse.issparse(part) else part
    block = np.ascontiguousarray(part.T, dtype=np.float64)
    if not np.isfinite(block).all():
        feature, pair = np.argwhere(~np.isfinite(block))[0]
        raise ValueError(
            f"{name}: {block[feature, pair]} at pair {pair}, feature {at.start + feature}"
        )
    return block


def pair_matrix(name: str, values: ArrayLike) -> Any:
    """Values as (n_pairs, n_features), dense or in sparse columns; (n_pairs,) is one feature.

    Raises `ValueError` where they are masked, ragged, of other dimensions, or no real numbers.
    """
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


def check_share(name: str, value: float) -> None:
    """Raises `ValueError` where `value` does not lie strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name}: {value} is not between 0 and 1")


def check_positive(name: str, value: float) -> None:
    """Raises `ValueError` where `value` is not finite and larger than 0."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}: {value} is not positive and finite")


def as_p_values(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """p values (n,) in float64; NaN for what was not tested.

    Raises `ValueError` where one is not between 0 and 1, or there are more dimensions.
    """
    p = np.asarray(values, dtype=float)
    if p.ndim != 1:
        raise ValueError(f"{name}: has {p.ndim} dimensions, 1 is needed")
    wrong = (p < 0) | (p > 1)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise ValueError(f"{name}: {p[place]} at {place} is not between 0 and 1")
    return p


def check_finite_rows(name: str, values: NDArray[np.float64]) -> None:
    """Raises `ValueError` naming the first of (n_pairs, n_features) that is not a finite number."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        pair, feature = np.argwhere(wrong)[0]
        raise ValueError(f"{name}: {values[pair, feature]} at pair {pair}, feature {feature}")

"""Arguments of the statistics: what is wrong with one is said with its name and the place."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]


def dense_rows(name: str, values: ArrayLike) -> Floats:
    """Finite numbers as a dense (n_pairs, n_features) array in float64."""
    matrix = pair_matrix(name, values)
    return dense_block(name, matrix, slice(0, matrix.shape[1])).T


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


def dense_block(name: str, matrix: Any, at: slice) -> Floats:
    """The features `at` of a pair matrix, dense in float64 and features first. Raises `ValueError`."""
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

"""Arguments of the statistics: what is wrong with one is said with its name and the place."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]


def dense_features(name: str, values: ArrayLike) -> Floats:
    """Finite numbers as a dense (n_features, n_pairs) array in float64: features first.

    `values` (n_pairs, n_features), dense or scipy sparse, or (n_pairs,) of one feature. Raises
    `ValueError` as `pair_matrix` does, and where a value is not finite.
    """
    matrix = pair_matrix(name, values)
    return dense_block(name, matrix, slice(0, matrix.shape[1]))


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
        codes = np.unique(names_of("units", units, n_pairs, each="pair"), return_inverse=True)[1]
    n_units = int(codes.max(initial=-1)) + 1
    if n_units < at_least:
        raise ValueError(
            f"units: {n_units} unit{'s' * (n_units != 1)}, at least {at_least} are needed"
        )
    return codes, n_units


def names_of(name: str, values: ArrayLike, n: int, *, each: str) -> NDArray[Any]:
    """Names, (n,) texts or numbers, of what each of n things, called `each`, belongs to.

    Raises `ValueError` where one is missing, they are of several types, or there are not n.
    """
    listed = _plain(name, values)
    if not isinstance(listed, np.ndarray):
        raise ValueError(f"{name}: is sparse; a list with a name for each {each} is needed")
    if listed.shape != (n,):
        raise ValueError(f"{name}: has shape {listed.shape}, one for each of {n} {each}s is needed")
    # A list of texts and numbers became texts, and a missing one a name.
    given = list(values) if isinstance(values, list | tuple) else listed.tolist()
    for place, one in enumerate(given):
        if one is None or _differs_from_itself(one) or (isinstance(one, str) and not one.strip()):
            raise ValueError(f"{name}: {each} {place} has none; every {each} needs a {name[:-1]}")
    if len({isinstance(one, str) for one in given}) > 1:
        raise ValueError(f"{name}: names of several types; use texts or integers")
    if listed.dtype.kind == "O":  # as pandas has texts
        listed = np.asarray(given)
    if listed.dtype.kind not in "fiubUSM":
        raise ValueError(f"{name}: holds {_kind(listed)}, texts or integers are needed")
    return listed


def _differs_from_itself(value: object) -> bool:
    """NaN, and what pandas has in its place, which is neither true nor false."""
    try:
        return bool(value != value)
    except TypeError:
        return True


def dense_block(name: str, matrix: Any, at: slice) -> Floats:
    """The features `at` of a pair matrix, dense in float64: (n_features of these, n_pairs).

    `matrix` (n_pairs, n_features) is what `pair_matrix` returns. Raises `ValueError` naming the first
    value that is not finite.
    """
    part = matrix[:, at].T
    # Sparse columns are sparse rows once they are turned round, and become dense as they lie.
    block = np.ascontiguousarray(
        part.toarray() if sparse.issparse(part) else part, dtype=np.float64
    )
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
    array = real_array(name, values)
    if array.ndim == 1 and not sparse.issparse(array):
        array = array[:, None]
    if array.ndim != 2:
        raise ValueError(f"{name}: has {array.ndim} dimensions, (n_pairs, n_features) is needed")
    return array.tocsc() if sparse.issparse(array) else array


def real_array(name: str, values: ArrayLike) -> Any:
    """Real numbers as an array of numpy, or of scipy where they are sparse, in their own dtype.

    Tensors of torch are taken as well, in any dtype and from any device. Raises `ValueError` where they
    are missing, masked, ragged or no real numbers.
    """
    array = _plain(name, values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: holds {_kind(array)}, numbers are needed")
    return array


def vector(name: str, values: ArrayLike) -> Floats:
    """Real numbers (n,) in float64; raises `ValueError` as `real_array` does, and for more dimensions."""
    array = real_array(name, values)
    if sparse.issparse(array) or array.ndim != 1:
        raise ValueError(f"{name}: has {array.ndim} dimensions, 1 is needed")
    return np.asarray(array, dtype=np.float64)


def _plain(name: str, values: Any) -> Any:
    """Values as an array of numpy or a sparse one of scipy, of any dtype and shape."""
    if values is None:
        raise ValueError(f"{name}: is None, numbers are needed")
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: holds masked values; leave out their pairs")
    if sparse.issparse(values):
        return values
    try:
        # A tensor of torch, which this package does not import: numpy knows neither its gradients nor
        # its bfloat16.
        if hasattr(values, "detach"):
            tensor = values.detach().cpu().to_dense()
            return (tensor.double() if tensor.is_floating_point() else tensor).numpy()
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{name}: {str(error).partition(chr(10))[0]}") from None


def _kind(array: Any) -> str:
    """What an array holds, for a sentence."""
    if array.dtype.kind == "O":
        kinds = sorted({type(value).__name__ for value in array.ravel()[:1000]})
        return " and ".join(kinds) or "objects"
    return "texts" if array.dtype.kind in "US" else str(array.dtype)


def number(name: str, value: Any) -> float:
    """A real number; raises `ValueError` where it is another thing, or NaN."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise ValueError(f"{name}: {_shown(value)} is not a number")
    try:
        converted = float(value)
    except OverflowError:
        raise ValueError(f"{name}: {_shown(value)} is too large") from None
    if math.isnan(converted):
        raise ValueError(f"{name}: {value} is not a finite number")
    return converted


def count(name: str, value: Any, *, at_least: int) -> int:
    """A whole number; raises `ValueError` where it is another thing, or below `at_least`."""
    whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool | np.bool_) or not whole or int(value) < at_least:
        raise ValueError(f"{name}: {_shown(value)}, an integer of at least {at_least} is needed")
    number(name, value)
    return int(value)


def check_finite(name: str, value: Any) -> float:
    """The value as a float; raises `ValueError` where it is not a finite number."""
    converted = number(name, value)
    if math.isinf(converted):
        raise ValueError(f"{name}: {value} is not a finite number")
    return converted


def check_share(name: str, value: Any) -> float:
    """The value as a float; raises `ValueError` where it does not lie strictly between 0 and 1."""
    converted = number(name, value)
    if not 0 < converted < 1:
        raise ValueError(f"{name}: {value} is not between 0 and 1")
    return converted


def check_positive(name: str, value: Any) -> float:
    """The value as a float; raises `ValueError` where it is not finite and larger than 0."""
    converted = number(name, value)
    if not 0 < converted < math.inf:
        raise ValueError(f"{name}: {value} is not positive and finite")
    return converted


def check_flag(name: str, value: Any) -> None:
    """Raises `ValueError` where `value` is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}: {_shown(value)} is neither True nor False")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raises `ValueError` where `value` is none of the words that it may be."""
    if not isinstance(value, str) or value not in choices:
        listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise ValueError(f"{name}: unknown {_shown(value)}; use {listed}")


def _shown(value: object) -> str:
    """A value in a sentence, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_p_values(name: str, values: ArrayLike) -> Floats:
    """p values (n,) in float64; NaN for what was not tested.

    Raises `ValueError` where one is not between 0 and 1, or there are more dimensions.
    """
    p = vector(name, values)
    wrong = (p < 0) | (p > 1)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise ValueError(f"{name}: {p[place]} at {place} is not between 0 and 1")
    return p

"""Features a block at a time: what is dense within a block is bounded, however many features there are."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import ArrayLike

from harness.stats.arguments import Floats, dense_block, pair_matrix

WIDEST = 1024  # features of a block
HELD = 2**21  # values of a block and matrix, 16 MiB of float64


def pair_of_matrices(x: ArrayLike, y: ArrayLike | None) -> tuple[Any, Any]:
    """Both as `pair_matrix` has them, of one shape; None where there is no y. Raises `ValueError`."""
    first = pair_matrix("x", x)
    second = None if y is None else pair_matrix("y", y)
    if second is not None and second.shape != first.shape:
        raise ValueError(f"y: has shape {second.shape}, x has {first.shape}")
    return first, second


def feature_blocks(n_pairs: int, n_features: int) -> Iterator[slice]:
    """The features of each block, in order; an empty one where there are none."""
    width = max(1, min(WIDEST, HELD // max(1, n_pairs)))
    for start in range(0, max(1, n_features), width):
        yield slice(start, min(n_features, start + width))


def dense_blocks(x: Any, y: Any = None, name: str = "x") -> Iterator[tuple[Floats, Floats | None]]:
    """Blocks of features of x and y, (n_features of the block, n_pairs) in dense float64.

    Both (n_pairs, n_features) as `pair_matrix` has them. Raises `ValueError` naming the first value that is
    not finite, `name` being what x is called.
    """
    for at in feature_blocks(*x.shape):
        yield dense_block(name, x, at), None if y is None else dense_block("y", y, at)

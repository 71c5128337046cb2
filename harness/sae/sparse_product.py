"""Feature values times decoder rows, of which few are not 0: on a processor only these are added up."""

import torch
from torch import Tensor

LARGE = 2**18  # values, below which the whole product takes no time
FEW = (
    1 / 32
)  # share of them that may not be 0: each takes several times as long as in the whole product


def sparse_product(values: Tensor, rows: Tensor) -> Tensor:
    """`values` (n, n_features) @ `rows` (n_features, width), (n, width): the same up to rounding.

    Other devices compute the whole of it: they would be waited for until they said what is 0.
    """
    if values.device.type != "cpu" or values.numel() < LARGE:
        return values @ rows
    count = values.count_nonzero(1)
    if int(count.sum()) > FEW * values.numel():
        return values @ rows
    row, feature = values.nonzero(as_tuple=True)
    start = count.cumsum(0) - count
    return torch.nn.functional.embedding_bag(
        feature, rows, start, mode="sum", per_sample_weights=values[row, feature]
    )

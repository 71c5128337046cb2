"""Family-wise error by Holm, and false discovery rates: over all, and by layer.

A p of NaN was not tested: it stays NaN and changes no other.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from harness.stats.arguments import as_p_values, check_choice, check_share, names_of

Floats = NDArray[np.float64]


def fdr(p: ArrayLike, *, method: Literal["bh", "by"] = "bh") -> Floats:
    """Adjusted p values that hold the false discovery rate: reject at q where they are at most q.

    Arguments:
        p: (n,), NaN for what was not tested.
        method: `bh` for independent or positively dependent tests (Benjamini and Hochberg 1995), `by`
            under any dependence (Benjamini and Yekutieli 2001).

    Returns:
        (n,) in the order of `p`, by scipy; NaN where p is.

    Raises:
        ValueError: where a p is not between 0 and 1, or the method is another.
    """
    values = as_p_values("p", p)
    check_choice("method", method, ("bh", "by"))
    adjusted = np.full(values.shape, np.nan)
    tested = ~np.isnan(values)
    if tested.any():
        adjusted[tested] = stats.false_discovery_control(values[tested], method=method)
    return adjusted


def holm(p: ArrayLike) -> Floats:
    """Adjusted p values that hold the family-wise error under any dependence (Holm 1979).

    Arguments:
        p: (n,), NaN for what was not tested.

    Returns:
        (n,) in the order of `p`: reject where at most alpha. NaN where p is.

    Raises:
        ValueError: where a p is not between 0 and 1.
    """
    values = as_p_values("p", p)
    order = np.argsort(values)  # NaN last
    tested = int((~np.isnan(values)).sum())
    stepped = values[order] * np.maximum(tested - np.arange(len(values)), 1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


@dataclass(frozen=True)
class LayerFdr:
    """Which layers hold discoveries, and which features of these are.

    `layers` (n_layers,) in order, with their Simes p, its BH adjustment and whether each is selected,
    (n_layers,) each; `rejected` (n_features,) says which features of the selected layers are.
    """

    layers: NDArray[np.intp]
    p_layer: Floats
    p_layer_adjusted: Floats
    selected: NDArray[np.bool_]
    rejected: NDArray[np.bool_]


def hierarchical_fdr(p: ArrayLike, layers: ArrayLike, *, q: float = 0.05) -> LayerFdr:
    """Layers first, then features inside the selected ones (Benjamini and Bogomolov 2014).

    Simes' p of every layer, BH at `q` over the layers, then BH at q R / L inside the R of L selected:
    the expected average false discovery proportion over selected layers is at most q.

    Arguments:
        p: (n_features,), NaN for what was not tested. A layer without any test is not among the L.
        layers: the layer of each feature, (n_features,).
        q: the false discovery rate, in (0, 1).

    Returns:
        `LayerFdr`.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    values = as_p_values("p", p)
    names = names_of("layers", layers, len(values), each="p")
    q = check_share("q", q)
    distinct = np.unique(names)
    simes_p = np.array([simes(values[names == layer]) for layer in distinct])
    adjusted = fdr(simes_p)
    selected = adjusted <= q  # NaN is not
    inside = q * selected.sum() / max(1, (~np.isnan(simes_p)).sum())
    rejected = np.zeros(len(values), bool)
    for layer in distinct[selected]:
        members = names == layer
        rejected[members] = fdr(values[members]) <= inside
    return LayerFdr(distinct, simes_p, adjusted, selected, rejected)


def simes(p: ArrayLike) -> float:
    """The p of the hypothesis that nothing is there (Simes 1986), of p (n,); NaN where none was tested.

    It is the smallest BH-adjusted p.
    """
    adjusted = fdr(p)
    return float(np.nanmin(adjusted)) if not np.isnan(adjusted).all() else float("nan")

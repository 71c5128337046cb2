"""Directions of the residual stream that part the variants without any dictionary: what a set must beat.

Mean difference: Marks and Tegmark 2023, arXiv:2310.06824; as an edit, Arditi et al. 2024, arXiv:2406.11717.
Probe: the weights of a linear classifier (Alain and Bengio 2016, arXiv:1610.01644; Belinkov 2022). Neurons:
the dimensions of the standard basis, as beside dictionaries in Mueller et al. 2025, arXiv:2504.13151.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from harness.specs.fields import Baseline

Floats = NDArray[np.float64]
PENALTY = 1.0  # of the probe: as scikit-learn's C = 1, of streams whose root mean square is 1


def baseline_direction(name: Baseline, toward: Floats, other: Floats, features: int) -> Floats:
    """The direction (width,) of length 1 in which a baseline moves what is edited; 0 where there is none.

    Arguments:
        name: which baseline.
        toward: what the readout of each prompt holds of the variant that is moved toward, (n_prompts, width).
        other: the same of the other variant's prompts, the pairs in the same order.
        features: how many the ablation edits at this layer, and so how many neurons.
    """
    found = probe(toward, other) if name == "probe" else (toward - other).mean(axis=0)
    if name == "neurons":
        found = strongest(found, features)
    length = float(np.linalg.norm(found))
    return found / length if length > 0 else np.zeros_like(found)


def strongest(direction: Floats, most: int) -> Floats:
    """The direction (width,) in so many of its largest dimensions, and 0 in all others."""
    kept = np.argsort(-np.abs(direction), kind="stable")[:most]
    found = np.zeros_like(direction)
    found[kept] = direction[kept]
    return found


def probe(toward: Floats, other: Floats) -> Floats:
    """The weights (width,) of an L2 logistic regression that tells `toward` from `other`, (n, width) each.

    What it minimises is the sum of the prompts' log losses and half the squared length of the weights, with
    an intercept that is free, of streams that are centred and divided by their root mean square. The weights
    lie in the span of the prompts, in whose coordinates they are found; 0 where all prompts are alike.
    """
    x = np.concatenate([toward, other])
    x = x - x.mean(axis=0)
    scale = float(np.sqrt((x**2).mean()))
    if scale == 0:
        return np.zeros(x.shape[1])
    left, sizes, basis = np.linalg.svd(x / scale, full_matrices=False)
    points = left * sizes
    sign = np.repeat([1.0, -1.0], [len(toward), len(other)])

    def loss(weights: Floats) -> tuple[float, Floats]:
        own, intercept = weights[:-1], weights[-1]
        margin = sign * (points @ own + intercept)
        slope = -sign * expit(-margin)
        value = np.logaddexp(0.0, -margin).sum() + PENALTY * own @ own / 2
        return float(value), np.r_[slope @ points + PENALTY * own, slope.sum()]

    options: dict[str, Any] = {"maxiter": 10_000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(
        loss, np.zeros(points.shape[1] + 1), jac=True, method="L-BFGS-B", options=options
    )
    return np.asarray(found.x[:-1] @ basis)

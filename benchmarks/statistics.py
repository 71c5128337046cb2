"""The sign-flip max-T test beside nilearn, MNE and scipy, in one run and on the same data.

`nox -s bench_statistics`, or `python -m benchmarks.statistics [--quick]`. Each package is timed at
a number of flips that it finishes in seconds, and compared by its time for one flip of all features.
"""

import argparse
import statistics
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from benchmarks.figures import figure, seconds
from harness.stats.max_t import paired_max_t
from harness.stats.walsh_hadamard import LOW_BITS

Floats = NDArray[np.float64]
UNITS = 200
FLIPS = 2**16


def main() -> int:
    """Print every figure; 1 where one misses its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half the features, and no 82,000")
    options = parser.parse_args()
    features, rounds = (8192, 3) if options.quick else (16384, 5)
    share = features / 16384
    x, y = activations(features, active=0.5)
    warm = activations(64, active=0.5)
    for statistic in ("mean", "pratt+mcnemar"):
        paired_max_t(*warm, statistic=statistic)
    held = []
    taken = {}
    for statistic, bar in (("mean", 1.2), ("pratt+mcnemar", 2.5)):
        taken[statistic] = median(partial(paired_max_t, x, y, statistic=statistic), rounds)
        name = f"{UNITS} units x {features} features, {FLIPS} flips, {statistic}"
        held.append(figure(name, taken[statistic], "s", bar * share, at_most=True))
    ours = taken["mean"] / FLIPS
    additions = LOW_BITS * FLIPS * features
    floor = additions / (peak() / 2)  # a product does as many additions as multiplications
    print(f"{additions / 1e9:.1f} G additions: {floor:.2f} s at the speed of a matrix product")
    held.append(
        figure("time / arithmetic limit, mean", taken["mean"] / floor, "x", 12, at_most=True)
    )
    for name, other, flips in peers(x - y):
        spent = median(other, 1) / flips
        print(f"{name}: {spent * 1e3:.3f} ms a flip of all features, ours {ours * 1e3:.4f} ms")
        bar = {"nilearn permuted_ols": 100.0}.get(name, 10.0)
        held.append(figure(f"{name} / ours, time a flip", spent / ours, "x", bar))
    held += corners()
    dense = activations(features, active=1.0)
    few = [sparse.csc_array(part) for part in activations(features, active=0.05)]
    for statistic in ("mean", "pratt+mcnemar"):
        ratios = [
            seconds(partial(paired_max_t, *dense, statistic=statistic))
            / seconds(partial(paired_max_t, *few, statistic=statistic))
            for _ in range(rounds)
        ]
        held.append(
            figure(f"dense / sparse 5 % active, {statistic}", statistics.median(ratios), "x", 2.0)
        )
    if not options.quick:
        x, y = activations(82_000, active=0.5)
        for statistic, bar in (("mean", 6.0), ("pratt+mcnemar", 12.0)):
            spent = seconds(partial(paired_max_t, x, y, statistic=statistic))
            tracemalloc.start()
            paired_max_t(x, y, statistic=statistic)
            grown = tracemalloc.get_traced_memory()[1] / 2**30
            tracemalloc.stop()
            held.append(figure(f"82,000 features, {statistic}", spent, "s", bar, at_most=True))
            held.append(
                figure(f"82,000 features, {statistic}, memory", grown, "GiB", 0.93, at_most=True)
            )
    return 0 if all(held) else 1


def corners() -> list[bool]:
    """Two columns on which the peers fail: all zero, and the same difference in every unit."""
    from mne.stats import permutation_t_test
    from nilearn.mass_univariate import permuted_ols

    noise = np.random.default_rng(0).normal(size=(12, 5))
    beside_zero = np.column_stack([noise, np.zeros(12)])
    with np.errstate(all="ignore"):
        theirs = permutation_t_test(beside_zero, n_permutations=999, seed=0, verbose="error")[
            1
        ].min()
    ours = paired_max_t(beside_zero, statistic="mean").p_adjusted.min()
    print(f"noise beside an all-zero column: MNE's smallest p {theirs:.3f}, ours {ours:.3f}")
    constant = np.column_stack([noise, np.full(12, 0.7)])
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        theirs = permuted_ols(
            np.ones((12, 1)), constant, model_intercept=False, n_perm=999, verbose=0, random_state=0
        )
    logs = theirs["logp_max_t"] if isinstance(theirs, dict) else theirs[0]
    p = paired_max_t(constant, statistic="mean").p_adjusted[-1]
    print(
        f"a constant difference of 12 units: nilearn's p {10 ** -logs.ravel()[-1]:.3f}, ours {p:.5f}"
    )
    return [
        figure("smallest p of noise beside an all-zero column", ours, "p", 0.05),
        figure("p of a constant difference of 12 units", p, "p", 2 / 2**12, at_most=True),
    ]


def activations(features: int, active: float) -> tuple[Floats, Floats]:
    """Both variants of 200 pairs, log-normal where active, active in the same pairs."""
    random = np.random.default_rng(features)
    on = random.random((UNITS, features)) < active
    x, y = (random.lognormal(size=(UNITS, features)) * on for _ in range(2))
    return x, y


def median(work: Callable[[], object], rounds: int) -> float:
    """Seconds of one call."""
    return statistics.median(seconds(work) for _ in range(rounds))


def peak() -> float:
    """Additions and multiplications a second in a float64 matrix product on all cores."""
    a = np.random.default_rng(0).normal(size=(2048, 2048))
    a @ a
    return 2 * 2048**3 / median(lambda: a @ a, 5)


def peers(d: Floats) -> list[tuple[str, Callable[[], object], float]]:
    """Each package's sign-flip test of these differences, and its number of flips."""
    from mne.stats import permutation_t_test
    from nilearn.mass_univariate import permuted_ols

    ones, part = np.ones((len(d), 1)), d[:, :64]
    scale = d.shape[1] / part.shape[1]
    flips = 200

    def nilearn() -> object:
        return permuted_ols(ones, d, model_intercept=False, n_perm=flips, n_jobs=2, verbose=0)

    def mne() -> object:
        return permutation_t_test(d, n_permutations=flips, n_jobs=2, verbose="error", seed=0)

    def scipy() -> object:
        return stats.permutation_test(
            (part, np.zeros_like(part)),
            lambda a, b, axis: (a - b).mean(axis=axis),
            permutation_type="samples", n_resamples=flips, vectorized=True, axis=0, rng=0,
        )  # fmt: skip

    return [
        ("nilearn permuted_ols", nilearn, flips),
        ("MNE permutation_t_test", mne, flips),
        ("scipy permutation_test", scipy, flips / scale),
    ]


if __name__ == "__main__":
    sys.exit(main())

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
from importlib.util import find_spec

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
    held = at_size(*((8192, 3) if options.quick else (16384, 5))) + agreement() + corners()
    if not options.quick:
        held += of_every_layer()
    return 0 if all(held) else 1


def at_size(features: int, rounds: int) -> list[bool]:
    """The time of a test of so many features, by itself, beside the peers, and of sparse data."""
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
    for name, (other, flips) in peers(x - y).items():
        spent = median(other, 1) / flips
        print(f"{name}: {spent * 1e3:.3f} ms a flip of all features, ours {ours * 1e3:.4f} ms")
        bar = {"nilearn permuted_ols": 100.0}.get(name, 10.0)
        held.append(figure(f"{name} / ours, time a flip", spent / ours, "x", bar))
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
    return held


def of_every_layer() -> list[bool]:
    """Time and memory of 82,000 features, which five layers have."""
    x, y = activations(82_000, active=0.5)
    held = []
    for statistic, bar in (("mean", 6.0), ("pratt+mcnemar", 12.0)):
        spent = seconds(partial(paired_max_t, x, y, statistic=statistic))
        tracemalloc.start()
        paired_max_t(x, y, statistic=statistic)
        grown = tracemalloc.get_traced_memory()[1] / 2**30
        tracemalloc.stop()
        held += [
            figure(f"82,000 features, {statistic}", spent, "s", bar, at_most=True),
            figure(f"82,000 features, {statistic}, memory", grown, "GiB", 0.93, at_most=True),
        ]
    return held


def agreement() -> list[bool]:
    """Our p values of 12 units beside each package's, of every flip or, in nilearn, of 9,999."""
    d = np.random.default_rng(1).normal(0.3, 1, (12, 5))
    ours = paired_max_t(d, statistic="mean", step_down=False)
    flipped = stats.permutation_test(
        (d, np.zeros_like(d)), lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples", n_resamples=np.inf, vectorized=True, axis=0,
    )  # fmt: skip
    held = [close("scipy", ours.p_marginal, flipped.pvalue, 1e-9)]
    if find_spec("mne"):
        from mne.stats import permutation_t_test

        # As many as there are, said as a number: its "all" leaves one out.
        theirs = permutation_t_test(d, n_permutations=2**12, verbose="error")[1]
        held.append(close("MNE", ours.p_adjusted, theirs, 1e-9))
    if find_spec("nilearn"):
        held.append(close("nilearn", ours.p_adjusted, nilearns_p(d, 9999), 0.02))
    return held


def close(name: str, ours: Floats, theirs: Floats, near: float) -> bool:
    """Whether p values are another package's."""
    apart = float(np.abs(ours - theirs).max())
    return figure(f"p: largest difference from {name}", apart, "p", near, at_most=True)


def nilearns_p(d: Floats, flips: int) -> Floats:
    """Its p values of these differences, adjusted over all features."""
    from nilearn.mass_univariate import permuted_ols

    ones = np.ones((len(d), 1))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        theirs = permuted_ols(
            ones, d, model_intercept=False, n_perm=flips, verbose=0, random_state=0
        )
    logs = theirs["logp_max_t"] if isinstance(theirs, dict) else theirs[0]
    return 10 ** -logs.ravel()


def corners() -> list[bool]:
    """Two columns on which the peers fail: all zero, and the same difference in every unit."""
    noise = np.random.default_rng(0).normal(size=(12, 5))
    beside_zero = np.column_stack([noise, np.zeros(12)])
    ours = paired_max_t(beside_zero, statistic="mean").p_adjusted.min()
    print(f"noise beside an all-zero column: our smallest p {ours:.3f}")
    if find_spec("mne"):
        from mne.stats import permutation_t_test

        with np.errstate(all="ignore"):
            theirs = permutation_t_test(beside_zero, n_permutations=999, seed=0, verbose="error")
        print(f"  MNE's {theirs[1].min():.3f}")
    constant = np.column_stack([noise, np.full(12, 0.7)])
    p = paired_max_t(constant, statistic="mean").p_adjusted[-1]
    print(f"a constant difference of 12 units: our p {p:.5f}")
    if find_spec("nilearn"):
        print(f"  nilearn's {nilearns_p(constant, 999)[-1]:.3f}")
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


def peers(d: Floats) -> dict[str, tuple[Callable[[], object], float]]:
    """The sign-flip test of these differences in each package that is here, and its number of flips."""
    part = d[:, :64]
    scale = d.shape[1] / part.shape[1]
    flips = 200

    def scipy() -> object:
        return stats.permutation_test(
            (part, np.zeros_like(part)),
            lambda a, b, axis: (a - b).mean(axis=axis),
            permutation_type="samples", n_resamples=flips, vectorized=True, axis=0, rng=0,
        )  # fmt: skip

    here: dict[str, tuple[Callable[[], object], float]] = {}
    if find_spec("nilearn"):
        from nilearn.mass_univariate import permuted_ols

        fixed = {"model_intercept": False, "n_perm": flips, "n_jobs": 2, "verbose": 0}
        here["nilearn permuted_ols"] = (
            partial(permuted_ols, np.ones((len(d), 1)), d, **fixed),
            flips,
        )
    if find_spec("mne"):
        from mne.stats import permutation_t_test

        given = {"n_permutations": flips, "n_jobs": 2, "verbose": "error", "seed": 0}
        here["MNE permutation_t_test"] = partial(permutation_t_test, d, **given), flips
    return here | {"scipy permutation_test": (scipy, flips / scale)}


if __name__ == "__main__":
    sys.exit(main())

"""Do the tests keep what they promise? Simulated nulls, false discoveries, coverage and power.

`nox -s calibration` writes `docs/calibration.md` and its picture; the tests run a slice of it. Every
row says what was promised, what was seen in how many replicates, and the binomial interval of it.
`python -m benchmarks.calibration --redraw` draws the picture of the page that is there.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.baseline_nulls import baseline_verdicts
from benchmarks.calibration_page import draw, rows_of, table
from benchmarks.calibration_rows import Row
from benchmarks.causes import caused
from benchmarks.cluster_rows import principles, selected
from benchmarks.control_nulls import control_ranks
from benchmarks.crossfit_nulls import crossfit_verdicts
from benchmarks.decoy_nulls import decoy_verdicts
from benchmarks.figures import show
from benchmarks.set_nulls import set_verdicts
from benchmarks.skew_rows import skewed
from benchmarks.source_nulls import source_ranks
from benchmarks.stability_rows import shown_stable, stable
from benchmarks.token_nulls import token_verdicts
from benchmarks.transfer_nulls import transfer_verdicts
from benchmarks.verdict_nulls import ablation_verdicts, edit_verdicts
from harness.stats.effects import effects
from harness.stats.equivalence import equivalence
from harness.stats.intervals import mean_interval
from harness.stats.max_t import paired_max_t
from harness.stats.multiplicity import fdr, hierarchical_fdr
from harness.stats.power import power

Floats = NDArray[np.float64]
Random = np.random.Generator
DOCS = Path(__file__).parents[1] / "docs"


def dense(random: Random, units: int, features: int) -> tuple[Floats, Floats]:
    """Correlated normal activations."""
    shared = random.normal(size=(2, units, 1))
    x, y = random.normal(size=(2, units, features)) + shared
    return x, y


def sparse(random: Random, units: int, features: int) -> tuple[Floats, Floats]:
    """Log-normal where active, one time in ten."""
    x, y = random.lognormal(size=(2, units, features)) * (random.random((2, units, features)) < 0.1)
    return x, y


def binary(random: Random, units: int, features: int) -> tuple[Floats, Floats]:
    """Active or not."""
    x, y = (random.random((2, units, features)) < 0.3).astype(float)
    return x, y


def nulls(replicates: int) -> Iterator[Row]:
    """Family-wise error of max-T at .05 where nothing is there, and where half is real."""
    designs: dict[str, Callable[[Random, int, int], tuple[Floats, Floats]]] = {
        "dense": dense,
        "sparse, 10 % active": sparse,
        "binary, 30 % active": binary,
    }
    for name, made in designs.items():
        for statistic in ("mean", "pratt+mcnemar"):
            random = np.random.default_rng(1)
            hits = sum(
                paired_max_t(*made(random, 12, 40), statistic=statistic).p_adjusted.min() <= 0.05
                for _ in range(replicates)
            )
            yield Row(
                "null",
                f"{name}, {statistic}, 12 units, full group",
                0.05,
                # A continuous statistic spends all of alpha.
                "equal" if (name, statistic) == ("dense", "mean") else "at most",
                hits,
                replicates,
            )
    for statistic, flips, what in (
        ("mean", "auto", "subgroup"),
        ("pratt+mcnemar", "auto", "subgroup"),
        ("mean", 999, "999 random flips"),
    ):
        random = np.random.default_rng(2)
        hits = sum(
            paired_max_t(*dense(random, 40, 40), statistic=statistic, flips=flips).p_adjusted.min()
            <= 0.05
            for _ in range(replicates)
        )
        kind = "equal" if statistic == "mean" else "at most"
        yield Row("null", f"dense, {statistic}, 40 units, {what}", 0.05, kind, hits, replicates)
    random = np.random.default_rng(3)
    units = np.repeat(np.arange(20), 10)
    hits = 0
    for _ in range(replicates):
        d = random.normal(size=(20, 20))[units] + random.normal(size=(200, 20))
        hits += paired_max_t(d, units=units, statistic="mean").p_adjusted.min() <= 0.05
    yield Row(
        "null", "20 families of 10 pairs, correlation .5, mean", 0.05, "at most", hits, replicates
    )
    random = np.random.default_rng(4)
    hits = 0
    for _ in range(replicates):
        x, y = dense(random, 12, 40)
        x[:, :20] += 1.5
        hits += paired_max_t(x, y, statistic="mean").p_adjusted[20:].min() <= 0.05
    yield Row(
        "null",
        "half the features real, step-down, the other half",
        0.05,
        "at most",
        hits,
        replicates,
    )


def discoveries(replicates: int) -> Iterator[Row]:
    """The expected share of false ones among what is discovered, as a rounded number of replicates."""
    totals = {"BH over all": 0.0, "layer, then feature (mean over selected layers)": 0.0}
    random = np.random.default_rng(5)
    layers = np.repeat(np.arange(5), 20)
    real = (layers < 2) & (np.arange(100) % 2 == 0)
    for _ in range(replicates):
        d = random.normal(size=(14, 100)) + 1.2 * real
        p = paired_max_t(d, statistic="mean").p_marginal
        discovered = fdr(p) <= 0.05
        totals["BH over all"] += (discovered & ~real).sum() / max(1, discovered.sum())
        by_layer = hierarchical_fdr(p, layers)
        shares = [
            (by_layer.rejected & ~real & (layers == layer)).sum()
            / max(1, (by_layer.rejected & (layers == layer)).sum())
            for layer in by_layer.layers[by_layer.selected]
        ]
        totals["layer, then feature (mean over selected layers)"] += (
            np.mean(shares) if shares else 0
        )
    for name, total in totals.items():
        yield Row("discoveries", f"false share, {name}", 0.05, "at most", round(total), replicates)


def coverage(replicates: int) -> Iterator[Row]:
    """How often an interval holds the truth, and how often equivalence is claimed at its margin."""
    for families in (8, 20):
        random = np.random.default_rng(families)
        units = np.repeat(np.arange(families), 5)
        covered = claimed = 0
        for _ in range(replicates):
            d = 0.7 + random.normal(size=families)[units] + random.normal(size=len(units))
            interval = mean_interval(d, units)
            covered += interval.low[0] <= 0.7 <= interval.high[0]
            claimed += equivalence(d, units, margin=0.7).p <= 0.05
        yield Row(
            "coverage",
            f"mean, CRV3-t, {families} families of 5",
            0.95,
            "equal",
            covered,
            replicates,
        )
        yield Row(
            "coverage",
            f"equivalence claimed at its margin, {families} families",
            0.05,
            "at most",
            claimed,
            replicates,
        )
    random = np.random.default_rng(6)
    d = 0.5 + random.normal(size=(15, replicates))
    sizes = effects(d, None, np.arange(15))
    covered = int(((sizes.d_z_low <= 0.5) & (sizes.d_z_high >= 0.5)).sum())
    yield Row("coverage", "d_z = .5, noncentral t, 15 units", 0.95, "equal", covered, replicates)


def powers(replicates: int) -> Iterator[Row]:
    """The formula against tests of drawn data: Student's t, and sign flips beside it."""
    for d_z, units, alpha in ((0.5, 20, 0.05), (0.9, 12, 0.01), (1.2, 20, 0.001)):
        random = np.random.default_rng(units)
        d = d_z + random.normal(size=(units, replicates))
        promised = power(d_z, units, alpha=alpha)
        design = f"d_z {d_z}, {units} units, alpha {alpha}"
        hits = int((stats.ttest_1samp(d, 0).pvalue <= alpha).sum())
        yield Row("power", f"t test, {design}", promised, "equal", hits, replicates)
        flipped = paired_max_t(d, statistic="mean").p_marginal
        hits = int((flipped <= alpha).sum())
        yield Row("power", f"sign flips, {design}", promised, "equal", hits, replicates)


PARTS = (
    nulls,
    discoveries,
    coverage,
    powers,
    ablation_verdicts,
    edit_verdicts,
    decoy_verdicts,
    transfer_verdicts,
    control_ranks,
    source_ranks,
    baseline_verdicts,
    caused,
    skewed,
    principles,
    selected,
    stable,
    shown_stable,
    crossfit_verdicts,
    set_verdicts,
    token_verdicts,
)


def calibrate(replicates: int) -> list[Row]:
    """Every row."""
    return [row for part in PARTS for row in part(replicates)]


def main() -> int:
    """Write the page and its picture; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=4000)
    parser.add_argument(
        "--redraw",
        action="store_true",
        help="Draw the page that is there again, and simulate nothing.",
    )
    options = parser.parse_args()
    page = DOCS / "calibration.md"
    if options.redraw:
        draw(rows_of(page.read_text(encoding="utf-8")), DOCS / "calibration.png")
        return 0
    rows = calibrate(options.replicates)
    DOCS.mkdir(exist_ok=True)
    page.write_text(table(rows), encoding="utf-8")
    draw(rows, DOCS / "calibration.png")
    for row in rows:
        show(row.what, row.share, "of 1", row.nominal, row.holds, promise=row.kind)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

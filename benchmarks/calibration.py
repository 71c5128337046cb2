"""Do the tests keep what they promise? Simulated nulls, false discoveries, coverage and power.

`nox -s calibration` writes `docs/calibration.md` and its picture; the tests run a slice of it. Every
row says what was promised, what was seen in how many replicates, and the binomial interval of it.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.calibration_rows import LEVEL, Row
from benchmarks.causes import caused
from benchmarks.cluster_rows import principles, selected
from benchmarks.control_nulls import control_ranks
from benchmarks.decoy_nulls import decoy_verdicts
from benchmarks.figures import show
from benchmarks.skew_rows import skewed
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
    for name, draw in designs.items():
        for statistic in ("mean", "pratt+mcnemar"):
            random = np.random.default_rng(1)
            hits = sum(
                paired_max_t(*draw(random, 12, 40), statistic=statistic).p_adjusted.min() <= 0.05
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
    control_ranks,
    caused,
    skewed,
    principles,
    selected,
)


def calibrate(replicates: int) -> list[Row]:
    """Every row."""
    return [row for part in PARTS for row in part(replicates)]


def table(rows: list[Row]) -> str:
    """The rows as a page."""
    lines = [
        "# Calibration",
        "",
        "What the statistics promise and what simulation shows, written by `nox -s calibration`. Each row",
        f"is held against the exact {LEVEL:.1%} binomial interval of what was seen. Below a promise of",
        "*at most* is in order: max-T is conservative on sparse and binary data, where its statistic",
        "takes few values. Where nothing is promised, an assumption does not hold and what is seen is what",
        "that costs, or a power is shown.",
        "",
        "![Promised and seen](calibration.png)",
        "",
        "| | promised | seen | interval | replicates | holds |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row.interval
        sign = "≤ " if row.kind == "at most" else ""
        promised = "nothing" if row.kind == "none" else f"{sign}{row.nominal:.3f}"
        holds = "" if row.kind == "none" else "yes" if row.holds else "**no**"
        lines.append(
            f"| {row.what} | {promised} | {row.share:.4f} | {low:.4f} to {high:.4f} "
            f"| {row.replicates} | {holds} |"
        )
    return "\n".join(lines) + "\n"


def draw(rows: list[Row], path: Path) -> None:
    """Promised against seen, a row each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(10, 0.34 * len(rows) + 1), layout="constrained")
    for i, row in enumerate(rows):
        low, high = row.interval
        colour = "#777777" if row.kind == "none" else "#1b7837" if row.holds else "#b2182b"
        axes.plot([low, high], [i, i], color=colour, linewidth=2)
        axes.plot(row.share, i, "o", color=colour, markersize=5)
        axes.plot(row.nominal, i, "|", color="black", markersize=14)
    axes.set_yticks(range(len(rows)), [row.what for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("logit")
    axes.set_xlim(0.003, 0.997)
    shares = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99]
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel("share of replicates: promised (black bar), seen (dot) with its interval")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> int:
    """Write the page and its picture; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=4000)
    options = parser.parse_args()
    rows = calibrate(options.replicates)
    DOCS.mkdir(exist_ok=True)
    (DOCS / "calibration.md").write_text(table(rows), encoding="utf-8")
    draw(rows, DOCS / "calibration.png")
    for row in rows:
        show(row.what, row.share, "of 1", row.nominal, row.holds, promise=row.kind)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

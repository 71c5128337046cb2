"""The rows of the calibration as a page and as a picture, and read again from the page."""

import re
from pathlib import Path

from benchmarks.calibration_rows import LEVEL, Row

_LINE = re.compile(
    r"\| (.+) \| (nothing|(?:≤ )?[\d.]+) \| ([\d.]+) \| [\d.]+ to [\d.]+ \| (\d+) \| .*\|"
)
SHOWN = (0.003, 0.997)  # shares, of which 0 and 1 lie at the ends


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
        # So many digits that the count can be read from the share again.
        digits = max(4, len(str(row.replicates)))
        lines.append(
            f"| {row.what} | {promised} | {row.share:.{digits}f} | {low:.4f} to {high:.4f} "
            f"| {row.replicates} | {holds} |"
        )
    return "\n".join(lines) + "\n"


def rows_of(page: str) -> list[Row]:
    """The rows that a page has; of those that nothing is promised for, without what they would be held to."""
    rows = []
    for line in page.splitlines():
        if match := _LINE.fullmatch(line):
            what, promised, share, replicates = match.groups()
            kind = {"n": "none", "≤": "at most"}.get(promised[0], "equal")
            nominal = float("nan") if kind == "none" else float(promised.removeprefix("≤ "))
            rows.append(
                Row("", what, nominal, kind, round(float(share) * int(replicates)), int(replicates))
            )
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Promised against seen, a row each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def placed(share: float) -> float:
        return min(max(share, SHOWN[0]), SHOWN[1])

    figure, axes = pyplot.subplots(figsize=(13, 0.26 * len(rows) + 1.2), layout="constrained")
    for i, row in enumerate(rows):
        low, high = map(placed, row.interval)
        colour = "#777777" if row.kind == "none" else "#1b7837" if row.holds else "#b2182b"
        axes.plot([low, high], [i, i], color=colour, linewidth=2)
        axes.plot(placed(row.share), i, "o", color=colour, markersize=5, clip_on=False)
        if row.kind != "none":
            axes.plot(row.nominal, i, "|", color="black", markersize=14)
    axes.set_yticks(range(len(rows)), [row.what for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("logit")
    axes.set_xlim(*SHOWN)
    shares = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9, 0.95, 0.99]
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel(
        "share of replicates: promised (bar), seen (dot) with its interval; 0 at the left edge"
    )
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

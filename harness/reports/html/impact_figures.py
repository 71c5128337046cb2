"""Figures of an ablation as a report has them: its own impact, and beside it what it is held against."""

from dataclasses import dataclass
from typing import cast

from harness.reports.run_data import Row
from harness.specs.fields import BASELINES, Baseline
from harness.specs.fields import as_large as in_words


@dataclass(frozen=True)
class ImpactFigure:
    """One figure of an ablation in the run's metric, with its 95 % interval, and the claims about it."""

    what: str
    impact: float
    ci_low: float | None
    ci_high: float | None
    p: float | None
    claims: tuple[str, ...]


def beside_controls(row: Row, claims: tuple[str, ...]) -> list[ImpactFigure]:
    """The mean of an ablation's controls, and the target minus that, from the target's row."""
    many = f"mean of its {row['n_controls']} controls"
    span = row["beyond_low"], row["beyond_high"], row["p_beyond"]
    return [
        ImpactFigure(many, row["mean_control"], None, None, None, ()),
        ImpactFigure("target minus controls", row["beyond_controls"], *span, claims),
    ]


def beside_baseline(row: Row, claims: tuple[str, ...]) -> list[ImpactFigure]:
    """What a baseline does, and the target minus that, from the row of its test."""
    name, span = row["baseline"], (row["ci_low"], row["ci_high"], row["p"])
    what = f"target minus {BASELINES[cast('Baseline', name)]}"
    return [
        ImpactFigure(as_large(name), row["baseline_impact"], None, None, None, ()),
        ImpactFigure(what, row["difference"], *span, claims),
    ]


def as_large(name: str) -> str:
    """A baseline in words."""
    return in_words(cast("Baseline", name))

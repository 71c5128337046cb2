"""What a run's design could show at all: its floor, and the effects it detects."""

from dataclasses import dataclass

from harness.plan import families_needed, smallest_p
from harness.records import Prompts
from harness.report.source import Run, Source, rows_of
from harness.stats.power import minimum_detectable


@dataclass(frozen=True)
class Design:
    """Families and pairs, the smallest p they can give, and the d_z found four times in five."""

    confirming: int
    discovering: int
    pairs: int
    floor: float
    reachable: bool
    needed: int | None
    tests: int
    one: float | None
    every: float | None


def design_of(source: Source, run: Run, tests: int) -> Design | None:
    """For so many `tests` of features at once; None where the run has no prompts."""
    prompts = rows_of(source, Prompts, run["run_id"])
    if not prompts:
        return None
    confirming = {row["family"] for row in prompts if row["split"] == "confirmation"}
    families = {row["family"] for row in prompts}
    floor, alpha = smallest_p(len(confirming)), run["alpha"]
    reachable = floor <= alpha

    def detectable(level: float) -> float:
        return minimum_detectable(len(confirming), alpha=level)

    return Design(
        confirming=len(confirming),
        discovering=len(families) - len(confirming),
        pairs=len({row["pair_id"] for row in prompts if row["split"] == "confirmation"}),
        floor=floor,
        reachable=reachable,
        needed=families_needed(alpha),
        tests=tests,
        one=detectable(alpha) if reachable else None,
        every=detectable(alpha / tests) if reachable and tests else None,
    )

"""From a run's rows to its outcome: verdicts drawn, stored and handed to the surfaces."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from harness.analysis.cautions import cautions_of, with_cautions
from harness.analysis.run_analysis import analyse
from harness.analysis.verdict import Verdict
from harness.analysis.verdicts import verdict_rows, verdicts
from harness.specs.known_features import load_truth
from harness.specs.plan import Plan
from harness.specs.targets import Target
from harness.store.interface import ReadStore, RunStore
from harness.store.tables.observations import SaeHealth
from harness.store.tables.results import Verdicts
from harness.store.values import none_for_nan


@dataclass(frozen=True)
class Outcome:
    """A finished run: what the surfaces show."""

    run_id: str
    spec: str
    question: str
    target: Target
    families: int
    verdicts: tuple[Verdict, ...]
    exploratory: str | None
    warnings: tuple[str, ...]
    db: Path
    seconds: float
    limited: bool = False
    reads: bool = True

    @classmethod
    def of(
        cls,
        store: RunStore,
        plan: Plan,
        run_id: str,
        verdicts: tuple[Verdict, ...],
        exploratory: str | None,
        seconds: float,
    ) -> Self:
        """What the surfaces show of a run whose verdicts are in `store`."""
        return cls(
            run_id=run_id,
            spec=plan.spec.name,
            question=plan.spec.question,
            target=plan.target,
            families=len(plan.sides),
            verdicts=verdicts,
            exploratory=exploratory,
            warnings=warnings_of(store, run_id),
            db=store.path,
            seconds=seconds,
            limited=bool(plan.limit),
            reads=bool(plan.layers),
        )

    @property
    def all_supported(self) -> bool:
        """Whether every claim is, by evidence, and every guard is held."""
        return self.is_evidence and all(one.stands for one in self.verdicts)

    @property
    def is_evidence(self) -> bool:
        """Whether it ran on every family, with SAEs that were trained: else it supports nothing."""
        return not self.trial

    @property
    def trial(self) -> str:
        """What makes it a trial, in a word: `mock`, `limited`, or nothing does."""
        return "mock" if self.target.origin == "mock" else "limited" if self.limited else ""


def conclude(
    store: RunStore, plan: Plan, run_id: str, exploratory: str | None, **values: object
) -> tuple[Verdict, ...]:
    """Analyse a run whose units are all in, and store its tests and verdicts, all or nothing.

    Returns the verdicts with their cautions. `values` are columns of the run's line that change with them.
    """
    origin = plan.target.origin
    analysis = analyse(store, plan, run_id, origin)
    truth = load_truth(plan.target)
    known = None if truth is None else frozenset((one.layer, one.feature) for one in truth)
    found = verdicts(analysis, known, run_id)
    alpha = plan.spec.contrast.alpha
    rows = verdict_rows(found, run_id, alpha, exploratory is not None, origin)
    floors = [one.noise for one in analysis.ablations.values() if one.noise >= 0]  # not NaN
    floor = max(floors, default=None)
    values = {"exploratory": exploratory, "noise_floor": floor, **values}
    store.replace(run_id, *analysis.rows, rows, **values)
    return with_cautions(found, cautions_of(store, run_id, plan.target.name))


def stored_verdicts(store: ReadStore, run_id: str, target: str) -> dict[str, Verdict]:
    """What became of each claim of a stored run, with its cautions, by the claim's name."""
    names = [one.name for one in fields(Verdict) if one.name in Verdicts.names()]
    rows = store.read(Verdicts, run_id).rows()
    drawn = [Verdict(**{name: none_for_nan(row[name]) for name in names}) for row in rows]
    return {one.claim: one for one in with_cautions(drawn, cautions_of(store, run_id, target))}


def warnings_of(store: RunStore, run_id: str) -> tuple[str, ...]:
    """What the SAEs' health says against them."""
    health = store.read(SaeHealth, run_id)
    return tuple(
        f"the SAE of layer {layer}: {warning}"
        for layer, warning in zip(health.layer, health.warning, strict=True)
        if warning
    )

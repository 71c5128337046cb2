"""From a run's rows to its outcome: verdicts drawn, stored and handed to the surfaces."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.analyse import analyse
from harness.faults import Fault, InputError
from harness.places import DEFAULT_DB
from harness.plan import Plan, trial_of
from harness.read import load_plan
from harness.records import SaeHealth
from harness.run import Results
from harness.runs import check_finished, find_run
from harness.store import WAIT, Store
from harness.target import MOCK, Target, load_truth
from harness.verdicts import Verdict, to_columns, verdicts

# The parts of a spec that decide what is computed; the others decide what is made of it.
_RUN = ("targets", "prompts", "readout", "split", "ablations", "metric", "new_tokens")


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

    @property
    def all_supported(self) -> bool:
        """Whether every claim is, by evidence."""
        return self.is_evidence and all(one.verdict == "supported" for one in self.verdicts)

    @property
    def is_evidence(self) -> bool:
        """Whether it ran on every family, with SAEs that were trained: else it supports nothing."""
        return not self.trial

    @property
    def trial(self) -> str:
        """What makes it a trial, in a word: `mock`, `limited`, or nothing does."""
        return "mock" if self.target.origin == "mock" else "limited" if self.limited else ""


def conclude(
    store: Results, plan: Plan, run_id: str, exploratory: str | None, **values: object
) -> tuple[Verdict, ...]:
    """Analyse a run whose units are all in, and store its tests and verdicts, all or nothing.

    `values` are columns of the run's line that change with them.
    """
    origin = plan.target.origin
    analysis = analyse(store, plan, run_id, origin)
    truth = load_truth(plan.target)
    known = None if truth is None else frozenset((one.layer, one.feature) for one in truth)
    found = tuple(verdicts(analysis, known, run_id))
    alpha = plan.spec.contrast.alpha
    rows = to_columns(found, run_id, alpha, exploratory is not None, origin)
    store.replace(run_id, *analysis.rows, rows, exploratory=exploratory, **values)
    return found


def analyse_again(
    run_id: str,
    *,
    db: str | Path = DEFAULT_DB,
    wait: float = WAIT,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Draw the verdicts of a stored run again, with the spec as it stands now.

    `run_id` is an id, its beginning, a spec's name or `latest`. Raises `InputError` or `CannotRun`.
    """
    with Store.open(db, create=False, wait=wait, say=say) as store:
        run = find_run(store, run_id)
        check_finished(run)
        name = run["run_id"]
        plan = load_plan(run["spec_path"], run["target"])
        if run["origin"] == "mock" and plan.target.sae != run["sae"]:
            plan = load_plan(run["spec_path"], run["target"], run["sae"].removeprefix(MOCK))
        then = json.loads(run["spec"])
        now = json.loads(plan.spec.canonical())
        changed = [part for part in _RUN if now[part] != then.get(part)]
        if plan.prompts_hash != run["prompts_hash"]:
            plan = trial_of(plan, run["prompts_hash"]) or plan
        if plan.prompts_hash != run["prompts_hash"]:
            changed.append("prompts")
        if changed:
            raise InputError(
                Fault(
                    f"run {name}",
                    f"its {' and '.join(dict.fromkeys(changed))} changed since it was run",
                    "run the spec again",
                )
            )
        exploratory, analysed = run["exploratory"], None
        if plan.spec.hash != run["spec_hash"]:
            exploratory, analysed = "the spec changed since the run", plan.spec.canonical()
        exploratory = plan.limited or exploratory
        found = conclude(store, plan, name, exploratory, analysed_spec=analysed)
        return Outcome(
            run_id=name,
            spec=plan.spec.name,
            question=plan.spec.question,
            target=plan.target,
            families=len(plan.sides),
            verdicts=found,
            exploratory=exploratory,
            warnings=warnings_of(store, name),
            db=store.path,
            seconds=run["wall_seconds"],
            limited=bool(plan.limit),
            reads=bool(plan.layers),
        )


def warnings_of(store: Results, run_id: str) -> tuple[str, ...]:
    """What the SAEs' health says against them."""
    health = store.read(SaeHealth, run_id)
    return tuple(
        f"the SAE of layer {layer}: {warning}"
        for layer, warning in zip(health.layer, health.warning, strict=True)
        if warning
    )

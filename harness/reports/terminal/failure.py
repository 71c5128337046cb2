"""A claim that is not supported, in the few lines that a test report has for it."""

import math
from typing import TYPE_CHECKING

from harness.characters import disarm, one_line
from harness.reports.text import caution_text, sql_command, verdict_numbers
from harness.specs.claims import Claim, in_words, is_equivalence
from harness.specs.design import asked_for
from harness.specs.edit_claims import AblationClaim
from harness.specs.spec import Spec

if TYPE_CHECKING:
    from harness.analysis.verdict import Verdict
    from harness.runner.outcome import Outcome


def failure_text(spec: Spec, claim: Claim, verdict: "Verdict", outcome: "Outcome") -> str:
    """What was claimed, what was seen, what it rests on, and the query that shows the rows."""
    lines = {
        "claimed": in_words(claim, spec.cluster, spec.variants, spec.metric),
        "observed": _observed(spec, claim, verdict),
        "rests on": "; ".join([verdict.because, *_needed(spec, claim, verdict, outcome.families)]),
        "caution": "; ".join(map(caution_text, verdict.cautions)),
        "exploratory": outcome.exploratory,
        "rows": sql_command(outcome.db, verdict.query),
    }
    shown = [f"  {name:<11}  {one_line(text)}" for name, text in lines.items() if text]
    head = f"{verdict.verdict}: {verdict.claim}, on {outcome.target.name}"
    return disarm("\n".join([one_line(head), *shown]))


def _observed(spec: Spec, claim: Claim, verdict: "Verdict") -> str:
    estimate, interval, p = verdict_numbers(verdict)
    if verdict.unit == "features" and verdict.estimate is not None:
        estimate += f" feature{'' if verdict.estimate == 1 else 's'}"
    parts = [estimate if verdict.estimate is not None else ""]
    if verdict.ci_low is not None:
        equivalence = is_equivalence(claim)
        level = 1 - spec.contrast.alpha * (2 if equivalence else 1)
        parts.append(f"{level:.0%} interval {interval}")
    parts.append(f"p {p}" if verdict.p is not None else "")
    return ", ".join(part for part in parts if part) or "nothing that can be estimated"


def _needed(spec: Spec, claim: Claim, verdict: "Verdict", families: int) -> list[str]:
    """What it would take to test what could not be tested."""
    alpha = spec.contrast.alpha
    if verdict.verdict != "untestable":
        return []
    if verdict.floor > alpha:
        return [asked_for(spec, families, spec.cluster_of(claim))]
    if isinstance(claim, AblationClaim) and "controls" in verdict.because:
        return [f"it needs {math.ceil(1 / alpha - 1e-9) - 1} controls"]
    return []

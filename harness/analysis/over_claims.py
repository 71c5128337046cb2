"""The claims of a spec on one target, judged beside each other: each alone may be read, so all are corrected.

That every claim of a spec is supported needs no correction: it is an intersection-union test. A single one
that is read alone does, and so it is by Holm (1979), unless the spec fixes the order in which its claims are
tested, or says why it leaves the correction out.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.analysis.verdict import Verdict
from harness.specs.spec import Spec
from harness.stats import holm

DECIDED = ("supported", "refuted")


def over_claims(found: Sequence[Verdict], spec: Spec) -> tuple[Verdict, ...]:
    """The verdicts as they stand beside each other, in the order of the spec, each with its `p_holm`.

    Guards are no claims, and what cannot be tested is no test: neither counts.
    """
    if spec.unadjusted:
        note = f"not corrected over claims: {spec.unadjusted}"
        return tuple(
            replace(one, because=f"{one.because}; {note}") if _is_tested(one) else one
            for one in found
        )
    if spec.order == "fixed-sequence":
        return _in_order(found)
    return _by_holm(found, spec.contrast.alpha)


def _is_tested(one: Verdict) -> bool:
    return one.p is not None and one.verdict in (*DECIDED, "inconclusive")


def _in_order(found: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Each at alpha, until one is not supported: what comes after it is not reached."""
    judged: list[Verdict] = []
    failed = ""
    for one in found:
        if not _is_tested(one):
            judged.append(one)
            continue
        if failed and one.verdict in DECIDED:
            because = f"{one.because}; not reached: {failed} comes before it and is not supported"
            one = replace(one, verdict="inconclusive", because=because)
        judged.append(one)
        if one.verdict != "supported":
            failed = failed or one.claim
    return tuple(judged)


def _by_holm(found: Sequence[Verdict], alpha: float) -> tuple[Verdict, ...]:
    tested = [i for i, one in enumerate(found) if _is_tested(one)]
    judged = list(found)
    p = np.array([found[i].p for i in tested], float)
    for i, corrected in zip(tested, holm(p).tolist(), strict=True):
        one = replace(found[i], p_holm=corrected)
        if one.verdict in DECIDED and corrected > alpha:
            because = f"{one.because}; over {len(tested)} claims p_holm {corrected:.2g}"
            one = replace(one, verdict="inconclusive", because=because)
        judged[i] = one
    return tuple(judged)

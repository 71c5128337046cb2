"""Claims about ablations: the impact by itself, beyond matched controls, and its rank among them.

A claim that an edit moves the answers beyond its controls says three things at once. It is supported where
each of them is shown in the claimed direction at alpha, an intersection-union test that needs no correction
(Berger 1982). It is refuted where the impact by itself, or its rank, is shown the other way at a third of
alpha. The difference from the controls' mean does not refute alone: any two sets differ, and with enough
families so does one that was drawn at random. That an impact is next to nothing beside its controls says
two things: of the impact by itself and of the difference.
"""

from dataclasses import replace

from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.baseline_verdicts import judge_beside_baseline
from harness.analysis.claim_parts import Part, decided, family_part, noise_words, own_words, p_of
from harness.analysis.controls import NAMED, UNLIKE, unlike
from harness.analysis.mean_verdicts import Bound, Floats, bound_of, judge_mean
from harness.analysis.noise_floor import is_clear_of_noise
from harness.analysis.verdict import Verdict
from harness.specs.edit_claims import AblationClaim

_CONTROLS = {"directions": "random directions", "shuffled": "sources of other families"}
_CONTROLS |= {"controls": "controls"}
PARTS = 3  # own impact, beyond controls, rank


def judge_ablation(impacts: AblationImpacts, claim: AblationClaim, alpha: float) -> Verdict:
    """What becomes of a claim about an ablation, from its impacts on the confirming families."""
    found = _judge(impacts, claim, alpha)
    if not impacts.ceiling:
        return found
    return replace(found, because=f"{found.because}; {impacts.ceiling}")


def _judge(impacts: AblationImpacts, claim: AblationClaim, alpha: float) -> Verdict:
    if claim.beyond == "shuffled" and impacts.shuffled is None:
        because = "no other family confirms whose sources could be taken"
        return Verdict(claim.name, "ablation", impacts.unit, "untestable", because)
    if claim.beyond not in ("zero", "controls"):
        impacts = impacts.beside(claim.beyond)
    direction = {"toward-correct": 1, "toward-misconception": -1, None: 0}[claim.direction]
    direction *= (
        impacts.kind.toward
    )  # the sign of a metric that grows toward the other answer is turned
    blank, bound = Verdict(claim.name, "ablation", impacts.unit), bound_of(claim, impacts.metric)
    if bound.within is None and claim.direction is None:
        direction = -1  # what only grows is held to lie below
    own = judge_mean(blank, impacts.target, impacts.units, bound, direction, alpha)
    own = hold_against_noise(own, bound, impacts.noise, impacts.unit)
    if claim.beyond == "zero":
        return own if claim.direction is None else hold_against_mass(own, impacts.mass, claim.keeps)
    if apart := unlike(impacts.balance, UNLIKE):
        because = f"no features like these, controls lie apart: {apart}"
        return replace(own, verdict="untestable", p=None, because=because)
    beyond = judge_mean(blank, impacts.beyond, impacts.units, bound, direction, alpha)
    if direction == 0:
        # A difference of two impacts may be off by the noise of both.
        return _both_within(own, hold_against_noise(beyond, bound, 2 * impacts.noise, impacts.unit))
    if beyond.p is None:
        return beyond
    if (baseline := impacts.baseline) is not None:
        found = judge_beside_baseline(impacts, baseline, beyond, direction, alpha)
    else:
        found = _conjunction(impacts, beyond, direction, alpha)
    return hold_against_mass(found, impacts.mass, claim.keeps)


def hold_against_mass(
    verdict: Verdict, mass: Floats | None, keeps: float, where: str = ""
) -> Verdict:
    """Inconclusive where an edit that is to move the answers one way takes both of them away.

    A difference of two log-probabilities moves toward nothing where both answers become unlikely, and
    that looks like a repair. `mass` (1 + n_sets, n_prompts) has what the edit, then each control, does to the
    log of both answers' probability, which may fall by `keeps` nats beyond the controls.
    """
    if verdict.verdict != "supported" or mass is None:
        return verdict
    own, controls = float(mass[0].mean()), mass[1:]
    beyond = own - (float(controls.mean()) if len(controls) else 0.0)
    if beyond >= -keeps:
        return verdict
    beside = f", {beyond:+.3g} beyond its controls," if len(controls) else ""
    because = (
        f"{verdict.because}, but {where}the answers were destroyed: the log of their probability together "
        f"moves by {own:+.3g} nats{beside} and may fall by {keeps:g}"
    )
    return replace(verdict, verdict="inconclusive", because=because)


def hold_against_noise(verdict: Verdict, bound: Bound, noise: float, unit: str = "nats") -> Verdict:
    """Inconclusive where the device's noise, in this unit, could have made the verdict."""
    if not noise > 0 or verdict.verdict not in ("supported", "refuted"):
        return verdict
    assert verdict.ci_low is not None
    assert verdict.ci_high is not None
    if is_clear_of_noise(verdict.ci_low, verdict.ci_high, bound.margin or bound.than, noise):
        return verdict
    because = f"{verdict.because}, but {noise_words(noise, unit)}"
    return replace(verdict, verdict="inconclusive", because=because)


def _both_within(own: Verdict, beyond: Verdict) -> Verdict:
    """That both lie inside the margin: shown of both, or refuted of one."""
    if beyond.p is None or own.p is None:
        return beyond if beyond.p is None else own
    found = [own.verdict, beyond.verdict]
    verdict = (
        "refuted"
        if "refuted" in found
        else "supported"
        if set(found) == {"supported"}
        else "inconclusive"
    )
    # The one that decides is shown: of two that are alike, what is left beside the controls.
    shown = own if own.verdict == verdict != beyond.verdict else beyond
    what = "by itself" if shown is own else "beside its controls"
    other, its = (beyond, "beside its controls") if shown is own else (own, "by itself")
    return replace(
        shown,
        verdict=verdict,
        p=max(own.p, beyond.p) if verdict != "refuted" else shown.p,
        because=f"{shown.because}, {what}; {its} {other.estimate:+.3g} {shown.unit}, {other.verdict}",
    )


def _conjunction(
    impacts: AblationImpacts, beyond: Verdict, direction: int, alpha: float
) -> Verdict:
    """The verdict on `beyond`, with the impact by itself and its rank among the controls."""
    sets = len(impacts.controls) if impacts.arranged is None else len(impacts.arranged) - 1
    rank, against = (impacts.rank_p(sign * direction) for sign in (1, -1))
    what = _CONTROLS[impacts.against]
    arranged = "" if impacts.arranged is None else "arrangements of "
    among = f"rank p {rank:.2g} of {sets} {arranged}{what}"
    if len(impacts.controls) < impacts.planned:
        among += f", where the other {impacts.planned - sets} could show nothing"
    if apart := unlike(impacts.balance, NAMED):
        among += f", which lie apart in {apart}"
    alone = own_words(impacts.target, impacts.units, impacts.unit, alpha)
    if 1 / (sets + 1) > alpha:
        because = f"too few {what}, {alone}, {among}"
        return replace(beyond, verdict="untestable", because=because)
    beyond_part = family_part(
        f"beyond {'its ' * (what == 'controls')}{what}",
        impacts.beyond,
        impacts.units,
        2 * impacts.noise,
        direction,
        alpha,
        PARTS,
    )
    parts = (
        family_part(
            "its own impact", impacts.target, impacts.units, impacts.noise, direction, alpha, PARTS
        ),
        replace(beyond_part, is_refuted=False, p_against=1.0),
        Part("its rank", rank, against, rank <= alpha, against <= alpha / PARTS),
    )
    verdict, decides = decided(parts)
    said = [beyond.because, alone, among, *[decides] * bool(decides)]
    if any(part.noisy for part in parts):
        said.append(noise_words(impacts.noise, impacts.unit))
    return replace(beyond, verdict=verdict, p=p_of(parts, verdict, PARTS), because=", ".join(said))

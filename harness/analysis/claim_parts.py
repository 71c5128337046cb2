"""What one claim says at once: parts, each of which is shown, or refuted, or neither."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.mean_verdicts import Floats, Side, side_of
from harness.analysis.noise_floor import is_clear_of_noise
from harness.analysis.units import Units


@dataclass(frozen=True)
class Part:
    """One thing that a claim says: whether it is shown, or its contrary, and how it reads.

    `p` is that of the claimed direction, 1 where the estimate points the other way, and `p_against` the same
    of the other one. `noisy` is set where the device's noise alone keeps it from being shown.
    """

    name: str
    p: float
    p_against: float
    is_shown: bool
    is_refuted: bool
    noisy: bool = False
    why: str = ""

    @property
    def missing(self) -> str:
        """Its name, with what keeps it from being shown where that is more than its p."""
        return f"{self.name} ({self.why.removeprefix('but ')})" if self.why else self.name


def family_part(
    name: str,
    values: Floats,
    units: Units,
    noise: float,
    direction: int,
    alpha: float,
    parts: int,
) -> Part:
    """That the mean of `values` (n_prompts,) lies in a direction: shown at alpha, of independent `units`.

    Refuted it is at alpha divided by the number of the `parts` any of which refutes the claim.
    """
    side = side_of(values, units, 0.0, alpha)
    strict = side_of(values, units, 0.0, alpha / parts)
    agrees = side.sign == direction
    shown, refuted = side.rejects and agrees, strict.rejects and not agrees
    noisy = (shown and not is_clear(side, noise)) or (refuted and not is_clear(strict, noise))
    p, against = (side.p, 1.0) if agrees else (1.0, side.p)
    why = side.why if side.p <= alpha and agrees else ""
    return Part(name, p, against, shown and not noisy, refuted and not noisy, noisy, why)


def own_words(values: Floats, units: Units, unit: str, alpha: float) -> str:
    """What an edit does by itself, of impacts (n_prompts,) in this unit."""
    own = side_of(values, units, 0.0, alpha)
    return f"by itself {own.mean:+.3g} {unit} (p {own.p:.2g})"


def noise_words(noise: float, unit: str) -> str:
    """Why something is not shown that the device's noise could have made."""
    return f"not clear of the device's noise of {noise:.2g} {unit}"


def p_of(parts: Sequence[Part], verdict: str, several: int) -> float:
    """The largest of the parts' p; of a refuted claim the smallest of the other way, so many times."""
    if verdict != "refuted":
        return max(part.p for part in parts)
    return min(1.0, several * min(part.p_against for part in parts))


def decided(parts: Sequence[Part]) -> tuple[str, str]:
    """The verdict on a claim that says all of these, and which parts decide it, in words."""
    if refuted := [part.name for part in parts if part.is_refuted]:
        return "refuted", f"the other way: {', '.join(refuted)}"
    if missing := [part.missing for part in parts if not part.is_shown]:
        return "inconclusive", f"not shown: {', '.join(missing)}"
    return "supported", ""


def is_clear(side: Side, noise: float) -> bool:
    """Whether an interval is clear of the device's noise; where none was measured it is."""
    return not noise > 0 or is_clear_of_noise(side.low, side.high, 0.0, noise)

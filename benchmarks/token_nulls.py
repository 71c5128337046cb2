"""Claims about tokens at exactly the claimed share: how often they say otherwise, under skew and with few."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import brentq

from benchmarks.calibration_rows import Row
from harness.analysis.token_injection import Injected, TokenInjection
from harness.analysis.token_verdicts import judge_tokens
from harness.analysis.units import Units
from harness.specs.edit_claims import TokensClaim

ALPHA = 0.05
TEXTS, PAIRS, PLACES = 24, 4, 2
OWN = 5.0  # what the set is in its own prompts; a neutral text without tokens has 0
DRAWN = 100_000  # values by which a distribution is scaled to the share

Random = np.random.Generator
Drawing = Callable[[Random, int], np.ndarray]
# Of mean 1: what texts with the tokens are, and what families' own prompts are.
SHAPES: dict[str, Drawing] = {
    "normal": lambda random, n: np.abs(random.normal(1, 0.4, n)),
    "lognormal": lambda random, n: random.lognormal(-0.5, 1, n),
    "three in ten": lambda random, n: (
        random.lognormal(0, 0.3, n) * (random.random(n) < 0.3) / 0.3138
    ),
}


def token_verdicts(replicates: int) -> Iterator[Row]:
    """Sets at the bound: texts and families of three shapes, many families or few."""
    replicates = max(60, replicates // 2)
    for share, injected, own, families in (
        (0.5, "lognormal", "normal", 20),
        (0.5, "lognormal", "normal", 6),
        (0.2, "lognormal", "normal", 20),
        (0.2, "three in ten", "normal", 20),
        (0.2, "three in ten", "normal", 6),
        (0.2, "normal", "lognormal", 6),
        (0.5, "lognormal", "three in ten", 12),
    ):
        random = np.random.default_rng(families)
        scale = scaled(SHAPES[injected], share)
        claim = TokensClaim(name="c", tokens="a", less_than=share)
        found = Counter(
            judge_tokens(_drawn(random, injected, scale, own, families), claim, ALPHA).verdict
            for _ in range(replicates)
        )
        design = (
            f"tokens at a share of {share:g}, {injected} over {TEXTS} texts, {own} over {families} "
            "families"
        )
        for verdict in ("supported", "refuted"):
            # The cap is five times a share of .2: some skew is left, and what that costs is shown.
            left = (share, injected, verdict) == (0.2, "lognormal", "supported")
            kind = "none" if left else "at most"
            yield Row("tokens", f"{design}: {verdict}", ALPHA, kind, found[verdict], replicates)


def scaled(shape: Drawing, share: float) -> float:
    """By what a shape is multiplied so that its mean is the share, where no value counts as more than 1."""
    values = shape(np.random.default_rng(0), DRAWN)
    return float(brentq(lambda by: np.minimum(by * values, 1).mean() - share, 1e-3, 1e3))


def _drawn(random: Random, injected: str, scale: float, own: str, families: int) -> TokenInjection:
    units = [f"f{i // PAIRS}" for i in range(families * PAIRS)]
    of_family = np.repeat(SHAPES[own](random, families), PAIRS)
    # At one place the tokens do what is claimed of them; at the others nothing.
    values = {f"place {i}": np.zeros((TEXTS, 1)) for i in range(PLACES)}
    values["place 0"] = OWN * scale * SHAPES[injected](random, TEXTS)[:, None]
    return TokenInjection(
        ((0, 0),),
        np.ones(1),
        np.zeros((TEXTS, 1)),
        tuple(Injected(1, place, one, np.array([True])) for place, one in values.items()),
        (OWN * of_family * random.lognormal(-0.005, 0.1, len(units)))[:, None],
        np.array([f"t{i}" for i in range(TEXTS)]),
        Units.by_family(units),
        0,
    )

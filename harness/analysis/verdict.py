"""What becomes of a claim: a word, the figures that it rests on, and what speaks against them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caution:
    """That a verdict rests on features of a layer whose SAE has a `warning`.

    `features` are of the layer; none where the verdict rests on too few of them being significant.
    """

    layer: int
    features: tuple[int, ...]
    warning: str


@dataclass(frozen=True)
class Verdict:
    """What became of one claim. `estimate` and its interval are in `unit`; None where there is none.

    `p_holm` is its p corrected over the claims of its spec; None where that is not done. `floor` is the
    smallest p that so many units can give, and `query` the SQL that shows the rows. `n_toward` of its
    families lie as claimed, and `share_low` to `share_high` is the interval of their share; None of a count.
    `cautions` say what speaks against the SAEs of the features that it rests on.
    """

    claim: str
    kind: str
    unit: str
    verdict: str = "untestable"
    because: str = ""
    query: str = ""
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    n_units: int = 0
    n_pairs: int = 0
    floor: float = 1.0
    cautions: tuple[Caution, ...] = ()
    p_holm: float | None = None
    n_toward: int | None = None
    share_low: float | None = None
    share_high: float | None = None

    @property
    def stands(self) -> bool:
        """Whether it is what its spec says: a claim that is supported, or a guard that is held."""
        return self.verdict in ("supported", "held")

"""What a run's design could show at all: its floor, and the effects it detects."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.reports.run_data import table_rows
from harness.specs.claims import Claim
from harness.specs.clusters import FAMILY, plural
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.design import families_needed, smallest_p
from harness.specs.edit_claims import AblationClaim
from harness.specs.refits import COMBINED
from harness.specs.shuffled_sources import arrangements
from harness.specs.spec import Spec
from harness.stats import minimum_detectable
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.tables.runs import Prompts, PromptTags


@dataclass(frozen=True)
class ClaimFloor:
    """The smallest p that a claim can be given, and what bounds it; None where nothing does."""

    claim: str
    floor: float | None
    bound: str


@dataclass(frozen=True)
class Design:
    """Families and pairs, the smallest p they can give, and the d_z found four times in five.

    Tests count `units`, families or clusters of them, of which several are called `names`.
    """

    units: int
    names: str
    confirming: int
    discovering: int
    pairs: int
    floor: float
    reachable: bool
    needed: int | None
    tests: int
    one_test: float | None
    every_feature: float | None
    claims: tuple[ClaimFloor, ...]


def design_of(store: ReadStore, run: Run, spec: Spec, tests: int) -> Design | None:
    """For so many `tests` of features at once; None where the run has no prompts."""
    prompts = table_rows(store, Prompts, run["run_id"])
    if not prompts:
        return None
    confirming = {row["family"] for row in prompts if row["split"] == "confirmation"}
    families = {row["family"] for row in prompts}
    tags = {
        (row["prompt_id"], row["tag"]): row["value"]
        for row in table_rows(store, PromptTags, run["run_id"])
    }

    def units(tag: str) -> int:
        if tag == FAMILY:
            return len(confirming)
        asked = (row["prompt_id"] for row in prompts if row["split"] == "confirmation")
        return len({tags[one, tag] for one in asked if (one, tag) in tags})

    own = units(spec.cluster)
    floor, alpha = smallest_p(own), run["alpha"]
    reachable = floor <= alpha

    def detectable(level: float) -> float:
        return minimum_detectable(own, alpha=level)

    return Design(
        units=own,
        names=plural(spec.cluster),
        confirming=len(confirming),
        discovering=len(families) - len(confirming),
        pairs=len({row["pair_id"] for row in prompts if row["split"] == "confirmation"}),
        floor=floor,
        reachable=reachable,
        needed=families_needed(alpha),
        tests=tests,
        one_test=detectable(alpha) if reachable else None,
        every_feature=detectable(alpha / tests) if reachable and tests else None,
        claims=tuple(_floor_of(claim, spec, units) for claim in spec.claims_on(run["target"])),
    )


def _floor_of(claim: Claim, spec: Spec, units: Callable[[str], int]) -> ClaimFloor:
    tag = spec.cluster_of(claim)
    floor = smallest_p(units(tag))
    if isinstance(claim, CrossfitClaim):
        (ablation,) = (one for one in spec.ablations if one.name == claim.crossfit)
        if claim.beyond == "controls" and (rank := 1 / (ablation.controls + 1)) > floor:
            among = f"twice its rank among {ablation.controls} controls"
            return ClaimFloor(claim.name, COMBINED * rank, among)
        return ClaimFloor(claim.name, COMBINED * floor, f"twice sign flips of the {plural(tag)}")
    if isinstance(claim, AblationClaim) and claim.beyond in ("controls", "directions", "shuffled"):
        (ablation,) = (one for one in spec.ablations if one.name == claim.ablation)
        families = units(FAMILY)
        sets, what = {
            "controls": (ablation.controls, "controls"),
            "directions": (ablation.directions, "random directions"),
            "shuffled": (
                arrangements(ablation.shuffled, families, families),
                "arrangements of other families' sources",
            ),
        }[claim.beyond]
        if (rank := 1 / (sets + 1)) > floor:
            return ClaimFloor(claim.name, rank, f"its rank among {sets} {what}")
    return ClaimFloor(claim.name, floor, f"sign flips of the {plural(tag)}")

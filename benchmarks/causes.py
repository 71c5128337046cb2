"""Verdicts on sets of features whose effect is known: how often random ones are called, and real ones missed.

The organism's features and sets were ablated one by one (`fixtures/organism/causes.npz`). A random set of
ten takes the target's place: beside other random sets of its layer, each measured as a whole, and beside
sets that are drawn as a run draws its controls, whose impacts are sums of their features' own; how far
such sums are from what is measured is a row as well. Families are split as runs split them, and judged by
the code that judges runs. What an edit does to the answers' probability together is not kept here, so
that no verdict is withheld because answers were destroyed.

`python -m benchmarks.causes [--quick] [--file FILE]`
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from benchmarks.cause_splits import (
    ALPHA,
    COMMITTED,
    CONTROLS,
    ORGANISM,
    Floats,
    OtherCauses,
    Split,
    splits,
)
from benchmarks.figures import show
from fixtures.training.cause_figures import additivity, kinds_of_sets
from fixtures.training.causes import Causes, Extent, measure
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.specs.edit_claims import AblationClaim
from harness.specs.intervention import Feature
from harness.specs.prompt_file import load_prompts

SMALL = Extent(families=16, features=40, random_sets=180, strong_sets=1)
CLAIMS = {
    sign: AblationClaim.model_validate(
        {"name": "c", "ablation": "top", "direction": direction, "beyond": "controls"}
    )
    for sign, direction in ((1, "toward-correct"), (-1, "toward-misconception"))
}
BINS = (0.0, 0.1, 0.3, 1.0, 3.0, np.inf)  # nats: of the true effects by which power is shown


@dataclass(frozen=True)
class Judge:
    """The causes, and the splits of families in which their sets are judged."""

    causes: Causes
    splits: Sequence[Split]

    def effect(self, number: int) -> float:
        """The true mean effect of a set: over all families, in nats."""
        return float(self.causes.set_impact[number].astype(np.float64).mean())

    def features(self, number: int) -> list[Feature]:
        """The features of a set."""
        layer = int(self.causes.set_layer[number])
        return [(layer, int(feature)) for feature in self.causes.set_members[number]]

    def split(self, number: int) -> Split:
        """The split in which a set is judged."""
        return self.splits[number % len(self.splits)]

    def random_sets(self, sets: int) -> NDArray[np.intp]:
        """So many of the random sets at most, in random order."""
        every = np.flatnonzero(self.causes.set_strong == 0)
        return np.random.default_rng(0).permutation(every)[:sets]

    def measured(self, numbers: Sequence[int]) -> Floats:
        """What the confirming families of the first set's split show of these sets, (n, confirming)."""
        found: Floats = self.causes.set_impact[list(numbers)][:, self.split(numbers[0]).confirms]
        return found.astype(np.float64)

    def beside_measured(self, number: int) -> tuple[AblationImpacts, AblationImpacts]:
        """A random set beside others of its layer: as they were measured, and with sums of single impacts.

        All were drawn alike, so that the layer is the leaf from which controls are drawn.
        """
        causes, split = self.causes, self.split(number)
        alike = (causes.set_strong == 0) & (causes.set_layer == causes.set_layer[number])
        others = np.setdiff1d(np.flatnonzero(alike), number)
        drawn = np.random.default_rng(number).permutation(others)[:CONTROLS]
        numbers = [number, *drawn.tolist()]
        sets = [self.features(one) for one in numbers]
        return (
            split.impacts(sets, self.measured(numbers), balanced=False),
            split.impacts(sets, split.added(sets), balanced=False),
        )

    def beside_matched(self, number: int, *, own: bool = False) -> AblationImpacts:
        """A set beside controls as a run draws them, with sums of single impacts; its `own` as measured."""
        split = self.split(number)
        sets = split.matched(self.features(number), seed=number)
        values = split.added(sets)
        if own:
            values[0] = self.measured([number])[0]
        return split.impacts(sets, values, balanced=True)


def caused(replicates: int) -> Iterator[Row]:
    """The rows of the committed causes; none where the file is not there."""
    if COMMITTED.exists():
        yield from rows_of(Causes.read(COMMITTED), max(60, replicates // 4))


def rows_of(causes: Causes, sets: int, organism: Path = ORGANISM) -> Iterator[Row]:
    """At most so many random sets, judged; and in proportion the strong ones."""
    judge = Judge(causes, list(splits(causes, 5 if sets > 200 else 2, organism)))
    yield from false_calls(judge, sets)
    yield from powers(judge, sets)


def false_calls(judge: Judge, sets: int) -> Iterator[Row]:
    """How often a random set is supported, or refuted, and whether sums of impacts change a verdict."""
    found: dict[str, Counter[tuple[int, str]]] = {"measured": Counter(), "matched": Counter()}
    agree = true = 0
    numbers = judge.random_sets(sets)
    as_claimed = Counter[int]()
    for number in numbers.tolist():
        measured, added = judge.beside_measured(number)
        matched = judge.beside_matched(number)
        for sign, claim in CLAIMS.items():
            verdict = judge_ablation(measured, claim, ALPHA).verdict
            agree += verdict == judge_ablation(added, claim, ALPHA).verdict
            found["measured"][sign, verdict] += 1
            found["matched"][sign, judge_ablation(matched, claim, ALPHA).verdict] += 1
            if sign * judge.effect(number) >= 0:
                as_claimed[sign] += 1
                true += verdict == "refuted"
    for kind, beside in (
        ("measured", "beside 99 others of its layer, all measured"),
        ("matched", "beside 99 matched ones, impacts added"),
    ):
        for sign, claim in CLAIMS.items():
            for verdict in ("supported", "refuted"):
                what = f"a random set of ten {beside}, {claim.direction}: {verdict}"
                hits = found[kind][sign, verdict]
                yield Row("causes", what, ALPHA, "at most", hits, len(numbers))
    what = "a random set of ten that moves the answers as claimed: refuted"
    yield Row("causes", what, ALPHA, "at most", true, as_claimed.total())
    what = "a random set of ten: the same verdict from measured and from added impacts"
    yield Row("causes", what, 0.95, "none", agree, len(CLAIMS) * len(numbers))


def powers(judge: Judge, sets: int) -> Iterator[Row]:
    """How often a set that moves the answers is supported in its direction, by how far it does."""
    strong = np.flatnonzero(judge.causes.set_strong > 0)
    chosen = np.random.default_rng(1).permutation(strong)[:sets]
    sizes = np.array([abs(judge.effect(number)) for number in chosen.tolist()])
    beside: dict[str, Callable[[int], AblationImpacts]] = {
        "99 others of its layer": lambda number: judge.beside_measured(number)[0],
        "99 matched ones": lambda number: judge.beside_matched(number, own=True),
    }
    for low, high in pairwise(BINS):
        own = chosen[(sizes >= low) & (sizes < high)].tolist()
        if not own:
            continue
        extent = f"{low:g} nats or more" if high == np.inf else f"{low:g} to {high:g} nats"
        for kind, impacts in beside.items():
            hits = 0
            for number in own:
                claim = CLAIMS[1 if judge.effect(number) >= 0 else -1]
                hits += judge_ablation(impacts(number), claim, ALPHA).verdict == "supported"
            what = f"ten features that move the answers by {extent}, beside {kind}: supported"
            yield Row("causes", what, ALPHA, "none", hits, len(own))


def small_causes() -> Causes:
    """A few families, features and sets, measured now: to see that all of this works."""
    model = load_model(ModelFiles(ORGANISM, "organism"))
    prompts = load_prompts(bundled("data", "voices.jsonl"))
    return measure(model, ORGANISM, prompts, SMALL)


def main() -> int:
    """Print every row as a figure, and how near effects are to adding up; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer sets; without the file a small one, measured now",
    )
    parser.add_argument("--file", type=Path, default=COMMITTED)
    options = parser.parse_args()
    if not options.file.exists() and not options.quick:
        parser.error(
            f"there is no {options.file}: `python -m fixtures.training --causes` writes it, "
            "and --quick measures a small one"
        )
    causes = Causes.read(options.file) if options.file.exists() else small_causes()
    try:
        rows = list(rows_of(causes, 60 if options.quick else 1000))
    except OtherCauses as error:
        parser.error(str(error))
    held = True
    for row in rows:
        show(row.what, row.share, "of 1", row.nominal, row.holds, promise=row.kind)
        held &= row.holds
    for name, which in kinds_of_sets(causes).items():
        found = additivity(causes, which)
        what = f"{name} sets: correlation of what is measured with sums of single impacts"
        show(what, found["correlation"], "of 1", 1.0, True, promise="none", **found)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

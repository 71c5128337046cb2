"""What speaks against what a verdict rests on: the SAE of a layer whose features it counts or edits."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.analysis.verdict import Caution, Verdict
from harness.specs.known_features import load_truth
from harness.specs.targets import load_targets
from harness.store.interface import ReadStore
from harness.store.queries import saved_queries


def cautions_of(store: ReadStore, run_id: str, target: str) -> Mapping[str, tuple[Caution, ...]]:
    """The cautions of each claim of an analysed run, by layer; a claim that has none is left out.

    A claim about features rests on those that are significant, and where too few are, on the layers
    that have none; a claim about an ablation on the features that it edits.
    """
    query = saved_queries()["cautions"]
    _, rows = store.query(query.sql, query.fill({"run": run_id}))
    known = load_targets().get(target)
    truth = {(one.layer, one.feature) for one in (known and load_truth(known)) or ()}
    features: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for claim, about, _, layer, feature, warning, *_ in rows:
        if about == "truth" and feature is not None and (layer, feature) not in truth:
            continue
        features[claim, layer, warning] += [] if feature is None else [feature]
    found: dict[str, tuple[Caution, ...]] = {}
    for (claim, layer, warning), some in features.items():
        found[claim] = (*found.get(claim, ()), Caution(layer, tuple(some), warning))
    return found


def with_cautions(
    drawn: Iterable[Verdict], cautions: Mapping[str, tuple[Caution, ...]]
) -> tuple[Verdict, ...]:
    """The verdicts, each with the cautions of its claim; what it says stays as it is."""
    return tuple(replace(one, cautions=cautions.get(one.claim, ())) for one in drawn)

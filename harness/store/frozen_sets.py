"""Feature sets that came from other evals, as a run's line holds them: `runs.feature_sources`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import Fault, InputError, first_few
from harness.names import LONGEST_ID, is_name
from harness.specs.intervention import Feature
from harness.store.tables.interventions import MatchedFeatures


@dataclass(frozen=True)
class Match:
    """What became of one feature of a set, `layer` and `original`, where it was not simply taken.

    `feature` is the one of this run's SAE that lies nearest, where the set was matched, and `cosine` that of
    both decoder directions. It is edited where it is `taken`.
    """

    layer: int
    original: int
    feature: int | None
    cosine: float | None
    taken: bool


@dataclass(frozen=True)
class FrozenSet:
    """The `features` that an `ablation` of the eval `spec` froze in a run, best first.

    `matched` is empty where they are that run's own and all of them. Else it says of each of these what
    became of it, and `features` are those that are edited in their place.
    """

    spec: str
    ablation: str
    spec_hash: str
    run_id: str
    features: tuple[Feature, ...]
    matched: tuple[Match, ...] = ()

    @property
    def words(self) -> str:
        """Where it came from, in words."""
        return f"{self.ablation} of {self.spec}, run {self.run_id}"

    @property
    def left_out(self) -> tuple[Match, ...]:
        """Those of the set that are not edited here."""
        return tuple(one for one in self.matched if not one.taken)

    @property
    def lacks(self) -> str:
        """Which of the set are not edited here, in words; nothing where all are."""
        if not self.left_out:
            return ""
        names = first_few(f"{one.layer}:{one.original}" for one in self.left_out)
        how_many = f"{len(self.left_out)} of the {len(self.matched)}"
        return f"without {how_many} features that were frozen: {names}"

    @property
    def how(self) -> str:
        """How they were taken, in words."""
        if any(one.cosine is not None for one in self.matched):
            return "matched with its own SAEs' features by their decoder directions"
        return "those of layers that are read here" if self.matched else "unchanged"

    def __str__(self) -> str:
        """Where it came from, with the features."""
        return f"the {len(self.features)} features of {self.words}: {' '.join(self._names())}" + (
            f"; {self.lacks}" if self.left_out else ""
        )

    def _names(self) -> Iterator[str]:
        if not self.matched:
            yield from (f"{layer}:{feature}" for layer, feature in self.features)
        for one in self.matched:
            if one.taken:
                of = "" if one.cosine is None else f" (of {one.original}, cosine {one.cosine:.2f})"
                yield f"{one.layer}:{one.feature}{of}"


FrozenSets = Mapping[str, FrozenSet]  # by the ablation that takes them
_STORED = TypeAdapter(dict[str, FrozenSet])


def sets_text(sets: FrozenSets) -> str | None:
    """As the store has them: JSON with sorted keys; null where there are none."""
    said = {name: asdict(one) for name, one in sets.items()}
    for one in said.values():
        if not one["matched"]:
            del one["matched"]
    return json.dumps(said, sort_keys=True) if said else None


def sets_of(run: Mapping[str, Any]) -> dict[str, FrozenSet]:
    """Those of a run's line. Raises `InputError` where they are not ones that a harness wrote."""
    text = run.get("feature_sources")  # older exports have none
    if not isinstance(text, str):
        return {}
    try:
        sets = _STORED.validate_json(text)
    except (ValidationError, ValueError, RecursionError):
        sets = {"": FrozenSet("", "", "", "", ())}
    names = [
        name
        for one in sets.values()
        for name in (one.spec, one.ablation, one.spec_hash, one.run_id)
    ]
    if not all(is_name(name, LONGEST_ID) for name in (*sets, *names)):
        what = "where its features came from is not as a harness writes it"
        remedy = "take the run from where it was made, with `harness export`"
        raise InputError(Fault(f"run {str(run['run_id'])[:LONGEST_ID]}", what, remedy))
    return sets


def matched_rows(sets: FrozenSets, run_id: str, origin: str) -> MatchedFeatures:
    """What became of each feature of sets that were not simply taken, as rows of the store."""
    return MatchedFeatures.of(
        {
            "run_id": run_id,
            "ablation": name,
            "rank": rank,
            "layer": one.layer,
            "feature": one.feature,
            "from_feature": one.original,
            "from_run": source.run_id,
            "cosine": one.cosine,
            "taken": one.taken,
            "origin": origin,
        }
        for name, source in sets.items()
        for rank, one in enumerate(source.matched)
    )

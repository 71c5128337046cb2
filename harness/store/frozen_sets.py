"""Feature sets that came from other evals, as a run's line holds them: `runs.feature_sources`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import Fault, InputError
from harness.names import LONGEST_ID, is_name
from harness.specs.intervention import Feature


@dataclass(frozen=True)
class FrozenSet:
    """The `features` that an `ablation` of the eval `spec` froze in a run, best first."""

    spec: str
    ablation: str
    spec_hash: str
    run_id: str
    features: tuple[Feature, ...]

    @property
    def words(self) -> str:
        """Where it came from, in words."""
        return f"{self.ablation} of {self.spec}, run {self.run_id}"

    def __str__(self) -> str:
        """The same, with the features."""
        names = [f"{layer}:{feature}" for layer, feature in self.features]
        return f"the {len(names)} features of {self.words}: {' '.join(names)}"


FrozenSets = Mapping[str, FrozenSet]  # by the ablation that takes them
_STORED = TypeAdapter(dict[str, FrozenSet])


def sets_text(sets: FrozenSets) -> str | None:
    """As the store has them: JSON with sorted keys; null where there are none."""
    said = {name: asdict(one) for name, one in sets.items()}
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

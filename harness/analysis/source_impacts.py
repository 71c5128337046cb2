"""What a set did where another eval froze it: its impacts on that run's confirming families."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.clusters import FAMILY
from harness.specs.transfer_checks import other_edit
from harness.store.frozen_sets import FrozenSet
from harness.store.interface import ReadStore
from harness.store.stored_spec import stored_spec
from harness.store.tables.interventions import Impacts, Interventions
from harness.store.tables.runs import Prompts, PromptTags, Runs

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Impacts on one metric of the confirming prompts of one eval, `values` (n_prompts,) of `units`.

    `texts` has every confirming prompt of each family, edited or not.
    """

    values: Floats
    units: Units
    texts: Mapping[str, frozenset[str]]

    def without(self, families: frozenset[str]) -> Self:
        """The same without some of its families."""
        kept = ~np.isin(self.units.families, sorted(families))
        return replace(self, values=self.values[kept], units=self.units.only(kept))


def in_both(here: Sample, there: Sample) -> tuple[frozenset[str], frozenset[str]]:
    """The families of each of two samples that are in the other one too: by their name, or by a prompt."""

    def shared(one: Sample, other: Sample) -> frozenset[str]:
        texts = frozenset().union(*other.texts.values())
        return frozenset(
            family for family, own in one.texts.items() if family in other.texts or own & texts
        )

    return shared(here, there), shared(there, here)


@dataclass(frozen=True)
class SourceImpacts:
    """The impacts of a set in the run `run_id` that froze it, by metric and prompt.

    `family` is that of each prompt, `texts` every confirming prompt of each family, and `tags` the value of
    each tag and family. `unlike` are metrics that are others there. `why_not` says why nothing can be held
    against them, and then there are none.
    """

    run_id: str
    why_not: str = ""
    impacts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    family: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tags: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unlike: frozenset[str] = frozenset()

    @classmethod
    def read(
        cls, store: ReadStore, frozen: FrozenSet, ablation: Ablation, run: Mapping[str, Any]
    ) -> Self:
        """Those of the set that an `ablation` of a `run`, by its line, takes."""
        of_run = frozen.run_id
        there = next(store.read(Runs, of_run).rows(), None)
        if there is None:
            return cls(
                of_run, f"run {of_run}, which froze it, is not in this results file any more"
            )
        named = {one.name: one for one in stored_spec(there).ablations}
        matched = any(one.cosine is not None for one in frozen.matched)
        if other := other_edit(ablation, named[frozen.ablation], matched=matched):
            return cls(of_run, other)
        if frozen.left_out:
            return cls(of_run, "the set is not the one that was frozen")
        edits = store.read(Interventions, of_run, role="target", ablation=frozen.ablation)
        impacts: dict[str, dict[str, float]] = {}
        for row in store.read(Impacts, of_run, intervention_id=edits.intervention_id[0]).rows():
            impacts.setdefault(row["metric"], {})[row["prompt_id"]] = row["impact"]
        family: dict[str, str] = {}
        texts: dict[str, set[str]] = {}
        for row in store.read(Prompts, of_run, split="confirmation").rows():
            family[row["prompt_id"]] = row["family"]
            texts.setdefault(row["family"], set()).add(row["prompt"])
        tags = {
            (row["tag"], family[row["prompt_id"]]): row["value"]
            for row in store.read(PromptTags, of_run).rows()
            if row["prompt_id"] in family
        }
        own, other_own = _registered(run), _registered(there)
        unlike = frozenset(name for name in own if own[name] != other_own.get(name))
        every = {name: frozenset(some) for name, some in texts.items()}
        return cls(of_run, "", impacts, family, every, tags, unlike)

    def sample(self, metric: str, tag: str) -> Sample | str:
        """The impacts on a metric, with units by a tag of that run's prompts; or why there are none."""
        if self.why_not:
            return self.why_not
        by_prompt = self.impacts.get(metric, {})
        if not by_prompt or any(value != value for value in by_prompt.values()):
            return f"impacts on {metric} were not measured in run {self.run_id}"
        if metric in self.unlike:
            return f"{metric} is another metric in run {self.run_id}: it was registered otherwise"
        prompts = sorted(by_prompt)
        families = [self.family[prompt] for prompt in prompts]
        units = Units.by_family(families)
        if tag != FAMILY:
            clusters = {one: self.tags[tag, one] for one in families if (tag, one) in self.tags}
            if lacking := {*families} - {*clusters}:
                return f"{len(lacking)} families of run {self.run_id} have no tag '{tag}'"
            units = Units.by(families, clusters, tag)
        return Sample(np.array([by_prompt[prompt] for prompt in prompts]), units, self.texts)


def _registered(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's line says of the metrics that packages register."""
    found = json.loads(run["metrics"]) if isinstance(run["metrics"], str) else {}
    return found if isinstance(found, dict) else {}

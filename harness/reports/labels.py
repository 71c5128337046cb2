"""What others say that a run's features mean: each is asked for once, and kept in the store."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from harness.errors import CannotRun, Fault, InputError, Say
from harness.reports.neuronpedia import Explanation
from harness.specs.intervention import Feature
from harness.store.database import Store
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.queries import saved_queries
from harness.store.tables.interventions import Interventions
from harness.store.tables.results import FeatureLabels


class Explainer(Protocol):
    """Who is asked."""

    def explanation(self, source: str, feature: int) -> Explanation | None:
        """What a feature of an SAE is said to mean; None where nothing is."""
        ...


@dataclass(frozen=True)
class LabelledFeature:
    """A feature and its label; None where nobody has one."""

    layer: int
    feature: int
    label: str | None
    explainer: str | None


def shown_features(store: ReadStore, run: Run) -> tuple[Feature, ...]:
    """The features that a report of a run shows: those that it edits, then its strongest."""
    edited = sorted(
        store.read(Interventions, run["run_id"], role="target").rows(),
        key=lambda row: (row["ablation"], row["rank"]),
    )
    query = saved_queries()["top_features"]
    names, rows = store.query(query.sql, query.fill({"run": run["run_id"]}))
    top = [dict(zip(names, row, strict=True)) for row in rows]
    return tuple(dict.fromkeys((row["layer"], row["feature"]) for row in (*edited, *top)))


def label_features(
    store: Store, run: Run, explainer: Explainer, *, limit: int, again: bool, say: Say
) -> list[LabelledFeature]:
    """The labels of the features that a report shows; at most `limit` of them are asked for.

    Those that are known are not asked for, unless `again`. Each is kept as it comes. Raises
    `InputError` where Neuronpedia cannot know the run's features, and `CannotRun` where it has no
    answer.
    """
    features = shown_features(store, run)
    sources = _sources(run, features)
    if missing := sum(layer not in sources for layer, _ in features):
        say(f"{missing} features are of SAEs that Neuronpedia has no pages of")
    features = tuple(one for one in features if one[0] in sources)
    labels = stored_labels(store)
    unlabelled = [(n, f) for n, f in features if again or (sources[n], f) not in labels]
    for done, (layer, feature) in enumerate(unlabelled[:limit]):
        source = sources[layer]
        try:
            explanation = explainer.explanation(source, feature)
        except CannotRun as error:
            raise CannotRun(*(_with_progress(fault, done) for fault in error.faults)) from None
        label = {
            "source": source,
            "feature": feature,
            "label": explanation and explanation.label,
            "explainer": explanation and explanation.explainer,
            "fetched_at": datetime.now(UTC),
        }
        store.put_labels(FeatureLabels.of([label]))
    if (rest := len(unlabelled) - limit) > 0:
        say(f"{rest} more were not asked for: run it again, or raise --limit")
    labels = stored_labels(store)
    return [
        LabelledFeature(layer, feature, row["label"], row["explainer"])
        for layer, feature in features
        if (row := labels.get((sources[layer], feature)))
    ]


def _sources(run: Run, features: tuple[Feature, ...]) -> Mapping[int, str]:
    """What Neuronpedia calls each layer's SAE, of those that it has."""
    here = f"run {run['run_id']}"
    if not features:
        raise InputError(Fault(here, "it shows no feature", "label a run that reads layers"))
    named = zip(run["layers"], run["neuronpedia"] or (), strict=False)
    sources = {layer: source for layer, source in named if source}
    if not sources.keys() & {layer for layer, _ in features}:
        what = f"Neuronpedia has no pages of its SAEs ({run['sae']})"
        raise InputError(Fault(here, what, "label a run on a target such as gemma-2-2b"))
    return sources


def stored_labels(store: ReadStore) -> dict[tuple[str, int], dict[str, Any]]:
    """Those of the results file, by the SAE's source on Neuronpedia and the feature."""
    return {(row["source"], row["feature"]): row for row in store.read(FeatureLabels).rows()}


def _with_progress(fault: Fault, done: int) -> Fault:
    kept = f"; the {done} that came before are kept" if done else ""
    return replace(fault, remedy=fault.remedy + kept)

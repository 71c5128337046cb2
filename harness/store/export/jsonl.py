"""Observed rows as the lines of files for people and other programs."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.specs.intervention import Intervention
from harness.specs.prompt import Origin, Prompt
from harness.store.export.formats import (
    Ablated,
    AblationReport,
    AblationResult,
    AblationSummary,
    FeatureLine,
    Logit,
    ResultLine,
)
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.prompts import stored_prompts
from harness.store.tables.interventions import Impacts
from harness.store.tables.observations import Activations, Generations, TopkLogits

MODEL = ("model", "model_revision")
MADE_WITH = (*MODEL, "sae", "sae_revision")
UNCHANGED = 1e-6  # nats: less is rounding


def result_lines(
    prompts: Iterable[Prompt],
    generations: Generations,
    logits: TopkLogits,
    made_with: Mapping[str, str | None] = {},
) -> Iterator[ResultLine]:
    """What the model said to each prompt; a prompt that it was not asked has no line.

    `made_with` is the model and its revision, by the names that a line has for them.
    """
    steps: dict[str, dict[int, list[tuple[int, Logit]]]] = defaultdict(lambda: defaultdict(list))
    for row in logits.rows():
        logit = Logit(**{name: row[name] for name in Logit.model_fields})
        steps[row["prompt_id"]][row["step"]].append((row["rank"], logit))
    answers = {row["prompt_id"]: row for row in generations.rows()}
    for prompt in prompts:
        if prompt.id not in answers:
            continue
        row, ranked = answers[prompt.id], steps[prompt.id]
        yield ResultLine(
            id=prompt.id,
            pair_id=prompt.pair_id,
            label=prompt.label,
            prompt=prompt.text,
            tokens=row["token_ids"],
            logits_topk=tuple(
                tuple(logit for _, logit in sorted(ranked[step], key=lambda pair: pair[0]))
                for step in sorted(ranked)
            ),
            decoded_answer=row["decoded_answer"],
            origin=row["origin"],
            **{name: made_with.get(name) for name in MODEL},
        )


def feature_lines(
    prompts: Sequence[Prompt],
    layers: Sequence[int],
    rows: Activations,
    origin: Origin,
    top: int | None = None,
    made_with: Mapping[str, str | None] = {},
) -> Iterator[FeatureLine]:
    """Each prompt's `top` strongest features at each layer; all of them where `top` is None.

    `rows` are the active features, n_rows of them in any order; features of one value come by index.
    `made_with` is the model, the SAEs and their revisions, by the names that a line has for them.
    """
    place = {prompt.id: i for i, prompt in enumerate(prompts)}
    owner = np.array([place[str(name)] for name in rows.prompt_id], dtype=int)
    layer, feature = np.asarray(rows.layer, dtype=int), np.asarray(rows.feature, dtype=int)
    value = np.asarray(rows.value, dtype=float)
    # Sorted once, each prompt's layer is a slice, which a search in its key finds.
    order = np.lexsort((feature, -value, layer, owner))
    key = owner[order] * (1 + max(layers, default=0)) + layer[order]
    for i, prompt in enumerate(prompts):
        for at in layers:
            wanted = i * (1 + max(layers)) + at
            start, stop = np.searchsorted(key, (wanted, wanted + 1))
            best = order[start:stop][:top]
            yield FeatureLine(
                id=prompt.id,
                pair_id=prompt.pair_id,
                label=prompt.label,
                layer=at,
                topk_feature_ids=tuple(feature[best].tolist()),
                topk_feature_activations=tuple(value[best].tolist()),
                active=int(stop - start),
                origin=origin,
                **{name: made_with.get(name) for name in MADE_WITH},
            )


def stored_features(store: ReadStore, run: Run) -> list[FeatureLine]:
    """All features of each prompt and layer, the strongest first."""
    prompts = stored_prompts(store, run["run_id"])
    rows = store.read(Activations, run["run_id"])
    made_with = {name: run[name] for name in MADE_WITH}
    return list(feature_lines(prompts, run["layers"], rows, run["origin"], made_with=made_with))


def ablation_entry(
    features: Sequence[tuple[int, int]], results: Sequence[AblationResult], **more: str | None
) -> Ablated:
    """One intervention on n_features (layer, feature), with its n_prompts results and their summary."""
    deltas = np.array([result.delta for result in results])
    layers = {layer for layer, _ in features}
    return Ablated(
        layer=layers.pop() if len(layers) == 1 else None,
        feature_id=features[0][1] if len(features) == 1 else None,
        features=tuple(features),
        results=tuple(results),
        summary=AblationSummary(
            mean_delta=float(deltas.mean()),
            decreased=int((deltas < -UNCHANGED).sum()),
            increased=int((deltas > UNCHANGED).sum()),
            unchanged=int((abs(deltas) <= UNCHANGED).sum()),
        ),
        **more,
    )


def ablation_entries(
    prompts: Iterable[Prompt], interventions: Iterable[Intervention], impacts: Impacts
) -> Iterator[Ablated]:
    """What a run's interventions did: each single feature, best first, then each set.

    No-ops, doses and controls are left out: they are the measure, not the finding.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    results: dict[str, list[AblationResult]] = defaultdict(list)
    for row in impacts.rows():
        prompt = by_id[row["prompt_id"]]
        results[row["intervention_id"]].append(
            AblationResult(
                id=prompt.id,
                pair_id=prompt.pair_id,
                label=prompt.label,
                answer=prompt.correct,
                baseline_logprob=row["baseline"],
                ablated_logprob=row["edited"],
                delta=row["impact"],
            )
        )
    shown = [one for one in interventions if one.role in ("single", "target") and results[one.id]]
    for one in sorted(shown, key=lambda one: (len(one.features) > 1, one.ablation, one.number)):
        of_one = sorted(results[one.id], key=lambda result: by_id[result.id].line)
        yield ablation_entry(
            one.features, of_one, ablation=one.ablation, role=one.role, kind=one.kind
        )


def ablation_report(
    entries: Sequence[Ablated], *, seed: int, origin: Origin, made_with: Mapping[str, Any]
) -> AblationReport:
    """The first of the interventions, and after it the others; `made_with` as of `feature_lines`."""
    first, *others = entries
    return AblationReport(
        **{name: getattr(first, name) for name in Ablated.model_fields},
        **{name: made_with.get(name) for name in MADE_WITH},
        seed=seed,
        origin=origin,
        others=tuple(others),
    )

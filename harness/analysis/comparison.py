"""Two runs of the same prompts, prompt by prompt: model against model, dtype against dtype."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.pairs import behaviours
from harness.errors import Fault, InputError, first_few
from harness.specs.clusters import FAMILY, clusters_of
from harness.specs.prompt import Pair, Prompt, pairs_of
from harness.stats import effects, mean_interval, paired_max_t
from harness.store.interface import ReadStore
from harness.store.prompts import stored_prompts
from harness.store.stored_spec import spec_mapping
from harness.store.tables.interventions import Impacts, Interventions
from harness.store.tables.observations import Answers, Generations
from harness.store.tables.results import Verdicts

Values = Mapping[str, float]  # by prompt
BEHAVIOUR = ("logit_difference", "log_p_correct", "log_p_misconception")


@dataclass(frozen=True)
class ComparedQuantity:
    """One quantity in two runs; `difference` is b - a, with a 95 % CRV3-t interval by `n_units` units.

    `p` is the two-sided sign-flip p over units, `p_adjusted` its step-down max-T over the rows
    with the same `about`. None where there are fewer than two units.
    """

    about: str
    quantity: str
    unit: str
    n_prompts: int
    n_units: int
    a: float
    b: float
    difference: float
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    d_z: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side: their lines, what was compared, and the verdicts of both by claim.

    `cluster` is what units are: families, or values of a tag that a spec's claims are made by.
    `left_out` says which ablations are not the same edit in both, and which pairs have no difference
    between their variants, whatever the models are. `same_text` is the share of prompts
    to which both said the same; None where either was not asked.
    """

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    rows: tuple[ComparedQuantity, ...]
    left_out: tuple[str, ...]
    verdicts: Mapping[str, tuple[str | None, str | None]]
    same_text: float | None
    cluster: str = FAMILY


def compare(source: ReadStore, a: Mapping[str, Any], b: Mapping[str, Any]) -> Comparison:
    """Run `b` against run `a`, each a line of `runs`.

    Raises `InputError` where they were not asked the same prompts.
    """
    ids = (a["run_id"], b["run_id"])
    prompts, others = (stored_prompts(source, run) for run in ids)
    check_same_prompts(prompts, others, ids)
    first, second = (behaviours(source.read(Answers, run)) for run in ids)
    cluster, unit_of = _units_of((a, prompts), (b, others))
    rows = compare_behaviour(prompts, first, second, unit_of)
    units = {prompt.id: unit_of[prompt.family] for prompt in prompts}
    impacts = [_target_impacts(source, run) for run in ids]
    ablations = [_ablations_of(run) for run in (a, b)]
    left_out = list(_without_contrast(prompts))
    for ablation in impacts[0]:
        if ablation not in impacts[1]:
            continue
        one, other = (side.get(ablation, {}) for side in ablations)
        if differing := [name for name in _EDIT if one.get(name) != other.get(name)]:
            values = [f"{name} {one.get(name)} against {other.get(name)}" for name in differing]
            left_out.append(f"ablation {ablation} is not the same edit: {', '.join(values)}")
        else:
            rows += compare_impacts(ablation, units, *(side[ablation] for side in impacts))
    texts = [
        dict(zip(generated.prompt_id, generated.decoded_answer, strict=True))
        for generated in (source.read(Generations, run) for run in ids)
    ]
    same = [texts[0][prompt] == texts[1][prompt] for prompt in texts[0] if prompt in texts[1]]
    drawn = [
        {row["claim"]: row["verdict"] for row in source.read(Verdicts, run).rows()} for run in ids
    ]
    return Comparison(
        a=a,
        b=b,
        rows=tuple(rows),
        left_out=tuple(left_out),
        verdicts={
            claim: (drawn[0].get(claim), drawn[1].get(claim))
            for claim in dict.fromkeys([*drawn[0], *drawn[1]])
        },
        same_text=sum(same) / len(same) if same else None,
        cluster=cluster,
    )


def _units_of(
    *sides: tuple[Mapping[str, Any], Sequence[Prompt]],
) -> tuple[str, Mapping[str, str]]:
    """What the claims of the two specs count, the coarser where they differ, and each family's unit."""
    found = []
    for run, prompts in sides:
        spec = spec_mapping(run, "analysed_spec" if run["analysed_spec"] else "spec")
        tag = spec.get("cluster") or FAMILY
        unit_of = clusters_of(prompts, tag, file=run["prompts_path"], asked="`cluster`")
        found.append((tag, unit_of))
    return min(found, key=lambda one: len(set(one[1].values())))


# What makes two ablations the same edit; their features may be others, as in wider SAEs.
_EDIT = ("kind", "value", "positions", "variant", "source")


def _ablations_of(run: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The ablations of a run's spec, by name."""
    return {part["name"]: part for part in spec_mapping(run).get("ablations", ())}


def _target_impacts(source: ReadStore, run_id: str) -> dict[str, dict[str, dict[str, float]]]:
    """What each ablation's target did, by ablation, metric and prompt."""
    targets = {
        row["intervention_id"]: row["ablation"]
        for row in source.read(Interventions, run_id, role="target").rows()
    }
    impacts: dict[str, dict[str, dict[str, float]]] = {}
    for intervention, ablation in targets.items():
        rows = source.read(Impacts, run_id, intervention_id=intervention)
        for row in rows.rows():
            metric = impacts.setdefault(ablation, {}).setdefault(row["metric"], {})
            metric[row["prompt_id"]] = row["impact"]
    return impacts


def check_same_prompts(a: Sequence[Prompt], b: Sequence[Prompt], names: tuple[str, str]) -> None:
    """Raises `InputError` naming the prompts that the two runs do not share."""
    first, second = ({prompt.id: _content(prompt) for prompt in prompts} for prompts in (a, b))
    faults = [
        Fault(
            f"run {name}", f"only it has {len(alone)} of the prompts: {first_few(alone)}", _REMEDY
        )
        for name, mine, others in zip(names, (first, second), (second, first), strict=True)
        if (alone := [prompt for prompt in mine if prompt not in others])
    ]
    if changed := [name for name in first if name in second and first[name] != second[name]]:
        what = f"prompts that are not the same: {first_few(changed)}"
        faults.append(Fault(f"runs {names[0]} and {names[1]}", what, _REMEDY))
    if faults:
        raise InputError(*faults)


_REMEDY = "runs are compared on the same prompts: run one of them again"


def _content(prompt: Prompt) -> tuple[str, ...]:
    """What two runs must agree on to be asked the same."""
    return (prompt.text, *prompt.answers, prompt.family, prompt.label)


def compare_behaviour(
    prompts: Sequence[Prompt],
    a: Mapping[str, Values],
    b: Mapping[str, Values],
    unit_of: Mapping[str, str],
) -> list[ComparedQuantity]:
    """What the models prefer: of all prompts, and between the variants of each pair.

    `a` and `b` hold each prompt's `logit_difference` and log-probabilities, nats, and `unit_of` the unit of
    each family. `right` is the share of prompts whose right answer is the likelier one. Pairs whose variants
    have the same prompt are left out between the variants: their difference is zero by construction.
    """
    units = [unit_of[prompt.family] for prompt in prompts]
    x, y = (
        np.array([[side[prompt.id][name] for name in BEHAVIOUR] for prompt in prompts])
        for side in (a, b)
    )
    x, y = (np.column_stack([side, side[:, 0] > 0]) for side in (x, y))
    quantities, nats = (*BEHAVIOUR, "right"), ("nats",) * len(BEHAVIOUR)
    rows = _compare_columns("behaviour", quantities, (*nats, "share"), x, y, units)
    pairs = [pair for pair in pairs_of(prompts) if _differ(pair)]
    if not pairs:
        return rows
    first, second = (
        np.array(
            [
                [
                    side[pair.correct.id][name] - side[pair.misconception.id][name]
                    for name in BEHAVIOUR
                ]
                for pair in pairs
            ]
        )
        for side in (a, b)
    )
    units = [unit_of[pair.family] for pair in pairs]
    return rows + _compare_columns("between variants", BEHAVIOUR, nats, first, second, units)


def _differ(pair: Pair) -> bool:
    """Whether the model is asked something else in the two variants of a pair."""
    return pair.correct.text != pair.misconception.text


def _without_contrast(prompts: Sequence[Prompt]) -> Iterator[str]:
    """That there are pairs whose variants have the same prompt, where there are."""
    pairs = pairs_of(prompts)
    if same := sum(not _differ(pair) for pair in pairs):
        yield (
            f"between variants: {same} of {len(pairs)} pairs have the same prompt in both, and differ by "
            "zero by construction"
        )


def compare_impacts(
    ablation: str,
    unit_of: Mapping[str, str],
    a: Mapping[str, Values],
    b: Mapping[str, Values],
) -> list[ComparedQuantity]:
    """What two runs' ablations of one name do to the prompts that both measured, metric by metric.

    `a` and `b` hold the impacts by metric and prompt, `unit_of` the unit of each prompt.
    """
    metrics = [metric for metric in a if metric in b]
    if not metrics:
        return []
    shared = sorted(set.intersection(*(set(side[m]) for side in (a, b) for m in metrics)))
    if not shared:
        return []
    x, y = (np.array([[side[m][prompt] for m in metrics] for prompt in shared]) for side in (a, b))
    measured_in = ["flips" if metric == "top1_flips" else "nats" for metric in metrics]
    units = [unit_of[prompt] for prompt in shared]
    return _compare_columns(f"ablation {ablation}", metrics, measured_in, x, y, units)


def _compare_columns(
    about: str,
    quantities: Sequence[str],
    unit: Sequence[str],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    units: Sequence[str],
) -> list[ComparedQuantity]:
    """One row a column of `a` and `b`, (n_prompts, n_quantities), clustered by `units`."""
    n_units = len(set(units))
    means = (values.mean(axis=0).tolist() for values in (a, b, b - a))
    plain = [
        ComparedQuantity(about, quantity, unit[i], len(a), n_units, *means_of)
        for i, (quantity, means_of) in enumerate(
            zip(quantities, zip(*means, strict=True), strict=True)
        )
    ]
    if n_units < 2:
        return plain
    mean = mean_interval(b - a, units)
    test = paired_max_t(b, a, units, statistic="mean")
    size = effects(b, a, units)
    return [
        ComparedQuantity(
            **{
                **vars(row),
                "ci_low": float(mean.low[i]),
                "ci_high": float(mean.high[i]),
                "p": float(test.p_marginal[i]),
                "p_adjusted": float(test.p_adjusted[i]),
                "d_z": None if np.isnan(size.d_z[i]) else float(size.d_z[i]),
            }
        )
        for i, row in enumerate(plain)
    ]

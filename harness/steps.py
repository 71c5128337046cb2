"""Single looks at a model without a spec: features of prompts, and one feature removed.

They conclude nothing: no family is set aside, nothing is compared with controls. Where an SAE cannot
be had they go on with random directions, say so, and mark every line as a mock.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.batch import where
from harness.edits import Edit, apply, gain_and_shift
from harness.faults import Fault, InputError
from harness.loading import load_model
from harness.machine import choose_device, rows_that_fit
from harness.observe import observe
from harness.places import find
from harness.plan import Plan, make_plan
from harness.read import load_prompts
from harness.records import Activations, Prompt
from harness.sae.jumprelu import Sae
from harness.sources import model_bytes, model_files, reach, saes_or_mock, verify
from harness.spec import Spec, TargetChoice
from harness.target import Target, load_targets, mocked, resolve
from harness.wire import How, sae_provider
from harness.work import Bench, Limit, Rows, each

UNCHANGED = 1e-6  # nats: less is rounding


@dataclass(frozen=True)
class Step:
    """What every step is told: the model, its SAEs and layers, the prompts, and where to write."""

    model: str = "gemma-2-2b"
    sae: str | None = None
    layers: tuple[int, ...] = ()
    prompts: str = "data/prompts_physics.jsonl"
    output: Path = Path("runs")
    seed: int = 42
    how: How = field(default_factory=How)
    say: Callable[[str], None] = print


def extract(step: Step, *, top: int = 20, at: str = "answer") -> Path:
    """Write each prompt's `top` strongest features at each layer to `features.jsonl`.

    `at` is where they are read, as in a spec's readout; several positions are averaged. Returns the
    file. Raises `InputError` and `CannotRun`.
    """
    bench, plan = _prepare(step, at)
    lines = []
    for table in observe(bench, plan, plan.prompts)[1:]:
        assert isinstance(table, Activations)
        lines += list(_strongest(table, plan, top))
    order = {prompt.id: i for i, prompt in enumerate(plan.prompts)}
    lines.sort(key=lambda line: (order[line["id"]], line["layer"]))
    return _write(step, "features.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def ablate(step: Step, *, layer: int, feature: int) -> Path:
    """Remove one feature at every prompt and answer position; write `ablation_report.json`.

    The log-probability, in nats, is that of each prompt's `expected_correct_answer`. Returns the file.
    Raises `InputError` and `CannotRun`.
    """
    bench, plan = _prepare(replace(step, layers=(layer,)), "answer")
    sae = bench.saes(layer)
    if not 0 <= feature < sae.features:
        remedy = f"name one from 0 to {sae.features - 1}"
        raise InputError(Fault(f"layer {layer}", f"it has no feature {feature}", remedy))
    results = _removed(bench, plan.prompts, sae, layer, feature)
    deltas = np.array([result["delta"] for result in results])
    report = {
        "layer": layer,
        "feature_id": feature,
        "model": plan.target.model,
        "sae": plan.target.sae,
        "origin": bench.origin,
        "seed": step.seed,
        "results": results,
        "summary": {
            "mean_delta": float(deltas.mean()),
            "decreased": int((deltas < -UNCHANGED).sum()),
            "increased": int((deltas > UNCHANGED).sum()),
            "unchanged": int((abs(deltas) <= UNCHANGED).sum()),
        },
    }
    return _write(step, "ablation_report.json", json.dumps(report, indent=2) + "\n")


def _prepare(step: Step, at: str) -> tuple[Bench, Plan]:
    """The model, its SAEs, and what to read where."""
    target = _target(step)
    layers = step.layers or target.layers
    if not layers:
        raise InputError(Fault(step.model, "no layer is named", "give --layers_to_hook 0,6,12"))
    path = find(step.prompts)
    if path is None:
        raise InputError(Fault(step.prompts, "there is no such prompt file", "correct --prompts"))
    prompts = load_prompts(path)
    how = step.how
    device, why = choose_device(how.device, model_bytes(target))
    step.say(f"{target.model} on {device} ({why})")
    # The model comes first: without it there is nothing to look at, mock or not.
    reach(target)
    if how.mock:
        target = mocked(target, how.mock)
        step.say("warning: random SAEs, as asked: what follows is evidence of nothing")
    target, files = saes_or_mock(target, layers, allowed=True, say=step.say)
    source = model_files(target)
    verify(source.folder, [*source.weights, *files.values()])
    model = load_model(source, dtype=target.dtype, device=device, attention=how.attention)
    target = replace(target, width=model.width, blocks=model.depth)
    if beyond := [layer for layer in layers if not 0 <= layer < model.depth]:
        remedy = f"name layers from 0 to {model.depth - 1}"
        raise InputError(Fault(step.model, f"it has no layer {beyond[0]}", remedy))
    saes = sae_provider(target, files, str(model.device), step.say, seed=step.seed)
    rows = how.batch_size or rows_that_fit(model, 64)
    bench = Bench("step", target.origin, model, saes, Limit(rows, step.say))
    return bench, make_plan(_spec(target, layers, at), target, prompts)


def _target(step: Step) -> Target:
    """A known target by its name or its model's, or any other model."""
    known = load_targets()
    name = next(
        (name for name, target in known.items() if step.model in (name, target.model)), None
    )
    choice = TargetChoice(
        model=None if name else step.model,
        sae=step.sae or (None if name else "mock:orthogonal"),
        dtype=step.how.dtype or None,  # type: ignore[arg-type] # checked by the model itself
    )
    return resolve(name or Path(step.model).name, choice)


def _spec(target: Target, layers: Sequence[int], at: str) -> Spec:
    claim = {"name": "none", "behaviour": "logit_difference", "direction": "greater"}
    return Spec.model_validate(
        {
            "name": "step",
            "question": "What is seen?",
            "targets": {target.name: {"layers": tuple(layers)}},
            "prompts": "-",
            "readout": {"at": at},
            "claims": (claim,),
        }
    )


def _strongest(table: Activations, plan: Plan, top: int) -> Iterator[dict[str, Any]]:
    """A line for each prompt: its strongest features at the table's layer."""
    ids = np.asarray(table.prompt_id, dtype=str)
    features, values = np.asarray(table.feature), np.asarray(table.value, dtype=float)
    if not len(ids):
        return
    layer = int(np.asarray(table.layer)[0])
    for prompt in plan.prompts:
        own = np.flatnonzero(ids == prompt.id)
        best = own[np.argsort(-values[own], kind="stable")[:top]]
        yield {
            "id": prompt.id,
            "pair_id": prompt.pair_id,
            "label": prompt.label,
            "layer": layer,
            "topk_feature_ids": features[best].tolist(),
            "topk_feature_activations": values[best].tolist(),
            "origin": plan.target.origin,
        }


def _removed(
    bench: Bench, prompts: Sequence[Prompt], sae: Sae, layer: int, feature: int
) -> list[Mapping[str, Any]]:
    """Each prompt's log-probability of its right answer, with the feature and without it."""
    rows = Rows(bench.model, prompts)
    edit = Edit(sae.only(torch.tensor([feature])), *gain_and_shift("zero", None))
    found: dict[int, tuple[list[float], list[float]]] = {}

    def score(chosen: list[int]) -> list[tuple[list[float], list[float]]]:
        batch = bench.model.batch([rows.tokens[i] for i in chosen])
        positions = where(batch, "all")
        plain = bench.model.forward(batch)
        edited = bench.model.forward(batch, {layer: lambda x: apply(edit, x, positions)})
        return [
            tuple([float(answer.sum()) for answer in row] for row in pair)  # type: ignore[misc]
            for pair in zip(plain, edited, strict=True)
        ]

    for chosen, scores in each(bench.limit, rows.tokens, score):
        found |= dict(zip(chosen, scores, strict=True))
    lines: list[Mapping[str, Any]] = []
    for prompt in prompts:
        before, after = found[rows.row(prompt)]
        right = rows.candidates(prompt)["correct"]
        lines.append(
            {
                "id": prompt.id,
                "pair_id": prompt.pair_id,
                "label": prompt.label,
                "answer": prompt.correct,
                "baseline_logprob": before[right],
                "ablated_logprob": after[right],
                "delta": after[right] - before[right],
            }
        )
    return lines


def _write(step: Step, name: str, text: str) -> Path:
    folder = step.output / f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
    try:
        folder.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            Fault(str(folder), f"cannot be written: {error.strerror}", "name another --output_dir")
        ) from None
    return folder / name

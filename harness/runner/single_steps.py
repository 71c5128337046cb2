"""Single looks at a model without a spec: features of prompts, and one feature removed.

They conclude nothing: no family is set aside, nothing is compared with controls. Where an SAE cannot
be had they go on with random directions, say so, and mark every line as a mock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from harness.errors import Fault, InputError, Say
from harness.interventions import Edit, apply, gain_and_shift
from harness.interventions.replay_scores import log_sum
from harness.models.adaptive_batching import BatchLimit
from harness.models.arithmetic import exact_arithmetic
from harness.models.devices import choose_device
from harness.models.memory import rows_that_fit
from harness.models.model_files import reach
from harness.models.padded_batch import positions_of
from harness.models.prompt_rows import PromptRows
from harness.models.requirements import model_bytes, model_in_words
from harness.paths import DEFAULT_DB, find
from harness.runner.context import How, Progress, RunContext
from harness.runner.provenance import sae_commit
from harness.runner.resources import acquire
from harness.runner.sae_provider import sae_provider
from harness.runner.stages.generate import generate
from harness.runner.stages.observe import observe
from harness.sae import Sae
from harness.specs.plan import Plan, make_plan
from harness.specs.prompt import Prompt
from harness.specs.prompt_file import load_prompts
from harness.specs.spec import Spec
from harness.specs.target_choice import TargetChoice
from harness.specs.target_files import known_targets
from harness.specs.targets import Target, mocked, resolve
from harness.store.database import Store
from harness.store.export.feature_diff import diff_features
from harness.store.export.files import read_features, write, write_new
from harness.store.export.formats import AblationResult, DiffReport, FeatureLine
from harness.store.export.jsonl import (
    ablation_entry,
    ablation_report,
    feature_lines,
    result_lines,
    stored_features,
)
from harness.store.find_run import find_run
from harness.store.tables.observations import Activations, Generations, TopkLogits


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
    say: Say = print
    progress: Progress = lambda *_: None


def prompts(step: Step, *, new_tokens: int = 10) -> Path:
    """Write what the model says to each prompt, greedily, to `results.jsonl`.

    Returns the file. Raises `InputError` and `CannotRun`.
    """
    context, plan, made_with = _prepare(
        step, "last_prompt_token", saes=False, new_tokens=new_tokens
    )
    with exact_arithmetic(context.model.device):
        said, logits = generate(context, plan, plan.prompts)
    assert isinstance(said, Generations)
    assert isinstance(logits, TopkLogits)
    lines = result_lines(plan.prompts, said, logits, made_with)
    return write_new(step.output, "results.jsonl", lines)


def extract(step: Step, *, top: int = 20, at: str = "answer") -> Path:
    """Write each prompt's `top` strongest features at each layer to `features.jsonl`.

    `at` is where they are read, as in a spec's readout; several positions are averaged. Returns the
    file. Raises `InputError` and `CannotRun`.
    """
    context, plan, made_with = _prepare(step, at)
    with exact_arithmetic(context.model.device):
        _, *tables = observe(context, plan, plan.prompts)
    lines = [
        line
        for layer, table in zip(plan.layers, tables, strict=True)
        if isinstance(table, Activations)
        for line in feature_lines(plan.prompts, [layer], table, context.origin, top, made_with)
    ]
    order = {prompt.id: i for i, prompt in enumerate(plan.prompts)}
    lines.sort(key=lambda line: (order[line.id], line.layer))
    return write_new(step.output, "features.jsonl", lines)


def diff(
    a: str,
    b: str | None,
    *,
    top: int = 20,
    db: Path = DEFAULT_DB,
    say: Say = print,
) -> DiffReport:
    """Which features differ between two stored runs or folders; between the variants of one.

    Raises `InputError` and `CannotRun`.
    """
    first = _features(a, db, say)
    second = None if b is None or b == a else _features(b, db, say)
    return diff_features(first, second, names=(a, b or a), top=top)


def write_diff(report: DiffReport, path: Path | None, parent: Path) -> Path:
    """To the named file, or into a new folder. Raises `CannotRun`."""
    name = "diff_report.json"
    return write_new(parent, name, report) if path is None else write(path, report)


def _features(name: str, db: Path, say: Say) -> list[FeatureLine]:
    """The features of a folder's file, or all of a stored run's."""
    if Path(name).exists():
        lines, told = read_features(Path(name))
        if not told:
            say(f"warning: {name} does not say whether its SAEs were real; taken for random ones")
        return lines
    if not db.exists():
        what = f"there is no such file or folder, and no results file {db} to have such a run"
        remedy = "name what `harness extract` wrote, or give --db"
        raise InputError(Fault(name, what, remedy))
    with Store.open_to_read(db, say=say) as store:
        return stored_features(store, find_run(store, name))


def ablate(step: Step, *, layer: int, feature: int) -> Path:
    """Remove one feature at every prompt and answer position; write `ablation_report.json`.

    The log-probability, in nats, is that of each prompt's `expected_correct_answer`. Returns the file.
    Raises `InputError` and `CannotRun`.
    """
    context, plan, made_with = _prepare(replace(step, layers=(layer,)), "answer")
    sae = context.saes(layer)
    if not 0 <= feature < sae.features:
        remedy = f"name one from 0 to {sae.features - 1}"
        raise InputError(Fault(f"layer {layer}", f"it has no feature {feature}", remedy))
    with exact_arithmetic(context.model.device):
        results = _removed(context, plan.prompts, sae, layer, feature)
    found = ablation_entry([(layer, feature)], results)
    report = ablation_report([found], seed=step.seed, origin=context.origin, made_with=made_with)
    return write_new(step.output, "ablation_report.json", report)


def _prepare(
    step: Step, at: str, *, saes: bool = True, new_tokens: int = 0
) -> tuple[RunContext, Plan, Mapping[str, str | None]]:
    """The model, its SAEs if it needs any, what to read where, and what is made with which revisions."""
    target = _target(step)
    layers = (step.layers or target.layers) if saes else ()
    if saes and not layers:
        raise InputError(Fault(step.model, "no layer is named", "give --layers_to_hook 0,6,12"))
    path = find(step.prompts)
    if path is None:
        raise InputError(Fault(step.prompts, "there is no such prompt file", "correct --prompts"))
    prompts = load_prompts(path)
    how = step.how
    device, why = choose_device(how.device, model_bytes(target))
    step.say(f"{model_in_words(target)} on {device} ({why})")
    # The model comes first: without it there is nothing to look at, mock or not.
    reach(target)
    if how.mock and saes:
        target = mocked(target, how.mock)
        step.say("warning: random SAEs, as asked: what follows is evidence of nothing")
    resources = acquire(target, layers, device=device, how=how, mock_if_missing=True, say=step.say)
    model = resources.model
    target = replace(resources.target, width=model.width, blocks=model.depth)
    if beyond := [layer for layer in layers if not 0 <= layer < model.depth]:
        remedy = f"name layers from 0 to {model.depth - 1}"
        raise InputError(Fault(step.model, f"it has no layer {beyond[0]}", remedy))
    provider = sae_provider(target, resources.sae_files, model, step.say, seed=step.seed)
    rows = how.batch_size or rows_that_fit(model, 64)
    limit = BatchLimit(rows, step.say)
    heard = partial(step.progress, "prompts")
    context = RunContext("step", target.origin, model, provider, limit, heard)
    made_with = {
        "model": resources.model_files.name,
        "model_revision": resources.model_files.revision,
        "sae": target.sae if layers else None,
        "sae_revision": sae_commit(target, resources.sae_files) if layers else None,
    }
    return context, make_plan(_spec(target, layers, at, new_tokens), target, prompts), made_with


def _target(step: Step) -> Target:
    """A known target by its name or its model's, or any other model."""
    known = known_targets()
    name = next(
        (name for name, target in known.items() if step.model in (name, target.model)), None
    )
    choice = TargetChoice(
        model=None if name else step.model,
        sae=step.sae or (None if name else "mock:orthogonal"),
        dtype=step.how.dtype or None,  # type: ignore[arg-type] # checked by the model itself
    )
    return resolve(name or "step", choice, known=known)


def _spec(target: Target, layers: Sequence[int], at: str, new_tokens: int) -> Spec:
    claim = {"name": "none", "behaviour": "logit_difference", "direction": "greater"}
    return Spec.model_validate(
        {
            "name": "step",
            "question": "What is seen?",
            "targets": {target.name: {"layers": tuple(layers) or "none"}},
            "prompts": "-",
            "readout": {"at": at},
            "new_tokens": new_tokens,
            "claims": (claim,),
        }
    )


def _removed(
    context: RunContext, prompts: Sequence[Prompt], sae: Sae, layer: int, feature: int
) -> list[AblationResult]:
    """Each prompt's log-probability of its right answer, with the feature and without it."""
    rows = PromptRows(context.model, prompts)
    edit = Edit(sae.only(torch.tensor([feature])), *gain_and_shift("zero", None))
    found: dict[int, tuple[list[float], list[float]]] = {}

    def score(chosen: list[int]) -> list[tuple[list[float], list[float]]]:
        batch = context.model.batch([rows.tokens[i] for i in chosen])
        positions = positions_of(batch, "all")
        plain = context.model.forward(batch)
        edited = context.model.forward(batch, {layer: lambda x: apply(edit, x, positions)})
        return [
            tuple([float(answer.sum()) for answer in row] for row in pair)  # type: ignore[misc]
            for pair in zip(plain, edited, strict=True)
        ]

    for chosen, scores in context.batches(rows.tokens, score):
        found |= dict(zip(chosen, scores, strict=True))
    results = []
    for prompt in prompts:
        before, after = found[rows.row(prompt)]
        right = rows.candidates(prompt)["correct"]
        was, now = (float(log_sum([some[one] for one in right])) for some in (before, after))
        results.append(
            AblationResult(
                id=prompt.id,
                pair_id=prompt.pair_id,
                label=prompt.label,
                answer=prompt.correct,
                baseline_logprob=was,
                ablated_logprob=now,
                delta=now - was,
            )
        )
    return results

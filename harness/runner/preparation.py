"""From what is asked for to a plan, a loaded model and the SAEs' files: all that precedes the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.analysis.shortcut_checks import findings_of
from harness.errors import Fault, InputError, Say, first_few
from harness.models.chat_tokens import check_template
from harness.models.devices import choose_device
from harness.models.language_model import LanguageModel
from harness.models.model_files import reach
from harness.models.requirements import model_bytes
from harness.runner.context import How
from harness.runner.resources import Resources, acquire
from harness.runner.target_choice import choose_target
from harness.specs.answer_tokens import beginning
from harness.specs.metric_checks import place_of_metric
from harness.specs.plan import Plan, layers_of, limited
from harness.specs.plan_checks import Locate, faults_of
from harness.specs.spec_file import SpecFile
from harness.specs.target_files import known_targets
from harness.specs.targets import Target, mocked
from harness.stats.own_metrics import Metrics, own_metrics


@dataclass(frozen=True)
class RunRequest:
    """What is to be run, `why` on this target, and the files that it was read from.

    `where` places a part of the spec in a message. `whole` is the plan of all prompts, of which a trial has
    some. `repeated` is the line of the run that this one
    repeats, where it does.
    """

    plan: Plan
    why: str
    spec_path: Path
    prompts_path: Path
    where: Locate
    whole: Plan
    repeated: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Prepared:
    """A plan that suits the loaded model, and what it is run with: `own` are the registered metrics."""

    plan: Plan
    resources: Resources
    own: Metrics = field(default_factory=dict)


def request(file: SpecFile, target: str, how: How, say: Say) -> RunRequest:
    """What a spec asks for on `target`, or on the best one present. Raises `InputError`, `CannotRun`."""
    targets = dict(file.targets)
    if how.mock:
        targets = {name: mocked(choice, how.mock) for name, choice in targets.items()}
    layers = {name: layers_of(file.spec, choice) for name, choice in targets.items()}
    name, why = choose_target(targets, layers, target, known_targets(file.path.parent))
    plan = whole = file.plan(name, how.mock)
    if faults := findings_of(file).faults:
        raise InputError(*faults)
    if how.limit:
        plan = limited(plan, how.limit)
        extent = plan.limited or "so few families that all of them run: this is no trial"
        say(f"{file.spec.name}: {extent}")
    assert file.prompts_path is not None  # the plan holds its prompts
    return RunRequest(plan, why, file.path, file.prompts_path, file.where, whole)


def prepare(request: RunRequest, how: How, say: Say) -> Prepared:
    """Choose a device, fetch what is missing, load the model and fit the plan to it.

    Raises `InputError` or `CannotRun`.
    """
    plan = request.plan
    own = own_metrics(
        plan.spec.metrics, lambda name: request.where(*place_of_metric(plan.spec, name))
    )
    # A dtype that is asked for is the target's in this run.
    plan = replace(plan, target=replace(plan.target, dtype=how.dtype or plan.target.dtype))
    device, reason = choose_device(how.device, model_bytes(plan.target))
    more = "" if reason in request.why else f" ({reason})"
    say(f"{plan.spec.name} on {plan.target.name} ({request.why}), {device}{more}")

    def check(target: Target) -> None:
        # What a spec may ask of random SAEs is checked as for any others.
        if faults := faults_of(replace(plan, target=target), request.where):
            raise InputError(*faults)

    # A gated model is refused before gigabytes of SAEs are fetched for it.
    reach(plan.target)
    resources = acquire(
        plan.target,
        plan.layers,
        device=device,
        how=how,
        mock_if_missing=how.mock_if_missing,
        say=say,
        note=say,
        check=check,
    )
    _check_answers(plan, request.prompts_path, resources.model)
    fitted = _fit(replace(plan, target=resources.target), resources.model)
    return Prepared(fitted, resources, own)


def _fit(plan: Plan, model: LanguageModel) -> Plan:
    """The plan with what only the loaded model tells; raises `InputError` where they disagree."""
    beyond = [layer for layer in plan.layers if layer >= model.depth]
    if beyond:
        raise InputError(
            Fault(
                f"target {plan.target.name}",
                f"the model has {model.depth} blocks and no layer {beyond[0]}",
                f"name layers from 0 to {model.depth - 1}",
            )
        )
    _check_positions(plan, model)
    return replace(plan, target=replace(plan.target, width=model.width, blocks=model.depth))


def _check_answers(plan: Plan, path: Path, model: LanguageModel) -> None:
    """Raises `InputError` with each pair without tokens, or of which one answer begins the other."""
    if any(prompt.chat for prompt in plan.prompts):
        check_template(model.tokenizer)  # of the model, and not of each line
    faults: list[Fault] = []
    faulty = set()
    for prompt in (*plan.prompts, *plan.baselines):
        if prompt.pair_id in faulty:
            continue  # its other variant said so
        where = f"{path}:{prompt.line}"
        try:
            answers = model.tokens(prompt.asked, *prompt.answers).answers
            found = beginning(where, prompt, plan.target.name, *answers)
        except InputError as error:
            found = replace(error.faults[0], where=f"{where}, {error.faults[0].where}")
        if found:
            faults.append(found)
            faulty.add(prompt.pair_id)
    if faults:
        raise InputError(*faults)


def _check_positions(plan: Plan, model: LanguageModel) -> None:
    """Raises `InputError` where an edit is at a token that none of its prompts has: it would do nothing."""
    faults = []
    for ablation in plan.ablations:
        if isinstance(ablation.positions, str):
            continue
        edited = [prompt for prompt in plan.prompts if prompt.label == ablation.variant]
        longest = max(len(model.tokens(prompt.asked).prompt) - 1 for prompt in edited)
        if absent := [place for place in ablation.positions if abs(place) > longest]:
            what = f"no prompt has a token {first_few(map(str, absent))}: the longest has {longest}"
            remedy = "count from 1 after BOS, or from -1 at the end"
            faults.append(Fault(f"{plan.spec.name}, ablation {ablation.name}", what, remedy))
    if faults:
        raise InputError(*faults)

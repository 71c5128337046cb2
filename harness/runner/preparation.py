"""From what is asked for to a plan, a loaded model and the SAEs' files: all that precedes the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.analysis.shortcut_checks import findings_of
from harness.errors import Fault, InputError, Say
from harness.models.devices import choose_device
from harness.models.language_model import LanguageModel
from harness.models.model_files import reach
from harness.models.requirements import model_bytes
from harness.runner.context import How
from harness.runner.resources import Resources, acquire
from harness.runner.target_choice import choose_target
from harness.specs.metric_checks import place_of_metric
from harness.specs.plan import Plan, bare, layers_of
from harness.specs.plan_checks import Locate, faults_of
from harness.specs.spec_file import SpecFile
from harness.specs.target_files import known_targets
from harness.specs.targets import Target, mocked
from harness.specs.trials import limited
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
    """What a run is made with: a `target` that suits the loaded model, and `own` registered metrics."""

    target: Target
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
    return RunRequest(plan, why, file.path, file.prompts_path, file.places, whole)


def prepare(
    request: RunRequest, how: How, *, check: Callable[[Target], None], say: Say
) -> Prepared:
    """Choose a device, fetch what is missing, load the model and fit the target to it.

    `check` is told of random SAEs that take the place of the target's own, before the model is loaded. Raises
    `InputError` or `CannotRun`.
    """
    plan = request.plan
    own = own_metrics(
        plan.spec.metrics, lambda name: request.where(*place_of_metric(plan.spec, name))
    )
    # A dtype that is asked for is the target's in this run.
    target = replace(plan.target, dtype=how.dtype or plan.target.dtype)
    device, reason = choose_device(how.device, model_bytes(target))
    more = "" if reason in request.why else f" ({reason})"
    say(f"{plan.spec.name} on {target.name} ({request.why}), {device}{more}")
    # A gated model is refused before gigabytes of SAEs are fetched for it.
    reach(target)
    resources = acquire(
        target,
        plan.layers,
        device=device,
        how=how,
        mock_if_missing=how.mock_if_missing,
        say=say,
        note=say,
        check=check,
    )
    return Prepared(_fit(resources.target, plan.layers, resources.model), resources, own)


def settled(request: RunRequest, target: Target) -> RunRequest:
    """What any other process is asked for, once one has found the target to suit the model: no prompts."""
    plan = replace(bare(request.plan), target=target)
    return replace(request, plan=plan, whole=plan, repeated=None)


def check_random(plan: Plan, where: Locate) -> Callable[[Target], None]:
    """What refuses random SAEs in the place of a target's own: they are checked as any others."""

    def check(target: Target) -> None:
        if faults := faults_of(replace(plan, target=target), where):
            raise InputError(*faults)

    return check


def _fit(target: Target, layers: Sequence[int], model: LanguageModel) -> Target:
    """The target with what only the loaded model tells; raises `InputError` where they disagree."""
    beyond = [layer for layer in layers if layer >= model.depth]
    if beyond:
        raise InputError(
            Fault(
                f"target {target.name}",
                f"the model has {model.depth} blocks and no layer {beyond[0]}",
                f"name layers from 0 to {model.depth - 1}",
            )
        )
    return replace(target, width=model.width, blocks=model.depth)

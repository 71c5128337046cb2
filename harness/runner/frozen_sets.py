"""Feature sets that other evals froze: found in the results file when a run begins, and then the run's own.

What is found is in the run's line from the beginning, so that a run that is taken up, analysed or repeated
has the same features whatever became of the other eval since.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import CannotRun, Fault, InputError, first_few, nearest
from harness.names import command
from harness.specs.ablations import Ablation
from harness.specs.plan import Plan
from harness.store.find_run import Run, trial_word
from harness.store.frozen_sets import FrozenSet, sets_of
from harness.store.interface import ReadStore, RunStore
from harness.store.interventions import interventions_of
from harness.store.stored_spec import stored_spec
from harness.store.tables.interventions import Interventions
from harness.store.tables.runs import Prompts, Runs


def find_sets(store: RunStore, plan: Plan, facts: Mapping[str, Any]) -> dict[str, FrozenSet]:
    """The sets that a plan's ablations take from other evals, by ablation.

    Each from the latest finished run of that eval with the model and the SAEs of `facts`, as `run_facts` has
    them, and no trial on some of the families, unless the plan is one. Raises `CannotRun` where there is no
    such run, `InputError` where it has no such set, or one of layers that the plan does not read.
    """
    return {
        ablation.name: find_set(store, plan, ablation, facts, store.path)
        for ablation in plan.ablations
        if ablation.select.source
    }


def why_sets_explore(store: RunStore, plan: Plan, sets: Mapping[str, FrozenSet]) -> str | None:
    """Why a run with these sets cannot confirm, in words; None where nothing speaks against it.

    The run that froze one could not itself, or chose it on prompts that this plan confirms on.
    """
    confirming = plan.confirming
    for name, one in sets.items():
        (run,) = store.read(Runs, one.run_id).rows()
        if why := run["exploratory"]:
            return f"the features of {name} are of run {one.run_id}, which is exploratory: {why}"
        selected = {each.name: each.select for each in stored_spec(run).ablations}[one.ablation]
        if selected.uses_families:
            chosen = store.read(Prompts, one.run_id, split="discovery").prompt
            if both := confirming.intersection(map(str, chosen)):
                return (
                    f"{len(both)} of the {len(confirming)} prompts that it confirms on chose the features of "
                    f"{name} in run {one.run_id}"
                )
    return None


def find_set(
    store: ReadStore, plan: Plan, ablation: Ablation, facts: Mapping[str, Any], db: Path
) -> FrozenSet:
    """The set that one ablation takes from another eval. Raises as `find_sets`.

    Without a `sae_hash` in `facts`, before the SAEs' files are known, they are taken to be the same.
    """
    assert ablation.select.source
    spec, name = ablation.select.source
    run = _latest(store, plan, ablation, facts, db)
    where = f"{plan.spec.name}, ablation {ablation.name}"
    there = sets_of(run).get(name)
    if there is not None:
        what = f"{name} of {spec} has its features from {there.spec} itself"
        raise InputError(Fault(where, what, f"write `from: {there.spec}/{there.ablation}`"))
    rows = store.read(Interventions, run["run_id"], role="target")
    frozen = {one.ablation: one.features for one in interventions_of(rows)}
    if name not in frozen:
        what = f"run {run['run_id']} froze no features of an ablation '{name}'"
        raise InputError(Fault(where, what, nearest(name, frozen)))
    unread = [f for f in frozen[name] if f[0] not in plan.layers]
    if unread:
        names = [f"{layer}:{index}" for layer, index in unread]
        lacking = sorted({layer for layer, _ in unread})
        what = (
            f"{name} of {spec} has features of layers that are not read on {plan.target.name}: "
            f"{first_few(names)}"
        )
        remedy = f"add {first_few(map(str, lacking))} to the target's layers"
        raise InputError(Fault(where, what, remedy))
    layers = sorted({layer for layer, _ in frozen[name]})
    if "sae_hash" in facts and (other := _other_saes(run, facts, layers)):
        what = f"run {run['run_id']} has other SAEs of layer {first_few(map(str, other))}"
        raise CannotRun(Fault(where, what, _run_it(spec, plan)))
    return FrozenSet(spec, name, run["spec_hash"], run["run_id"], frozen[name])


def _latest(
    store: ReadStore, plan: Plan, ablation: Ablation, facts: Mapping[str, Any], db: Path
) -> Run:
    """The run that froze the set. Raises `CannotRun`."""
    assert ablation.select.source
    spec, _ = ablation.select.source
    finished = store.read(Runs, spec_name=spec, status="finished", origin=facts["origin"]).rows()
    there = [run for run in finished if _same_model(run, facts)]
    complete = [run for run in there if trial_word(run) != "limited"]
    # A trial is no evidence, whatever its features are.
    if not complete and plan.limit:
        complete = there
    if complete:
        return max(complete, key=lambda run: (run["finished_at"], run["run_id"]))
    raise no_source(plan, ablation, db, "only trials of it are" if there else NO_RUN)


NO_RUN = "no finished run of it is"


def no_source(plan: Plan, ablation: Ablation, db: Path, missing: str = NO_RUN) -> CannotRun:
    """That the run which froze an ablation's features is not there, and the command that makes it."""
    assert ablation.select.source
    what = (
        f"it takes its features from {ablation.select.taken_from}, and {missing} in {db} on "
        f"{plan.target.name}"
    )
    where = f"{plan.spec.name}, ablation {ablation.name}"
    return CannotRun(Fault(where, what, _run_it(ablation.select.source[0], plan)))


def _run_it(spec: str, plan: Plan) -> str:
    mock = ("--mock",) if plan.target.origin == "mock" else ()
    return f"first: `{command('run', spec, '--target', plan.target.name, *mock)}`"


def _same_model(run: Run, facts: Mapping[str, Any]) -> bool:
    """Whether two runs have the same model: its files where both know them, else the target's name."""
    for column in ("model_hash", "model_revision"):
        if run[column] is not None and facts[column] is not None:
            return bool(run[column] == facts[column])
        if run[column] is not None or facts[column] is not None:
            break  # one knows its files, and the other does not
    return bool(run["target"] == facts["target"])


def _other_saes(run: Run, facts: Mapping[str, Any], layers: Sequence[int]) -> list[int]:
    """The layers whose SAEs are not the same in two runs: elsewhere a number is of another feature."""
    mine, theirs = (_hashes(one) for one in (facts, run))
    if not (mine or theirs):  # random ones, of one recipe for all layers
        return [] if run["sae_hash"] == facts["sae_hash"] else list(layers)
    return [layer for layer in layers if mine.get(layer) != theirs.get(layer)]


def _hashes(facts: Mapping[str, Any]) -> dict[int, str]:
    layers, hashes = list(map(int, facts["layers"])), list(map(str, facts["sae_hashes"]))
    return dict(zip(layers, hashes, strict=True)) if len(layers) == len(hashes) else {}

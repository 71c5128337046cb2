"""Feature sets that other evals froze: found in the results file when a run begins, and then the run's own.

What is found is in the run's line from the beginning, so that a run that is taken up, analysed or repeated
has the same features whatever became of the other eval since.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import CannotRun, Fault, InputError, first_few, nearest
from harness.names import command
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import TransfersClaim
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.transfer_checks import other_edit
from harness.store.find_run import Run, trial_word
from harness.store.frozen_sets import FrozenSet, Match, sets_of
from harness.store.interface import ReadStore, RunStore
from harness.store.interventions import interventions_of
from harness.store.stored_spec import stored_spec
from harness.store.tables.interventions import Interventions
from harness.store.tables.runs import Prompts, Runs

Nearest = tuple[int, float]  # a feature of this target's SAE, and how near it lies, as a cosine
Matcher = Callable[[Run, Sequence[Feature]], Mapping[Feature, Nearest]]


def find_sets(
    store: RunStore, plan: Plan, facts: Mapping[str, Any], match: Matcher | None = None
) -> dict[str, FrozenSet]:
    """The sets that a plan's ablations take from other evals, by ablation.

    Each from the latest finished run of that eval with the model and the SAEs of `facts`, as `run_facts` has
    them, and no trial on some of the families, unless the plan is one. Where it had other SAEs `match` finds
    what features here are in the place of its own. Raises `CannotRun` where there is no such run, or hardly
    a match, `InputError` where it has no such set, or one of layers that the plan does not read.
    """
    return {
        ablation.name: find_set(store, plan, ablation, facts, store.path, match)
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
    store: ReadStore,
    plan: Plan,
    ablation: Ablation,
    facts: Mapping[str, Any],
    db: Path,
    match: Matcher | None = None,
) -> FrozenSet:
    """The set that one ablation takes from another eval. Raises as `find_sets`.

    Without a `sae_hash` in `facts`, before the SAEs' files are known, they are taken to be the same, and
    without a `match` features that are to be matched are those of the other run.
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
    # Sets of further splits stand beside them, and are nobody's to take.
    own = {one.name for one in stored_spec(run).ablations}
    frozen = {one.ablation: one.features for one in interventions_of(rows) if one.ablation in own}
    if name not in frozen:
        what = f"run {run['run_id']} froze no features of an ablation '{name}'"
        raise InputError(Fault(where, what, nearest(name, frozen)))
    _check_transfers(plan, ablation, run, where)
    read = _read_here(plan, ablation, frozen[name], where)
    found = FrozenSet(spec, name, run["spec_hash"], run["run_id"], read)
    if ablation.select.match:
        if match is None:
            return found
        return _taken(found, frozen[name], match(run, read), ablation.select.least, where)
    layers = sorted({layer for layer, _ in read})
    if "sae_hash" in facts and (other := _other_saes(run, facts, layers)):
        what = f"run {run['run_id']} has other SAEs of layer {first_few(map(str, other))}"
        remedy = f"{_run_it(ablation, plan)}, or add `match: decoder` to its `from`"
        raise CannotRun(Fault(where, what, remedy))
    if len(read) < len(frozen[name]):
        matched = tuple(
            Match(layer, one, one if (layer, one) in read else None, None, (layer, one) in read)
            for layer, one in frozen[name]
        )
        return replace(found, matched=matched)
    return found


def _check_transfers(plan: Plan, ablation: Ablation, run: Run, where: str) -> None:
    """Raises `InputError` where a claim would hold impacts of two edits that are not the same."""
    claims = plan.spec.claims_on(plan.target.name)
    asked = [one for one in claims if isinstance(one, TransfersClaim) and one.edit == ablation.name]
    there = {one.name: one for one in stored_spec(run).ablations}
    if asked and ablation.select.source:
        matched = ablation.select.match is not None
        source = there[ablation.select.source[1]]
        if other := other_edit(ablation, source, matched=matched):
            what = f"claim '{asked[0].name}' needs the same edit in both evals: {other}"
            raise InputError(Fault(where, what, "edit alike, or drop the claim"))


def _read_here(
    plan: Plan, ablation: Ablation, features: Sequence[Feature], where: str
) -> tuple[Feature, ...]:
    """Those of the features that are of layers that a plan reads. Raises `InputError` where some must be."""
    read = tuple(one for one in features if one[0] in plan.layers)
    if len(read) == len(features) or (read and ablation.select.layers == "shared"):
        return read
    unread = [one for one in features if one not in read]
    names = [f"{layer}:{index}" for layer, index in unread]
    lacking = sorted({layer for layer, _ in unread})
    what = (
        f"{ablation.select.taken_from} has features of layers that are not read on {plan.target.name}: "
        f"{first_few(names)}"
    )
    remedy = f"add {first_few(map(str, lacking))} to the target's layers"
    if read:
        remedy += ", or write `layers: shared` beside its `from` to leave them out"
    raise InputError(Fault(where, what, remedy))


def _taken(
    found: FrozenSet,
    frozen: Sequence[Feature],
    nearest_here: Mapping[Feature, Nearest],
    least: float,
    where: str,
) -> FrozenSet:
    """The set with features of this target's SAEs in the place of its own. Raises `CannotRun`.

    At least half of those at layers that are read here must have one whose cosine is at least `least`.
    """
    matched = []
    for layer, original in frozen:
        feature, cosine = nearest_here.get((layer, original), (None, None))
        taken = cosine is not None and cosine >= least
        matched.append(Match(layer, original, feature, cosine, taken))
    there = [one for one in matched if one.cosine is not None]
    lost = [one for one in there if not one.taken]
    if 2 * len(lost) > len(there):
        names = [f"{one.layer}:{one.original} ({one.cosine:.2f})" for one in lost]
        what = (
            f"{len(lost)} of the {len(there)} features of {found.words} have no match here with a cosine of "
            f"{least:g}: {first_few(names)}"
        )
        raise CannotRun(Fault(where, what, "select features here with `by`, or say why in `least`"))
    features = tuple(
        (one.layer, one.feature) for one in matched if one.taken and one.feature is not None
    )
    return replace(found, features=features, matched=tuple(matched))


def _latest(
    store: ReadStore, plan: Plan, ablation: Ablation, facts: Mapping[str, Any], db: Path
) -> Run:
    """The run that froze the set. Raises `CannotRun`."""
    assert ablation.select.source
    spec, _ = ablation.select.source
    asked = {"target": on} if (on := ablation.select.target) else {}
    rows = store.read(Runs, spec_name=spec, status="finished", origin=facts["origin"], **asked)
    there = [run for run in rows.rows() if _same_model(run, facts)]
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
        f"{ablation.select.target or plan.target.name}"
    )
    where = f"{plan.spec.name}, ablation {ablation.name}"
    return CannotRun(Fault(where, what, _run_it(ablation, plan)))


def _run_it(ablation: Ablation, plan: Plan) -> str:
    assert ablation.select.source
    target = ablation.select.target or plan.target.name
    mock = ("--mock",) if plan.target.origin == "mock" else ()
    return f"first: `{command('run', ablation.select.source[0], '--target', target, *mock)}`"


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

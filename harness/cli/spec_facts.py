"""What `check` says of a spec before any weight is loaded: facts, faults and notes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import Fault, HarnessError
from harness.specs.variants import Variants

if TYPE_CHECKING:
    from harness.specs.ablations import Ablation
    from harness.specs.plan import Plan
    from harness.specs.spec_file import SpecFile


def spec_facts(name: str) -> tuple[dict[str, Any], list[Fault]]:
    """What `check` says of a spec, and every fault of it and of its prompts."""
    from dataclasses import asdict

    from harness.analysis.shortcut_checks import findings_of
    from harness.cli.answers import answers_alike
    from harness.specs.changed_meanings import changed_meanings
    from harness.specs.independence import clusterings, left_out, shared, undeclared
    from harness.specs.metric_checks import metric_notes
    from harness.specs.parts import uneven
    from harness.specs.plan import make_plan
    from harness.specs.plan_checks import faults_of, unreachable
    from harness.specs.reach import dependent
    from harness.specs.sources import source_faults, source_lines
    from harness.specs.spec_file import load
    from harness.specs.spec_paths import find_spec

    facts: dict[str, Any] = {"spec": name}
    faults: list[Fault] = []
    try:
        path = find_spec(name)
        facts["spec"] = str(path)
        file = load(path, with_prompts=True)
        spec = file.spec
        beside: list[str] = []
        for target in file.targets.values():
            plan = make_plan(spec, target, file.prompts, file.others)
            beside += [*dependent(plan), *undeclared(plan), *shared(plan), *uneven(plan)]
            beside += left_out(plan, file.prompts)
            faults += [*faults_of(plan, file.where), *unreachable(plan, file.where)]
        of_answers, notes = answers_alike(file.prompts_path, file.prompts, file.targets.values())
        shortcuts = findings_of(file)
        faults += [*of_answers, *shortcuts.faults, *source_faults(file)]
        facts |= {
            "hash": spec.hash,
            "discovery": len(plan.families("discovery")),
            "confirmation": len(plan.families("confirmation")),
            "pairs": len(file.prompts) // 2,
            "claims": len(spec.claims),
            "targets": list(spec.targets),
            **_named(file),
            "clusters": [asdict(one) for one in clusterings(plan)],
            "controls": controls_lines(plan, spec.ablations),
            "sources": source_lines(file),
            "shortcuts": {
                "line": shortcuts.line,
                "scores": [asdict(one) for one in shortcuts.scores],
            },
            "notes": [
                *notes,
                *metric_notes(spec),
                *dict.fromkeys(beside),
                *shortcuts.notes,
                *changed_meanings(spec),
            ],
        }
    except HarnessError as error:
        faults += error.faults
    faults = list(dict.fromkeys(faults))
    return facts | {"right": not faults, "faults": [asdict(fault) for fault in faults]}, faults


def _named(file: "SpecFile") -> dict[str, Any]:
    """What a spec names: variants, and metrics of other packages. Raises `InputError`."""
    from harness.specs.metric_checks import place_of_metric
    from harness.specs.metrics import KINDS
    from harness.specs.prompt_file import left_aside

    spec = file.spec
    own: Mapping[str, Any] = {}
    if not {*spec.metrics} <= {*KINDS}:
        # It loads numpy, which what names no other metric can do without.
        from harness.stats.own_metrics import own_metrics

        own = own_metrics(spec.metrics, lambda name: file.where(*place_of_metric(spec, name)))
    return {
        "variants": list(spec.variants.names),
        "left_aside": left_aside(file.prompts_path, spec.variants) if file.prompts_path else {},
        "metrics": {name: metric.facts for name, metric in own.items()},
    }


def metric_lines(facts: dict[str, Any]) -> list[str]:
    """What each registered metric says of itself, and whose it is."""
    return [
        f"metric {name}: {one['says']} In {one['unit']}; {one['distribution']} {one['version']}"
        for name, one in facts["metrics"].items()
    ]


def variants_line(facts: dict[str, Any]) -> str:
    """What is compared, and how many lines are not; nothing where the roles are the names and all are."""
    positive, other = facts["variants"]
    aside = ", ".join(f"{label} {count}" for label, count in facts["left_aside"].items())
    if not aside and Variants(positive, other).are_roles:
        return ""
    lines = sum(facts["left_aside"].values())
    told = f"; left aside: {lines} line{'s' * (lines != 1)} ({aside})" if aside else ""
    return f"variants: {positive}, the positive one, against {other}{told}"


def controls_lines(plan: "Plan", ablations: "Sequence[Ablation]") -> list[str]:
    """What controls of ablations cost and can show; the same of shuffled sources, and what else is edited."""
    from harness.specs.refits import enough
    from harness.specs.shuffled_sources import arrangements, shuffles_of

    families = len(plan.families("confirmation"))
    lines = [_controls_line(one) for one in ablations]
    lines += [_baselines_line(plan, one) for one in ablations if one.baselines]
    for one in ablations:
        if edits := shuffles_of(plan, one):
            among = arrangements(edits, families, families)
            lines.append(
                f"{one.name}: {edits} shuffled, with sources of other families; a rank p of "
                f"{1 / (among + 1):.2g} or more"
            )
        if one.splits > 1:
            lines.append(
                f"{one.name}: selected, frozen and edited with its controls on {one.splits} splits, for "
                f"claims of crossfit: {enough(one.splits)} of them are enough, each at half of alpha"
            )
        if one.complement:
            lines.append(
                f"{one.name}: 1 complement, of all features of its layers but the selected ones, whose "
                "SAEs are then in memory at once"
            )
        if one.leave_one_out:
            lines.append(f"{one.name}: its set without each of its features, a replay a feature")
    return lines


def _baselines_line(plan: "Plan", ablation: "Ablation") -> str:
    from harness.specs.clusters import sizes_of
    from harness.specs.design import smallest_effect, smallest_p

    units = len(sizes_of(plan.clusters(plan.spec.cluster), plan.families("confirmation")))
    floor, alpha = smallest_p(units), plan.spec.contrast.alpha
    found = ""
    if floor <= alpha:
        found = (
            f"; a difference between target and baseline of d_z {smallest_effect(units, alpha):.2g} "
            "is found four times in five"
        )
    many = "baseline" if len(ablation.baselines) == 1 else "baselines"
    large = "as large as the target's edit at every token" if ablation.directed else ""
    if len(ablation.directed) < len(ablation.baselines):
        large += " and " * bool(large) + "random-sae as large on average"
    return (
        f"{ablation.name}: {many} {', '.join(ablation.baselines)}, {large}; a p of {floor:.2g} "
        f"or more{found}"
    )


def _controls_line(ablation: "Ablation") -> str:
    from harness.specs.ablations import looks
    from harness.specs.workload import members_of, replays_of

    *early, sets = looks(ablation)
    fewer = f", or {' or '.join(map(str, early))} where more could show nothing" if early else ""
    replays = f"{replays_of(ablation)} replays a prompt at most"
    if ablation.select.source:  # how many features it has is known once it runs
        each = 1 + ablation.leave_one_out
        others = replays_of(ablation) - each * members_of(ablation)
        replays = f"{others} replays a prompt and {'two' if each > 1 else 'one'} a feature at most"
    return (
        f"{ablation.name}: {sets} sets of controls{fewer}; a rank p of {1 / (sets + 1):.2g} or more; "
        f"{replays}"
    )

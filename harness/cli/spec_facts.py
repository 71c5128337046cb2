"""What `check` says of a spec before any weight is loaded: facts, faults and notes."""

from typing import TYPE_CHECKING, Any

from harness.errors import Fault, HarnessError

if TYPE_CHECKING:
    from harness.specs.ablations import Ablation
    from harness.specs.spec import Spec


def spec_facts(name: str) -> tuple[dict[str, Any], list[Fault]]:
    """What `check` says of a spec, and every fault of it and of its prompts."""
    from dataclasses import asdict

    from harness.analysis.shortcut_checks import findings_of
    from harness.cli.answers import answers_alike
    from harness.specs.plan import make_plan
    from harness.specs.plan_checks import faults_of, unreachable
    from harness.specs.reach import dependent
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
            beside += dependent(plan)
            faults += [*faults_of(plan, file.where), *unreachable(plan, file.where)]
        of_answers, notes = answers_alike(file.prompts_path, file.prompts, file.targets.values())
        shortcuts = findings_of(file)
        faults += [*of_answers, *shortcuts.faults]
        facts |= {
            "hash": spec.hash,
            "discovery": len(plan.families("discovery")),
            "confirmation": len(plan.families("confirmation")),
            "pairs": len(file.prompts) // 2,
            "claims": len(spec.claims),
            "targets": list(spec.targets),
            "controls": [controls_line(one) for one in spec.ablations],
            "shortcuts": {
                "line": shortcuts.line,
                "scores": [asdict(one) for one in shortcuts.scores],
            },
            "notes": [
                *notes,
                *dict.fromkeys(beside),
                *shortcuts.notes,
                *_changed_meanings(spec),
            ],
        }
    except HarnessError as error:
        faults += error.faults
    faults = list(dict.fromkeys(faults))
    return facts | {"right": not faults, "faults": [asdict(fault) for fault in faults]}, faults


def controls_line(ablation: "Ablation") -> str:
    """What the controls of an ablation cost, and what they can show."""
    from harness.specs.ablations import looks
    from harness.specs.workload import replays_of

    *early, sets = looks(ablation)
    fewer = f", or {' or '.join(map(str, early))} where more could show nothing" if early else ""
    return (
        f"{ablation.name}: {sets} sets of controls{fewer}; a rank p of {1 / (sets + 1):.2g} or more; "
        f"{replays_of(ablation)} replays a prompt at most"
    )


def _is_newer(spec: "Spec") -> bool:
    """Whether a spec says anything that came with the meanings that changed, or after them."""
    said = {*spec.model_fields_set}.union(
        *(one.model_fields_set | one.select.model_fields_set for one in spec.ablations),
        *(one.model_fields_set for one in spec.claims),
    )
    newer = {"order", "shortcuts", "unadjusted", "rank", "directions", "margin", "guard", "keeps"}
    kinds = {"behaviour", "features", "ablation"}
    return bool(said & newer) or any(one.kind not in kinds for one in spec.claims)


def _changed_meanings(spec: "Spec") -> list[str]:
    """What a spec says now and did not say in the first versions of the harness.

    Nothing of a spec that says what they did not know: it was written, or read again, for today's meaning.
    """
    from harness.specs.edit_claims import AblationClaim

    if _is_newer(spec):
        return []
    notes = []
    claims = [one for one in spec.claims if isinstance(one, AblationClaim)]
    if names := [one.name for one in claims if one.beyond == "controls"]:
        notes.append(
            f"{', '.join(names)} holds beyond controls only where the impact by itself does so, too, and is "
            "refuted at a third of alpha; it once was held against the controls alone"
        )
    if names := [one.name for one in spec.ablations if "controls" not in one.model_fields_set]:
        notes.append(
            f"{', '.join(names)} has 99 sets of controls, where it once had 20; write `controls`"
        )
    ranked = [one for one in spec.ablations if one.select.by == "contrast"]
    if names := [one.name for one in ranked if "rank" not in one.select.model_fields_set]:
        notes.append(
            f"{', '.join(names)} selects by size, where it once did by consistency; write `rank`"
        )
    return [f"{spec.name}: {note}" for note in notes]

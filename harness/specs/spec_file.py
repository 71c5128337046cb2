"""Files that people write, as checked values: specs (YAML) and prompts (JSON lines).

Every fault of a file is found at once, and says file:line or file:line:column.
"""

from pathlib import Path

import yaml
from pydantic import ValidationError

from harness.errors import Fault, InputError, nearest
from harness.paths import find
from harness.specs.contradictions import contradictions, sound_part
from harness.specs.fields import Path_
from harness.specs.plan import Plan, make_plan
from harness.specs.plan_checks import faults_of
from harness.specs.prompt_file import load_prompts
from harness.specs.spec import Spec
from harness.specs.spec_paths import find_spec, folders_around, prompts_path
from harness.specs.targets import Target, mocked, resolve
from harness.specs.text_file import place_order, read_text
from harness.specs.validation_messages import explained
from harness.specs.yaml_source import locator, parse


def load_spec(path: str | Path) -> Spec:
    """Read and check a spec file; raises `InputError` with all of its faults."""
    found = find_spec(path)
    text = read_text(found)
    try:
        data, marks, twice = parse(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(
            Fault(f"{found}{place}", f"not YAML: {error.problem}", "correct the line")
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise InputError(Fault(str(found), f"not YAML: {what}", "correct the file")) from None
    if not isinstance(data, dict):
        raise InputError(
            Fault(f"{found}:1:1", "a spec is a mapping", "begin with `name: ...`; see README")
        )

    def fault(at: Path_, what: str, remedy: str) -> Fault:
        while at not in marks:
            at = at[:-1]
        line, column = marks[at]
        return Fault(f"{found}:{line}:{column}", what, remedy)

    repeated = [fault(at, f"key '{at[-1]}' is given twice", "keep one") for at in twice]
    faulty: set[Path_] = set()
    wrong = repeated
    spec: Spec | None
    try:
        spec = Spec.model_validate(data)
    except ValidationError as error:
        for detail in error.errors():
            # A list whose items are all faulty is not short besides.
            if not (detail["type"] == "too_short" and detail["input"]):
                problem = explained(data, detail)
                wrong.append(fault(*problem))
                faulty.add(problem[0])
        spec, faulty = sound_part(data, faulty)
    if spec is not None:
        wrong += [
            fault(*contradiction)
            for contradiction in contradictions(spec)
            if not any(contradiction[0][: len(part)] == part for part in faulty)
        ]
        for name, choice in spec.targets.items():
            try:
                resolve(name, choice, *folders_around(found))
            except InputError as error:
                if ("targets", name) not in faulty:
                    wrong += [
                        fault(("targets", name, f.where), f.what, f.remedy) for f in error.faults
                    ]
    if wrong or spec is None:
        raise InputError(*sorted(dict.fromkeys(wrong), key=place_order))
    return spec


def prompt_faults(spec_path: Path) -> list[Fault]:
    """What is wrong with the prompts of a spec that is itself wrong, as far as it names them."""
    try:
        data, _, _ = parse(read_text(spec_path))
        found = find(data["prompts"], *folders_around(spec_path))
        if found is not None and not found.is_dir():
            load_prompts(found, balanced=data.get("balance", "family") == "family")
    except InputError as error:
        return list(error.faults)
    except (yaml.YAMLError, RecursionError, KeyError, TypeError, AttributeError):
        return []
    return []


def load_plan(path: str | Path, target: str, mock: str = "") -> Plan:
    """A spec with its prompts on one of its targets; raises `InputError` with all faults.

    `mock` names the kind of random SAEs that take the place of the target's own.
    """
    spec_path = find_spec(path)
    spec = load_spec(spec_path)
    if target not in spec.targets:
        raise InputError(
            Fault(
                str(spec_path),
                f"'{target}' is not among the targets of {spec.name}",
                nearest(target, spec.targets),
            )
        )
    prompts = load_prompts(prompts_path(spec, spec_path), balanced=spec.balance == "family")
    chosen = target_of(spec, target, spec_path)
    plan = make_plan(spec, mocked(chosen, mock) if mock else chosen, prompts)
    if faults := faults_of(plan, locator(spec_path)):
        raise InputError(*faults)
    return plan


def target_of(spec: Spec, name: str, spec_path: Path) -> Target:
    """One of a spec's targets, as the spec means it."""
    return resolve(name, spec.targets[name], *folders_around(spec_path))

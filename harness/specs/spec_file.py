"""Files that people write, as checked values: specs (YAML) and prompts (JSON lines).

Every fault of a file is found at once, and says file:line or file:line:column.
"""

import datetime
import json
import math
import re
from collections.abc import Callable, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from harness.contradictions import contradictions, sound_part
from harness.faults import Fault, InputError, nearest
from harness.places import eval_names, find
from harness.plan import Plan, faults_of, make_plan
from harness.prompts import Line, complete
from harness.records import Prompt
from harness.spec import (
    CLAIM_KINDS,
    Ablation,
    Contrast,
    Readout,
    Select,
    Spec,
    Split,
    TargetChoice,
)
from harness.target import Target, mocked, resolve

Path_ = tuple[str | int, ...]

# The model that holds each mapping of a spec, so that an unknown key can be answered with a known one.
_PARTS: dict[Path_, type[BaseModel]] = {
    (): Spec,
    ("targets", "*"): TargetChoice,
    ("readout",): Readout,
    ("split",): Split,
    ("contrast",): Contrast,
    ("ablations", "*"): Ablation,
    ("ablations", "*", "select"): Select,
}


def load_spec(path: str | Path) -> Spec:
    """Read and check a spec file; raises `InputError` with all of its faults."""
    found = find_spec(path)
    text = _text(found)
    try:
        data, marks, twice = _parse(text)
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
                explained = _explained(data, detail)
                wrong.append(fault(*explained))
                faulty.add(explained[0])
        spec, faulty = sound_part(data, faulty)
    if spec is not None:
        wrong += [
            fault(*contradiction)
            for contradiction in contradictions(spec)
            if not any(contradiction[0][: len(part)] == part for part in faulty)
        ]
        for name, choice in spec.targets.items():
            try:
                resolve(name, choice, *_around(found))
            except InputError as error:
                if ("targets", name) not in faulty:
                    wrong += [
                        fault(("targets", name, f.where), f.what, f.remedy) for f in error.faults
                    ]
    if wrong or spec is None:
        raise InputError(*sorted(dict.fromkeys(wrong), key=_place))
    return spec


def locator(path: Path) -> Callable[..., str]:
    """Where the parts of a well-formed spec stand: `where("claims", 0)` is file:line:column."""
    _, marks, _ = _parse(_text(path))

    def where(*at: str | int) -> str:
        while at not in marks:
            at = at[:-1]
        line, column = marks[at]
        return f"{path}:{line}:{column}"

    return where


def find_spec(path: str | Path) -> Path:
    """The file of a spec that is given by path or name.

    A name is of a file `evals/NAME.yaml`: of the working directory, else of those that come with the
    package.
    """
    found = find(path)
    if found is None or found.is_dir():
        found = find(Path("evals", f"{path}.yaml"))
    if found is None:
        raise InputError(_no_spec(Path(path)))
    return found


def _no_spec(path: Path) -> Fault:
    """Why nothing is found there: a folder, a pattern that no shell resolved, or a misspelt name."""
    if path.is_dir():
        there = any(path.glob("*.yaml"))
        remedy = f"name {path / '*.yaml'}" if there else "name a spec, a YAML file"
        return Fault(str(path), "it is a folder", remedy)
    if re.search(r"[*?\[]", str(path)):
        matched = glob(str(path))
        if matched:
            return Fault(str(path), "it is a pattern, not a file", "write it without quotes")
        return Fault(str(path), "no file is named like this", "check the folder")
    return Fault(str(path), "there is no such spec", nearest(path.stem, eval_names()))


def load_prompts(path: str | Path, *, balanced: bool = False) -> tuple[Prompt, ...]:
    """Read and check a prompt file; raises `InputError` with all of its faults."""
    text = _text(Path(path))
    lines: list[Line] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_distinct)
        except (ValueError, RecursionError) as error:
            # Beside faulty JSON, Python refuses numbers of thousands of digits.
            column = getattr(error, "colno", 1)
            what = getattr(error, "msg", "nested too deeply, or a number too long")
            faults.append(
                Fault(f"{path}:{number}:{column}", f"not JSON: {what}", "write one object a line")
            )
        except KeyError as error:
            faults.append(
                Fault(f"{path}:{number}", f"field '{error.args[0]}' is given twice", "keep one")
            )
        else:
            if isinstance(value, dict):
                lines.append((number, value))
            else:
                faults.append(Fault(f"{path}:{number}", "not an object", 'write {"id": ..., ...}'))
    if not lines and not faults:
        faults.append(Fault(f"{path}:1", "the file has no prompts", "write one object a line"))
    prompts, wrong = complete(str(path), lines, balanced=balanced and not faults)
    if faults or wrong:
        raise InputError(*sorted({*faults, *wrong}, key=_place))
    return prompts


def prompt_faults(spec_path: Path) -> list[Fault]:
    """What is wrong with the prompts of a spec that is itself wrong, as far as it names them."""
    try:
        data, _, _ = _parse(_text(spec_path))
        found = find(data["prompts"], *_around(spec_path))
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
    return resolve(name, spec.targets[name], *_around(spec_path))


def _around(spec_path: Path) -> tuple[Path, Path]:
    """Where a spec's relative paths are looked for first: beside it, and in the folder above."""
    beside = spec_path.parent
    # The name of the folder that one stands in, or above, is not part of the path.
    return beside, beside.parent if beside.name not in ("", "..") else beside / ".."


def prompts_path(spec: Spec, spec_path: Path) -> Path:
    """The prompt file of a spec; raises `InputError` saying where it was looked for."""
    around = _around(spec_path)
    found = find(spec.prompts, *around)
    if found is None or found.is_dir():
        raise InputError(
            Fault(
                locator(spec_path)("prompts"),
                f"there is no prompt file {spec.prompts}",
                f"put it beside the spec, in {around[1].resolve()}, or in the working directory",
            )
        )
    return found


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(Fault(str(path), f"cannot be read: {reason}", "check the path")) from None
    if data.startswith(b"\xef\xbb\xbf"):
        raise InputError(
            Fault(f"{path}:1", "begins with a byte order mark", "save it as UTF-8 without BOM")
        )
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise InputError(
            Fault(
                f"{path}:{line}:{column}",
                f"byte 0x{data[error.start]:02x} is not UTF-8",
                "save the file as UTF-8",
            )
        ) from None


def _parse(text: str) -> tuple[Any, dict[Path_, tuple[int, int]], list[Path_]]:
    """A YAML document as plain values (sequences as tuples), where each stands, and repeated keys."""
    twice: list[Path_] = []
    marks: dict[Path_, tuple[int, int]] = {(): (1, 1)}
    loader = yaml.SafeLoader(text)

    def value(node: yaml.Node, at: Path_) -> Any:
        marks.setdefault(at, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.SequenceNode):
            return tuple(value(child, (*at, i)) for i, child in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            result = {}
            for key_node, child in node.value:
                # The text as written: YAML 1.1 would read a key such as `on` as true.
                key = key_node.value
                if not isinstance(key, str):
                    raise yaml.MarkedYAMLError(
                        problem="a key is not a plain text", problem_mark=key_node.start_mark
                    )
                if key in result:
                    twice.append((*at, key))
                marks[(*at, key)] = (
                    key_node.start_mark.line + 1,
                    key_node.start_mark.column + 1,
                )
                result[key] = value(child, (*at, key))
            return result
        try:
            found = loader.construct_object(node, deep=True)
            str(found).encode()
        except ValueError:
            raise yaml.MarkedYAMLError(
                problem=f"{_shown(node.value)} cannot be read as {node.tag.rsplit(':', 1)[-1]}",
                problem_mark=node.start_mark,
            ) from None
        return found

    try:
        node = loader.get_single_node()
        return (None if node is None else value(node, ())), marks, twice
    finally:
        loader.dispose()


def _explained(data: Any, detail: Any) -> tuple[Path_, str, str]:
    """A validation error as (path, what, what to do)."""
    at = _resolved(data, detail["loc"])
    last = next((step for step in reversed(at) if isinstance(step, str)), "the spec")
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return at, f"unknown key '{last}'", nearest(last, _fields_at(data, at[:-1]))
    if kind == "missing":
        return at, f"'{detail['loc'][-1]}' is missing", "add it"
    if kind == "literal_error":
        valid = re.findall(r"'([^']*)'", context["expected"])
        given = detail["input"]
        if isinstance(given, str):
            return at, f"{last} is '{given}'", nearest(given, valid)
        alone = isinstance(given, tuple) and len(given) == 1 and given[0] in valid
        remedy = "write it without brackets" if alone else f"use one of {', '.join(valid)}"
        return at, f"{last} is {_shown(given)}", remedy
    if kind in ("claim_kind", "union_tag_not_found"):
        keys = detail["input"] if isinstance(detail["input"], dict) else ()
        unknown = next((key for key in keys if key not in ("name", "only")), "")
        return (
            at,
            "a claim is about one of behaviour, features or ablation",
            nearest(unknown, CLAIM_KINDS) if unknown else "add one of the three",
        )
    if kind == "too_short":
        return at, f"{last} is empty", "write at least one"
    if kind == "string_pattern_mismatch":
        return at, f"{last} is '{detail['input']}'", _SHAPES.get(last, "write another")
    if advice := _as_yaml_reads(kind, detail["input"]):
        return at, f"{last}: {advice[0]}", advice[1]
    message = (detail["msg"][0].lower() + detail["msg"][1:]).replace("valid tuple", "list")
    message = re.sub("valid dictionary( or instance of .*)?", "mapping", message)
    return at, f"{last}: {message}", f"it is {_shown(detail['input'])}"


def _as_yaml_reads(kind: str, given: Any) -> tuple[str, str] | None:
    """What is wrong and what to write where YAML 1.1 takes a text for a number, or the reverse."""
    if kind == "string_type" and isinstance(given, bool | int | float | datetime.date):
        read = {bool: "", int: ", a number", float: ", a number"}.get(type(given), ", a date")
        return f"YAML reads it as {json.dumps(given, default=str)}{read}", "put it in quotes"
    if kind not in ("float_type", "int_type") or not isinstance(given, str):
        return None
    try:
        value = float(given)
    except ValueError:
        return None
    whole = value.is_integer() and abs(value) < 2**53
    if not math.isfinite(value) or (kind == "int_type" and not whole):
        return None
    # As Python writes it, but that YAML 1.1 wants a point before the exponent.
    number = repr(int(value) if kind == "int_type" else value)
    number = re.sub(r"^(-?\d+)e", r"\1.0e", number)
    return f"YAML reads {_shown(given)} as a text", f"write {number}"


# What a text of a certain form looks like.
_SHAPES = {
    "name": "use letters and digits, and `-`, `_` or `.` between them",
    "width": "write it as it is published: 16k, 65k",
}


def _resolved(data: Any, loc: Sequence[Any]) -> Path_:
    """The error's location without the names of union members that pydantic puts into it."""
    at: list[str | int] = []
    for i, step in enumerate(loc):
        if i == 2 and loc[0] == "claims":
            continue
        if isinstance(data, dict) and (step in data or i == len(loc) - 1):
            at.append(step)
            data = data.get(step)
        elif isinstance(data, tuple) and isinstance(step, int) and step < len(data):
            at.append(step)
            data = data[step]
    return tuple(at)


def _fields_at(data: Any, at: Path_) -> tuple[str, ...]:
    if len(at) == 2 and at[0] == "claims":
        claim = data["claims"][at[1]]
        return tuple(next(m for k, m in CLAIM_KINDS.items() if k in claim).model_fields)
    general = tuple("*" if isinstance(step, int) else step for step in at)
    if general[:1] == ("targets",):
        general = ("targets", "*")
    model = _PARTS.get(general)
    return tuple(model.model_fields) if model else ()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise KeyError(key)
        result[key] = value
    return result


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _place(fault: Fault) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r":(\d+)", fault.where)], fault.what

"""A spec as its file says it: read once, checked as a whole, and carried from there as one value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.errors import Fault, InputError, nearest
from harness.specs.contradictions import contradictions, sound_part
from harness.specs.fields import Contradiction, KeyPath
from harness.specs.local_paths import check_file, find_named
from harness.specs.other_prompts import load_others
from harness.specs.plan import Plan, make_plan
from harness.specs.plan_checks import faults_of
from harness.specs.prompt import Prompt
from harness.specs.prompt_file import load_prompts
from harness.specs.spec import Spec
from harness.specs.spec_paths import find_spec, folders_around
from harness.specs.target_files import known_targets
from harness.specs.targets import Target, mocked, resolve
from harness.specs.text_file import place_order, read_text
from harness.specs.validation_messages import A_LAYER, IN_QUOTES, explain
from harness.specs.variants import variants_of
from harness.specs.yaml_source import LARGEST, Document, Mark, place_of, read_yaml


@dataclass(frozen=True)
class Places:
    """Where the parts of a spec stand: `places("claims", 0)` is file:line:column. It can be sent anywhere."""

    path: Path
    marks: Mapping[KeyPath, Mark]

    def __call__(self, *at: str | int) -> str:
        """The place of a part, key by key."""
        return place_of(self.path, self.marks, at)


@dataclass(frozen=True)
class SpecFile:
    """A spec without faults, and where it and what it names were found.

    `targets` are the spec's, in its order, as it means them. `prompts_path` is None where there is no
    such file. `marks` are the line and column of each part of the spec, counted from 1.
    """

    path: Path
    spec: Spec
    targets: Mapping[str, Target]
    prompts_path: Path | None
    marks: Mapping[KeyPath, Mark]

    def where(self, *at: str | int) -> str:
        """Where a part of the spec stands: `where("claims", 0)` is file:line:column."""
        return self.places(*at)

    @property
    def places(self) -> Places:
        """The same without the rest of the file."""
        return Places(self.path, self.marks)

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """The spec's prompts, read when they are first asked for.

        Raises `InputError` with all of their faults, or saying where the file was looked for.
        """
        if self.prompts_path is None:
            raise InputError(self._missing(self.where("prompts"), self.spec.prompts))
        return load_prompts(
            self.prompts_path,
            balanced=self.spec.balance == "family",
            variants=self.spec.variants,
            asked=self.where("contrast", "of"),
            chat=self.spec.chat,
        )

    @cached_property
    def others(self) -> Mapping[str, tuple[Prompt, ...]]:
        """The prompts of the other files that claims name, as `prompts`. Raises `InputError` likewise."""
        return load_others(self.spec, self._find, self.where)

    def _find(self, name: str, where: str) -> Path:
        path = find_named(name, *folders_around(self.path), what=where)
        if path is None or path.is_dir():
            raise InputError(self._missing(where, name))
        return path

    def _missing(self, where: str, name: str) -> Fault:
        above = folders_around(self.path)[1].resolve()
        remedy = f"put it beside the spec, in {above}, or in the working directory"
        return Fault(where, f"there is no prompt file {name}", remedy)

    def plan(self, target: str = "", mock: str = "") -> Plan:
        """What a run on one of the targets would do, the first where none is named.

        `mock` names the kind of random SAEs that take the place of the target's own. Raises
        `InputError` with all faults.
        """
        name = target or next(iter(self.targets))
        if name not in self.targets:
            what = f"'{name}' is not among the targets of {self.spec.name}"
            raise InputError(Fault(str(self.path), what, nearest(name, self.targets)))
        chosen = mocked(self.targets[name], mock) if mock else self.targets[name]
        plan = make_plan(self.spec, chosen, self.prompts, self.others)
        if faults := faults_of(plan, self.where):
            raise InputError(*faults)
        return plan


def load(name: str | Path, *, with_prompts: bool = False) -> SpecFile:
    """Read and check a spec that is given by path or name; raises `InputError` with all of its faults.

    `with_prompts` adds the faults of the prompts that a faulty spec names.
    """
    path = find_spec(name)
    document = _read(path)
    try:
        spec, targets = _check(path, document)
    except InputError as error:
        if not with_prompts:
            raise
        raise InputError(*error.faults, *_prompt_faults(path, document)) from None
    return SpecFile(
        path, spec, targets, _prompts_path(spec.prompts, path, document), document.marks
    )


def _read(path: Path) -> Document:
    """The mapping that a file's YAML is."""
    # Of whoever runs this: `harness check <(...)` is a pipe.
    given = path.is_relative_to("/dev")
    if not given:
        check_file(path, *folders_around(path))
    text = read_text(path, LARGEST, given=given)
    try:
        document = read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(
            Fault(f"{path}{place}", f"not YAML: {error.problem}", "correct the line")
        ) from None
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise InputError(Fault(str(path), f"not YAML: {what}", "correct the file")) from None
    if not isinstance(document.data, dict):
        raise InputError(
            Fault(f"{path}:1:1", "a spec is a mapping", "begin with `name: ...`; see README")
        )
    return document


def _check(path: Path, document: Document) -> tuple[Spec, dict[str, Target]]:
    """The spec that a document is, and its targets. Raises `InputError` with every fault."""
    data = document.data

    def fault(at: KeyPath, what: str, remedy: str) -> Fault:
        return Fault(place_of(path, document.marks, at), what, remedy)

    wrong = [fault(*problem) for problem in document.keys]
    numbers, misread = dict(document.numbers), {at for at, _, _ in document.keys}
    faulty: set[KeyPath] = set()
    targets: dict[str, Target] = {}
    spec: Spec | None
    try:
        spec = Spec.model_validate(data)
    except ValidationError as error:
        problems = list(_problems(data, error))
        for at, what, remedy in problems:
            if remedy == IN_QUOTES:  # a text that YAML takes for a number
                numbers.pop(at, None)
            if not (remedy == A_LAYER and at in misread):
                wrong.append(fault(at, what, remedy))
        # What contradicts a part that is wrong itself is not said besides.
        spec, faulty = sound_part(data, {at for at, _, _ in problems})
    wrong += [fault(at, *problem) for at, problem in numbers.items()]
    if spec is not None:
        wrong += [
            fault(at, what, remedy)
            for at, what, remedy in contradictions(spec)
            if not any(at[: len(part)] == part for part in faulty)
        ]
        known = known_targets(path.parent)
        for name, choice in spec.targets.items():
            try:
                targets[name] = resolve(name, choice, *folders_around(path), known=known)
            except InputError as error:
                if ("targets", name) not in faulty:
                    wrong += [
                        fault(("targets", name, f.where), f.what, f.remedy) for f in error.faults
                    ]
    if wrong or spec is None:
        raise InputError(*sorted(dict.fromkeys(wrong), key=place_order))
    return spec, targets


def _problems(data: Any, error: ValidationError) -> Iterator[Contradiction]:
    for detail in error.errors():
        # A list whose items are all faulty is not short besides.
        if not (detail["type"] == "too_short" and detail["input"]):
            yield explain(data, detail)


def _prompts_path(name: str, path: Path, document: Document) -> Path | None:
    where = place_of(path, document.marks, ("prompts",))
    prompts = find_named(name, *folders_around(path), what=where)
    return None if prompts is None or prompts.is_dir() else prompts


def _prompt_faults(path: Path, document: Document) -> tuple[Fault, ...]:
    """What is wrong with the prompts of a spec that is itself wrong, as far as it names them."""
    data = document.data
    try:
        prompts = _prompts_path(data["prompts"], path, document)
        if prompts is not None:
            load_prompts(
                prompts,
                balanced=data.get("balance", "family") == "family",
                variants=variants_of(data),
                asked=place_of(path, document.marks, ("contrast", "of")),
                chat=data.get("chat") is True,
            )
    except InputError as error:
        return error.faults
    except (KeyError, TypeError):
        return ()
    return ()

"""Targets of a user's own: `targets.toml` in the folder of the user's settings, and one beside a spec.

Both have the fields of the package's own file, and no name that is known already. The one beside a spec
may be a stranger's, as the spec may: it names what the spec itself could name.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.argument_types import checked
from harness.errors import Fault, InputError
from harness.names import LONGEST, is_name
from harness.paths import PACKAGE, can_be_named
from harness.specs.json_file import check_shape
from harness.specs.local_paths import check_file, check_within, written_out
from harness.specs.settings import settings_folder
from harness.specs.spec import MOST
from harness.specs.spec_paths import find_spec, folders_around
from harness.specs.target_choice import TargetChoice
from harness.specs.target_row import TargetRow, explain_row
from harness.specs.targets import (
    MOCK,
    NO_SAE,
    UNKNOWN,
    Target,
    check_choice,
    chosen,
    is_remote,
    load_targets,
)
from harness.specs.text_file import place_order, read_text
from harness.specs.toml_lines import line_in_message, line_of

FILE = "targets.toml"
LARGEST = 500_000  # bytes
MOST_DOTS = 300  # in a line: a key of n parts takes its reader n * n steps
DEEPEST = 20  # tables and lists in each other
HERE = Path("evals")  # where specs that are given by name lie


@checked
def targets(spec: str | Path = "") -> Mapping[str, Target]:
    """Every target that is known by name: of the package, of the user, and beside a spec.

    Those beside the specs in ./evals where no `spec` is given, by path or name. Raises `InputError` with
    all faults of the files.
    """
    return known_targets(find_spec(spec).parent if spec else HERE)


def user_file() -> Path:
    """Where a user's own targets are listed."""
    return settings_folder() / FILE


def known_targets(beside: Path | None = None) -> Mapping[str, Target]:
    """The package's targets, the user's, and those of the file in the folder `beside`.

    Raises `InputError` with all faults of a file, names among them that are known already.
    """
    known = dict(load_targets())
    of_user = user_file()
    known |= _read(of_user, known, None)
    if beside is not None:
        file = beside / FILE
        read = {os.path.realpath(path) for path in (of_user, PACKAGE / FILE)}
        if os.path.realpath(file) not in read:
            known |= _read(file, known, folders_around(file))
    return known


def _read(
    path: Path, known: Mapping[str, Target], around: tuple[Path, ...] | None
) -> dict[str, Target]:
    """The targets of a file; none where there is no file.

    What it names must lie in the folders that specs are read from, or `around` it; of a user's own file,
    where `around` is None, it may lie anywhere.
    """
    if not os.path.lexists(path):
        return {}
    if around is not None:
        check_file(path, *around)
    text = read_text(path, LARGEST)
    found: dict[str, Target] = {}
    faults: list[Fault] = []
    for name, row in _tables(path, text).items():
        try:
            found[name] = _target(path, name, row, known, around)
        except InputError as error:
            faults += [_placed(path, text, name, fault) for fault in error.faults]
    if faults:
        raise InputError(*sorted(dict.fromkeys(faults), key=place_order))
    return found


def _placed(path: Path, text: str, name: str, fault: Fault) -> Fault:
    """A fault of a target, at the line of its key, which `where` is, or of its name."""
    line = line_of(text, name, fault.where)
    where = f"{path}:{line}" if line else str(path)
    return replace(fault, where=where, what=f"{_shown(name)}: {fault.what}")


def _tables(path: Path, text: str) -> dict[str, Any]:
    """What a file says, by name. Raises `InputError` where it is no TOML, or too much of it."""
    dotted = (i for i, line in enumerate(text.split("\n"), 1) if line.count(".") > MOST_DOTS)
    if (line := next(dotted, None)) is not None:
        what = f"it has more than {MOST_DOTS} dots"
        raise InputError(Fault(f"{path}:{line}", what, "write several lines"))
    try:
        rows = tomllib.loads(text)
    except RecursionError:
        raise InputError(
            Fault(str(path), "it is nested too deeply", "write plain tables")
        ) from None
    except ValueError as error:  # among them numbers of too many digits
        what, line = line_in_message(" ".join(str(error).split()))
        where = f"{path}:{line}" if line else str(path)
        raise InputError(Fault(where, f"not TOML: {what}", "correct the line")) from None
    if len(rows) > MOST:
        what = f"it has more than {MOST} targets"
        raise InputError(Fault(str(path), what, "leave those out that are not used"))
    return rows


def _target(
    path: Path,
    name: str,
    given: Any,
    known: Mapping[str, Target],
    around: tuple[Path, ...] | None,
) -> Target:
    """The target that a table means. Raises `InputError`, at its keys."""
    _check_name(name, given, known)
    for key, value in given.items():
        _check_value(key, value)
    if isinstance(given.get("layers"), list):
        given = given | {"layers": tuple(given["layers"])}
    try:
        row = TargetRow.model_validate(given)
    except ValidationError as error:
        raise InputError(*(explain_row(detail) for detail in error.errors())) from None
    if row.package is not None and around is not None:
        remedy = f"move the target to {user_file()}"
        raise InputError(Fault("package", "a package's code is run to have its model", remedy))
    if row.architecture is not None:
        check_shape(row.architecture, "architecture")
    choice = TargetChoice(
        model=row.model, revision=row.revision, sae=row.sae, sae_revision=row.sae_revision,
        files=row.files, hook=row.hook, width=row.sae_width, l0=row.l0, dtype=row.dtype, bos=row.bos,
        layers="default" if row.sae else "none", stand_in=row.origin == "stand-in",
    )  # fmt: skip
    check_choice(name, choice, (path.parent,), known)
    model = _named("model", row.model, path, known, around)
    sae = _named("sae", row.sae, path, known, around) if row.sae else NO_SAE
    base = chosen(replace(UNKNOWN, name=name), choice, model, sae, known)
    if row.origin == "mock" and base.mock is None:
        raise InputError(Fault("origin", f"a mock's SAEs are random, not {sae}", f"use {MOCK}..."))
    told = row.model_dump(include=_MORE, exclude_none=True)
    return replace(base, **told, summary=row.summary or row.model, file=str(path))


# The fields of a row that a spec's choice does not have.
_MORE = {
    "package", "catalogue", "blocks", "width", "layers", "bytes", "parameters", "architecture", "gated",
}  # fmt: skip


def _check_name(name: str, given: Any, known: Mapping[str, Target]) -> None:
    if not isinstance(given, dict):
        raise InputError(Fault("", "it is no table", "write [NAME] above the keys of a target"))
    if not is_name(name):
        remedy = f"use up to {LONGEST} letters and digits, and `-`, `_` or `.` between them"
        raise InputError(Fault("", "it is no name of a target", remedy))
    alike = next((one for one in known if one.casefold() == name.casefold()), None)
    if alike is not None:
        owner = known[alike].file or "the package"
        raise InputError(Fault("", f"{owner} has a target '{alike}'", "rename this one"))


def _check_value(key: str, value: Any, depth: int = 0) -> None:
    """Raises `InputError` where a value is larger than what TOML allows, or lies deeper than any is meant."""
    if depth > DEEPEST:
        raise InputError(Fault(key, f"{key} is nested too deeply", "write plain values"))
    if isinstance(value, int) and value.bit_length() > 63:
        raise InputError(Fault(key, f"{key} has a number of more than 64 bits", "correct it"))
    within = value.values() if isinstance(value, dict) else value
    if isinstance(within, list) or isinstance(value, dict):
        for one in within:
            _check_value(key, one, depth + 1)


def _named(
    key: str, name: str, path: Path, known: Mapping[str, Target], around: tuple[Path, ...] | None
) -> str:
    """What a file means by the name of a model or of SAEs: a path, from its own folder, or a repository."""
    if is_remote(name, known):
        return name
    found = path.parent / (Path(name).expanduser() if around is None else name)
    is_path = name.startswith(("./", "../", "~", "/")) or Path(name).is_absolute()
    if not can_be_named(found) or not (is_path or found.exists()):
        return name
    if around is not None:
        check_within(name, found, key, *around)
    return written_out(found)


def _shown(name: str) -> str:
    return f"[{name[:LONGEST]}{'...' * (len(name) > LONGEST)}]"

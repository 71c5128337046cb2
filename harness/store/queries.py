"""Saved queries: `db/queries/NAME.sql`, each with a comment that says what it answers.

The comment's first lines say that in words; a line `$name = default: meaning` of it describes a
parameter, and one without a default must be given.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from harness.errors import Fault, InputError, nearest
from harness.paths import bundled

_PARAMETER = re.compile(r"\$(\w+)(?: = ([^:]*))?: (.*)")
RUNS = ("run", "run_a", "run_b")  # parameters that name a run


@dataclass(frozen=True)
class Parameter:
    """A parameter of a saved query; `default` is None where it must be given."""

    name: str
    default: str | None
    meaning: str


@dataclass(frozen=True)
class SavedQuery:
    """A query, what it answers, and what it is asked with."""

    name: str
    about: str
    parameters: tuple[Parameter, ...]
    sql: str

    def fill(self, given: Mapping[str, str]) -> dict[str, str]:
        """A value for each parameter. Raises `InputError` for what is missing or unknown."""
        known = {one.name: one for one in self.parameters}
        faults = [
            Fault(f"query {self.name}", f"it has no parameter '{name}'", nearest(name, known))
            for name in given
            if name not in known
        ]
        faults += [
            Fault(
                f"query {self.name}", f"'{one.name}' is missing: {one.meaning}", _remedy(one.name)
            )
            for one in self.parameters
            if one.default is None and one.name not in given
        ]
        faults += [
            Fault(f"--set {name}={value}", "it is no whole number", f"it is {known[name].meaning}")
            for name, value in given.items()
            if name in known and re.search(rf"\${name}::(INTEGER|BIGINT)\b", self.sql)
            if not re.fullmatch(r"\d{1,9}", value)
        ]
        if faults:
            raise InputError(*faults)
        return {one.name: given.get(one.name, one.default or "") for one in self.parameters}


@cache
def saved_queries() -> Mapping[str, SavedQuery]:
    """All of them, by name."""
    files = sorted(bundled("db", "queries").glob("*.sql"))
    return {file.stem: _parse(file.stem, file.read_text(encoding="utf-8")) for file in files}


def find_query(text: str) -> SavedQuery | None:
    """The saved query of a name; None where the text is SQL. Raises `InputError` for a wrong name."""
    name = text.strip()
    if not re.fullmatch(r"[\w-]+", name):
        return None
    known = saved_queries()
    if name not in known:
        raise InputError(Fault(name, "there is no such saved query", nearest(name, known)))
    return known[name]


def parse_value(text: str) -> str | int | float:
    """A parameter of one's own SQL as it compares it: a number where it is written as one."""
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if re.fullmatch(r"-?\d+\.\d+([eE][+-]?\d+)?", text):
        return float(text)
    return text


def _parse(name: str, text: str) -> SavedQuery:
    lines = text.splitlines()
    comment = [line.removeprefix("--").strip() for line in _leading_comment(lines)]
    matches = [(line, _PARAMETER.fullmatch(line)) for line in comment]
    return SavedQuery(
        name,
        " ".join(line for line, match in matches if not match),
        tuple(Parameter(match[1], match[2], match[3]) for _, match in matches if match),
        "\n".join(lines[len(comment) :]).strip().removesuffix(";"),
    )


def _leading_comment(lines: Iterable[str]) -> list[str]:
    found = []
    for line in lines:
        if not line.startswith("--"):
            break
        found.append(line)
    return found


def _remedy(name: str) -> str:
    return f"add --{name.replace('_', '-')} ID" if name in RUNS else f"add --set {name}=..."

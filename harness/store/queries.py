"""Saved queries: `db/queries/NAME.sql`, each with a comment that says what it answers; SQL to show.

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
        parameters = {parameter.name: parameter for parameter in self.parameters}
        faults = [
            Fault(f"query {self.name}", f"it has no parameter '{name}'", nearest(name, parameters))
            for name in given
            if name not in parameters
        ]
        faults += [
            Fault(
                f"query {self.name}",
                f"'{parameter.name}' is missing: {parameter.meaning}",
                _remedy(parameter.name),
            )
            for parameter in self.parameters
            if parameter.default is None and parameter.name not in given
        ]
        faults += [
            Fault(
                f"--set {name}={value}",
                "it is no whole number",
                f"it is {parameters[name].meaning}",
            )
            for name, value in given.items()
            if name in parameters and re.search(rf"\${name}::(INTEGER|BIGINT)\b", self.sql)
            if not re.fullmatch(r"0|[1-9][0-9]{0,8}", value)
        ]
        if faults:
            raise InputError(*faults)
        return {
            parameter.name: given.get(parameter.name, parameter.default or "")
            for parameter in self.parameters
        }


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
    saved = saved_queries()
    if name not in saved:
        raise InputError(Fault(name, "there is no such saved query", nearest(name, saved)))
    return saved[name]


def view_query(view: str, run_id: str, **equal: str) -> str:
    """SQL for the rows of a view that are a run's, and whose columns have these values."""
    conditions = {"run_id": run_id, **equal}
    texts = {name: text.replace("'", "''") for name, text in conditions.items()}
    return f"FROM {view} WHERE " + " AND ".join(f"{k} = '{v}'" for k, v in texts.items())


def evidence_query(run_id: str, claim: str) -> str:
    """SQL for the rows that a verdict rests on, one by one."""
    run, name = (text.replace("'", "''") for text in (run_id, claim))
    return f"FROM evidence('{run}', '{name}')"


def verdicts_query(run_id: str, *, trial: bool) -> str:
    """SQL for the verdicts that stand, of all evals; a trial's own, as it is not among them."""
    return view_query("verdicts", run_id) if trial else "FROM latest_verdicts"


def rows_query(run_id: str, *, reads_features: bool) -> str:
    """SQL for the first rows of a run: of its features, or of its behaviour where it reads none."""
    view = "top_features" if reads_features else "behaviour"
    return f"{view_query(view, run_id)} LIMIT 10"


def parse_value(text: str) -> str | int | float:
    """A parameter of one's own SQL as it compares it: a number where it is written as one."""
    if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][+-]?[0-9]+)?", text):
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
    comment = []
    for line in lines:
        if not line.startswith("--"):
            break
        comment.append(line)
    return comment


def _remedy(name: str) -> str:
    return f"add --{name.replace('_', '-')} ID" if name in RUNS else f"add --set {name}=..."

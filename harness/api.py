"""The public functions of Python, under their names in `harness`: as the commands, but they return."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.argument_types import Count, checked
from harness.errors import CannotRun, Fault, InputError, Say, nearest
from harness.paths import DEFAULT_DB, find
from harness.specs.fields import Dtype
from harness.specs.other_prompts import load_others
from harness.specs.plan import Plan, make_plan
from harness.specs.plan_checks import faults_of
from harness.specs.prompt_file import load_prompts
from harness.specs.spec import Spec
from harness.specs.spec_file import load
from harness.specs.target_files import known_targets
from harness.specs.targets import resolve
from harness.store.find_run import LATEST, find_two_runs
from harness.store.find_run import find_run as found_run
from harness.store.interface import WAIT_SECONDS
from harness.store.queries import RUNS, find_query

# What loads torch, numpy or duckdb is imported where it is used: reading a spec needs none of them.
if TYPE_CHECKING:
    import pandas
    import pyarrow

    from harness.analysis.comparison import Comparison
    from harness.analysis.shortcuts import ShortcutScore
    from harness.analysis.verdict import Verdict
    from harness.runner.context import How
    from harness.runner.outcome import Outcome
    from harness.store.database import Store


def _quiet(_: str) -> None:
    return None


@checked
def load_spec(path: str | Path) -> Spec:
    """Read and check a spec, given by path or name; raises `InputError` with all of its faults."""
    return load(path).spec


@checked
def plan(spec: Spec | str | Path, target: str = "") -> Plan:
    """What a run would do: layers, sides of the families, units of work. Loads no weights.

    `spec` is a path, the name of a spec in ./evals or of the package's, or a `Spec`, whose prompt file is
    then looked for in the working directory. The first of the spec's targets is taken where none is
    named. Raises `InputError` with all faults.
    """
    if not isinstance(spec, Spec):
        return load(spec).plan(target)
    chosen = target or next(iter(spec.targets))
    if chosen not in spec.targets:
        what = f"'{chosen}' is not among its targets"
        raise InputError(Fault(f"spec {spec.name}", what, nearest(chosen, spec.targets)))

    def where(*at: str | int) -> str:
        return f"spec {spec.name}, {'.'.join(map(str, at))}"

    def found(name: str, place: str = f"spec {spec.name}") -> Path:
        path = find(name)
        if path is None:
            remedy = "put it below the working directory"
            raise InputError(Fault(place, f"there is no {name}", remedy))
        return path

    made = make_plan(
        spec,
        resolve(chosen, spec.targets[chosen], known=known_targets()),
        load_prompts(
            found(spec.prompts),
            balanced=spec.balance == "family",
            variants=spec.variants,
            asked=where("contrast", "of"),
            chat=spec.chat,
        ),
        load_others(spec, found, where),
    )
    if faults := faults_of(made, where):
        raise InputError(*faults)
    return made


@checked
def shortcuts(prompts: str | Path) -> "tuple[ShortcutScore, ...]":
    """How well words, answers and lengths alone tell the variants of a prompt file apart.

    One score a kind of features and grouping of the pairs that is left out in turn; those by which
    `check` refuses a spec come first. Raises `InputError` where the file is wrong.
    """
    from harness.analysis.shortcuts import shortcut_scores

    path = find(prompts)
    if path is None:
        remedy = "put it below the working directory"
        raise InputError(Fault(str(prompts), "there is no such prompt file", remedy))
    return shortcut_scores(load_prompts(path))


@checked
def run(
    spec: str | Path,
    *,
    target: str = "auto",
    db: str | Path = DEFAULT_DB,
    device: str = "auto",
    dtype: Dtype | None = None,
    batch_size: Count | None = None,
    limit: Count | None = None,
    mock: bool = False,
    resume: bool = True,
    wait: float = WAIT_SECONDS,
    say: Say = _quiet,
) -> "Outcome":
    """Run a spec, from its file to its verdicts, all of it stored in the results file `db`.

    Arguments:
        spec: a path, or the name of a spec in ./evals or of the package's.
        target: one of the spec's; `auto` is the best that is present.
        db: the results file; it is made where there is none.
        device: `auto`, or as torch names it: `cpu`, `cuda:1`, `mps`; `split` spreads the model.
        dtype: what the model computes in; the target's own where it is left out.
        batch_size: rows in one forward; as many as memory allows where it is left out.
        limit: so many families of each side, the first by name: a trial, which supports no claim.
        mock: takes random SAEs: a trial as well.
        resume: takes up an unfinished run of the same content.
        wait: seconds to wait for another process that writes to `db`.
        say: is given the notes and the progress that the command prints, a line each.

    Returns:
        The outcome: `run_id`, `verdicts`, `all_supported`, `exploratory`, `warnings`.

    Raises:
        InputError: the spec or the call is wrong, with all faults.
        CannotRun: it cannot be done here: weights, token, device, memory, disk.
    """
    from harness.reports.terminal.progress import PlainProgress
    from harness.runner.run import run_eval

    return run_eval(
        load(spec),
        target,
        db=db,
        wait=wait,
        resume=resume,
        how=_how(device, dtype, batch_size, limit, mock),
        progress=PlainProgress(say),
        say=say,
    )


def _how(
    device: str, dtype: Dtype | None, batch_size: int | None, limit: int | None, mock: bool
) -> "How":
    from harness.runner.context import How
    from harness.specs.targets import MOCKS

    return How(
        device=device,
        dtype=dtype or "",
        batch_size=batch_size or 0,
        mock=MOCKS[0] if mock else "",
        limit=limit or 0,
    )


class ResultsFile(AbstractContextManager["ResultsFile"]):
    """A results file that is read; use as a context manager. `open_store` opens one."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self.path = store.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write to the file."""
        self._store.__exit__()

    @checked
    def sql(self, query: str, **parameters: object) -> "pyarrow.Table":
        """The rows of one query that reads, or of a saved query by its name, as an Arrow table.

        `$name` in the query stands for the parameter `name`. `run`, `run_a` and `run_b` are runs: ids,
        beginnings of ids, specs' names or `latest`, which `run` is by default. Raises `InputError`
        where the query is wrong, writes, or lacks a parameter.
        """
        saved = find_query(query)
        text = query if saved is None else saved.sql
        if saved is not None:
            given = {name: str(value) for name, value in parameters.items()}
            values: Mapping[str, object] = saved.fill(given)
        else:
            wanted = self._store.parameters(text)
            if extra := sorted(set(parameters) - wanted):
                raise InputError(Fault("query", f"it has no parameter ${extra[0]}", "leave it out"))
            values = dict.fromkeys(wanted & {"run"}, LATEST) | parameters
        return (self._store.ask if saved is None else self._store.table)(
            text,
            {
                name: self.find_run(str(value))["run_id"] if name in RUNS else value
                for name, value in values.items()
            },
        )

    @checked
    def frame(self, query: str, **parameters: object) -> "pandas.DataFrame":
        """As `sql`, as a data frame. Raises `CannotRun` where pandas is not installed."""
        found = self.sql(query, **parameters)
        try:
            return found.to_pandas()
        except ModuleNotFoundError:
            remedy = "pip install 'misconception-harness[notebook]', or use `sql`"
            raise CannotRun(Fault("pandas", "it is not installed", remedy)) from None

    def runs(self) -> list[dict[str, Any]]:
        """The line of each run, every column of `runs`; the newest first."""
        from harness.store.tables.runs import Runs

        rows = [_line(row) for row in self._store.read(Runs).rows()]
        return sorted(rows, key=lambda row: str(row["created_at"]), reverse=True)

    @checked
    def find_run(self, name: str = LATEST) -> dict[str, Any]:
        """The line of the run that an id, its beginning, a spec's name or `latest` means.

        Raises `InputError`.
        """
        return _line(found_run(self._store, name))

    @checked
    def verdicts(self, run: str = LATEST) -> tuple["Verdict", ...]:
        """What became of each claim of a run. Raises `InputError`."""
        from harness.runner.outcome import stored_verdicts

        run_line = self.find_run(run)
        return tuple(stored_verdicts(self._store, run_line["run_id"], run_line["target"]).values())

    @checked
    def compare(self, a: str, b: str = LATEST) -> "Comparison":
        """Run `b` against run `a`, paired by prompt: behaviour, impacts, verdicts.

        Raises `InputError` where they are one run, not finished, or of other prompts.
        """
        from harness.analysis.comparison import compare as compared

        return compared(self._store, *find_two_runs(self._store, a, b))


@checked
def open_store(
    db: str | Path = DEFAULT_DB, *, snapshot: bool = False, say: Say = _quiet
) -> ResultsFile:
    """Open a results file to read it; nobody can write to it until it is closed.

    `snapshot` reads a copy as of the last commit, which works while a run is writing. Raises
    `CannotRun`.
    """
    from harness.store.database import Store

    return ResultsFile((Store.open_snapshot if snapshot else Store.open_to_read)(db, say=say))


@checked
def compare(a: str, b: str = LATEST, *, db: str | Path = DEFAULT_DB) -> "Comparison":
    """Run `b` against run `a` of one results file; see `ResultsFile.compare`."""
    with open_store(db) as results:
        return results.compare(a, b)


@checked
def report(
    run: str = LATEST, *, db: str | Path = DEFAULT_DB, output: str | Path | None = None
) -> Path:
    """Write a run's report, one HTML file that loads nothing; returns its path.

    The file is `reports/RUN_ID.html` where no `output` is given. Raises `InputError` or `CannotRun`.
    """
    from harness.reports.html.run_page import run_page
    from harness.store.database import Store
    from harness.store.export.files import write_page, write_report

    with Store.open_to_read(db) as store:
        found = found_run(store, run)
        page = run_page(store, found, Path(db))
    return write_page(Path(output), page) if output else write_report(found["run_id"], page)


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the store; what has no value is None."""
    from harness.store.values import none_for_nan

    return {name: none_for_nan(value) for name, value in row.items()}

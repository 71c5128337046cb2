"""Which stored run is meant."""

from collections.abc import Mapping
from typing import Any

from harness.errors import Fault, InputError, first_few, nearest
from harness.specs.prompt import LIMITED
from harness.store.interface import ReadStore
from harness.store.tables.runs import Runs

LATEST = "latest"
Run = Mapping[str, Any]  # a line of `runs`, by column


def find_run(store: ReadStore, name: str) -> dict[str, Any]:
    """The line of `runs` that a name means: an id or its beginning, a spec, or `latest`.

    `latest` is the last run that finished; of a spec, the last one that is no trial, if there is any.
    Raises `InputError`.
    """
    runs = list(store.read(Runs).rows())
    exact = [run for run in runs if run["run_id"] == name]
    matches = exact or [run for run in runs if name and run["run_id"].startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = first_few(run["run_id"] for run in matches)
        raise InputError(Fault(f"run {name}", f"{len(matches)} runs begin so", f"name one: {ids}"))
    finished = [
        run for run in runs if run["status"] == "finished" and name in (LATEST, run["spec_name"])
    ]
    if name != LATEST:
        finished = [run for run in finished if not trial_word(run)] or finished
    if finished:
        return max(finished, key=lambda run: (run["finished_at"], run["run_id"]))
    if any(name == run["spec_name"] for run in runs):
        what = "none of its runs is finished"
        raise InputError(Fault(f"spec {name}", what, "run it again to go on with it"))
    if name == LATEST:
        what = "none is finished" if runs else "there is none yet"
        raise InputError(Fault("runs", what, "run `harness run voices` first"))
    names = {run["spec_name"] for run in runs} | {run["run_id"] for run in runs}
    advice = nearest(name, names)
    remedy = advice if advice.endswith("?") else "`harness sql runs` lists them"
    raise InputError(Fault(f"run {name}", "there is no such run", remedy))


def find_two_runs(store: ReadStore, a: str, b: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The lines of two finished runs to compare. Raises `InputError`, also where they are one."""
    first, second = find_run(store, a), find_run(store, b)
    for run in (first, second):
        check_finished(run)
    if first["run_id"] == second["run_id"]:
        raise InputError(Fault(f"run {first['run_id']}", "it is both", "name two runs"))
    return first, second


def trial_word(run: Run) -> str:
    """What makes a run evidence of nothing, in a word: `mock` SAEs, `limited` families, or nothing does."""
    if run["origin"] == "mock":
        return "mock"
    return "limited" if str(run["exploratory"] or "").startswith(LIMITED) else ""


def check_finished(run: Run) -> None:
    """Raises `InputError` where a run is not finished."""
    if run["status"] != "finished":
        raise InputError(
            Fault(
                f"run {run['run_id']}", "it is not finished", "run its spec again to go on with it"
            )
        )

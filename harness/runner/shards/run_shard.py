"""One shard of a run, and the run that all of them are: the same stages, each result from the folder."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from harness.errors import Fault, InputError, Say
from harness.runner.context import How, Progress
from harness.runner.exploratory import register
from harness.runner.in_process import InProcess
from harness.runner.outcome import Outcome
from harness.runner.pipeline import execute
from harness.runner.preparation import RunRequest, request, settled
from harness.runner.provenance import run_facts
from harness.runner.resume import RunStart, resume_or_begin
from harness.runner.run import conclude_run, fit_run, on_target, outcome_of
from harness.runner.shards.executors import Joined, Sharded
from harness.runner.shards.parts import Parts
from harness.runner.shards.run_folder import RunFolder, check_plan, meet, read_folder
from harness.runner.spec_of_run import spec_file_of
from harness.runner.tasks import Crew, Engine, Setup
from harness.specs.plan import Plan
from harness.specs.spec_file import SpecFile
from harness.specs.trials import limited
from harness.store.database import Store
from harness.store.tables.runs import Runs


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `of` shards, counted from 1, which meet in a folder of `parent`."""

    number: int
    of: int
    parent: Path


def run_shard(
    file: SpecFile,
    target: str,
    shard: Shard,
    *,
    how: How = How(),
    engine: Engine | None = None,
    progress: Progress,
    say: Say = lambda _: None,
) -> Path:
    """Do a shard's part of a run; the folder of the run, for `join_shards`.

    What is in the folder already is not done again. Raises `InputError` or `CannotRun`.
    """
    wanted = request(file, target, how, say)
    _refuse_sources(wanted.plan)
    crew, plan = fit_run(engine or InProcess(), wanted, how, say)
    found = meet(shard.parent, shard.of, wanted, plan, crew.fitted, how)
    say(f"  shard {shard.number} of {shard.of}: its parts go to {found.folder}")
    parts = Parts(found.folder, found.line.run_id)
    sharded = Sharded(crew.executor, parts, shard.number, shard.of)
    # The results file of a shard is what its stages read each other's rows from, and nothing else.
    with (
        TemporaryDirectory(prefix="harness-shard-") as scratch,
        Store.open(Path(scratch) / "shard.duckdb") as store,
    ):
        fitted = found.fit(plan)
        start = _begin(store, wanted, plan, found)
        setup = Setup(settled(wanted, fitted.target), crew.setup.how, start)
        execute(Crew(sharded, setup, fitted), plan, store, progress)
    return found.folder


def join_shards(
    folder: Path,
    opened: Callable[[], AbstractContextManager[Store]],
    *,
    progress: Progress,
) -> Outcome:
    """The outcome of a run whose shards have all been run, stored; of one that is there already as it is.

    Needs no model. Raises `InputError` where it is no such folder or the spec changed, and `CannotRun` where
    parts are missing: what is there by then is stored, and joining it again goes on from there.
    """
    began = perf_counter()
    found = read_folder(folder)
    wanted = _wanted(found)
    plan, fitted = wanted.plan, found.fit(wanted.plan)
    with opened() as store:
        there = list(store.read(Runs, found.line.run_id, status="finished").rows())
        if there:
            _check_same(found, plan, there[0])
            return outcome_of(store, plan, there[0])
        start = _begin(store, wanted, plan, found)
        executor = Joined(Parts(folder, found.line.run_id), found.line.of)
        crew = Crew(executor, Setup(settled(wanted, fitted.target), How(), start), fitted)
        return conclude_run(crew, plan, store, progress, began)


def register_shards(
    folders: Sequence[Path], opened: Callable[[], AbstractContextManager[Store]]
) -> None:
    """Register the specs of several runs whose shards are joined, before any of them has results.

    Raises as `join_shards`.
    """
    plans = [_wanted(read_folder(folder)).whole for folder in folders]
    with opened() as store:
        for plan in plans:
            register(store, plan)


def _check_same(found: RunFolder, plan: Plan, there: Mapping[str, Any]) -> None:
    """Raises `InputError` where the run of this id in a store is another."""
    same = (plan.spec.hash, plan.prompts_hash, plan.target.name)
    if (there["spec_hash"], there["prompts_hash"], there["target"]) != same:
        what = f"the run {found.line.run_id} that is stored is of another spec, prompts or target"
        raise InputError(Fault(str(found.folder), what, "import it into another file with --db"))


def _wanted(found: RunFolder) -> RunRequest:
    """What the shards of a folder were asked for. Raises `InputError` where the spec changed since."""
    line = found.line
    file = spec_file_of(str(found.folder), Path(line.spec), line.name)
    whole = plan = file.plan(line.target)
    if line.limit:
        plan = limited(plan, line.limit)
    check_plan(found, plan)
    target = found.fit(plan).target
    assert file.prompts_path is not None
    return RunRequest(
        on_target(plan, target),
        "joined",
        file.path,
        file.prompts_path,
        file.places,
        on_target(whole, target),
    )


def _begin(store: Store, wanted: RunRequest, plan: Plan, found: RunFolder) -> RunStart:
    """The run's first line in a store, or where it has begun there: of the id that all shards have."""
    line, facts = found.line, run_facts(wanted, plan, found.line.facts)
    whole = on_target(wanted.whole, plan.target)
    asked = bool(line.asked)
    return resume_or_begin(store, plan, facts, whole=whole, asked=asked, run_id=line.run_id)


def _refuse_sources(plan: Plan) -> None:
    """Raises `InputError` where an ablation takes its features from a results file, which shards have not."""
    for ablation in plan.ablations:
        if ablation.select.source:
            where = f"{plan.spec.name}, ablation {ablation.name}"
            what = "it takes features from another eval, which is in no shard's results"
            raise InputError(Fault(where, what, "run it with --workers or --scheduler"))

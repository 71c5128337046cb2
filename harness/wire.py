"""Bring a spec, a target and a results file together: the one way every surface runs an eval."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from harness import hub
from harness.analyse import analyse
from harness.faults import Fault, InputError
from harness.lineage import begin
from harness.machine import choose_device, choose_target
from harness.model import load_model
from harness.places import DEFAULT_DB, find
from harness.plan import Plan, layers_of
from harness.read import find_spec, load_plan, load_spec
from harness.records import Runs, SaeHealth
from harness.run import Progress, execute
from harness.sae.jumprelu import Sae
from harness.store import Store
from harness.target import Target, load_targets, load_truth
from harness.verdicts import Verdict, to_columns, verdicts
from harness.weights import load_sae
from harness.work import Bench, Limit

# Rows in a forward: on a CPU small batches stay in its caches.
BATCH = {True: 16, False: 128}

# The parts of a spec that decide what is computed; the others decide what is made of it.
_RUN = ("targets", "prompts", "readout", "split", "ablations", "metric", "new_tokens")


@dataclass(frozen=True)
class Outcome:
    """A finished run: what the surfaces show."""

    run_id: str
    spec: str
    question: str
    target: Target
    families: int
    verdicts: tuple[Verdict, ...]
    exploratory: str | None
    warnings: tuple[str, ...]
    db: Path
    seconds: float

    @property
    def all_supported(self) -> bool:
        """Whether every claim is."""
        return all(verdict.verdict == "supported" for verdict in self.verdicts)


def run_eval(
    path: str | Path,
    target: str = "auto",
    *,
    db: str | Path = DEFAULT_DB,
    device: str = "auto",
    batch_size: int = 0,
    progress: Progress,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run one spec on one target, from its files to its verdicts, all of it stored in `db`.

    An unfinished run of the same content is taken up. Raises `InputError` or `CannotRun`.
    """
    began = time.perf_counter()
    spec_path = find_spec(path)
    spec = load_spec(spec_path)
    layers = {known: layers_of(spec, load_targets()[known]) for known in spec.targets}
    name, why = choose_target(layers, target)
    plan = load_plan(spec_path, name)
    where = choose_device(device)
    say(f"{plan.spec.name} on {name} ({why}), {where}")
    model = load_model(
        hub.model_source(plan.target),
        revision=None if find(plan.target.model) else plan.target.revision,
        dtype=plan.target.dtype,
        device=where,
    )
    files = {layer: hub.sae_file(plan.target, layer) for layer in plan.layers}
    for folder in filter(None, (find(plan.target.model),)):
        hub.verify(folder, [*folder.glob("*.safetensors"), *files.values()])
    saes = _sae_provider(plan, files, where)
    size = batch_size or BATCH[where == "cpu"]
    with Store.open(db) as store:
        run_id, exploratory = begin(store, plan, spec_path, model, files, size)
        limit = Limit(size, say)
        bench = Bench(run_id, plan.target.origin, model, saes, limit)
        execute(bench, plan, store, progress)
        progress("analyse", 0, 1)
        found = conclude(store, plan, run_id, exploratory)
        progress("analyse", 1, 1)
        seconds = time.perf_counter() - began
        store.set_run(
            run_id,
            status="finished",
            finished_at=datetime.now(UTC),
            wall_seconds=seconds,
            batch_size=limit.rows,
        )
        return Outcome(
            run_id=run_id,
            spec=plan.spec.name,
            question=plan.spec.question,
            target=plan.target,
            families=len(plan.sides),
            verdicts=found,
            exploratory=exploratory,
            warnings=_warnings(store, run_id),
            db=store.path,
            seconds=seconds,
        )


def conclude(store: Store, plan: Plan, run_id: str, exploratory: str | None) -> tuple[Verdict, ...]:
    """Analyse a run whose units are all in, and store its tests and verdicts."""
    origin = plan.target.origin
    analysis = analyse(store, plan, run_id, origin)
    truth = load_truth(plan.target)
    known = None if truth is None else frozenset((one.layer, one.feature) for one in truth)
    found = tuple(verdicts(analysis, known, run_id))
    alpha = plan.spec.contrast.alpha
    rows = to_columns(found, run_id, alpha, exploratory is not None, origin)
    store.replace(run_id, *analysis.rows, rows)
    return found


def analyse_again(run_id: str, *, db: str | Path = DEFAULT_DB) -> Outcome:
    """Draw the verdicts of a stored run again, with the spec as it stands now."""
    with Store.open(db, create=False) as store:
        runs = store.read(Runs)
        matches = [i for i, name in enumerate(runs.run_id) if str(name).startswith(run_id)]
        if len(matches) != 1:
            raise InputError(
                Fault(
                    f"run {run_id}",
                    "there is no such run" if not matches else f"{len(matches)} runs begin so",
                    '`harness sql "SELECT run_id FROM runs"` lists them',
                )
            )
        (i,) = matches
        name = str(runs.run_id[i])
        if runs.status[i] != "finished":
            raise InputError(
                Fault(f"run {name}", "it is not finished", "run its spec again to go on with it")
            )
        plan = load_plan(str(runs.spec_path[i]), str(runs.target[i]))
        then = json.loads(runs.spec[i])
        now = json.loads(plan.spec.canonical())
        changed = [part for part in _RUN if now[part] != then.get(part)]
        if plan.prompts_hash != runs.prompts_hash[i]:
            changed.append("prompts")
        if changed:
            raise InputError(
                Fault(
                    f"run {name}",
                    f"its {' and '.join(dict.fromkeys(changed))} changed since it was run",
                    "run the spec again",
                )
            )
        exploratory = runs.exploratory[i]
        if plan.spec.hash != runs.spec_hash[i]:
            exploratory = "the spec changed since the run"
        found = conclude(store, plan, name, exploratory)
        store.set_run(name, exploratory=exploratory)
        return Outcome(
            run_id=name,
            spec=plan.spec.name,
            question=plan.spec.question,
            target=plan.target,
            families=len(plan.sides),
            verdicts=found,
            exploratory=exploratory,
            warnings=_warnings(store, name),
            db=store.path,
            seconds=float(runs.wall_seconds[i]),
        )


def _warnings(store: Store, run_id: str) -> tuple[str, ...]:
    """What the SAEs' health says against them."""
    health = store.read(SaeHealth, run_id)
    return tuple(
        f"the SAE of layer {layer}: {warning}"
        for layer, warning in zip(health.layer, health.warning, strict=True)
        if warning
    )


def _sae_provider(plan: Plan, files: dict[int, Path], device: str) -> Callable[[int], Sae]:
    # One is held while the next is read: never more than two are resident.
    @lru_cache(maxsize=1)
    def sae(layer: int) -> Sae:
        return load_sae(files[layer], width=plan.target.width).to(device)

    return sae

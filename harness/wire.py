"""Bring a spec, a target and a results file together: the one way every surface runs an eval."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

from harness import hub
from harness.analyse import analyse
from harness.faults import CannotRun, Fault, InputError, nearest
from harness.interventions import Feature
from harness.model import LanguageModel, load_model
from harness.observe import readout_name
from harness.places import DEFAULT_DB, find
from harness.plan import Plan
from harness.provenance import provenance
from harness.read import find_spec, load_plan, load_spec, prompts_path
from harness.records import Runs
from harness.run import Progress, execute, prompt_rows
from harness.sae.jumprelu import Sae
from harness.store import Store
from harness.target import Target, load_targets
from harness.verdicts import Verdict, to_columns, verdicts
from harness.weights import load_sae
from harness.work import Bench


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
    db: Path
    seconds: float

    @property
    def all_supported(self) -> bool:
        """Whether every claim is."""
        return all(verdict.verdict == "supported" for verdict in self.verdicts)


def choose_target(targets: tuple[str, ...], wanted: str = "auto") -> tuple[str, str]:
    """The target to run on, and why. `auto`: the real model where it can run, else the organism."""
    if wanted != "auto":
        if wanted not in load_targets():
            raise InputError(
                Fault(
                    f"target {wanted}", "there is no such target", nearest(wanted, load_targets())
                )
            )
        return wanted, "as asked"
    known = load_targets()
    reasons = []
    for name in targets:
        target = known[name]
        if target.is_local:
            continue
        if not torch.cuda.is_available():
            reasons.append(f"no CUDA device for {name}")
        elif not hub.is_present(target, target.layers):
            reasons.append(f"the weights of {name} are not here")
        else:
            return name, "its weights and a CUDA device are here"
    for name in targets:
        if known[name].is_local:
            return name, ", ".join(reasons) or "it is the only one"
    raise CannotRun(
        Fault(", ".join(targets), "; ".join(reasons), "add `organism: {layers: all}` to targets")
    )


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
    name, why = choose_target(tuple(load_spec(spec_path).targets), target)
    plan = load_plan(spec_path, name)
    where = _device(device)
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
    size = batch_size or (64 if where == "cpu" else 128)
    with Store.open(db) as store:
        run_id, exploratory = _begin(store, plan, spec_path, model, files, size)
        bench = Bench(run_id, plan.target.origin, model, saes, size)
        execute(bench, plan, store, progress)
        progress("analyse", 0, 1)
        found = conclude(store, plan, run_id, exploratory)
        progress("analyse", 1, 1)
        seconds = time.perf_counter() - began
        store.set_run(
            run_id, status="finished", finished_at=datetime.now(UTC), wall_seconds=seconds
        )
        return Outcome(
            run_id=run_id,
            spec=plan.spec.name,
            question=plan.spec.question,
            target=plan.target,
            families=len(plan.sides),
            verdicts=found,
            exploratory=exploratory,
            db=store.path,
            seconds=seconds,
        )


def conclude(store: Store, plan: Plan, run_id: str, exploratory: str | None) -> tuple[Verdict, ...]:
    """Analyse a run whose units are all in, and store its tests and verdicts."""
    origin = plan.target.origin
    analysis = analyse(store, plan, run_id, origin)
    found = tuple(verdicts(analysis, _truth(plan.target), run_id))
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
        changed = [
            what
            for what, now, then in (
                ("spec", plan.spec.hash, runs.spec_hash[i]),
                ("prompts", plan.prompts_hash, runs.prompts_hash[i]),
            )
            if now != then
        ]
        if "prompts" in changed:
            raise InputError(
                Fault(f"run {name}", "its prompts have changed since", "run the spec again")
            )
        exploratory = f"the {' and '.join(changed)} changed since the run" if changed else None
        exploratory = exploratory or runs.exploratory[i]
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
            db=store.path,
            seconds=float(runs.wall_seconds[i]),
        )


def _begin(
    store: Store,
    plan: Plan,
    spec_path: Path,
    model: LanguageModel,
    files: dict[int, Path],
    batch_size: int,
) -> tuple[str, str | None]:
    """The id of the run to go on with or of a new one, and why it is exploratory, if it is."""
    facts = {
        **provenance(),
        **model.facts,
        "spec_name": plan.spec.name,
        "spec_hash": plan.spec.hash,
        "spec": plan.spec.canonical(),
        "spec_path": str(spec_path),
        "question": plan.spec.question,
        "target": plan.target.name,
        "origin": plan.target.origin,
        "prompts_path": str(prompts_path(plan.spec, spec_path)),
        "prompts_hash": plan.prompts_hash,
        "model": plan.target.model,
        "model_revision": getattr(model.network.config, "_commit_hash", None),
        "model_hash": _model_hash(plan.target),
        "sae": plan.target.sae,
        "sae_revision": None if find(plan.target.sae) else plan.target.sae_revision,
        "sae_hash": hub.digest_of(*files.values()),
        "layers": list(plan.layers),
        "readout": readout_name(plan),
        "metric": plan.spec.metric,
        "alpha": plan.spec.contrast.alpha,
        "seed": plan.spec.split.seed,
        "batch_size": batch_size,
    }
    content = hashlib.sha256(
        json.dumps(
            {k: v for k, v in facts.items() if k not in _IRRELEVANT}, sort_keys=True
        ).encode()
    ).hexdigest()
    unfinished = store.read(Runs, content=content, status="unfinished")
    if len(unfinished):
        return str(unfinished.run_id[0]), unfinished.exploratory[0]
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%d-%H%M%S-%f}"[:-3] + f"-{plan.spec.name}-{plan.target.name}"
    exploratory = _changed(store, plan, str(facts["sae_hash"]))
    row = {
        "run_id": run_id,
        "content": content,
        "created_at": now,
        "status": "unfinished",
        "exploratory": exploratory,
        **facts,
    }
    store.commit(Runs.of([row]), *prompt_rows(run_id, plan))
    return run_id, exploratory


# What two runs may differ in and still be the same run.
_IRRELEVANT = ("spec_path", "prompts_path", "git_commit", "git_dirty")


def _changed(store: Store, plan: Plan, sae_hash: str) -> str | None:
    """Why a run cannot confirm: results for another version of the same question were seen before."""
    earlier = store.read(Runs, spec_name=plan.spec.name, target=plan.target.name, status="finished")
    now = {"spec": plan.spec.hash, "prompts": plan.prompts_hash, "SAEs": sae_hash}
    for i in range(len(earlier)):
        then = {
            "spec": earlier.spec_hash[i],
            "prompts": earlier.prompts_hash[i],
            "SAEs": earlier.sae_hash[i],
        }
        changed = [what for what in now if now[what] != then[what]]
        if changed:
            return f"the {' and '.join(changed)} changed since run {earlier.run_id[i]}"
    return None


def _sae_provider(plan: Plan, files: dict[int, Path], device: str) -> Callable[[int], Sae]:
    @cache
    def sae(layer: int) -> Sae:
        return load_sae(files[layer], width=plan.target.width).to(device)

    return sae


def _truth(target: Target) -> frozenset[Feature] | None:
    """The features that are known to carry the contrast, where the target has such knowledge."""
    if target.truth is None or (path := find(target.truth)) is None:
        return None
    truth = json.loads(path.read_text(encoding="utf-8"))
    return frozenset((int(entry["layer"]), int(entry["feature"])) for entry in truth["known"])


def _model_hash(target: Target) -> str | None:
    folder = find(target.model)
    return None if folder is None else hub.digest_of(*sorted(folder.glob("*.safetensors")))


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CannotRun(
            Fault(f"device {wanted}", f"cannot be used: {reason}", "use --device cpu")
        ) from None
    return wanted

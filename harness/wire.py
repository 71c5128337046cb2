"""Bring a spec, a target and a results file together: the one way every surface runs an eval."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from harness.analyse import analyse
from harness.faults import Fault, InputError
from harness.lineage import Question, begin, facts_of
from harness.loading import Attention, load_model
from harness.machine import choose_device, choose_target, peak_memory, rows_that_fit
from harness.model import LanguageModel
from harness.places import DEFAULT_DB
from harness.plan import Plan, layers_of
from harness.read import find_spec, load_plan, load_spec, prompts_path, target_of
from harness.records import SaeHealth
from harness.run import Progress, Results, execute
from harness.runs import check_finished, find_run
from harness.sae.jumprelu import Sae
from harness.sae.mock import mock
from harness.sources import ModelFiles, model_bytes, model_files, reach, saes_or_mock, verify
from harness.spec import Spec
from harness.store import WAIT, Store
from harness.target import MOCK, MOCKS, Target, load_truth, mocked
from harness.verdicts import Verdict, to_columns, verdicts
from harness.weights import load_sae
from harness.work import Bench, Limit

# The parts of a spec that decide what is computed; the others decide what is made of it.
_RUN = ("targets", "prompts", "readout", "split", "ablations", "metric", "new_tokens")


@dataclass(frozen=True)
class How:
    """What a caller decides about a run, beside its spec and target.

    `mock` names a kind of random SAEs to take in place of the target's own; `mock_if_missing` takes
    them where the target's own cannot be had.
    """

    device: str = "auto"
    dtype: str = ""
    attention: Attention = "eager"
    batch_size: int = 0
    threads: int = 0
    mock: str = ""
    mock_if_missing: bool = False


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
        """Whether every claim is, by evidence."""
        return self.is_evidence and all(one.verdict == "supported" for one in self.verdicts)

    @property
    def is_evidence(self) -> bool:
        """Whether it ran with SAEs that were trained: a mock supports nothing, whatever it shows."""
        return self.target.origin != "mock"


def run_eval(
    path: str | Path,
    target: str = "auto",
    *,
    db: str | Path = DEFAULT_DB,
    wait: float = WAIT,
    resume: bool = True,
    how: How = How(),
    progress: Progress,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run one spec on one target, from its files to its verdicts, all of it stored in `db`.

    An unfinished run of the same content is taken up, unless `resume` is false. Where another process
    writes to `db`, waits so many seconds for it. Raises `InputError` or `CannotRun`.
    """
    Store.probe(db, wait=wait, say=say)
    opened = partial(Store.open, db, wait=wait, say=say)
    return run_into(opened, path, target, resume=resume, how=how, progress=progress, say=say)


def run_into(
    opened: Callable[[], AbstractContextManager[Results]],
    path: str | Path,
    target: str = "auto",
    *,
    resume: bool = True,
    how: How = How(),
    progress: Progress,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """As `run_eval`, into the store that `opened` opens once the model and SAEs are at hand."""
    spec_path = find_spec(path)
    spec = load_spec(spec_path)
    name, why = _chosen(spec, spec_path, target, how)
    question = Question(
        load_plan(spec_path, name, how.mock), spec_path, prompts_path(spec, spec_path)
    )
    return run_question(question, opened, why, resume=resume, how=how, progress=progress, say=say)


def run_question(
    question: Question,
    opened: Callable[[], AbstractContextManager[Results]],
    why: str,
    *,
    resume: bool = True,
    how: How,
    progress: Progress,
    say: Callable[[str], None],
) -> Outcome:
    """Run what is asked, `why` on this target, into the store that `opened` opens.

    Raises `InputError` or `CannotRun`.
    """
    began = time.perf_counter()
    plan = question.plan
    # A dtype that is asked for is the target's in this run.
    plan = replace(plan, target=replace(plan.target, dtype=how.dtype or plan.target.dtype))
    device, reason = choose_device(how.device, model_bytes(plan.target))
    more = "" if reason in why else f" ({reason})"
    say(f"{plan.spec.name} on {plan.target.name} ({why}), {device}{more}")
    reach(plan.target)  # before gigabytes of SAEs are fetched for a model that is gated
    whose, files = saes_or_mock(plan.target, plan.layers, allowed=how.mock_if_missing, say=say)
    if whose.mock and not plan.target.mock:
        # What a spec may ask of random SAEs is checked as for any others.
        load_plan(question.spec_path, plan.target.name, MOCKS[0])
        plan = replace(plan, target=whose)
    dtype = plan.target.dtype
    if dtype == "float16":
        say("warning: float16 overflows in this family of models; bfloat16 and float32 do not")
    source = model_files(plan.target)
    if source.gguf:
        say(f"  loading {source.name}, about a minute")
    verify(source.folder, [*source.weights, *files.values()])
    model = _loaded(source, dtype=dtype, device=device, attention=how.attention)
    plan = _fitted(plan, model)
    rows = how.batch_size or rows_that_fit(model, _longest(plan))
    with opened() as store:
        question = replace(question, plan=plan)
        threads = how.threads or torch.get_num_threads()
        facts = facts_of(question, model, source, files, batch_size=rows, threads=threads)
        begun = begin(store, question, facts, asked=bool(how.batch_size), resume=resume)
        run_id, exploratory = begun.run_id, begun.exploratory
        limit = Limit(begun.batch_size, say)
        saes = sae_provider(plan.target, files, str(model.device), say)
        with _threads(begun.threads):
            execute(Bench(run_id, plan.target.origin, model, saes, limit), plan, store, progress)
        progress("analyse", 0, 1)
        found = conclude(store, plan, run_id, exploratory)
        progress("analyse", 1, 1)
        seconds = time.perf_counter() - began
        main, on_device = peak_memory()
        store.set_run(
            run_id,
            status="finished",
            finished_at=datetime.now(UTC),
            wall_seconds=seconds,
            batch_size=limit.rows,
            peak_memory=main,
            peak_device_memory=on_device,
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


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """So many threads: between how many a sum is divided shows in its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _chosen(spec: Spec, spec_path: Path, wanted: str, how: How) -> tuple[str, str]:
    """The name of one of the spec's targets, and why it is taken."""
    targets = {known: target_of(spec, known, spec_path) for known in spec.targets}
    if how.mock:
        targets = {known: mocked(target, how.mock) for known, target in targets.items()}
    layers = {known: layers_of(spec, target) for known, target in targets.items()}
    return choose_target(targets, layers, wanted)


def _fitted(plan: Plan, model: LanguageModel) -> Plan:
    """The plan with what only the loaded model tells; raises `InputError` where they disagree."""
    beyond = [layer for layer in plan.layers if layer >= model.depth]
    if beyond:
        raise InputError(
            Fault(
                f"target {plan.target.name}",
                f"the model has {model.depth} blocks and no layer {beyond[0]}",
                f"name layers from 0 to {model.depth - 1}",
            )
        )
    return replace(plan, target=replace(plan.target, width=model.width, blocks=model.depth))


def _longest(plan: Plan) -> int:
    """Tokens of the longest prompt with its answers, about."""
    return max(
        len(f"{prompt.text} {prompt.correct} {prompt.misconception}") // 3 + 8
        for prompt in plan.prompts
    )


# The model of the last run: pytest runs one spec after the other, and loading takes longest.
_last: dict[object, LanguageModel] = {}


def _loaded(source: ModelFiles, **how: Any) -> LanguageModel:
    stamps = tuple((path, path.stat().st_mtime_ns) for path in source.weights)
    key = (source, stamps, tuple(how.items()))
    if key not in _last:
        _last.clear()
        _last[key] = load_model(source, **how)
    return _last[key]


def conclude(
    store: Results, plan: Plan, run_id: str, exploratory: str | None
) -> tuple[Verdict, ...]:
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


def analyse_again(
    run_id: str,
    *,
    db: str | Path = DEFAULT_DB,
    wait: float = WAIT,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Draw the verdicts of a stored run again, with the spec as it stands now.

    `run_id` is an id, its beginning, a spec's name or `latest`. Raises `InputError` or `CannotRun`.
    """
    with Store.open(db, create=False, wait=wait, say=say) as store:
        run = find_run(store, run_id)
        check_finished(run)
        name = run["run_id"]
        plan = load_plan(run["spec_path"], run["target"])
        if run["origin"] == "mock" and plan.target.sae != run["sae"]:
            plan = load_plan(run["spec_path"], run["target"], run["sae"].removeprefix(MOCK))
        then = json.loads(run["spec"])
        now = json.loads(plan.spec.canonical())
        changed = [part for part in _RUN if now[part] != then.get(part)]
        if plan.prompts_hash != run["prompts_hash"]:
            changed.append("prompts")
        if changed:
            raise InputError(
                Fault(
                    f"run {name}",
                    f"its {' and '.join(dict.fromkeys(changed))} changed since it was run",
                    "run the spec again",
                )
            )
        exploratory = run["exploratory"]
        if plan.spec.hash != run["spec_hash"]:
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
            seconds=run["wall_seconds"],
        )


def _warnings(store: Results, run_id: str) -> tuple[str, ...]:
    """What the SAEs' health says against them."""
    health = store.read(SaeHealth, run_id)
    return tuple(
        f"the SAE of layer {layer}: {warning}"
        for layer, warning in zip(health.layer, health.warning, strict=True)
        if warning
    )


def sae_provider(
    target: Target,
    files: Mapping[int, Path],
    device: str,
    say: Callable[[str], None] = lambda _: None,
    seed: int = 0,
) -> Callable[[int], Sae]:
    """The SAE of a layer, read when it is asked for: never more than two are resident.

    `seed` is of random ones.
    """
    checked: set[int] = set()

    # One is held while the next is read.
    @lru_cache(maxsize=1)
    def sae(layer: int) -> Sae:
        width, features = target.width or 0, target.features
        if target.mock:
            return mock(target.mock, width, features or 0, layer, seed).to(device)
        found = load_sae(files[layer], width=width, layer=layer, checked=layer in checked)
        if layer not in checked and features not in (None, found.features):
            say(
                f"warning: {files[layer]} has {found.features} features where {features} are expected"
            )
        checked.add(layer)
        return found.to(device)

    return sae

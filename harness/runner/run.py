"""Bring a spec, a target and a results file together: the one way every surface runs an eval."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from harness.errors import Fault, InputError, first_few
from harness.models.adaptive_batching import Limit
from harness.models.checksums import verify
from harness.models.devices import choose_device
from harness.models.language_model import LanguageModel
from harness.models.memory import peak_memory, rows_that_fit
from harness.models.model_files import model_files, reach
from harness.models.requirements import model_bytes
from harness.models.sae_files import saes_or_mock
from harness.paths import DEFAULT_DB
from harness.runner.context import Bench, How, Progress
from harness.runner.outcome import Outcome, conclude, warnings_of
from harness.runner.pipeline import execute
from harness.runner.provenance import facts_of
from harness.runner.resources import loaded, sae_provider
from harness.runner.run_start import Question, begin
from harness.runner.target_choice import choose_target
from harness.specs.plan import Plan, layers_of, limited
from harness.specs.spec import Spec
from harness.specs.spec_file import load_plan, load_spec, target_of
from harness.specs.spec_paths import find_spec, prompts_path
from harness.specs.targets import MOCKS, mocked
from harness.store.database import WAIT, Store
from harness.store.interface import Results


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
    opened = partial(Store.open, db, wait=wait, say=say)
    return run_into(
        opened,
        path,
        target,
        probe=partial(Store.probe, db, wait=wait, say=say),
        resume=resume,
        how=how,
        progress=progress,
        say=say,
    )


def run_into(
    opened: Callable[[], AbstractContextManager[Results]],
    path: str | Path,
    target: str = "auto",
    *,
    probe: Callable[[], None] = lambda: None,
    resume: bool = True,
    how: How = How(),
    progress: Progress,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """As `run_eval`, into the store that `opened` opens once the model and SAEs are at hand.

    `probe` raises now what `opened` would then; what is wrong with the spec is said before.
    """
    spec_path = find_spec(path)
    spec = load_spec(spec_path)
    name, why = _chosen(spec, spec_path, target, how)
    plan = load_plan(spec_path, name, how.mock)
    if how.limit:
        plan = limited(plan, how.limit)
        kept = plan.limited or "so few families that all of them run: this is no trial"
        say(f"{spec.name}: {kept}")
    question = Question(plan, spec_path, prompts_path(spec, spec_path))
    probe()
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
    model = loaded(source, dtype=dtype, device=device, attention=how.attention)
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
            warnings=warnings_of(store, run_id),
            db=store.path,
            seconds=seconds,
            limited=bool(plan.limit),
            reads=bool(plan.layers),
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
    _check_positions(plan, model)
    return replace(plan, target=replace(plan.target, width=model.width, blocks=model.depth))


def _check_positions(plan: Plan, model: LanguageModel) -> None:
    """Raises `InputError` where an edit is at a token that none of its prompts has: it would do nothing."""
    faults = []
    for ablation in plan.ablations:
        if isinstance(ablation.positions, str):
            continue
        edited = [prompt for prompt in plan.prompts if prompt.label == ablation.variant]
        longest = max(len(model.tokens(prompt.text).prompt) - 1 for prompt in edited)
        if absent := [place for place in ablation.positions if abs(place) > longest]:
            what = f"no prompt has a token {first_few(map(str, absent))}: the longest has {longest}"
            remedy = "count from 1 after BOS, or from -1 at the end"
            faults.append(Fault(f"{plan.spec.name}, ablation {ablation.name}", what, remedy))
    if faults:
        raise InputError(*faults)


def _longest(plan: Plan) -> int:
    """Tokens of the longest prompt with its answers, about."""
    return max(
        len(f"{prompt.text} {prompt.correct} {prompt.misconception}") // 3 + 8
        for prompt in plan.prompts
    )

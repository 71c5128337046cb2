"""Evals by whoever was asked for: in this process one after the other, or spread over workers."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from harness.cli.cluster_options import Who
from harness.errors import CannotRun, Fault, InputError, Say
from harness.names import command
from harness.reports.terminal.progress import PlainProgress, Terminal, progress_on
from harness.runner.context import How
from harness.runner.outcome import Outcome
from harness.runner.run import run_eval
from harness.runner.shards.run_shard import Shard, run_shard
from harness.runner.side_by_side import run_side_by_side
from harness.runner.tasks import Engine
from harness.specs.spec_file import SpecFile

AT_ONCE = (
    8  # evals that are driven at a time: each waits for its own stages, and the workers for none
)


def evals_of(
    files: Sequence[SpecFile],
    target: str,
    who: Who,
    how: How,
    out: Terminal,
    held: ExitStack,
    **options: Any,
) -> Iterator[Outcome]:
    """The outcomes of specs as they end; `options` are of `run_eval`. Raises `InputError` and `CannotRun`.

    Workers are `held` for as long as the caller likes: to end them takes a while.
    """
    engine = held.enter_context(engine_of(who, how, out.note))
    if engine is not None and len(files) > 1:
        yield from _side_by_side(files, target, engine, out, how=how, **options)
        return
    for file in files:
        with progress_on(out, engine.told if engine else str) as progress:
            yield run_eval(
                file,
                target,
                how=how,
                engine=engine,
                progress=progress,
                say=out.note,
                **options,
            )


def shards_of(files: Sequence[SpecFile], target: str, who: Who, how: How, out: Terminal) -> None:
    """Do one shard of each spec, and say how they are joined. Raises `InputError` and `CannotRun`."""
    assert who.shard
    shard = Shard(*who.shard, who.parts)
    folders = []
    with engine_of(who, how, out.note) as engine:
        for file in files:
            with progress_on(out) as progress:
                folders.append(
                    run_shard(
                        file,
                        target,
                        shard,
                        how=how,
                        engine=engine,
                        progress=progress,
                        say=out.note,
                    )
                )
    # Together, since specs that are registered together can all confirm.
    out.note(f"Shard {shard.number} of {shard.of} is done. After all {shard.of}:")
    out.command(f"  {command('import', *folders)}")


def _side_by_side(
    files: Sequence[SpecFile], target: str, engine: Engine, out: Terminal, **options: Any
) -> Iterator[Outcome]:
    def told(name: str) -> Say:
        return partial(_note, out.note, name) if name else out.note

    return run_side_by_side(
        files,
        target,
        engine,
        AT_ONCE,
        progress=lambda name: PlainProgress(told(name), engine.told),
        say=told,
        **options,
    )


def _note(say: Say, name: str, line: str) -> None:
    say(f"[{name}] {line}")


def engine_of(who: Who, how: How, say: Say) -> AbstractContextManager[Engine | None]:
    """Whoever was asked for, at work as long as it lasts; None where that is this process alone.

    Raises `InputError` and `CannotRun`.
    """
    return nullcontext() if who.alone else _workers(who, how, say)


def _workers(who: Who, how: How, say: Say) -> AbstractContextManager[Engine]:
    if find_spec("distributed") is None or find_spec("cryptography") is None:
        remedy = "pip install 'misconception-harness[cluster]'"
        raise CannotRun(Fault("cluster", "Dask distributed is not installed", remedy))
    from harness.runner.cluster.clusters import local_workers, workers_of
    from harness.runner.cluster.preload import end_in_silence
    from harness.runner.cluster.worker import Terms

    end_in_silence()
    # As many threads as this process would take: numbers are the same, wherever they are made.
    threads = how.threads or torch.get_num_threads()
    terms = Terms(tuple(how.device.split(",")), threads, who.seconds)
    if not how.threads and who.workers > 1 < threads and how.device in ("auto", "cpu"):
        say(
            f"  each worker takes {threads} threads, as a run without workers does; on a processor "
            "--threads 1 is quicker"
        )
    if who.scheduler:
        if len(terms.devices) > 1:
            what = "which device a worker has is settled where it is started"
            remedy = "start each with a CUDA_VISIBLE_DEVICES of its own, and leave --device out"
            raise InputError(Fault("--device", what, remedy))
        return workers_of(who.scheduler, terms, say)
    return local_workers(who.workers, terms, say)

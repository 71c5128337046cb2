"""The stages of one run, each in groups of units, of which the store keeps what is done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from harness.models.adaptive_batching import try_again
from harness.runner import checkpoint
from harness.runner.context import Progress, RunContext
from harness.runner.grouping import group_units, prompts_together
from harness.specs.plan import Plan
from harness.specs.unit import Stage, Unit
from harness.store.interface import RunStore
from harness.store.tables.columns import Columns
from harness.store.tables.runs import Units

# Makes rows of some prompts, by name: `work(context, prompts=prompts)`.
Work = Callable[..., list[Columns]]


class Stages:
    """The stages of one run: each takes its units in groups, and commits what is done by the clock."""

    def __init__(
        self, context: RunContext, plan: Plan, store: RunStore, progress: Progress
    ) -> None:
        self._context, self._plan, self._store, self._progress = context, plan, store, progress
        self._finished = store.finished(context.run_id)

    def run(
        self,
        name: Stage,
        work: Work,
        ablation: str = "",
        replays: int = 0,
        part: int = 0,
        file: str = "",
    ) -> None:
        """What is left of a stage; of a part of an ablation with so many `replays` of each prompt.

        Its prompts are those of a `file`, where it is not the spec's own.
        """
        units = self._plan.units(name, ablation, part, file)
        named = {prompt.id: prompt for prompt in self._plan.prompts_of(file)}
        total = sum(map(_size, units))
        # What adds up over all of its prompts: they are one group.
        adds_up = name in ("survey", "profile", "tokens")
        size = total if adds_up else together(self._context, name, replays)
        groups = list(group_units(units, size))
        left = [group for group in groups if any(one.id not in self._finished for one in group)]
        done = total - sum(_size(unit) for group in left for unit in group)
        label = f"{name} {ablation}".strip() + f", look {part + 1}" * bool(part)
        self._progress(label, done, total)
        self._context.limit.recover()
        waiting: list[Columns] = []
        committed = time.monotonic()
        for group in left:

            def hear(
                part: int, whole: int, before: int = done, group: Sequence[Unit] = group
            ) -> None:
                within = sum(map(_size, group)) * part // max(whole, 1)
                # The end of a group is told below.
                if part < whole:
                    self._progress(label, before + within, total)

            began = time.monotonic()
            prompts = [named[prompt] for unit in group for prompt in unit.prompts]
            context = replace(self._context, heard=hear)
            waiting += try_again(context.limit, partial(work, context, prompts=prompts))
            seconds = (time.monotonic() - began) / len(group)
            waiting.append(_ledger(self._context, group, seconds))
            if group is left[-1] or time.monotonic() - committed >= checkpoint.EVERY:
                self._store.commit(*waiting)
                waiting, committed = [], time.monotonic()
            done += sum(map(_size, group))
            self._progress(label, done, total)


def _size(unit: Unit) -> int:
    return len(unit.prompts)


def together(context: RunContext, stage: Stage, replays: int = 0) -> int:
    """How many prompts a stage of this run works on together, see `prompts_together`."""
    return prompts_together(
        stage,
        context.limit.asked,
        on_cpu=context.model.device.type == "cpu",
        parameters=context.model.n_parameters,
        replays=replays,
    )


def _ledger(context: RunContext, group: Sequence[Unit], seconds: float) -> Units:
    return Units.of(
        {
            "run_id": context.run_id,
            "unit_id": unit.id,
            "stage": unit.stage,
            "family": unit.family,
            "ablation": unit.ablation,
            "finished_at": datetime.now(UTC),
            "seconds": seconds,
        }
        for unit in group
    )

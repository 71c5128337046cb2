"""What a run on several workers costs, in lines that show the arithmetic."""

from collections.abc import Iterator

from harness.runner.cost import HOUR, LEAST_GAIN, Cost, StageCost
from harness.runner.planned_cost import PlannedCost


def cost_lines(planned: PlannedCost) -> Iterator[tuple[str, str]]:
    """A name and a text a line."""
    cost = planned.cost
    workers = _many(cost.workers, "worker")
    yield "workers", f"{workers}, {planned.rows} rows a forward"
    yield "rates", planned.rates
    yield "loading", f"{_time(cost.loading)}, by each worker at the same time"
    for stage in cost.stages:
        least = " or more" * (planned.measured and not stage.rates)
        yield stage.stage, stage_line(stage, cost.workers) + least
    uncounted = "" if planned.measured else "; selection, analysis and storing are not counted"
    yield "beside", f"{_time(cost.serial)} by one process, between and after the stages{uncounted}"
    in_stages = _time(sum(stage.wall for stage in cost.stages))
    parts = f"{_time(cost.loading)} + {in_stages} in stages + {_time(cost.serial)}"
    looked = any(one.part.startswith("look") for one in cost.stages)
    looks = ", less where an ablation ends at a look" * looked
    yield "wall time", f"{parts} = {_time(cost.wall)}{looks}"
    hours = f"{cost.device_hours:.3g} hours"
    busy = f"{cost.busy_hours:.3g} hours of them busy"
    yield "device hours", f"{workers} x {_time(cost.wall)} / {HOUR:.0f} = {hours}, {busy}"
    if cost.dollars is not None:
        yield "price", f"{hours} x ${cost.price:.2f} = ${cost.dollars:.2f}"
    yield "stored", _stored(cost)
    yield "moved", _moved(cost)
    walls = ", ".join(f"{n}: {_time(seconds)}" for n, seconds in cost.doublings)
    yield "by workers", walls
    yield "enough", _enough(cost)


def stage_line(stage: StageCost, workers: int) -> str:
    """The groups of a stage, spread over the workers."""
    mean, groups = _time(stage.mean), _many(stage.groups, "group")
    text, wall = f"{groups} x {mean}", f" = {_time(stage.wall)}"
    if workers == 1 or stage.groups == 1:
        return text + wall
    text += f" / {_many(workers, 'worker')}"
    if stage.rounds * stage.mean < stage.longest:
        return f"{text}: the longest group{wall}"
    if stage.groups < stage.rounds * workers:
        return f"{text} = {_many(stage.rounds, 'round')} x {mean}{wall}"
    return text + wall


def _stored(cost: Cost) -> str:
    if not cost.rows or cost.stored is None:
        return "not known without an earlier run of each stage"
    return f"{cost.rows:,.0f} rows x {cost.stored / cost.rows:.0f} bytes = {_bytes(cost.stored)}"


def _moved(cost: Cost) -> str:
    sent = f"{_bytes(cost.sent)} of prompts to the workers"
    return sent if cost.moved is None else f"{_bytes(cost.moved)} of rows to the driver, {sent}"


def _enough(cost: Cost) -> str:
    least = f"less than {LEAST_GAIN:.0%} of the wall time"
    if not cost.enough:
        return f"one worker: two save {least}"
    return f"{_many(cost.enough, 'worker')}: above, twice as many save {least}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def _bytes(size: float) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size:.0f} bytes"

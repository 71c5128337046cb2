"""What a run on several workers costs: time, hours of devices, bytes and money, from rates.

The stages follow each other; within one its groups are spread over the workers. A stage's time is
`rounds = ceil(groups / workers)` times the mean of its groups, and never less than its longest group. Each
worker loads the model by itself, all at the same time; what comes between and after the stages is done by
one process while the workers wait.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from harness.runner.measured_rates import MeasuredRates
from harness.runner.stage_groups import BY_LAYER, StageGroups
from harness.specs.plan import Plan
from harness.specs.unit import ADDED_UP

HOUR = 3600.0
LEAST_GAIN = 0.05  # share of the time that twice as many workers should save


@dataclass(frozen=True)
class StageCost:
    """A stage in so many groups: their `seconds` in all, their `mean`, the `longest`, and the `wall` time.

    `part` says which part it is of a stage in several. `rates` names the run whose rates they
    are, "" where speeds were measured for it. It writes so many `rows`, of which `moved` bytes go to the
    driver and `stored` bytes into the results file; `sent` are the bytes of its prompts' texts. None is not
    known.
    """

    stage: str
    part: str
    groups: int
    seconds: float
    mean: float
    longest: float
    rounds: int
    wall: float
    sent: int
    rates: str = ""
    rows: float | None = None
    moved: float | None = None
    stored: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a run on so many `workers` takes; seconds, hours, bytes, and dollars at a `price` an hour each.

    `serial` is what one process does between and after the stages. `enough` is the number of workers above
    which twice as many save less than 5 % of the `wall` time; `doublings` has that time for 1, 2, 4 and so
    on up to twice as many. What is None is not known.
    """

    workers: int
    price: float | None
    stages: tuple[StageCost, ...]
    loading: float
    serial: float
    wall: float
    device_hours: float
    busy_hours: float
    dollars: float | None
    rows: float | None
    stored: float | None
    moved: float | None
    sent: int
    enough: int
    doublings: tuple[tuple[int, float], ...]


def cost_of(
    plan: Plan,
    groups: Sequence[StageGroups],
    rates: MeasuredRates | None,
    *,
    estimated: Mapping[str, float],
    loading: float,
    serial: float,
    workers: int,
    price: float | None = None,
) -> Cost:
    """The cost of a plan's stages in these groups, by the rates of earlier runs as far as there are any.

    `estimated` are the seconds of a stage by its name, where no run had it; `loading` and `serial` those of
    these parts.
    """
    tokens: dict[str, float] = defaultdict(float)
    for one in groups:
        tokens[one.name] += one.tokens
    stages = tuple(
        _stage_cost(plan, one, rates, estimated[one.name] / (tokens[one.name] or 1), workers)
        for one in groups
    )
    walls = Walls(loading + serial, [(one.groups, one.mean, one.longest) for one in stages])
    wall = walls.at(workers)
    busy = workers * loading + sum(one.seconds for one in stages)
    enough = walls.enough()
    powers = range((2 * max(1, enough)).bit_length())
    known = rates is not None and all(one.stored is not None for one in stages)
    device_hours = workers * wall / HOUR
    return Cost(
        workers=workers,
        price=price,
        stages=stages,
        loading=loading,
        serial=serial,
        wall=wall,
        device_hours=device_hours,
        busy_hours=busy / HOUR,
        dollars=None if price is None else price * device_hours,
        rows=_sum([rates.rows, *(one.rows for one in stages)]) if rates and known else None,
        stored=_sum([rates.stored, *(one.stored for one in stages)]) if rates and known else None,
        moved=_sum(one.moved for one in stages) if known else None,
        sent=sum(one.sent for one in stages),
        enough=enough,
        doublings=tuple((2**power, walls.at(2**power)) for power in powers),
    )


@dataclass(frozen=True)
class Walls:
    """Wall seconds by the number of workers: what is not divided, and stages as groups, mean and longest."""

    alone: float
    stages: Sequence[tuple[int, float, float]]

    def at(self, workers: int) -> float:
        """Seconds with so many workers."""
        return self.alone + sum(stage_seconds(*one, workers) for one in self.stages)

    def enough(self) -> int:
        """The number of workers above which no doubling saves a twentieth; 0 where the first saves less."""
        # With a worker a group nothing is left to be saved.
        most = max((groups for groups, _, _ in self.stages), default=0)
        numbers = range(most, 0, -1)
        return next((n for n in numbers if self.at(2 * n) <= (1 - LEAST_GAIN) * self.at(n)), 0)


def stage_seconds(groups: int, mean: float, longest: float, workers: int) -> float:
    """Seconds of a stage's groups on so many workers: rounds of the mean group, at least the longest one."""
    return max(ceil(groups / workers) * mean, longest)


def _stage_cost(
    plan: Plan, one: StageGroups, rates: MeasuredRates | None, estimated: float, workers: int
) -> StageCost:
    rate = rates.stages.get(one.stage) if rates else None
    seconds = (rate.seconds if rate else estimated) * one.tokens
    groups = len(one.sizes)
    longest = seconds * max(one.sizes) / sum(one.sizes)
    over = one.layers if one.stage in ADDED_UP else one.tokens
    return StageCost(
        one.label,
        one.part,
        groups,
        seconds,
        seconds / groups,
        longest,
        ceil(groups / workers),
        stage_seconds(groups, seconds / groups, longest, workers),
        0 if one.part == BY_LAYER else _sent(plan, one),
        *((rate.run_id, rate.rows * over, rate.bytes * over, rate.stored * over) if rate else ()),
    )


def _sent(plan: Plan, one: StageGroups) -> int:
    """Bytes of the texts of a stage's prompts and their answers, which its tasks carry."""
    sizes: dict[str, dict[str, int]] = {}
    for unit in one.units:
        if unit.file not in sizes:
            sizes[unit.file] = {
                prompt.id: len("".join((prompt.text, *prompt.answers)).encode())
                for prompt in plan.prompts_of(unit.file)
            }
    return sum(sizes[unit.file][prompt] for unit in one.units for prompt in unit.prompts)


def _sum(values: Iterable[float | None]) -> float:
    return sum(value or 0.0 for value in values)

"""What a plan would cost on several workers: by earlier runs, else by what this machine does in a moment."""

from dataclasses import dataclass
from pathlib import Path

import torch

from harness.errors import HarnessError
from harness.models.devices import choose_device
from harness.models.loading import SPLIT
from harness.models.requirements import model_bytes
from harness.runner.cost import Cost, cost_of
from harness.runner.estimate import estimate, time_of
from harness.runner.measured_rates import MeasuredRates, measured_rates
from harness.runner.stage_groups import Grouping, stage_groups
from harness.specs.plan import Plan
from harness.specs.workload import OUTPUTS
from harness.store.database import Store


@dataclass(frozen=True)
class PlannedCost:
    """A cost, and what it was told from.

    `device` is the one that is asked of, and `rates` say of which runs, where, or what was measured just now;
    `measured` is whether it is by a run at all, and `here` whether on that device. `rows` are those of a
    forward.
    """

    cost: Cost
    device: str
    rates: str
    measured: bool
    here: bool
    rows: int


def planned_cost(
    plan: Plan, db: Path, *, device: str = "auto", workers: int, price: float | None = None
) -> PlannedCost | None:
    """What a run of a plan costs on so many workers, each with a `device` as here at `price` dollars an hour.

    Rates are those of earlier runs in `db`, of the device where there are any. None where the model's
    architecture is not known here. Raises as `choose_device` does.
    """
    where, _ = choose_device(device, model_bytes(plan.target))
    needed = estimate(plan, where)
    if needed is None:
        return None
    name = _device_name(where)
    rates, why_not = _rates(plan, db, name, needed.parameters)
    by = rates.by if rates else Grouping(needed.rows, where == "cpu", needed.parameters)
    groups = stage_groups(plan, by)
    taken = time_of(plan, needed, where)
    seconds = dict(zip((one.stage for one in needed.stages), taken.stages, strict=True))
    loading, after = (rates.loading, rates.after) if rates else (None, None)
    has_all = rates is not None and all(one.stage in rates.stages for one in groups)
    complete = has_all and loading is not None and after is not None
    cost = cost_of(
        plan,
        groups,
        rates,
        estimated=seconds,
        # A process that had a model from the run before loaded none.
        loading=max(taken.loading, loading or 0.0),
        serial=seconds.get(OUTPUTS, 0.0) if after is None else after,
        workers=workers,
        price=price,
    )
    return PlannedCost(
        cost,
        name,
        _told_from(rates, cost, name, "" if complete else taken.how, why_not),
        measured=rates is not None,
        here=rates is None or rates.here,
        rows=by.rows,
    )


def _told_from(
    rates: MeasuredRates | None, cost: Cost, device: str, speeds: str, why_not: str
) -> str:
    """Where the rates are from, in words; `speeds` are those of what no run had."""
    if rates is None:
        return f"the least it takes: {speeds}, on {device}; {why_not}"
    others = {one.rates for one in cost.stages} - {rates.run_id, ""}
    threads = f", {rates.threads} threads" if rates.by.on_cpu and rates.threads > 1 else ""
    text = f"from run {rates.run_id}{f' and {len(others)} more' * bool(others)}"
    text += f" on {rates.device}{threads}"
    if not rates.here:
        text += f", which is not the {device} here: no run on that is in the file"
    return text + (
        f"; of what no run had, the least it takes: {speeds}, on {device}" if speeds else ""
    )


def _device_name(device: str) -> str:
    """As `runs.device` has it."""
    if device == SPLIT:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = torch.device(device)
    return torch.cuda.get_device_name(kind) if kind.type == "cuda" else kind.type


def _rates(plan: Plan, db: Path, device: str, parameters: int) -> tuple[MeasuredRates | None, str]:
    """The rates that a results file has of a plan, or why it has none."""
    none = f"no run of {plan.target.name} in {plan.target.dtype} is in {db}"
    if not db.exists():
        return None, none
    try:
        with Store.open_to_read(db) as store:
            found = measured_rates(store, plan, device, parameters)
    except HarnessError as error:  # the file itself, which another process may write to
        return None, "; ".join(map(str, error.faults))
    return found, "" if found else none

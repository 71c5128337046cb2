"""How fast earlier runs of a target were, and how many rows they wrote: what a price is told from.

A stage's rate is its seconds in the ledger over the tokens that passed through the model by its plan: so a
trial's rate, or another spec's, is one of this spec too.
"""

import math
import platform
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import HarnessError
from harness.runner.stage_groups import Grouping, stage_groups
from harness.runner.stored_plan import stored_plan
from harness.specs.plan import Plan
from harness.specs.unit import ADDED_UP, Stage
from harness.store.database import Store
from harness.store.table_sizes import RowSize, row_sizes
from harness.store.tables.runs import Units

UNNAMED = ("cpu", "mps")  # devices of which a run says no more: which, the platform tells
MOST = 20  # runs that are looked at
# What the stages write, and so travels from where they run; all else is written where the store is.
TABLES: Mapping[Stage, tuple[str, ...]] = {
    "observe": ("answers", "activations"),
    "baseline": ("baselines",),
    "generate": ("generations", "topk_logits"),
    "survey": ("sae_health", "feature_activity"),
    "attribute": ("attributions", "attribution_errors"),
    "predict": ("attributions", "attribution_errors"),
    "profile": ("edit_activity",),
    "baseline directions": ("baseline_directions",),
    "random features": ("random_features",),
    "ablate": ("impacts", "impact_tokens", "impact_noise"),
    "side effects": ("side_effects",),
    "decoys": ("decoys",),
    "tokens": ("injected_tokens",),
    "inject": ("injections",),
    "trace": ("prompt_tokens", "token_activations"),
}


@dataclass(frozen=True)
class StageRate:
    """What a stage took and wrote in a run, for each of the tokens that passed through its model.

    Of what adds up over prompts `rows` and bytes are those of a layer: a row is a feature's, or its own.
    `bytes` are the rows' in memory, as they travel; `stored` are those in the results file.
    """

    seconds: float
    rows: float
    bytes: float
    stored: float
    run_id: str


@dataclass(frozen=True)
class MeasuredRates:
    """What runs of one target on one device took, on a processor with so many `threads`.

    `here` is whether that is the device that is asked of. The run that is most like the plan, `run_id`, has
    also the seconds of `loading` and those between and `after` the stages, None where it was taken up again;
    the `rows` that it wrote there, and their bytes as `stored`.
    """

    run_id: str
    device: str
    threads: int
    here: bool
    by: Grouping
    stages: Mapping[Stage, StageRate] = field(default_factory=dict)
    loading: float | None = None
    after: float | None = None
    rows: int = 0
    stored: float = 0.0


def measured_rates(store: Store, plan: Plan, device: str, parameters: int) -> MeasuredRates | None:
    """The rates of the finished runs of a plan's target, in its dtype; None where there is none.

    Those on the `device` of this name, a processor of this machine; else those of the last run elsewhere. Of
    each stage the run's that is most like the plan: of the same spec, then with the most units. Runs that
    this harness reads otherwise are passed over.
    """
    wanted = {stage for stage, _ in plan.steps}
    first: MeasuredRates | None = None
    stages: dict[Stage, StageRate] = {}
    for run, past in _with_plans(store, _runs(store, plan, device)):
        by = Grouping(int(run["batch_size"]), run["device"] == "cpu", parameters)
        ledger = store.read(Units, run["run_id"])
        sizes = row_sizes(store, run["run_id"])
        if first is None:
            first = _whole(run, by, math.fsum(ledger.seconds), sizes)
        stages = _rates(run["run_id"], past, by, ledger, sizes) | stages
        if wanted <= stages.keys():
            break
    return first and replace(first, stages=stages)


def _runs(store: Store, plan: Plan, device: str) -> list[dict[str, Any]]:
    """The runs that could be taken, all on one device, those first that are most like the plan."""
    names, rows = store.query(
        """
        SELECT runs.*, n_units, machine = $machine AS here
        FROM (SELECT *, device || if(device IN $unnamed, platform, '') AS machine FROM runs) AS runs
        JOIN (SELECT run_id, count(*) AS n_units FROM units GROUP BY ALL) USING (run_id)
        WHERE status = 'finished' AND target = $target AND origin = $origin AND dtype = $dtype
        QUALIFY machine = first_value(machine) OVER (ORDER BY machine = $machine DESC, finished_at DESC)
        ORDER BY spec_hash = $spec DESC, n_units DESC, finished_at DESC
        LIMIT $most
        """,
        {
            "target": plan.target.name,
            "origin": plan.target.origin,
            "dtype": plan.target.dtype,
            "machine": device + platform.platform() * (device in UNNAMED),
            "unnamed": list(UNNAMED),
            "spec": plan.spec.hash,
            "most": MOST,
        },
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _with_plans(
    store: Store, runs: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Plan]]:
    for run in runs:
        try:
            yield run, stored_plan(store, run)
        except HarnessError:  # of another version, or its target is not known here
            continue


def _whole(
    run: Mapping[str, Any],
    by: Grouping,
    in_stages: float,
    sizes: Mapping[str, RowSize],
) -> MeasuredRates:
    """What a run took beside its stages. Its line is made once its model is there."""
    since = (run["finished_at"] - run["created_at"]).total_seconds()
    # A run that was taken up again knows the time of its last process alone; that of several workers has
    # more seconds in its stages than passed.
    at_once = run["wall_seconds"] >= since
    apart = {table for tables in TABLES.values() for table in tables}
    own = [size for table, size in sizes.items() if table not in apart]
    return MeasuredRates(
        run_id=run["run_id"],
        device=run["device"],
        threads=int(run["threads"] or 0),
        here=run["here"],
        by=by,
        loading=run["wall_seconds"] - since if at_once else None,
        after=since - in_stages if at_once and since >= in_stages else None,
        rows=sum(size.rows for size in own),
        stored=sum(size.rows * size.stored for size in own),
    )


def _rates(
    run_id: str, plan: Plan, by: Grouping, ledger: Units, sizes: Mapping[str, RowSize]
) -> dict[Stage, StageRate]:
    """What each stage of a run took and wrote, for each token that its finished units had."""
    seconds: dict[str, float] = defaultdict(float)
    for stage, taken in zip(ledger.stage, ledger.seconds, strict=True):
        seconds[stage] += float(taken)
    finished = set(map(str, ledger.unit_id))
    tokens: dict[Stage, float] = defaultdict(float)
    layers: dict[Stage, int] = defaultdict(int)
    for one in stage_groups(plan, by):
        tokens[one.stage] += one.tokens * one.done(finished)
        layers[one.stage] += one.layers
    rates = {}
    for stage, passed in tokens.items():
        if not (passed and seconds[stage]):
            continue
        own = [sizes[table] for table in TABLES[stage] if table in sizes]
        # Two stages may write one table, each of its own prompts.
        writers = [s for s in tokens if TABLES[s] == TABLES[stage]]
        written = sum(tokens[writer] for writer in writers)
        over = layers[stage] if stage in ADDED_UP else written
        rates[stage] = StageRate(
            seconds[stage] / passed,
            sum(size.rows for size in own) / over,
            sum(size.rows * size.bytes for size in own) / over,
            sum(size.rows * size.stored for size in own) / over,
            run_id,
        )
    return rates

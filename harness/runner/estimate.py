"""What a run would take of memory and time, stage by stage, before its model is here.

The stages' forwards are rehearsed without weights; what they hold beside that follows from the same
bounds as in a run.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from operator import add
from typing import Any

import torch

from harness.models.adaptive_batching import ENCODED, ENCODED_BYTES, POSITION_BYTES
from harness.models.loading import SPLIT
from harness.models.memory import (
    cached_rows_within,
    free_memory,
    reads_within,
    rows_replayed,
    rows_within,
)
from harness.models.model_files import configuration_of
from harness.models.rehearsal import ANSWERS, Rehearsal, Taken
from harness.models.requirements import model_bytes
from harness.models.row_bytes import bytes_per_cached_row, bytes_per_read
from harness.models.sae_files import sae_bytes
from harness.runner.grouping import prompts_together
from harness.runner.machine_speed import SHARE, launch_seconds, product_speed, reading_speed
from harness.runner.residual_streams import HELD_BYTES
from harness.runner.sae_provider import RESIDENT
from harness.specs.fields import SINGLE
from harness.specs.plan import Plan
from harness.specs.sites import Hook
from harness.specs.workload import OPENING, OUTPUTS, StageWork, longest_row, workload

LOSSES = 2  # replays by which a survey finds a layer's losses
COPIES = 3  # of a distribution: logits, in float32, and their logarithm's softmax


@dataclass(frozen=True)
class StageNeed:
    """What a stage takes on the device: `bytes` at most beside the model and SAEs, and the rest in all.

    `tokens` pass through the whole model in so many `forwards`, which ask for so many `operations`. It needs
    `saes` bytes of SAEs at once, where one after the other does not do.
    """

    stage: str
    bytes: int
    tokens: float
    forwards: int
    operations: int
    saes: int = 0


@dataclass(frozen=True)
class Estimate:
    """A run's needs on a device, in bytes: its `model`, one `sae`, all `saes`, and `loads`, which are read.

    `parameters` are the model's, `rows` is how many prompts a forward has, and `saes_kept` how many SAEs
    stay on the device.
    """

    parameters: int
    model: int
    sae: int
    saes: int
    saes_kept: int
    loads: int
    rows: int
    stages: tuple[StageNeed, ...]

    @property
    def most(self) -> int:
        """Bytes on the device in the stage that takes most."""
        return self._with(self.saes)

    @property
    def least(self) -> int:
        """The same with no more SAEs than cannot be done without: one, and the next one while it is read."""
        return self._with(min(self.saes, 2 * self.sae))

    def _with(self, saes: int) -> int:
        return self.model + max(stage.bytes + max(saes, stage.saes) for stage in self.stages)


@dataclass(frozen=True)
class Duration:
    """Seconds of a run: in all, of `loading`, of arithmetic in `forwards`, of `launches` by the host.

    A stage takes the longer of the last two where the device works while the host goes on, else both; that
    is what `stages` have, in their order. `how` says what was measured for it.
    """

    seconds: float
    loading: float
    forwards: float
    launches: float
    how: str
    stages: tuple[float, ...]


def estimate(plan: Plan, device: str, batch_size: int = 0) -> Estimate | None:
    """What a run of a plan takes on a device of this machine; `split` is all of them.

    None as `estimate_with`.
    """
    free = free_on(device)
    return estimate_with(plan, free=free, on_cpu=device == "cpu", batch_size=batch_size)


def free_on(device: str) -> int | None:
    """Bytes that are free on a device; on all of them and in main memory, where a model is `split`."""
    if device != SPLIT:
        return free_memory(device)
    cards = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    return sum(free_memory(one) or 0 for one in ("cpu", *(f"cuda:{i}" for i in cards)))


def time_of(plan: Plan, needed: Estimate, device: str) -> Duration:
    """How long that would take on a device of this machine, by what it does in a moment."""
    size = needed.parameters
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == SPLIT else device
    speed = product_speed(where, plan.target.dtype, plan.target.width or 1024)
    launch, reading = launch_seconds(where), reading_speed()
    forwards = [2 * size * stage.tokens / (SHARE * speed) for stage in needed.stages]
    launches = [launch * stage.operations for stage in needed.stages]
    # A processor launches what it then does itself.
    both = tuple(map(max if where != "cpu" else add, forwards, launches))
    loading = needed.loads / reading
    how = (
        f"measured just now: {speed / 1e9:,.0f} GFLOP/s, {1e6 * launch:.1f} us a launch, "
        f"{reading / 1e9:.1f} GB/s of weights read"
    )
    return Duration(loading + sum(both), loading, sum(forwards), sum(launches), how, both)


def estimate_with(
    plan: Plan, *, free: int | None, on_cpu: bool, batch_size: int = 0
) -> Estimate | None:
    """What a run of a plan takes on a device where so many bytes are `free`.

    None where the model's architecture or its size is not known here.
    """
    model, sae = model_bytes(plan.target), sae_bytes(plan.target) or 0
    architecture = configuration_of(plan.target) or plan.target.architecture
    rehearsal = _rehearsal_of(architecture, plan.target.dtype, plan.target.hook)
    if rehearsal is None or not (model := model or rehearsal.bytes):
        return None
    left = None if free is None else max(0, free - model)
    columns = longest_row(plan)
    rows = batch_size or rows_within(left, rehearsal.model, columns, on_cpu=on_cpu)
    work = workload(plan)
    layers = len(plan.layers)
    kept = layers if not sae else min(layers, max(1, (left or 0) // RESIDENT // sae))
    # Where not all are kept, a stage takes the layers in turn and finds the ones that it kept last.
    again = (layers - kept) * sum(one.reads for one in work)
    return Estimate(
        rehearsal.model.n_parameters,
        model,
        sae,
        saes=(kept + (kept < layers)) * sae,
        saes_kept=kept,
        loads=model + (kept + again) * sae,
        rows=rows,
        stages=tuple(_Stages(plan, rehearsal, rows, columns, on_cpu, sae).needs(work)),
    )


@dataclass(frozen=True)
class _Stages:
    """The stages of a plan in forwards of `asked` rows, where there are so many, of at most `columns`.

    An SAE has `sae` bytes.
    """

    plan: Plan
    rehearsal: Rehearsal
    asked: int
    columns: int
    on_cpu: bool
    sae: int

    def needs(self, stages: Iterable[StageWork]) -> Iterator[StageNeed]:
        for work in stages:
            taken, beside, forwards = self._forwards(work)
            operations = forwards * taken.operations
            saes = work.whole * self.sae * len(self.plan.layers)
            most = taken.bytes + beside
            yield StageNeed(work.name, most, work.tokens, forwards, operations, saes)

    def _forwards(self, work: StageWork) -> tuple[Taken, int, int]:
        """What one forward of a stage takes, the bytes beside it, and how many there are."""
        rows = min(self.asked, max(1, work.rows))
        batches = ceil(work.rows / rows)
        if work.stage == "generate":
            taken = self.rehearsal.generate(rows, self.columns + work.forwards)
            return taken, 0, batches * work.forwards
        if work.stage == OUTPUTS:
            return self._outputs(work)
        if work.backwards:
            rows = min(rows, max(1, self.asked // 4))
            taken = self.rehearsal.attribute(rows, self.columns, self.plan.layers)
            forwards = ceil(work.rows / rows) * work.forwards
            return taken, self._encoded(rows * self.columns), forwards
        if work.replays:
            return self._replays(work)
        taken = self.rehearsal.score(rows, self.columns)
        if work.stage in ("survey", "profile"):
            # The streams of several batches, which are joined before an SAE sees them.
            model, layers = self.rehearsal.model, len(self.plan.layers)
            stream = ceil(work.tokens) * model.width * model.network.dtype.itemsize * layers
            held = self._encoded(ENCODED) + 2 * min(HELD_BYTES, stream)
            if work.stage == "profile":
                return taken, held, batches
            # A sample of the rows passes twice more, and of each layer spliced and zeroed.
            return taken, held, batches + 2 + LOSSES * layers
        if work.stage in ("tokens", "inject"):
            return taken, rows * self.columns * work.features * POSITION_BYTES, batches
        at_one = self.plan.readout in SINGLE
        encoded = self._encoded(rows * (1 if at_one else self.columns))
        return taken, encoded * (work.stage in ("observe", "decoys")), batches

    def _replays(self, work: StageWork) -> tuple[Taken, int, int]:
        """Of an ablation: every replay is a row, of which there may be more than prompts."""
        model, layers, on_cpu = self.rehearsal.model, self.plan.layers, self.on_cpu
        group = min(
            work.rows,
            prompts_together(
                "ablate",
                self.asked,
                on_cpu=on_cpu,
                parameters=model.n_parameters,
                replays=work.replays,
            ),
            cached_rows_within(model, self.asked, self.columns, layers, on_cpu=on_cpu),
        )
        rows = min(rows_replayed(model, self.asked, on_cpu=on_cpu), group * work.replays)
        most = reads_within(model, self.asked, on_cpu=on_cpu) // ANSWERS
        most = max(2, min(4 * self.asked, most))
        kept = group * bytes_per_cached_row(model, self.columns, layers)
        encoded = group * self.columns * work.features * POSITION_BYTES
        # Of a complement all features of some positions, and what of its sources they are read from.
        if work.whole:
            stream = group * self.columns * model.width * model.network.dtype.itemsize
            encoded += self._encoded(rows * self.columns) + len(layers) * stream
        # Short rows are more in a replay of as many tokens, and so are their distributions.
        reads = max(0, most - rows) * ANSWERS * COPIES * bytes_per_read(model)
        # Of every group one forward that is replayed, at least one replay from each layer, and the
        # no-op by itself, twice.
        replays = max(ceil(group * work.replays / most), len(layers))
        forwards = ceil(work.rows / group) * (1 + replays + 2)
        taken = self.rehearsal.replay(rows, self.columns, layers)
        return taken, kept + encoded + reads, forwards

    def _outputs(self, work: StageWork) -> tuple[Taken, int, int]:
        """Of the output scores: one layer at a time, and every feature at each opening is a row."""
        layers = self.plan.layers
        replays = ceil(work.rows * work.replays / len(layers))
        rows = min(self.asked, replays)
        taken = self.rehearsal.replay(rows, OPENING, layers)
        return taken, 0, len(layers) * (1 + ceil(replays / rows))

    def _encoded(self, positions: int) -> int:
        """Bytes of the feature values of so many positions, and of what is made of them, held at once."""
        features = (self.plan.target.features or 0) if self.plan.layers else 0
        return min(ENCODED_BYTES, positions * POSITION_BYTES * features)


def _rehearsal_of(
    architecture: Mapping[str, Any] | None, dtype: str, hook: Hook
) -> Rehearsal | None:
    return None if architecture is None else _rehearsed(json.dumps(architecture), dtype, hook)


@lru_cache(4)
def _rehearsed(architecture: str, dtype: str, hook: Hook) -> Rehearsal | None:
    try:
        return Rehearsal(json.loads(architecture), dtype, hook)
    except Exception:  # transformers raises nearly every kind of what it does not know
        return None
